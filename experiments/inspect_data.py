"""Shows the data of a training: counts, classes, lengths, and a sheet of random clips.

    python experiments/inspect_data.py --data_path=prepared/ucf101 --output=ucf101.png

The flags are those of train.py. The rows of the sheet are the first clips of a training with the
same flags, with each frame as the networks see it.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from program_flags import checked_flags, command_line, data_flags

import numpy as np
from absl import flags

from tgan_tf import rendering
from tgan_tf.capacity import check_memory
from tgan_tf.data.pipeline import batches
from tgan_tf.data.windows import Windows
from tgan_tf.errors import one_line

FLAGS = flags.FLAGS

data_flags.define_videos()
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)
flags.DEFINE_enum("subset", "train", ["train", "test"], "Subset of the videos.")
checked_flags.integer("seed", 0, "Seed of the clips, as in train.py.", at_least=0)
checked_flags.new_file(
    "output", "clips.png", "PNG file for the sheet, which must not exist yet.", suffixes=(".png",)
)
checked_flags.integer("num_clips", 8, "Clips on the sheet, one per row.", at_least=1)
checked_flags.integer(
    "scale",
    1,
    "Enlargement of the sheet: rows and columns per pixel.",
    at_least=1,
    at_most=rendering.LONGEST_SIDE,
)

SHOWN_CLASSES = 10


def main(_) -> None:
    output = Path(FLAGS.output)
    rendering.check_scale(FLAGS.scale, max(FLAGS.num_clips, FLAGS.frames) * (FLAGS.size + 2))
    corpus = data_flags.open_data()
    source = data_flags.make_source(corpus, FLAGS.subset)
    check_memory(
        # As read, as float32 values, as the sheet's pixels, and enlarged.
        FLAGS.num_clips * math.prod(source.clip_shape) * (10 + 2 * FLAGS.scale**2),
        f"--num_clips={FLAGS.num_clips} --scale={FLAGS.scale}: a sheet of clips of "
        + " x ".join(map(str, source.clip_shape)),
        "give lower ones",
    )
    if corpus is None:
        print("Moving MNIST: endless clips of bouncing digits")
    else:
        subsets = ", ".join(corpus.subsets)
        print(f"{corpus.path}: {corpus.kind}, subset {FLAGS.subset} of {subsets}")
        print("\n".join(described(source)))
    rows, columns = source.clip_shape[1:3]
    print(
        f"A clip: {FLAGS.frames} frames of {rows}x{columns} pixels, {source.clip_shape[3]} channels"
    )
    clips = next(iter(batches(source, FLAGS.num_clips, seed=FLAGS.seed))).numpy()
    print(f"Values: {clips.min():.3f} to {clips.max():.3f}, mean {clips.mean():.3f}")
    rendering.save_png(output, rendering.contact_sheet(rendering.to_uint8(clips)), FLAGS.scale)
    print(f"{output}: {FLAGS.num_clips} clips, one per row")


def described(source: Windows) -> list[str]:
    """Lines that describe the videos from which clips are cut."""
    videos = source.videos
    lengths = np.sort(videos.lengths)
    lines = [
        f"Videos: {len(lengths)} with {lengths.sum()} frames, {source.num_clips} long enough",
        f"Lengths: {lengths[0]} to {lengths[-1]} frames, median {int(np.median(lengths))}",
        f"Frames: {videos.frame_shape[0]}x{videos.frame_shape[1]} pixels as stored",
    ]
    if videos.classes is None:
        return [*lines, "Classes: none"]
    counts = Counter({name: 0 for name in videos.classes})
    counts.update(videos.classes[label] for label in videos.labels)
    fewest, most = min(counts.values()), max(counts.values())
    lines.append(f"Classes: {len(counts)}, with {fewest} to {most} videos each")
    lines += [
        f"    {count:6d}  {one_line(name)}" for name, count in counts.most_common(SHOWN_CLASSES)
    ]
    if len(counts) > SHOWN_CLASSES:
        lines.append(f"    and {len(counts) - SHOWN_CLASSES} more")
    return lines


if __name__ == "__main__":
    command_line.run(main)
