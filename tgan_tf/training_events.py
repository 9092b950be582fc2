"""Reads the events that `TrainingSummary` writes for TensorBoard.

events = read("runs/mine")
steps, losses = events.scalars["training/critic_loss"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

SHARES = {"smallest": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "largest": 1.0}
"""Name → quantile read from a histogram."""


class Events(NamedTuple):
    """The events of a training, by TensorBoard's tags.

    Attributes:
        scalars: tag → steps, in ascending order, and values.
        histograms: tag → steps, and quantiles by the names of `SHARES`.
        pictures: tag → contents of the newest GIF or PNG.
    """

    scalars: dict[str, tuple[list[int], list[float]]]
    histograms: dict[str, tuple[list[int], dict[str, list[float]]]]
    pictures: dict[str, bytes]

    def scalars_in(self, scope: str) -> dict[str, tuple[list[int], list[float]]]:
        """The scalars of a scope, such as "signs/", by their tags without it."""
        return {tag[len(scope) :]: of for tag, of in self.scalars.items() if tag.startswith(scope)}


def read(directory: str | Path) -> Events:
    """Reads all event files of a directory.

    A training resumed from a checkpoint repeats the steps after it; the last repetition counts.

    Args:
        directory: directory of the files. The damaged part of a file is skipped.

    Returns:
        The events; without any files all attributes are empty.
    """
    # Imported here because it is slow.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(directory), size_guidance={"tensors": 0}).Reload()
    found = Events({}, {}, {})
    for tag in accumulator.Tags()["tensors"]:
        kind = accumulator.SummaryMetadata(tag).plugin_data.plugin_name
        # Files of one second are not read in the order written.
        written = sorted(accumulator.Tensors(tag), key=lambda event: event.wall_time)
        kept = _last_branch(written)
        steps = [event.step for event in kept]
        tensors = (tf.make_ndarray(event.tensor_proto) for event in kept)
        if kind == "scalars":
            found.scalars[tag] = steps, [float(tensor) for tensor in tensors]
        elif kind == "histograms":
            each = [_quantiles(tensor) for tensor in tensors]
            by_name = {name: [one[name] for one in each] for name in SHARES}
            found.histograms[tag] = steps, by_name
        elif kind == "images":
            # Width, height, and then pictures.
            found.pictures[tag] = bytes(tf.make_ndarray(kept[-1].tensor_proto)[2])
    return found


def _last_branch(events: Sequence[Any]) -> list[Any]:
    """The events, in the order written, without those that a resumed training repeated."""
    kept: list[Any] = []
    for event in events:
        while kept and kept[-1].step >= event.step:
            kept.pop()
        kept.append(event)
    return kept


def _quantiles(buckets: np.ndarray) -> Mapping[str, float]:
    """Quantiles of a histogram, exact to a bucket.

    Args:
        buckets: float64 [buckets, 3]: left edge, right edge and count of each.
    """
    edges = np.concatenate([buckets[:1, 0], buckets[:, 1]])
    counts = np.concatenate([[0.0], np.cumsum(buckets[:, 2])])
    shares = list(SHARES.values())
    values = np.interp(np.multiply(shares, counts[-1]), counts, edges)
    return dict(zip(SHARES, values.tolist()))
