"""Evaluates clips against real ones: measures them in one pass, then computes each metric.

    evaluation = Evaluation(real, other_real, "moving_mnist", directory="runs/mine/evaluation")
    requests = parse_metrics(["fvd2048", "is10000"], frames=16)
    for result in evaluation(requests, GeneratedClips(generator)):
        print(result.name, result.estimate.value)

The measurements of the real clips are kept in the directory and used again.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from tgan_tf import file_locks
from tgan_tf.data.beam import Run
from tgan_tf.errors import Argument, InputError
from tgan_tf.evaluation.clip_sets import ClipSet
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.extractors import open_extractor
from tgan_tf.evaluation.extractors.extractor import Extractor
from tgan_tf.evaluation.measurements import Measurements, measure_once, write
from tgan_tf.evaluation.measuring import Columns, Measuring, in_parts, measured
from tgan_tf.evaluation.metric import FEATURES, PROBABILITIES, Quantity
from tgan_tf.evaluation.metrics import Request
from tgan_tf.evaluation.motion_energy import MOTION_ENERGY
from tgan_tf.models.network import CriticNetwork

ALWAYS_MEASURED = (FEATURES, MOTION_ENERGY, PROBABILITIES)
"""Measured for any metrics, so that one measurement of the real clips serves them all."""


class Result(NamedTuple):
    """The number of one metric, and how it was made.

    Attributes:
        name: full name of the metric, such as "fvd2048_16f".
        estimate: the number and its error.
        count: number of clips evaluated; 0 if the metric uses none.
        real_count: number of real clips compared with; 0 if the metric uses none.
        frames: number of frames of each clip used.
        draws: number of draws of clips evaluated.
        seconds: time taken, with all measuring of the same clips.
    """

    name: str
    estimate: Estimate
    count: int  # type: ignore[assignment]  # hides `tuple.count`, which is not used
    real_count: int
    frames: int
    draws: int
    seconds: float


class Evaluation:
    """Evaluates sets of clips against the same real ones.

    Args:
        real: the real clips.
        other_real: other real clips, from a held-out subset, or `real` itself: for metrics that use
            a critic, and for the metrics' values on real clips.
        extractor: the feature extractor, or the name of one that needs no options.
        directory: where the measurements of real clips are kept.
        real_statistics: a file for the measurements of `real`, read if it exists and written
            otherwise, instead of one in the directory.
        run: has parts of the clips measured by several processes, such as
            `tgan_tf.data.beam.on_beam(["--direct_num_workers=2"])`; None measures in this process.
            The results are the same to the bit. Clips, extractor and critic are pickled.

    Raises:
        InputError: the extractor cannot be opened, or `real_statistics` is a file of another kind.
    """

    def __init__(
        self,
        real: ClipSet,
        other_real: ClipSet,
        extractor: Extractor | str,
        directory: str | os.PathLike[str],
        real_statistics: str | os.PathLike[str] | None = None,
        run: Run | None = None,
    ):
        self.real = real
        self.other_real = other_real
        self.extractor = open_extractor(extractor) if isinstance(extractor, str) else extractor
        self.directory = Path(directory)
        self.real_statistics = real_statistics
        self.run = run
        if real_statistics is not None and os.path.exists(real_statistics):
            Measurements(real_statistics)  # a wrong file raises now, not after measuring
        self._traced: dict[tuple[Quantity, ...], Columns] = {}

    def check(
        self,
        requests: Sequence[Request],
        fake: ClipSet,
        critic: CriticNetwork | None = None,
    ) -> None:
        """Raises an `InputError` if the clips cannot be evaluated, before any work is done."""
        if fake.clip_shape[1:] != self.real.clip_shape[1:]:
            raise InputError(
                f"the clips to evaluate have frames of {_shape(fake)}, the real ones of "
                f"{_shape(self.real)}: give both the same ",
                Argument("size"),
                ", and make both grey or both colour",
            )
        columns = {quantity.name: quantity for quantity in ALWAYS_MEASURED}
        for request in requests:
            quantity, name = request.metric.quantity, request.name()
            if quantity.num_critics > 1:
                raise InputError(f"metric {name}: is for two runs: compare them")
            if columns.setdefault(quantity.name, quantity) != quantity:
                raise InputError(f"metric {name}: another quantity is also called {quantity.name}")
            if quantity.num_critics and critic is None:
                raise InputError(f"metric {name}: needs a critic: evaluate the clips of a run")
            if quantity.measure is not None:
                self._check_clips(request, fake, critic)

    def _check_clips(self, request: Request, fake: ClipSet, critic: CriticNetwork | None) -> None:
        """`check` for a metric of clips."""
        metric, name = request.metric, request.name()
        frames = min(fake.clip_shape[0], self.real.clip_shape[0])
        if request.frames > frames:
            raise InputError(f"metric {name}: the clips have {frames} frames: give fewer")
        if metric.quantity.num_critics:
            # `check` has raised if the critic is missing.
            if critic is None:
                return
            if critic.num_classes:
                raise InputError(f"metric {name}: needs a critic that is not conditional")
            if request.frames != critic.frames:
                with_frames = f"{metric.name}{request.count}_{critic.frames}f"
                raise InputError(
                    f"metric {name}: the critic takes {critic.frames} frames: give {with_frames}"
                )
            return
        self.extractor.check((request.frames, *self.real.clip_shape[1:]))
        if metric.quantity.of_classes and not self.extractor.num_classes:
            raise InputError(
                f"metric {name}: ",
                Argument("extractor", self.extractor.name),
                " gives features but no class probabilities: give another extractor",
            )
        if metric.of_classes_in_turn and fake.num_classes != (self.extractor.num_classes or 0):
            raise InputError(
                f"metric {name}: the clips to evaluate are of {fake.num_classes or 'no'} classes, ",
                Argument("extractor", self.extractor.name),
                f" knows {self.extractor.num_classes or 'none'}: evaluate a conditional generator "
                "of the extractor's classes",
            )
        fewest = metric.fewest(self.extractor.num_features)
        if fake.num_clips is not None and request.count > fake.num_clips:
            most = fake.num_clips // metric.multiple * metric.multiple
            raise InputError(
                f"metric {name}: there are {fake.num_clips} clips to evaluate: give "
                + (f"{metric.name}{most}" if most >= fewest else f"at least {fewest} clips")
            )
        counts = {"clips": request.count}
        if metric.quantity.of_real:
            counts["real clips"] = self._real_count(request.count)
        for of, count in counts.items():
            if count < fewest:
                raise InputError(
                    f"metric {name}: {count} {of} are too few for the "
                    f"{self.extractor.num_features} features of ",
                    Argument("extractor", self.extractor.name),
                    f": give at least {fewest}, or an extractor with fewer features",
                )

    def __call__(
        self,
        requests: Sequence[Request],
        fake: ClipSet,
        critic: CriticNetwork | None = None,
        draws: int = 1,
        what: str = "clips",
    ) -> list[Result]:
        """Evaluates clips, and their generator's critic.

        Args:
            requests: the metrics, from `metrics.parse_metrics`.
            fake: the clips.
            critic: the critic of the clips' generator, for the metrics that need it.
            draws: number of repetitions with other clips; with more than 1, a value is the mean and
                its error the standard deviation.
            what: the progress bar's name for the clips.

        Returns:
            The results; those of metrics that use no clips come last.

        Raises:
            InputError: see `check`; or a metric has no value for such clips.
        """
        self.check(requests, fake, critic)
        results = []
        for group in _by_frames([one for one in requests if one.metric.quantity.measure]):
            by_draw = [self._judge(group, fake, critic, draw, what) for draw in range(draws)]
            for same in zip(*by_draw):
                results.append(same[0] if draws == 1 else _over_draws(same))
        for request in requests:
            if not request.metric.quantity.measure:
                start = time.monotonic()
                results += _results(request, request.metric.compute(critic=critic), 0, start)
        return results

    def floor(self, requests: Sequence[Request]) -> list[Result]:
        """Evaluates other real clips: the best score a generator can expect.

        Metrics for which there are too few of these clips, that need a critic, or that compare
        with the classes asked for, are left out.
        """
        possible = []
        for request in requests:
            metric = request.metric
            count = min(request.count, self.other_real.num_clips or request.count)
            count -= count % metric.multiple
            enough = count >= metric.fewest(self.extractor.num_features)
            if enough and metric.is_of_clips_alone:
                possible.append(request._replace(count=count))
        # Draw 0 would give the clips of `real` again.
        draw = 1 if self.other_real is self.real else 0
        results = []
        for group in _by_frames(possible):
            start = time.monotonic()
            judged = self._real(self.other_real, _most(group), group, draw, "other real clips")
            results += self._compute(group, judged.columns, {}, start)
        return results

    def _judge(
        self,
        requests: Sequence[Request],
        fake: ClipSet,
        critic: CriticNetwork | None,
        draw: int,
        what: str,
    ) -> list[Result]:
        """The results for one draw of requests with the same number of frames."""
        start, count, frames = time.monotonic(), _most(requests), requests[0].frames
        by_critic = tuple(
            dict.fromkeys(
                one.metric.quantity for one in requests if one.metric.quantity.num_critics
            )
        )
        by_extractor = [one for one in requests if one.metric.quantity not in by_critic]
        quantities = (*ALWAYS_MEASURED, *_more_measured(by_extractor)) if by_extractor else ()
        by = Measuring(self.extractor, quantities, by_critic, critic, fake.description)

        def rows_of(
            file: str, clips: ClipSet, draw: int, count: int, by: Measuring, what: str
        ) -> Mapping[str, np.ndarray]:
            rows = stack.enter_context(self._rows(clips, draw, count, frames, by, what))
            return write(temporary / file, rows, count, {}, what).columns

        held_out: Mapping[str, np.ndarray] = {}
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(file_locks.unfinished(self.directory / "judged"))
            judged = rows_of("clips.npy", fake, draw, count, by, what)
            if by_critic:
                count = min(count, self.other_real.num_clips or count)
                by, what = by._replace(quantities=()), "held-out clips"
                held_out = rows_of("held_out.npy", self.other_real, 0, count, by, what)
            return self._compute(requests, judged, held_out, start)

    def _compute(
        self,
        requests: Sequence[Request],
        fake: Mapping[str, np.ndarray],
        held_out: Mapping[str, np.ndarray],
        start: float,
    ) -> list[Result]:
        """Computes metrics from the clips' measurements, which began at `start`."""
        real = held_out
        compared = [
            request
            for request in requests
            if request.metric.quantity.of_real and not request.metric.quantity.num_critics
        ]
        if compared:
            count = self._real_count(_most(compared))
            kept = self._real(self.real, count, requests, 0, "real clips", self.real_statistics)
            real = {**kept.columns, **held_out}
        measuring = time.monotonic() - start
        results = []
        for request in requests:
            start = time.monotonic() - measuring
            quantity = request.metric.quantity
            rows = {"fake": fake[quantity.name][: request.count]}
            if quantity.of_real:
                rows["real"] = real[quantity.name][: request.count]
            found = request.metric.compute(**rows)
            results += _results(request, found, len(rows.get("real", ())), start)
        return results

    def _real(
        self,
        clips: ClipSet,
        count: int,
        requests: Sequence[Request],
        draw: int,
        what: str,
        path: str | os.PathLike[str] | None = None,
    ) -> Measurements:
        """The measurements of real clips, new or kept."""
        extractor = {"name": self.extractor.name, "sha256": self.extractor.sha256}
        description = {"clips": clips.description, "draw": draw, "extractor": extractor}
        more = _more_measured(requests)
        if more:
            description["quantities"] = [quantity.name for quantity in more]
        by = Measuring(self.extractor, (*ALWAYS_MEASURED, *more))
        frames = requests[0].frames
        with contextlib.ExitStack() as stack:
            return measure_once(
                self.directory,
                lambda n: stack.enter_context(self._rows(clips, draw, n, frames, by, what)),
                count,
                frames,
                description,
                what,
                path,
            )

    def _real_count(self, count: int) -> int:
        return min(count, self.real.num_clips or count)

    @contextlib.contextmanager
    def _rows(
        self, clips: ClipSet, draw: int, count: int, frames: int, by: Measuring, what: str
    ) -> Iterator[Iterator[dict[str, np.ndarray]]]:
        """The measurements of each batch, made by this process or by `self.run`."""
        if self.run is not None:
            with in_parts(
                self.directory / ".parts", clips, draw, count, frames, by, what, self.run
            ) as rows:
                yield rows
            return
        if by.quantities not in self._traced:
            self._traced[by.quantities] = by.traced()
        columns = by.columns(self._traced[by.quantities])
        yield measured(clips.batches(count, draw), frames, columns, what)


def _more_measured(requests: Sequence[Request]) -> list[Quantity]:
    """The quantities that need no critic and are not always measured."""
    wanted = {request.metric.quantity for request in requests}
    more = {quantity for quantity in wanted - {*ALWAYS_MEASURED} if not quantity.num_critics}
    return sorted(more, key=lambda quantity: quantity.name)


def _results(
    request: Request,
    found: Estimate | Mapping[str, Estimate | str | None],
    real_count: int,
    start: float,
) -> list[Result]:
    """The results of a metric that began at `start`."""
    # Only metrics of two runs return anything but estimates, and they are not computed here.
    estimates = (
        {request.metric.name: found}
        if isinstance(found, Estimate)
        else cast(Mapping[str, Estimate], found)
    )
    seconds = round(time.monotonic() - start, 1)
    return [
        Result(request.name(part), estimate, request.count, real_count, request.frames, 1, seconds)
        for part, estimate in estimates.items()
    ]


def _by_frames(requests: Sequence[Request]) -> list[list[Request]]:
    frames = dict.fromkeys(request.frames for request in requests)
    return [[request for request in requests if request.frames == n] for n in frames]


def _most(requests: Sequence[Request]) -> int:
    return max(request.count for request in requests)


def _over_draws(results: Sequence[Result]) -> Result:
    """The mean over the draws."""
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
