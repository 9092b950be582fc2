"""Generates any number of videos of a seed in shards, by several processes.

    run = on_beam(["--direct_num_workers=4"])
    write_shards(generator, "videos", seed=0, count=10**6, run=run)

writes videos/clips-00000-of-00977.npz and so on, each with up to 1024 successive videos:

    clips      uint8 [videos, frames, rows, columns, channels]
    latents    float32 [videos, z0_dim]
    labels     int64 [videos], for a conditional generator

A video depends only on the seed and its number, and every shard is made in the batches of a single
process. The concatenated shards equal the videos of a single process, to the bit on one machine.
Whole shards are skipped, so the same call resumes after an interruption. `shards.json` records how
the videos were made; a call that would make others raises.
"""

from __future__ import annotations

import functools
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from tgan_tf import __version__, file_locks, numpy_files, parts, rendering, runs
from tgan_tf.arguments import Integer, check
from tgan_tf.capacity import check_disk, check_memory
from tgan_tf.data import storage
from tgan_tf.data.beam import Run
from tgan_tf.errors import Argument, InputError, remedy
from tgan_tf.interpolation import num_frames
from tgan_tf.latents import LatentRows, generator_latents
from tgan_tf.models.network import GeneratorNetwork

PLAN = "shards.json"

Columns = dict[str, tuple[tuple[int, ...], np.dtype]]
"""The arrays of a shard by name: shape of a video's entry, and dtype."""


def labels(first: int, count: int, num_classes: int, label: int | None = None) -> np.ndarray | None:
    """The classes of successive videos: one class, or all in turn.

    Args:
        first: number of the first video.
        count: number of videos.
        num_classes: the generator's number of classes; 0 if it is unconditional.
        label: class of all videos; None for all classes in turn.

    Returns:
        int64 [count]; None if there are no classes.
    """
    if not num_classes:
        return None
    if label is None:
        return np.arange(first, first + count) % num_classes
    return np.full(count, label)


def write_shards(
    generator: GeneratorNetwork,
    output_dir: str | os.PathLike[str],
    seed: int,
    count: int,
    run: Run,
    videos_per_shard: int = 1024,
    label: int | None = None,
    factor: int = 1,
) -> int:
    """Generates videos, writes them as shards and shows the progress on stderr.

    Args:
        generator: a trained generator; it is pickled for the other processes.
        output_dir: local directory, created if missing; it may hold shards of the same videos.
        seed: seed of the latents.
        count: number of videos.
        run: calls the work in other processes, see `tgan_tf.data.beam.on_beam`.
        videos_per_shard: number of videos of a shard, a multiple of `runs.BATCH_SIZE`.
        label: class of all videos of a conditional generator; None for all classes in turn.
        factor: see `runs.generate`.

    Returns:
        The number of shards that existed before.

    Raises:
        InputError: an argument is out of range, the directory holds something else, the videos
            exceed the disk or the memory, or some shards could not be written.
    """
    check(Integer(1), count=count, videos_per_shard=videos_per_shard)
    if videos_per_shard % runs.BATCH_SIZE:
        nearest = -(-videos_per_shard // runs.BATCH_SIZE) * runs.BATCH_SIZE
        raise InputError(
            Argument("videos_per_shard", videos_per_shard),
            f": must be a multiple of {runs.BATCH_SIZE}, the batch size: give {nearest}",
        )
    runs.clip_maker(generator, factor)  # raises for a wrong factor
    frames, frame_shape = num_frames(generator.frames, factor), generator.clip_shape[1:]
    clip_shape = (frames, *frame_shape)
    columns: Columns = {
        "clips": (clip_shape, np.dtype(np.uint8)),
        "latents": ((generator.z0_dim,), np.dtype(np.float32)),
        **({"labels": ((), np.dtype(np.int64))} if generator.num_classes else {}),
    }
    videos = f": videos of {frames:,} frames"
    check_memory(
        min(count, videos_per_shard) * math.prod(clip_shape),
        [Argument("videos_per_shard", videos_per_shard), videos],
        "give fewer",
    )
    check_disk(
        count * (math.prod(clip_shape) + 4 * generator.z0_dim),
        output_dir,
        [Argument("count", count), videos],
        "give fewer, or a directory with more room",
    )
    plan = {
        "weights_sha256": runs.weights_sha256(generator),
        "seed": seed,
        "num_videos": count,
        "videos_per_shard": videos_per_shard,
        "label": label,
        "factor": factor,
        "versions": {"tgan_tf": __version__, "tensorflow": tf.__version__},
    }
    shards = parts.planned(output_dir, "clips", ".npz", count, videos_per_shard)
    writer = functools.partial(_shard_writer, generator, seed, label, factor, clip_shape)
    with file_locks.exclusive(Path(output_dir), "is being filled with videos"):
        _begin(Path(output_dir), plan)
        is_whole = functools.partial(_is_whole, columns)
        return parts.write(shards, writer, is_whole, run, "video")


def _begin(output_dir: Path, plan: dict[str, Any]) -> None:
    """Prepares the directory; raises an `InputError` if it holds something else."""
    file_locks.sweep(output_dir)
    there = {path.name for path in output_dir.iterdir()} - {file_locks.LOCK}
    if PLAN in there:
        try:
            before = dict(json.loads((output_dir / PLAN).read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise InputError(
                f"{output_dir / PLAN}: is damaged: give another ", Argument("output_dir")
            ) from error
        for name, value in plan.items():
            if before.get(name) != value:
                raise InputError(
                    f"{output_dir}: holds other videos, whose {name} is {before.get(name)}, not "
                    f"{value}: give another ",
                    Argument("output_dir"),
                )
    elif there:
        raise InputError(
            f"{output_dir}: holds {min(there)} but no shards of videos: give another ",
            Argument("output_dir"),
        )
    else:
        try:
            storage.write(str(output_dir / PLAN), json.dumps(plan, indent=1).encode())
        except OSError as error:
            raise InputError(
                f"{output_dir}: cannot be written ({error.strerror}): {remedy(error)}"
            ) from error


def _is_whole(columns: Columns, part: parts.Part) -> bool:
    """Whether a shard exists with the right arrays; their values are not read."""
    try:
        with zipfile.ZipFile(part.path) as archive:
            for name, (shape, dtype) in columns.items():
                with archive.open(f"{name}.npy") as member:
                    if numpy_files.read_header(member) != ((part.count, *shape), False, dtype):
                        return False
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False
    return True


def _shard_writer(
    generator: GeneratorNetwork,
    seed: int,
    label: int | None,
    factor: int,
    clip_shape: tuple[int, ...],
) -> Callable[[parts.Part], None]:
    def write_shard(part: parts.Part) -> None:
        def drawn(first: int, count: int) -> np.ndarray:
            first += part.first
            classes = labels(first, count, generator.num_classes, label)
            return generator_latents(generator, seed, count, classes, first)

        rows = LatentRows(part.count, drawn)
        clips, made = np.empty((part.count, *clip_shape), np.uint8), 0
        for batch in runs.generate(generator, rows, factor):
            clips[made : made + len(batch)] = rendering.to_uint8(batch)
            made += len(batch)
        classes = labels(part.first, part.count, generator.num_classes, label)
        more: dict[str, Any] = {} if classes is None else {"labels": classes}
        with file_locks.replacing(part.path) as temporary:
            np.savez(
                temporary,
                clips=clips,
                latents=rows[: part.count][:, : generator.z0_dim],
                **more,
            )

    return write_shard
