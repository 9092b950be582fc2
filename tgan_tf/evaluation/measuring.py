"""Clips are measured: a batch at a time, by this process or in parts by several.

Each of several processes measures parts of the clips into files of their own, in the very batches
of a single process, so that what they measure is the same to the bit. A part is `CLIPS_A_PART`
clips; one that is there and whole is passed over when what was stopped is tried again.
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
"""Clips that a process measures into a file: whole batches of any set."""

Columns = Callable[[tf.Tensor], dict[str, tf.Tensor]]
"""From a batch of clips to what is measured, float32 [batch, ...] by name."""


class Measuring(NamedTuple):
    """What is measured of clips, and by what.

    Attributes:
        extractor: what clips are measured by.
        quantities: that are measured by it; without any it is not called.
        by_critic: those that are measured by the critic.
        critic: that of the clips that are judged.
        critic_of: the description of these clips.
    """

    extractor: Extractor
    quantities: tuple[Quantity, ...]
    by_critic: tuple[Quantity, ...] = ()
    critic: CriticNetwork | None = None
    critic_of: dict[str, Any] | None = None

    def traced(self) -> Columns:
        """From clips to what the extractor, or nothing but a look at them, says."""

        def columns(clips: tf.Tensor) -> dict[str, tf.Tensor]:
            extracted = self.extractor(clips)
            return {
                quantity.name: quantity.measure(clips, extracted)
                for quantity in self.quantities
                if quantity.measure is not None
                and (self.extractor.num_classes or not quantity.of_classes)
            }

        # Traced anew for another number of frames, not for the last batch, which is smaller.
        return tf.function(columns, reduce_retracing=True, autograph=False)

    def columns(self, traced: Columns) -> Columns:
        """From clips to all that is measured of them; `traced` is of `traced()`."""

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
    """Measures clips, a batch at a time.

    Args:
        clips: float32 [batch, T, rows, columns, channels].
        frames: of each clip the first so many are measured.
        columns: from a batch of clips to what is measured, float32 [batch, ...] by name.
        what: what the clips are called.
        first: number of the first one.

    Yields:
        What is measured of a batch, float32 [batch, ...] by name.

    Raises:
        InputError: the clips hold a NaN or an infinity.
    """
    for batch in clips:
        if not np.isfinite(batch).all():
            raise InputError(
                f"{what}: NaN or infinity in the clips from number {first} on: the generator has "
                "diverged, evaluate an earlier ",
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
    """What is measured of the clips of a set, as of `measured`, by several processes.

    Parts are kept if the context ends by an error, for the next try, and else removed.

    Args:
        directory: where they are kept, beside those of other clips.
        clips: the set, which can be pickled, as can what measures it.
        draw: as of `ClipSet.batches`.
        count: how many clips.
        frames: as of `measured`.
        by: what is measured.
        what: as of `measured`.
        run: what has the parts measured, as of `tgan_tf.data.beam.on_beam`.

    Raises:
        InputError: another process measures these clips, or not all parts could be measured.
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

    with file_locks.exclusive(directory, "clips are being measured there"):
        yield rows()
        shutil.rmtree(directory)
    with contextlib.suppress(OSError):  # Others' parts may lie there.
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
