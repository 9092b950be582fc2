"""What lies at a path: which kind of videos, in which subsets, and who reads them.

corpus = open_corpus("UCF-101", size=64, split="1")
source = Windows(corpus.videos("train"))             # to train on as they are
prepare(corpus.recordings(), "prepared", ...)        # or to make TFRecords of first
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tgan_tf.data import (
    golf,
    hdf5,
    moving_mnist_file,
    npz,
    storage,
    tfrecord_videos,
    ucf101,
    video_files,
)
from tgan_tf.data.kind import Corpus, Kind
from tgan_tf.errors import Argument, InputError

__all__ = ["KINDS", "Corpus", "Kind", "open_corpus"]

#: All kinds. A path is of the first that recognises it: the more special ones come first.
KINDS = (
    tfrecord_videos.KIND,
    ucf101.KIND,
    video_files.KIND,
    hdf5.KIND,
    moving_mnist_file.KIND,
    npz.KIND,
    golf.KIND,
)


def open_corpus(
    path: str | os.PathLike[str], size: int = 64, kinds: Sequence[Kind] = (), **options: Any
) -> Corpus:
    """Finds out what lies at a path.

    A directory with an `info.json` is prepared TFRecords, one with videos is UCF-101 if all of them
    are named like it and a folder of videos otherwise; `.h5` and `.hdf5` are the reference's
    UCF-101, `.npy` is its Moving MNIST or another array, `.txt` a list of Golf scenes; `.npz` are
    clips, as `generate.py` writes them.

    Args:
        path: local, or in an object store.
        size: rows that frames are resized to where they are read as they are filmed.
        kinds: more kinds than `KINDS`, which go before them.
        **options: those of the kind, see its `open`: `recipe`, of
            `tgan_tf.data.recordings.RECIPES` (default "ucf101" for UCF-101, else "center_crop");
            `split` and `split_lists` of `ucf101.recordings`; `test_share` of
            `video_files.recordings`; `table` and `allow_unpickling` of `hdf5.HDF5File`;
            `damaged_shards` and `verify_shards` of `TFRecordVideos`; `array_axes` of
            `MovingMNISTFile` and `npz.ClipsFile`. One that is None counts as not given.

    Raises:
        InputError: there is nothing at the path, nothing that is known, or an option is given that
            this kind does not know; or as the kind's `open` raises it.
    """
    path = storage.register(path).rstrip("/")
    if not storage.exists(path):
        raise InputError(f"{path}: does not exist: give a file or a directory of videos")
    options = {name: value for name, value in options.items() if value is not None}
    kinds = (*kinds, *KINDS)
    is_directory = storage.is_directory(path)
    kind = next((kind for kind in kinds if kind.recognises(path, is_directory, options)), None)
    if kind is None:
        known = "; ".join(kind.about for kind in kinds)
        raise InputError(f"{path}: is no kind of file that is known: give one of these: {known}")
    for name, value in options.items():
        if name not in kind.options:
            knowing = ", ".join(kind.name for kind in kinds if name in kind.options)
            raise InputError(
                Argument(name, value),
                f": {path} holds {kind.name}, which has no use for it; it is for "
                f"{knowing or 'no kind that is known'}",
            )
    return kind.open(path, size, **options)
