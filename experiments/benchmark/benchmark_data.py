"""Measures the preparation of videos and their reading for training on this machine.

    python experiments/benchmark/benchmark_data.py --data_path=my_videos --output=reading.json

prints a Markdown table and writes its numbers to a JSON file. The videos are read repeatedly under
as many names as needed. Preparation is compared with PyAV alone, which decodes and resizes the same
videos on the same cores in the simplest fast loop: it keeps its scaler from frame to frame. Beam's
start, which does not depend on the number of videos, is separated by preparing two numbers of them.
Reading is compared with the consumption of the paper's network for colour clips.
"""

from __future__ import annotations

import functools
import gc
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line

import numpy as np
import tensorflow as tf
from absl import flags

from benchmark_machine import machine, machine_line
from benchmark_network import CLIPPING_INTERVAL, PAPER, configuration
from benchmark_workers import seconds_of
from tgan_tf import __version__
from tgan_tf.configuration import build
from tgan_tf.data import batches, preparation, video_decoding, video_files
from tgan_tf.data.hdf5 import HDF5File
from tgan_tf.data.recordings import Recipe, Recording
from tgan_tf.data.tfrecord_videos import TFRecordVideos
from tgan_tf.data.windows import Videos, Windows
from tgan_tf.errors import InputError

FLAGS = flags.FLAGS

checked_flags.existing(
    "data_path", "Local directory of videos, such as UCF-101's.", kind="directory", required=True
)
checked_flags.integers(
    "num_videos",
    [10, 100, 1000],
    "Comma-separated numbers of videos to prepare, ascending; the last two determine the speed.",
    at_least=1,
)
checked_flags.integer("repeats", 3, "Repeats of each part, after a warm-up.", at_least=1)
checked_flags.new_file(
    "output", "benchmark.json", "JSON file for the results, which must not exist yet."
)

RECIPE = Recipe("ucf101", 64)
READ_CLIPS = 640


class Row(NamedTuple):
    """A row of the table; `floor` is the bound promised on an idle machine with 2 cores."""

    label: str
    measure: str
    form: str
    floor: tuple[str, float] | None = None


ROWS = (
    Row("PyAV alone decodes and resizes, frames a second", "pyav_frames_per_second", "{:.0f}"),
    Row("Preparing TFRecords, frames a second", "prepared_frames_per_second", "{:.0f}"),
    Row("Preparing, share of PyAV alone", "share_of_pyav", "{:.1%}", ("≥", 0.8)),
    Row("Preparing, start of Apache Beam, seconds", "start_seconds", "{:.1f}"),
    Row("Preparing, memory of the largest process, GB", "memory_gb", "{:.2f}"),
    Row("Preparing, its growth with the videos, times", "memory_growth", "{:.2f}", ("≤", 1.1)),
    Row("The paper’s network eats, clips a second", "step_clips_per_second", "{:.2f}"),
    Row("From TFRecords, clips a second", "tfrecords_clips_per_second", "{:.0f}"),
    Row("From TFRecords, times what the network eats", "tfrecords_speedup", "{:.1f}", ("≥", 3.0)),
    Row("From HDF5, clips a second", "hdf5_clips_per_second", "{:.0f}"),
    Row("From the video files, clips a second", "video_files_clips_per_second", "{:.0f}"),
)


def main(_) -> None:
    counts = FLAGS.num_videos
    if len(counts) < 2 or sorted(counts) != counts:
        raise InputError(
            f"--num_videos={','.join(map(str, counts))}: give two or more numbers, ascending"
        )
    files = [f"{FLAGS.data_path}/{name}" for name in video_files.find(FLAGS.data_path)]
    results = {
        "tgan_tf": __version__,
        "machine": machine(),
        "videos": len(files),
        "num_videos": counts,
        "seconds": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        results["preparing"], results["seconds"]["pyav"] = measure_preparing(counts, files, scratch)
        # The pools' semaphores are freed with them; otherwise they would outlive the program.
        gc.collect()
        prepared = TFRecordVideos(f"{scratch}/{counts[-1]}-0")
        results["seconds"] |= measure_reading(
            {
                "tfrecords": prepared,
                "hdf5": make_hdf5(prepared, f"{scratch}/image.h5"),
                "video_files": video_files.VideoFiles(
                    FLAGS.data_path, video_files.recordings(FLAGS.data_path), RECIPE
                ),
            }
        )
    results["seconds"]["step"] = measure_step()
    results["measures"] = measures(results)
    print(table(results))
    command_line.write_new_file("output", json.dumps(results, indent=2) + "\n")
    print(f"{FLAGS.output}: written", file=sys.stderr)


def make_recordings(count: int, files: list[str]) -> list[Recording]:
    """Makes `count` recordings of the same few files."""
    return [
        Recording(
            str(number),
            None,
            "train",
            functools.partial(video_decoding.read, files[number % len(files)]),
        )
        for number in range(count)
    ]


def measure_preparing(
    counts: list[int], files: list[str], scratch: str
) -> tuple[list[dict], list[float]]:
    """Prepares each number of videos and decodes the largest with PyAV, in turns.

    Returns:
        For each number of videos its `frames`, the `seconds` of each repeat, and the `memory_bytes`
        of the largest process; and the seconds of PyAV alone.
    """
    context = multiprocessing.get_context("spawn")
    prepared = [{"frames": 0, "seconds": [], "memory_bytes": 0} for _ in counts]
    pyav_seconds = []
    for repeat in range(FLAGS.repeats):
        for count, measured in zip(counts, prepared):
            recordings = make_recordings(count, files)
            with context.Pool(1) as pool:
                frames, seconds, memory_bytes = pool.apply(
                    prepare, (recordings, f"{scratch}/{count}-{repeat}")
                )
            measured["frames"] = frames
            measured["seconds"].append(seconds)
            measured["memory_bytes"] = max(measured["memory_bytes"], memory_bytes)
            print(f"preparing {count} videos: {seconds:.1f} s", file=sys.stderr, flush=True)
        pyav_seconds.append(measure_pyav(recordings, frames))
        print(f"PyAV alone: {pyav_seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return prepared, pyav_seconds


def prepare(recordings: list[Recording], output_dir: str) -> tuple[int, float, int]:
    """Prepares videos; returns frames, seconds and memory."""
    start = time.perf_counter()
    summary = preparation.prepare(recordings, output_dir, preparation.Settings(RECIPE))
    seconds = time.perf_counter() - start
    if summary.skipped:
        raise InputError(
            f"--data_path={FLAGS.data_path}: give intact videos, not {summary.skipped}"
        )
    # The workers have ended, so this includes them.
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    memory_bytes = kilobytes * (1 if sys.platform == "darwin" else 1024)
    return summary.info["counts"]["train"]["frames"], seconds, memory_bytes


def measure_pyav(recordings: list[Recording], frames: int) -> float:
    """Seconds that PyAV alone takes to decode and resize the videos, with one process per core."""
    cores = machine()["cores"]
    paths = [recording.read.args[0] for recording in recordings]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        # Lets the processes start.
        pool.map(decode, paths[:cores], chunksize=1)
        start = time.perf_counter()
        decoded = sum(pool.imap_unordered(decode, paths, chunksize=1))
        seconds = time.perf_counter() - start
    if decoded != frames:
        raise InputError(f"{decoded} frames decoded, {frames} prepared: not the same work")
    return seconds


def decode(path: str) -> int:
    """Decodes and resizes a video, and counts its frames."""
    import av

    rows, columns, _ = RECIPE.frame_shape
    reformatter = av.video.reformatter.VideoReformatter()
    frames = 0
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            resized = reformatter.reformat(
                frame, columns, rows, format="rgb24", interpolation="AREA"
            )
            resized.to_ndarray()
            frames += 1
    return frames


def make_hdf5(prepared: TFRecordVideos, path: str) -> HDF5File:
    """Writes the prepared videos as the reference's script would."""
    import h5py

    ends = np.cumsum(prepared.lengths)
    with h5py.File(path, "w") as file:
        shape = (ends[-1], 3, *RECIPE.frame_shape[:2])
        images = file.create_dataset("image", shape, dtype="u1")
        for video, end in enumerate(ends):
            length = int(prepared.lengths[video])
            frames = prepared.read(
                tf.constant(video, tf.int64), tf.constant(0, tf.int64), length, 1
            )
            images[end - length : end] = np.transpose(frames, (0, 3, 1, 2))
    with open(Path(path).with_suffix(".csv"), "w") as table:
        print("start,end,category,group,scene", file=table)
        for video, end in enumerate(ends):
            print(f"{end - prepared.lengths[video]},{end},Video,{video},1", file=table)
    return HDF5File(path)


def measure_reading(videos: dict[str, Videos]) -> dict[str, list[float]]:
    """Seconds for `READ_CLIPS` clips from each source, in turns."""
    iterators, seconds = {}, {name: [] for name in videos}
    batch_size = PAPER["batch_size"]
    for name, source in videos.items():
        iterators[name] = iter(batches(Windows(source), batch_size))
        next(iterators[name])
    for _ in range(FLAGS.repeats):
        for name, iterator in iterators.items():
            taken = seconds_of(lambda it=iterator: next(it), READ_CLIPS // batch_size)
            seconds[name].append(taken * (READ_CLIPS // batch_size))
            print(f"{name}: {READ_CLIPS / seconds[name][-1]:.0f} clips a second", file=sys.stderr)
    return seconds


def measure_step() -> list[float]:
    """Seconds per training step of the paper's network, on clips in memory."""
    tgan = build(configuration(PAPER, channels=3))
    clips = tf.random.uniform([PAPER["batch_size"], *tgan.critic.clip_shape], -1.0, 1.0)
    dataset = tf.data.Dataset.from_tensors(clips).cache().repeat()
    steps = CLIPPING_INTERVAL
    seconds = []
    for repeat in range(FLAGS.repeats + 1):
        train = functools.partial(
            tgan.fit, dataset, steps_per_epoch=steps if repeat else 1, verbose=0
        )
        taken = seconds_of(train)
        if repeat:
            seconds.append(taken / steps)
            print(f"step: {seconds[-1]:.2f} s", file=sys.stderr, flush=True)
    return seconds


def measures(results: dict) -> dict[str, float]:
    """The values of the table's rows."""
    best = {name: min(taken) for name, taken in results["seconds"].items()}
    first, *_, before, last = [results["preparing"][0], *results["preparing"]]
    seconds = min(last["seconds"])
    prepared = (last["frames"] - before["frames"]) / (seconds - min(before["seconds"]))
    pyav = last["frames"] / best["pyav"]
    eaten = PAPER["batch_size"] / best["step"]
    clips = {name: READ_CLIPS / best[name] for name in ("tfrecords", "hdf5", "video_files")}
    return {
        "pyav_frames_per_second": pyav,
        "prepared_frames_per_second": prepared,
        "share_of_pyav": prepared / pyav,
        "start_seconds": seconds - last["frames"] / prepared,
        "memory_gb": last["memory_bytes"] / 1e9,
        "memory_growth": last["memory_bytes"] / first["memory_bytes"],
        "step_clips_per_second": eaten,
        **{f"{name}_clips_per_second": speed for name, speed in clips.items()},
        "tfrecords_speedup": clips["tfrecords"] / eaten,
    }


def table(results: dict) -> str:
    """The results in Markdown: the machine, a table, and the method."""
    lines = [machine_line(results["machine"]), "", "| | | Floor | Met |"]
    lines.append("| --- | ---: | --- | --- |")
    for row in ROWS:
        value, floor, met = results["measures"][row.measure], "", ""
        if row.floor is not None:
            sign, bound = row.floor
            floor = f"{sign} {row.form.format(bound)}"
            met = "yes" if (value >= bound if sign == "≥" else value <= bound) else "**missed**"
        lines.append(f"| {row.label} | {row.form.format(value)} | {floor} | {met} |")
    counts = results["num_videos"]
    before, last = results["preparing"][-2:]
    lines += [
        "",
        f"{results['videos']} videos under {counts[-1]} names, {last['frames']} frames; preparing "
        f"takes {min(last['seconds']):.1f} s, and {min(before['seconds']):.1f} s for {counts[-2]}: "
        f"the speed is from the difference. Memory of the largest process with {counts[-1]} videos "
        f"is compared with {counts[0]}. Batches of {PAPER['batch_size']} clips of 16 "
        "frames of 64×64 in colour.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    command_line.run(main)
