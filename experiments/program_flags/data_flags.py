"""The flags that say which videos a program reads and which clips it sees of them.

A program calls the functions that define what it needs, and adopts the flags as its own:

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

# Mirror images are for training. To unpickling only the command line can consent. The rest is how,
# not what, is read.
_NOT_OF_A_RUN = {"mirror", "allow_unpickling", "damaged_shards", "verify_shards"}


def define_videos(required: bool = False, path_flag: str = "data_path") -> None:
    """Defines --data_path, or another flag for it, --size and how what lies there is read."""
    # What is required is to be prepared.
    known = (kind.about for kind in KINDS if kind.to_prepare or not required)
    checked_flags.existing(
        path_flag,
        f"Videos, on this machine, in gs:// or s3://: {'; '.join(known)}."
        + ("" if required else " Without it: bouncing digits of MNIST, made as they are read."),
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
        "How a video's frames are resized: ucf101 stretches them to 64 x 85 (reference, default "
        "for UCF-101), center_crop keeps their proportions and cuts the centre out (default).",
    )
    flags.DEFINE_enum(
        "split",
        None,
        ["1", "2", "3", "all"],
        "UCF-101: which official split; all, the default, trains on every video but those in "
        "folders test and val.",
    )
    checked_flags.existing(
        "split_lists",
        "UCF-101: directory of trainlist01.txt and so on; default ucfTrainTestlist in or beside "
        "the videos.",
        kind="directory",
        remote=True,
    )
    checked_flags.existing(
        "table",
        "HDF5: CSV file of start, end, category, group, scene of each video; default the .csv "
        "beside it.",
        remote=True,
    )
    flags.DEFINE_bool(
        "allow_unpickling",
        None,
        "HDF5: the table may be a pickle. Unpickling runs code in the file: only of a source you "
        "trust. It counts on the command line only, not in a flagfile.",
    )
    checked_flags.text(
        "array_axes",
        None,
        ".npy, .npz: what the array's axes are, a letter each: n clips, t frames, h rows, w "
        "columns, c channels. Default: tnhw of .npy, as mnist_test_seq.npy is, nthw or nthwc of "
        ".npz; an array that may be meant otherwise is refused.",
    )


def define_clips() -> None:
    """Defines which clips are cut out of the videos, or made of digits."""
    checked_flags.integer("frames", 16, "Frames of a clip, a power of two (paper: 16).", 1, 4096)
    checked_flags.integer(
        "stride", 1, "Video's frames from one frame of a clip to the next.", at_least=1
    )
    flags.DEFINE_enum(
        "crop", "center", CROPS, "Where --size x --size pixels are taken from a larger frame."
    )
    flags.DEFINE_bool("mirror", False, "Exchange left and right in half of the clips.")
    flags.DEFINE_enum(
        "damaged_shards",
        None,
        DAMAGED_SHARDS,
        "TFRecords: whether a damaged shard ends the program (default) or is left out.",
    )
    flags.DEFINE_bool(
        "verify_shards",
        None,
        "TFRecords: read all shards once before and compare their hashes; default true.",
    )
    checked_flags.integer("num_digits", 2, "Digits in a clip, 1 or 2; without --data_path.", 1, 2)
    checked_flags.integer(
        "digit_size", 28, "Rows of a digit, pixels (MNIST's own); no --data_path.", 1, 4096
    )


def open_data(path_flag: str = "data_path") -> Corpus | None:
    """What lies at --data_path; None if that is not given.

    Args:
        path_flag: the flag that is meant, as of `define_videos`.

    Raises:
        InputError: as `open_corpus`, or a flag is given that has no use without --data_path.
    """
    # Flags are options of the kinds by the same names.
    names = [name for kind in KINDS for name in kind.options if name in FLAGS]
    options = {name: FLAGS[name].value for name in names}
    if not command_line.is_given("allow_unpickling"):
        options["allow_unpickling"] = None
    path = FLAGS[path_flag].value
    if path is not None:
        return open_path(path, **options)
    for name in (*options, "stride", "crop", "mirror"):
        if FLAGS[name].value != FLAGS[name].default:
            raise InputError(f"--{name}={FLAGS[name].value} has no use without --{path_flag}")
    return None


def open_path(path: str, **options) -> Corpus:
    """What lies at a path; arguments and errors are those of `open_corpus`. Says how it is read."""
    try:
        corpus = open_corpus(path, FLAGS.size, **options)
    except InputError as error:
        if Argument("allow_unpickling", True) not in error.parts:
            raise
        table = options.get("table") or hdf5_table.table_path(path)
        raise InputError(
            *error.parts,
            ", which is made once and for all by: python experiments/reference/convert_table.py "
            f"--input={table} --output={os.path.splitext(table)[0]}.csv --allow_unpickling",
        ) from error
    if corpus.reading is not None:
        print(f"{path}: read as {corpus.reading}", flush=True)
    return corpus


def make_source(corpus: Corpus | None, subset: str, window: str = "random") -> Source:
    """The clips of a subset, as the flags say.

    Args:
        corpus: of `open_data`.
        subset: "train" or "test".
        window: of `tgan_tf.data.Windows`.

    Raises:
        InputError: there is no such subset, or as the sources raise it.
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
    """Takes what a run's flags say about its data, where the command line says nothing else.

    Args:
        run_dir: as of train.py.
        path_flag: the flag that the run's --data_path is taken for.
        over_the_command_line: whether also what the command line says gives way.

    Raises:
        InputError: the run's flags cannot be read.
    """
    for name, value in flags_of_run(run_dir, path_flag).items():
        flag = FLAGS[path_flag if name == "data_path" else name]
        if over_the_command_line or not flag.present:
            flag.value = value


def flags_of_run(run_dir: Path, path_flag: str) -> dict[str, Any]:
    """What a run's flagfile says about its data, by the names of train.py's flags.

    Args:
        run_dir: as of train.py.
        path_flag: this program's flag for what is train.py's --data_path.

    Raises:
        InputError: the run's flags cannot be read.
    """
    path = copy.deepcopy(FLAGS[path_flag])
    path.name = "data_path"
    own = FLAGS.get_key_flags_for_module(sys.modules[__name__])
    taken = [flag for flag in own if flag.name not in {*_NOT_OF_A_RUN, path_flag}]
    return flagfiles.values(run_dir / runs.FLAGS_FILE, [path, *taken])
