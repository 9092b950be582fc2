"""Clips judged against real ones: measured in one pass, then each metric of what was measured.

    evaluation = Evaluation(real, other_real, extractor, directory="runs/mine/evaluation")
    for result in evaluation(parse(["fvd2048", "is10000"], frames=16), GeneratedClips(generator)):
        print(result.name, result.estimate.value)

The real clips are measured once, and kept in the directory.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf import file_locks
from tgan_tf.errors import InputError
from tgan_tf.evaluation.clip_sets import ClipSet
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.extractors.extractor import Extractor
from tgan_tf.evaluation.measurements import Measurements, measure, measure_once
from tgan_tf.evaluation.metrics import METRICS, Request
from tgan_tf.evaluation.motion_energy import motion_energy
from tgan_tf.models.network import CriticNetwork

_COMPARED = ("features", "motion")
"""The measurements that are compared with those of `real`."""


class Result(NamedTuple):
    """One number, and how many clips it is of.

    Attributes:
        name: such as "fvd2048_16f".
        estimate: the number and its error.
        count: clips judged.
        real_count: real clips they were compared with; 0 where they are judged by themselves.
        frames: frames of each that were looked at.
        draws: how often other clips were judged.
        seconds: that it took, with all measuring of the same clips.
    """

    name: str
    estimate: Estimate
    count: int
    real_count: int
    frames: int
    draws: int
    seconds: float


class Evaluation:
    """Judges sets of clips against the same real ones.

    Args:
        real: the real clips.
        other_real: more of them, of a held-out subset or `real` itself: for the Wasserstein
            estimate, and for what the metrics are of real clips.
        extractor: what the clips are measured by.
        directory: where measurements of real clips are kept.
        real_statistics: a file that those of `real` are read from, or kept in, instead.

    Raises:
        InputError: the extractor does not take such clips, or `real_statistics` is another file.
    """

    def __init__(
        self,
        real: ClipSet,
        other_real: ClipSet,
        extractor: Extractor,
        directory: str | os.PathLike,
        real_statistics: str | os.PathLike | None = None,
    ):
        self.real = real
        self.other_real = other_real
        self.extractor = extractor
        self.directory = Path(directory)
        self.real_statistics = real_statistics
        if real_statistics is not None and os.path.exists(real_statistics):
            Measurements(real_statistics)  # says now, not after all clips are measured, what it is
        # Traced anew for another number of frames, not for the last batch, which is smaller.
        self._columns = tf.function(self._measure_clips, reduce_retracing=True)

    def check(
        self,
        requests: Sequence[Request],
        fake: ClipSet,
        critic: CriticNetwork | None = None,
    ) -> None:
        """Raises an `InputError` for what cannot be judged, before anything is done."""
        if fake.clip_shape[1:] != self.real.clip_shape[1:]:
            raise InputError(
                f"the clips judged have frames of {_shape(fake)}, the real ones of "
                f"{_shape(self.real)}: give both the same --size, and both grey or both in colour"
            )
        frames = min(fake.clip_shape[0], self.real.clip_shape[0])
        for request in requests:
            metric = METRICS[request.metric]
            name = request.name(request.metric)
            if request.frames > frames:
                raise InputError(f"metric {name}: the clips have {frames} frames: give fewer")
            if metric.column == "scores":
                if critic is None or critic.num_classes:
                    raise InputError(
                        f"metric {name}: needs a critic that is not conditional: give --run_dir "
                        "of such a run"
                    )
                if request.frames != fake.clip_shape[0]:
                    raise InputError(
                        f"metric {name}: the critic takes {fake.clip_shape[0]} frames: give "
                        "these, or none"
                    )
                continue
            self.extractor.check((request.frames, *self.real.clip_shape[1:]))
            if metric.column == "probabilities" and not self.extractor.num_classes:
                raise InputError(
                    f"metric {name}: --extractor={self.extractor.name} gives features, no "
                    "probabilities of classes: give another extractor"
                )
            if fake.num_clips is not None and request.count > fake.num_clips:
                most = fake.num_clips // metric.multiple * metric.multiple
                fewest = metric.fewest(self.extractor.num_features)
                raise InputError(
                    f"metric {name}: there are {fake.num_clips} clips to be judged: give "
                    + (f"{request.metric}{most}" if most >= fewest else f"at least {fewest} clips")
                )
            real_count = self._real_count(request.count)
            if metric.column == "probabilities":
                real_count = request.count
            for count, of in ((request.count, "clips"), (real_count, "real clips")):
                fewest = metric.fewest(self.extractor.num_features)
                if count < fewest:
                    raise InputError(
                        f"metric {name}: {count} {of} are too few for the "
                        f"{self.extractor.num_features} features of "
                        f"--extractor={self.extractor.name}: give at least {fewest}, or an "
                        "extractor with fewer features"
                    )

    def __call__(
        self,
        requests: Sequence[Request],
        fake: ClipSet,
        critic: CriticNetwork | None = None,
        draws: int = 1,
        what: str = "clips",
    ) -> list[Result]:
        """Judges clips.

        Args:
            requests: of `metrics.parse`.
            fake: the clips.
            critic: what the Wasserstein estimate is by.
            draws: how often, each time on other clips; the value is then the mean, and its error
                the standard deviation.
            what: what the progress bar calls them.

        Raises:
            InputError: as `check`; or there is no number for such clips.
        """
        self.check(requests, fake, critic)
        results = []
        for group in _by_frames(requests):
            by_draw = [self._judge(group, fake, critic, draw, what) for draw in range(draws)]
            for same in zip(*by_draw):
                results.append(same[0] if draws == 1 else _over_draws(same))
        return results

    def floor(self, requests: Sequence[Request]) -> list[Result]:
        """What the metrics are of other real clips: what no generator does better than by chance.

        Metrics that other real clips are too few for are left out; so is the Wasserstein estimate.
        """
        possible = []
        for request in requests:
            metric = METRICS[request.metric]
            count = min(request.count, self.other_real.num_clips or request.count)
            count -= count % metric.multiple
            if metric.column != "scores" and count >= metric.fewest(self.extractor.num_features):
                possible.append(request._replace(count=count))
        # The same clips in another order would not be others.
        draw = 1 if self.other_real is self.real else 0
        results = []
        for group in _by_frames(possible):
            start = time.monotonic()
            judged = self._real(self.other_real, _most(group), group, draw, "other real clips")
            results += self._compute(group, judged, {}, start)
        return results

    def _judge(self, requests, fake, critic, draw, what) -> list[Result]:
        """The results of requests that are of the same frames, of one draw."""
        start, count = time.monotonic(), _most(requests)
        needed = {METRICS[request.metric].column for request in requests}

        def columns(clips):
            measured = {} if needed == {"scores"} else self._columns(clips)
            return {**measured, **scores(clips)} if "scores" in needed else measured

        def scores(clips):
            return {"scores": tf.reduce_sum(critic(clips, training=False), axis=1)}

        held_out = {}
        with file_locks.unfinished(self.directory / "judged") as temporary:
            path = temporary / "clips.npy"
            batches = fake.batches(count, draw)
            judged = measure(path, batches, count, requests[0].frames, columns, {}, what)
            if "scores" in needed:
                count = min(count, self.other_real.num_clips or count)
                held_out = measure(
                    temporary / "held_out.npy",
                    self.other_real.batches(count, 0),
                    count,
                    requests[0].frames,
                    scores,
                    {},
                    "held-out clips",
                ).columns
            return self._compute(requests, judged, held_out, start)

    def _compute(self, requests, judged, held_out, start) -> list[Result]:
        """The metrics of what was measured of the clips judged; `start` is when that began."""
        real = held_out
        # Probabilities are judged by themselves, scores against held-out clips.
        compared = [request for request in requests if METRICS[request.metric].column in _COMPARED]
        if compared:
            real_count = self._real_count(_most(compared))
            kept = self._real(
                self.real, real_count, requests, 0, "real clips", self.real_statistics
            )
            real = {**held_out, **kept.columns}
        measuring = time.monotonic() - start
        results = []
        for request in requests:
            start = time.monotonic()
            metric = METRICS[request.metric]
            rows = np.empty(0)
            if metric.column != "probabilities":
                rows = real[metric.column][: request.count]
            estimates = metric.compute(judged.columns[metric.column][: request.count], rows)
            seconds = round(measuring + time.monotonic() - start, 1)
            for part, estimate in estimates.items():
                results.append(
                    Result(
                        request.name(part),
                        estimate,
                        request.count,
                        len(rows),
                        request.frames,
                        1,
                        seconds,
                    )
                )
        return results

    def _real(self, clips, count, requests, draw, what, path=None) -> Measurements:
        extractor = {"name": self.extractor.name, "sha256": self.extractor.sha256}
        description = {"clips": clips.description, "draw": draw, "extractor": extractor}
        return measure_once(
            self.directory,
            lambda n: clips.batches(n, draw),
            count,
            requests[0].frames,
            self._columns,
            description,
            what,
            path,
        )

    def _real_count(self, count: int) -> int:
        return min(count, self.real.num_clips or count)

    def _measure_clips(self, clips: tf.Tensor) -> dict[str, tf.Tensor]:
        extracted = self.extractor(clips)
        columns = {"features": extracted.features, "motion": motion_energy(clips)}
        if extracted.probabilities is not None:
            columns["probabilities"] = extracted.probabilities
        return columns


def _by_frames(requests: Sequence[Request]) -> list[list[Request]]:
    frames = dict.fromkeys(request.frames for request in requests)
    return [[request for request in requests if request.frames == n] for n in frames]


def _most(requests: Sequence[Request]) -> int:
    return max(request.count for request in requests)


def _over_draws(results: Sequence[Result]) -> Result:
    """The mean of what other clips gave each time."""
    values = np.array([result.estimate.value for result in results])
    estimate = Estimate(
        float(values.mean()),
        float(values.std(ddof=1)),
        f"standard deviation of {len(results)} draws",
        {**results[0].estimate.details, "draws": values.tolist()},
    )
    seconds = round(math.fsum(result.seconds for result in results), 1)
    return results[0]._replace(estimate=estimate, draws=len(results), seconds=seconds)


def _shape(clips: ClipSet) -> str:
    return "x".join(map(str, clips.clip_shape[1:]))
