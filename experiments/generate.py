"""Generates videos with a training run, an exported generator or a model server.

    python experiments/generate.py --run_dir=runs/moving_mnist --num_videos=16 --seed=1
    python experiments/generate.py --saved_model=saved_models/moving_mnist
    python experiments/generate.py --server=localhost:8500 --model_name=moving_mnist
    python experiments/generate.py --run_dir=runs/moving_mnist -- --direct_num_workers=2

With --factor=4 each frame becomes four: three more between each two, with latents on the line
between theirs (the paper's frame interpolation).

The videos go to a new directory, which appears complete or not at all:
RUN_DIR/generated/step-N_seed-S for a local run, generated/NAME/… for anything else.

    grid.gif, grid.mp4      the first 64 clips side by side
    contact_sheet.png       a row for each of the first 16 clips, a column for each frame
    clips/clip-0000.gif, …  each clip separately, as GIF and MP4
    clips.npz               clips: uint8 [videos, frames, rows, columns, channels]
                            latents: float32 [videos, z0_dim]
                            labels: int64 [videos], for a conditional generator

The same seed and generator make the same clips, in all three ways; clip i does not depend on
--num_videos. A conditional generator makes its classes in turn, with one class per row of the grid,
or only the class --label.

With flags of Apache Beam after a lone --, several processes make very many videos of a run, on any
Beam runner. The videos are the same, to the bit, but in shards: .npz files with the arrays of
clips.npz. The same command resumes after an interruption without making finished shards again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Callable, NamedTuple

from program_flags import checked_flags, command_line, run_flags, server_flags

import numpy as np
import tensorflow as tf
from absl import flags

from tgan_tf import export, file_locks, generation, rendering, runs
from tgan_tf.capacity import check_disk, check_memory
from tgan_tf.data.beam import on_beam
from tgan_tf.errors import InputError, remedy
from tgan_tf.interpolation import num_frames
from tgan_tf.latents import LatentRows, generator_latents, latents

FLAGS = flags.FLAGS

FORMATS = ("gif", "mp4", "png", "npz")
GRID_CLIPS = 64
SHEET_CLIPS = 16

run_flags.define_run(required=False)
flags.adopt_module_key_flags(run_flags)
checked_flags.existing(
    "saved_model",
    "Directory of an exported generator, or of one of its versions. It is a program: use only one "
    "that you trust.",
    kind="directory",
    remedy="give a directory that export.py has written",
)
server_flags.define_server(required=False)
flags.adopt_module_key_flags(server_flags)
flags.mark_flags_as_mutual_exclusive(["run_dir", "saved_model", "server"], required=True)
checked_flags.integer("num_videos", 16, "Number of videos, at least 1.", at_least=1)
checked_flags.integer("seed", 0, "Seed of the latents, at least 0.", at_least=0, at_most=2**64 - 1)
checked_flags.integer(
    "label",
    None,
    "Class of all videos of a conditional generator, from 0 on; default: all classes in turn.",
    at_least=0,
)
checked_flags.integer(
    "factor", 1, "Frames per original frame, by interpolation of latents, at least 1.", at_least=1
)
checked_flags.names(
    "formats", list(FORMATS), f"Formats to write, of {', '.join(FORMATS)}.", FORMATS
)
checked_flags.number(
    "frames_per_second",
    10.0,
    "Frame rate of GIF (0.01 to 50) and MP4 (0.01 to 1000).",
    at_least=0.01,
    at_most=1000,
)
checked_flags.integer(
    "scale",
    1,
    "Enlargement in GIF, MP4 and PNG: rows and columns per pixel, at least 1.",
    at_least=1,
    at_most=rendering.LONGEST_SIDE,
)
checked_flags.integer(
    "videos_per_shard",
    1024,
    "With Beam: videos per shard, a multiple of 8.",
    at_least=1,
)
checked_flags.output_directory(
    "output_dir",
    None,
    "New directory for the files; default: RUN_DIR/generated/step-N_seed-S, or "
    "generated/NAME/version-V_seed-S for an exported or served model.",
)


class VideoMaker(NamedTuple):
    """A source of videos.

    Attributes:
        clips: arrays of some float32 clips each, all videos in order.
        latents: float32 [n, z0_dim or more], latents of all videos, z0 first.
        z0_dim: number of columns of z0.
        clip_shape: frames, rows, columns and channels.
        num_classes: the generator's number of classes; 0 if it is unconditional.
        name: name for the user, such as "runs/mine, step 3".
        output_dir: default output directory, without the seed.
    """

    clips: Iterator[np.ndarray]
    latents: LatentRows
    z0_dim: int
    clip_shape: tuple[int, int, int, int]
    num_classes: int
    name: str
    output_dir: Path


def main(arguments: list[str]) -> None:
    if arguments[1:]:
        make_shards(arguments[1:])
        return
    if FLAGS["videos_per_shard"].present:
        raise InputError("--videos_per_shard: needs Apache Beam: give its flags after a lone --")
    check_flags()
    maker = video_maker()
    check_picture_sizes(*maker.clip_shape[:2])
    output_dir = output_directory(maker.output_dir)
    if os.path.lexists(output_dir):
        raise InputError(f"{output_dir}: already exists: give another --output_dir")
    check_room(maker, output_dir)
    try:
        with file_locks.unfinished(output_dir) as temporary:
            pixels = map(rendering.to_uint8, maker.clips)
            clips = stored(temporary / "clips", pixels, maker.clip_shape)
            complete = temporary / "complete"
            complete.mkdir()
            save(complete, clips, maker)
            complete.rename(output_dir)
    except OSError as error:
        raise InputError(
            f"{output_dir}: the videos could not be written ({error.strerror or error}): "
            f"{remedy(error)}"
        ) from error
    print(f"{maker.name}: {FLAGS.num_videos} videos of seed {FLAGS.seed}, in {output_dir}:")
    for line in contents(FLAGS.num_videos):
        print(f"  {line}")


def output_directory(default: Path) -> Path:
    """--output_dir, or the default with the seed, label and factor in its name."""
    label = "" if FLAGS.label is None else f"_label-{FLAGS.label}"
    factor = f"_factor-{FLAGS.factor}" if FLAGS.factor > 1 else ""
    return Path(FLAGS.output_dir or f"{default}_seed-{FLAGS.seed}{label}{factor}")


def make_shards(beam_flags: list[str]) -> None:
    """Makes shards of a run's videos by Beam's workers."""
    if not FLAGS.run_dir:
        raise InputError(f"{' '.join(beam_flags)}: Apache Beam works only with --run_dir")
    if FLAGS["formats"].present and FLAGS.formats != ["npz"]:
        raise InputError(
            f"--formats={','.join(FLAGS.formats)}: Apache Beam writes only npz: give --formats=npz"
        )
    generator, step = run_flags.load_generator()
    check_label(generator.num_classes)
    output_dir = output_directory(run_flags.generated() / f"step-{step}_shards")
    count, size, run = FLAGS.num_videos, FLAGS.videos_per_shard, on_beam(beam_flags)
    before = generation.write_shards(
        generator, output_dir, FLAGS.seed, count, run, size, FLAGS.label, FLAGS.factor
    )
    there = f", {before} of which existed" if before else ""
    print(f"{FLAGS.run_dir}, step {step}: {count} videos of seed {FLAGS.seed}, in {output_dir}:")
    shards = -(-count // size)
    print(f"clips-00000-of-{shards:05}.npz and so on: {shards} shards{there}")


def video_maker() -> VideoMaker:
    """Opens the source that the flags name."""
    if FLAGS.run_dir:
        generator, step = run_flags.load_generator()
        check_label(generator.num_classes)
        rows = LatentRows(
            FLAGS.num_videos,
            lambda first, count: generator_latents(
                generator,
                FLAGS.seed,
                count,
                generation.labels(first, count, generator.num_classes, FLAGS.label),
                first,
            ),
        )
        _, *frame_shape = generator.clip_shape
        return VideoMaker(
            runs.generate(generator, rows, FLAGS.factor),
            rows,
            generator.z0_dim,
            (num_frames(generator.frames, FLAGS.factor), *frame_shape),
            generator.num_classes,
            f"{FLAGS.run_dir}, step {step}",
            run_flags.generated() / f"step-{step}",
        )
    if FLAGS.factor > 1:
        raise InputError(
            f"--factor={FLAGS.factor}: works only with --run_dir: an exported model has the "
            "signature interpolate, see README.md"
        )
    if FLAGS.saved_model:
        serve, version = export.load_exported(FLAGS.saved_model)
        name = version.resolve().parent.name
        return exported_maker(
            lambda **inputs: serve(**inputs)["videos"].numpy(),
            serve.structured_input_signature[1],
            tuple(serve.structured_outputs["videos"].shape[1:]),
            *export.read_latents(version),
            str(version),
            Path("generated", name, f"version-{version.resolve().name}"),
        )
    client = server_flags.open_client()
    metadata = client.metadata()
    signature = metadata.signature("serving_default")
    return exported_maker(
        lambda z0, label=None: client.render(z0, label).videos,
        signature.inputs,
        tuple(signature.outputs["videos"].shape[1:]),
        0,
        "uniform",
        f"{FLAGS.server}, version {metadata.version} of {FLAGS.model_name}",
        Path("generated", FLAGS.model_name, f"version-{metadata.version}"),
    )


def exported_maker(
    serve: Callable,
    inputs: dict[str, tf.TensorSpec],
    clip_shape: tuple[int, int, int, int],
    num_classes: int,
    latent_distribution: str,
    name: str,
    output_dir: Path,
) -> VideoMaker:
    """A source of videos that calls a signature with the inputs z0 and, if conditional, label."""
    z0_dim = inputs["z0"].shape[1]

    def drawn(first, count):
        return latents(FLAGS.seed, count, z0_dim, latent_distribution, first)

    if "label" not in inputs:
        check_label(0)
        rows = LatentRows(FLAGS.num_videos, drawn)
        clips = runs.in_batches(lambda z0: serve(z0=tf.constant(z0)), rows)
        return VideoMaker(clips, rows, z0_dim, clip_shape, 0, name, output_dir)
    if FLAGS.label is None and not num_classes:
        raise InputError(f"{name}: is conditional but does not state its classes: give --label")
    num_classes = num_classes or FLAGS.label + 1
    check_label(num_classes)

    def drawn_with_labels(first, count):
        # The labels are one more column, so that batches carry their own.
        column = generation.labels(first, count, num_classes, FLAGS.label)[:, np.newaxis]
        return np.concatenate([drawn(first, count), column.astype(np.float32)], axis=1)

    rows = LatentRows(FLAGS.num_videos, drawn_with_labels)
    clips = runs.in_batches(
        lambda part: serve(
            z0=tf.constant(part[:, :-1]), label=tf.constant(part[:, -1].astype(np.int64))
        ),
        rows,
    )
    return VideoMaker(clips, rows, z0_dim, clip_shape, num_classes, name, output_dir)


def check_label(num_classes: int) -> None:
    """Raises an `InputError` if --label is not a class, or there are no classes."""
    if FLAGS.label is None:
        return
    if not num_classes:
        raise InputError(f"--label={FLAGS.label}: the generator is not conditional: leave it out")
    if not 0 <= FLAGS.label < num_classes:
        raise InputError(f"--label={FLAGS.label}: must be a class from 0 to {num_classes - 1}")


def check_flags() -> None:
    """Raises an `InputError` for flags that cannot be combined or need a missing package."""
    if "gif" in FLAGS.formats and FLAGS.frames_per_second > 50:
        raise InputError(
            f"--frames_per_second={FLAGS.frames_per_second}: must be ≤ 50 for a GIF: give that, or "
            "--formats=mp4"
        )
    if "mp4" in FLAGS.formats:
        # A missing encoder raises now, not after all clips are made.
        rendering.encode_mp4(np.zeros([1, 2, 2, 1], np.uint8))


def check_picture_sizes(frames: int, size: int) -> None:
    """Raises an `InputError` if a picture would be too large to write or show."""
    columns = math.ceil(math.sqrt(min(FLAGS.num_videos, GRID_CLIPS)))
    if "png" in FLAGS.formats:
        columns = max(columns, frames, min(FLAGS.num_videos, SHEET_CLIPS))
    if {"gif", "mp4", "png"} & set(FLAGS.formats):
        rendering.check_scale(FLAGS.scale, columns * (size + 2))


def check_room(maker: VideoMaker, output_dir: Path) -> None:
    """Raises an `InputError` if files exceed the disk, or pictures the memory."""
    count, scale = FLAGS.num_videos, FLAGS.scale
    formats = set(FLAGS.formats)
    videos = len(formats & {"gif", "mp4"})
    frames, *frame_shape = maker.clip_shape
    clip = frames * math.prod(frame_shape)
    # The clips, kept until all are made; clips.npz; at least one disk block per file.
    each = clip + ("npz" in formats) * (clip + 8 * maker.z0_dim) + 4096 * videos
    check_disk(
        count * each,
        output_dir,
        f"--num_videos={count}: videos of {frames:,} frames",
        "give fewer, a lower --factor or another --output_dir",
    )
    # Pixels of the clips shown together: original, enlarged, and in the encoder.
    most = max(GRID_CLIPS if videos else 1, SHEET_CLIPS if "png" in formats else 1)
    check_memory(
        min(count, most) * clip * (2 + (2 * scale**2 if videos or "png" in formats else 0)),
        f"--factor={FLAGS.factor} --scale={scale}: pictures of {min(count, most)} videos of "
        f"{frames:,} frames",
        "give lower ones, fewer --num_videos, or --formats=npz",
    )


def stored(path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Writes blocks of rows to a memory-mapped file, so that any number fits the memory."""
    with path.open("wb") as file:
        for block in blocks:
            file.write(block.tobytes())
    return np.memmap(path, block.dtype, "r", shape=(FLAGS.num_videos, *shape))


def save(directory: Path, clips: np.ndarray, maker: VideoMaker) -> None:
    """Writes the files of --formats to an empty directory."""
    formats, rate, scale = FLAGS.formats, FLAGS.frames_per_second, FLAGS.scale
    # With only one class no rows need separating.
    rows = maker.num_classes if FLAGS.label is None else 0
    for name, save_video in (("gif", rendering.save_gif), ("mp4", rendering.save_mp4)):
        if name in formats:
            grid = rendering.video_grid(clips[:GRID_CLIPS], num_classes=rows)
            save_video(directory / f"grid.{name}", grid, rate, scale)
            (directory / "clips").mkdir(exist_ok=True)
            for number, clip in enumerate(clips):
                save_video(directory / "clips" / f"clip-{number:04}.{name}", clip, rate, scale)
    if "png" in formats:
        sheet = rendering.contact_sheet(clips[:SHEET_CLIPS])
        rendering.save_png(directory / "contact_sheet.png", sheet, scale)
    if "npz" in formats:
        classes = generation.labels(0, FLAGS.num_videos, maker.num_classes, FLAGS.label)
        blocks = range(0, FLAGS.num_videos, runs.BATCH_SIZE)
        z0 = (maker.latents[i : i + runs.BATCH_SIZE][:, : maker.z0_dim] for i in blocks)
        np.savez(
            directory / "clips.npz",
            clips=clips,
            latents=stored(directory.with_name("latents"), z0, (maker.z0_dim,)),
            **({} if classes is None else {"labels": classes}),
        )


def contents(count: int) -> list[str]:
    """Lines that describe the written files, one per kind."""
    formats, lines = FLAGS.formats, []
    videos = [name for name in ("gif", "mp4") if name in formats]
    if videos:
        names = ", ".join(f"grid.{name}" for name in videos)
        lines.append(f"{names}: {min(count, GRID_CLIPS)} clips side by side")
        names = ", ".join(f"clips/clip-0000.{name}" for name in videos)
        lines.append(f"{names} and so on: each clip separately")
    if "png" in formats:
        rows = min(count, SHEET_CLIPS)
        lines.append(f"contact_sheet.png: {rows} clips, one row per clip, one column per frame")
    if "npz" in formats:
        lines.append("clips.npz: all clips (uint8) and their latents (float32)")
    return lines


if __name__ == "__main__":
    command_line.run(
        main,
        passes_flags_on=True,
        flags_of_arguments={**server_flags.FLAGS_OF_ARGUMENTS, "count": "num_videos"},
    )
