"""Measures clips batch by batch, in this process or in parts by several processes.

Several processes measure parts of the clips into files, in the same batches as a single process, so
the measurements are the same to the bit. A part has `CLIPS_A_PART` clips. When an interrupted
evaluation is started again, parts that are complete are not measured again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf import __version__, file_locks, parts
from tgan_tf.data.beam import Run
from tgan_tf.errors import Argument, InputError
from tgan_tf.evaluation.clip_sets import ClipSet
from tgan_tf.evaluation.extractors.extractor import Extractor
from tgan_tf.evaluation.measurements import Measurements, write
from tgan_tf.evaluation.metric import Quantity
from tgan_tf.models.network import CriticNetwork

CLIPS_A_PART = 1024
"""Number of clips of a part: a multiple of every set's batch size."""

Columns = Callable[[tf.Tensor], dict[str, tf.Tensor]]
"""(a batch of clips) → the measurements, float32 [batch, ...] by name."""


class Measuring(NamedTuple):
    """The quantities to measure of clips, and the networks that measure them.

    Attributes:
        extractor: the feature extractor.
        quantities: quantities measured by the extractor; if empty, it is not called.
        by_critic: quantities measured by the critic.
        critic: the critic of the evaluated clips' generator.
        critic_of: the description of the evaluated clips.
    """

    extractor: Extractor
    quantities: tuple[Quantity, ...]
    by_critic: tuple[Quantity, ...] = ()
    critic: CriticNetwork | None = None
    critic_of: dict[str, Any] | None = None

    def traced(self) -> Columns:
        """A traced function from clips to all measured columns but the critic's."""

        def columns(clips: tf.Tensor) -> dict[str, tf.Tensor]:
            extracted = self.extractor(clips)
            return {
                quantity.name: quantity.measure(clips, extracted)
                for quantity in self.quantities
                if quantity.measure is not None
                and (self.extractor.num_classes or not quantity.of_classes)
            }

        # Retraced for another number of frames, but not for the smaller last batch.
        return tf.function(columns, reduce_retracing=True, autograph=False)

    def columns(self, traced: Columns) -> Columns:
        """A function from clips to all measured columns; `traced` is a result of `traced()`."""

        def columns(clips: tf.Tensor) -> dict[str, tf.Tensor]:
            scores = {
                quantity.name: quantity.measure(clips, self.critic)
                for quantity in self.by_critic
                if quantity.measure is not None
            }
            return {**(traced(clips) if self.quantities else {}), **scores}

        return columns


def measured(
    clips: Iterator[np.ndarray],
    frames: int,
    columns: Columns,
    what: str,
    first: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """Measures clips batch by batch.

    Args:
        clips: float32 [batch, T, rows, columns, channels].
        frames: number of frames to measure of each clip, from the first on.
        columns: (a batch of clips) → the measurements, float32 [batch, ...] by name.
        what: name of the clips in messages.
        first: number of the first clip.

    Yields:
        The measurements of a batch, float32 [batch, ...] by name.

    Raises:
        InputError: the clips hold a NaN or an infinity.
    """
    for batch in clips:
        if not np.isfinite(batch).all():
            raise InputError(
                f"{what}: NaN or infinity in the clips from number {first} on: the generator has "
                "diverged: evaluate an earlier ",
                Argument("checkpoint_step"),
            )
        values = columns(tf.constant(batch[:, :frames]))
        yield {name: value.numpy() for name, value in values.items()}
        first += len(batch)


@contextlib.contextmanager
def in_parts(
    directory: Path,
    clips: ClipSet,
    draw: int,
    count: int,
    frames: int,
    by: Measuring,
    what: str,
    run: Run,
) -> Iterator[Iterator[dict[str, np.ndarray]]]:
    """Measures clips in parts by several processes.

    If the context ends with an error, the parts are kept for the next attempt; otherwise they are
    deleted.

    Args:
        directory: directory of the parts, of these clips and of others.
        clips: the clips; they are pickled, as is `by`.
        draw: see `ClipSet.batches`.
        count: number of clips.
        frames: see `measured`.
        by: the quantities to measure.
        what: see `measured`.
        run: calls the work in other processes, see `tgan_tf.data.beam.on_beam`.

    Yields:
        An iterator over the measurements of each part, see `measured`.

    Raises:
        InputError: another process is measuring these clips, or some parts could not be written.
    """
    description = {
        "clips": clips.description,
        "draw": draw,
        "count": count,
        "frames": frames,
        "extractor": [by.extractor.name, by.extractor.sha256],
        "quantities": [quantity.name for quantity in (*by.quantities, *by.by_critic)],
        "critic_of": by.critic_of if by.by_critic else None,
        "versions": [__version__, tf.__version__],
    }
    description = json.loads(json.dumps(description))
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
    directory = directory / digest[:16]
    planned = parts.planned(directory, "part", ".npy", count, CLIPS_A_PART)

    def is_whole(part: parts.Part) -> bool:
        try:
            found = Measurements(part.path)
        except InputError:
            return False
        return found.description == description and found.count == part.count

    def rows() -> Iterator[dict[str, np.ndarray]]:
        writer = functools.partial(_part_writer, clips, draw, frames, by, description, what)
        parts.write(planned, writer, is_whole, run, "clip")
        for part in planned:
            yield Measurements(part.path).columns

    with file_locks.exclusive(directory, "is being filled with measurements"):
        yield rows()
        shutil.rmtree(directory)
    with contextlib.suppress(OSError):  # it may hold parts of other clips
        directory.parent.rmdir()


def _part_writer(
    clips: ClipSet, draw: int, frames: int, by: Measuring, description: dict[str, Any], what: str
) -> Callable[[parts.Part], None]:
    columns = by.columns(by.traced())

    def write_part(part: parts.Part) -> None:
        batches = clips.batches(part.count, draw, part.first)
        rows = measured(batches, frames, columns, what, part.first)
        write(part.path, rows, part.count, description, what)

    return write_part
