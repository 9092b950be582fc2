"""The flags for the videos that a program reads and the clips that it takes from them.

A program calls the functions for the flags that it needs, and adopts the flags:

    data_flags.define_videos()
    flags.adopt_module_key_flags(data_flags)
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

from program_flags import checked_flags, command_line, flagfiles

from absl import flags

from tgan_tf import runs
from tgan_tf.data import hdf5_table
from tgan_tf.data.corpus import KINDS, Corpus, open_corpus
from tgan_tf.data.moving_mnist import MovingMNIST
from tgan_tf.data.pipeline import Source
from tgan_tf.data.recordings import RECIPES
from tgan_tf.data.tfrecord_videos import DAMAGED_SHARDS
from tgan_tf.data.windows import CROPS, Windows
from tgan_tf.errors import Argument, InputError

FLAGS = flags.FLAGS

# Mirror images are only for training. Only the command line can consent to unpickling. The others
# affect how the data are read, not what is read.
_NOT_OF_A_RUN = {"mirror", "allow_unpickling", "damaged_shards", "verify_shards"}


def define_videos(required: bool = False, path_flag: str = "data_path") -> None:
    """Defines --data_path (or another flag for it), --size and the flags for reading it."""
    # It is required only for preparation.
    known = (kind.about for kind in KINDS if kind.to_prepare or not required)
    checked_flags.existing(
        path_flag,
        f"Path of the videos, local, in gs:// or in s3://: {'; '.join(known)}."
        + ("" if required else " Default: bouncing MNIST digits, generated as they are read."),
        kind="path",
        remote=True,
        remedy="give a file or a directory of videos",
        required=required,
    )
    checked_flags.integer(
        "size", 64, "Rows and columns of a frame, a power of two (paper: 64).", 1, 4096
    )
    flags.DEFINE_enum(
        "recipe",
        None,
        RECIPES,
        "How to resize videos' frames: ucf101 stretches them to 64 x 85 (reference; default for "
        "UCF-101), center_crop keeps their proportions and cuts out the centre (default "
        "otherwise).",
    )
    flags.DEFINE_enum(
        "split",
        None,
        ["1", "2", "3", "all"],
        "Official split of UCF-101; all (default) trains on every video except those in folders "
        "test and val.",
    )
    checked_flags.existing(
        "split_lists",
        "Directory of UCF-101's lists, trainlist01.txt and so on; default: ucfTrainTestlist in or "
        "beside the videos.",
        kind="directory",
        remote=True,
    )
    checked_flags.existing(
        "table",
        "CSV file with start, end, category, group and scene of each video in an HDF5 file; "
        "default: the .csv file beside it.",
        remote=True,
    )
    flags.DEFINE_bool(
        "allow_unpickling",
        None,
        "Allow the table of an HDF5 file to be a pickle. Unpickling runs code from the file: use "
        "only one that you trust. Works only on the command line, not in a flagfile.",
    )
    checked_flags.text(
        "array_axes",
        None,
        "Axes of the array in a .npy or .npz file, one letter each: n clips, t frames, h rows, w "
        "columns, c channels. Default: tnhw for .npy, as in mnist_test_seq.npy, and nthw or nthwc "
        "for .npz; an ambiguous array is refused.",
    )


def define_clips() -> None:
    """Defines the flags for clips cut out of videos or made from digits."""
    checked_flags.integer("frames", 16, "Frames of a clip, a power of two (paper: 16).", 1, 4096)
    checked_flags.integer(
        "stride", 1, "Step in the video from one frame of a clip to the next.", at_least=1
    )
    flags.DEFINE_enum(
        "crop", "center", CROPS, "Position of the crop of --size x --size pixels in a larger frame."
    )
    flags.DEFINE_bool("mirror", False, "Mirror half of the clips left to right.")
    flags.DEFINE_enum(
        "damaged_shards",
        None,
        DAMAGED_SHARDS,
        "What to do with damaged TFRecord shards: refuse ends the program (default), skip leaves "
        "them out.",
    )
    flags.DEFINE_bool(
        "verify_shards",
        None,
        "Read all TFRecord shards first and compare their hashes; default: true.",
    )
    checked_flags.integer(
        "num_digits", 2, "Digits in each clip of bouncing MNIST digits, 1 or 2.", 1, 2
    )
    checked_flags.integer(
        "digit_size",
        28,
        "Rows of a bouncing MNIST digit in pixels (MNIST: 28).",
        1,
        4096,
    )


def open_data(path_flag: str = "data_path") -> Corpus | None:
    """Opens the videos at --data_path; None if it is not given.

    Args:
        path_flag: the flag for the path, see `define_videos`.

    Raises:
        InputError: a flag is given that needs --data_path; see also `open_corpus`.
    """
    # Options of the kinds have flags of the same names.
    names = [name for kind in KINDS for name in kind.options if name in FLAGS]
    options = {name: FLAGS[name].value for name in names}
    if not command_line.is_given("allow_unpickling"):
        options["allow_unpickling"] = None
    path = FLAGS[path_flag].value
    if path is not None:
        return open_path(path, **options)
    for name in (*options, "stride", "crop", "mirror"):
        if FLAGS[name].value != FLAGS[name].default:
            raise InputError(
                f"--{name}={FLAGS[name].value}: has no effect without --{path_flag}: leave it out"
            )
    return None


def open_path(path: str, **options) -> Corpus:
    """Opens the videos at a path and prints how they are read; see `open_corpus`."""
    try:
        corpus = open_corpus(path, FLAGS.size, **options)
    except InputError as error:
        if Argument("allow_unpickling", True) not in error.parts:
            raise
        table = options.get("table") or hdf5_table.table_path(path)
        raise InputError(
            *error.parts,
            ", which this command makes once: python experiments/reference/convert_table.py "
            f"--input={table} --output={os.path.splitext(table)[0]}.csv --allow_unpickling",
        ) from error
    if corpus.reading is not None:
        print(f"{path}: read as {corpus.reading}", flush=True)
    return corpus


def make_source(corpus: Corpus | None, subset: str, window: str = "random") -> Source:
    """Makes the source of a subset's clips, by the flags.

    Args:
        corpus: the result of `open_data`.
        subset: "train" or "test".
        window: see `tgan_tf.data.Windows`.

    Raises:
        InputError: there is no such subset, or the source raises it.
    """
    if corpus is None:
        split = "train" if subset == "train" else "held_out"
        return MovingMNIST(
            FLAGS.frames, FLAGS.size, FLAGS.digit_size, FLAGS.num_digits, split, FLAGS.seed
        )
    if subset not in corpus.subsets:
        raise InputError(
            Argument("subset", subset),
            f": {corpus.path} has {' and '.join(corpus.subsets)}: give one of these",
        )
    return Windows(
        corpus.videos(subset),
        FLAGS.frames,
        FLAGS.size,
        FLAGS.stride,
        FLAGS.crop,
        FLAGS.mirror,
        FLAGS.seed,
        window,
    )


def take_from_run(run_dir: Path, path_flag: str, over_the_command_line: bool = False) -> None:
    """Sets the data flags that the command line lacks to a run's values.

    Args:
        run_dir: directory of the run.
        path_flag: the flag that gets the value of the run's --data_path.
        over_the_command_line: whether to override the command line too.

    Raises:
        InputError: the run's flags cannot be read.
    """
    for name, value in flags_of_run(run_dir, path_flag).items():
        flag = FLAGS[path_flag if name == "data_path" else name]
        if over_the_command_line or not flag.present:
            flag.value = value


def flags_of_run(run_dir: Path, path_flag: str) -> dict[str, Any]:
    """The data flags in a run's flagfile, by the names of train.py's flags.

    Args:
        run_dir: directory of the run.
        path_flag: this program's flag for train.py's --data_path.

    Raises:
        InputError: the run's flags cannot be read.
    """
    path = copy.deepcopy(FLAGS[path_flag])
    path.name = "data_path"
    own = FLAGS.get_key_flags_for_module(sys.modules[__name__])
    taken = [flag for flag in own if flag.name not in {*_NOT_OF_A_RUN, path_flag}]
    return flagfiles.values(run_dir / runs.FLAGS_FILE, [path, *taken])
