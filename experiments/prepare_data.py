r"""Prepares videos for training: TFRecord shards, written in parallel by Apache Beam.

    python experiments/prepare_data.py --data_path=UCF-101 --split=1 --output_dir=prepared/ucf101

It reads the same --data_path as train.py and writes files that train.py reads many times faster:
shards (train-00000-of-00149.tfrecord, ...), videos.csv with one row per record, info.json, and
skipped.csv with the videos that could not be used and the reasons. The same command resumes a
stopped preparation without redoing finished shards.

It runs on all cores of this machine or, with Beam's own flags after a lone --, on any Beam runner:

    python experiments/prepare_data.py --data_path=gs://... --output_dir=gs://... \
        -- --runner=DataflowRunner --project=... --region=... --temp_location=gs://...
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter

from program_flags import checked_flags, command_line, data_flags

from absl import flags

from tgan_tf.data import preparation
from tgan_tf.data.beam import on_beam
from tgan_tf.data.tfrecords import ENCODINGS
from tgan_tf.errors import InputError

FLAGS = flags.FLAGS

SMALLEST = 8  # rows and columns, for any network

data_flags.define_videos(required=True)
flags.adopt_module_key_flags(data_flags)
checked_flags.output_directory(
    "output_dir",
    None,
    "New directory for the shards, local, in gs:// or in s3://.",
    remote=True,
    required=True,
)
checked_flags.number(
    "frame_rate",
    None,
    "Frames per second to resample to; default: every frame of the video.",
    above=0,
    at_most=1e6,
)
checked_flags.integer(
    "min_frames",
    16,
    "Fewest frames of a video; shorter videos are skipped (paper: clips of 16 frames).",
    at_least=1,
)
checked_flags.integer(
    "max_frames",
    2000,
    "Most frames per record; longer videos are split, to limit memory (longest of UCF-101: 1776).",
    at_least=1,
)
checked_flags.number(
    "test_share",
    None,
    "Share of videos without official lists to hold out as test, below 1; default: 0.",
    at_least=0,
    below=1,
)
flags.DEFINE_enum(
    "encoding", "jpeg", ENCODINGS, "Encoding of frames. jpeg: several times smaller. raw: exact."
)
checked_flags.integer(
    "quality", 95, "JPEG quality, 1 to 100; colours keep their full resolution.", 1, 100
)
checked_flags.integer(
    "videos_per_shard", 64, "Videos per shard, the unit of work and of resuming.", at_least=1
)
checked_flags.number(
    "max_skipped_share",
    0.05,
    "Largest share of skipped videos, 0 to 1, for exit code 0.",
    at_least=0,
    at_most=1,
)


def main(arguments: list[str]) -> int:
    if FLAGS.size < SMALLEST:
        raise InputError(
            f"--size={FLAGS.size}: must be ≥ {SMALLEST}, the smallest size for training"
        )
    if FLAGS.size & (FLAGS.size - 1):
        warnings.warn(
            f"--size={FLAGS.size}: is not a power of two: training will crop frames to "
            f"{2 ** (FLAGS.size.bit_length() - 1)} rows and columns",
            stacklevel=2,
        )
    corpus = data_flags.open_data()
    if corpus.recipe is None:
        raise InputError(
            f"--data_path={FLAGS.data_path}: holds {corpus.kind}, which needs no preparation: give "
            "it to train.py directly"
        )
    if FLAGS.frame_rate is not None and not corpus.has_times:
        raise InputError(
            f"--frame_rate={FLAGS.frame_rate}: {FLAGS.data_path} holds {corpus.kind}, which has no "
            "frame times: leave it out"
        )
    recordings = corpus.recordings()
    summary = preparation.prepare(
        recordings,
        FLAGS.output_dir,
        preparation.Settings(
            corpus.recipe,
            FLAGS.frame_rate,
            FLAGS.encoding,
            FLAGS.quality,
            FLAGS.min_frames,
            FLAGS.max_frames,
            FLAGS.videos_per_shard,
        ),
        corpus.classes,
        source={"kind": corpus.kind, "split": FLAGS.split, "test_share": FLAGS.test_share},
        run=on_beam(arguments[1:]),
    )
    return report(summary, len(recordings))


def report(summary: preparation.Summary, num_recordings: int) -> int:
    """Prints what was prepared and what was not; returns the exit code."""
    if summary.already:
        print(f"{FLAGS.output_dir}: is already prepared")
    for subset, counts in summary.info["counts"].items():
        numbers = ", ".join(f"{value} {name}" for name, value in counts.items())
        print(f"{FLAGS.output_dir}: {subset}: {numbers}")
    if not summary.skipped:
        return 0
    # Reasons that differ only in numbers are one kind.
    kinds = Counter(re.sub(r"\d+", "N", reason) for _, reason in summary.skipped)
    print(f"{len(summary.skipped)} of {num_recordings} videos skipped, see skipped.csv:")
    for kind, count in kinds.most_common():
        print(f"    {count:6d}  {kind}")
    if len(summary.skipped) <= FLAGS.max_skipped_share * num_recordings:
        return 0
    print(
        f"{len(summary.skipped) / num_recordings:.1%} of the videos were skipped, more than "
        f"--max_skipped_share={FLAGS.max_skipped_share}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    command_line.run(main, passes_flags_on=True)
