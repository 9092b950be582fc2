"""Detects the videos at a path: their kind, their subsets, and how to read them.

corpus = open_corpus("UCF-101", size=64, split="1")
source = Windows(corpus.videos("train"))             # to train on directly
prepare(corpus.recordings(), "prepared", ...)        # or to convert to TFRecords first
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

#: All kinds. The first kind that recognises a path is used, so the more specific ones come first.
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
    """Detects the kind of videos at a path and opens them.

    A directory with an `info.json` holds prepared TFRecords. A directory of videos is UCF-101 if
    all names have UCF-101's form, and a folder of videos otherwise. `.h5` and `.hdf5` are the
    reference's UCF-101, `.npy` is its Moving MNIST or another array, `.txt` is a list of Golf
    scenes, and `.npz` holds clips as `generate.py` writes them.

    Args:
        path: local, or in an object store.
        size: rows to resize frames to, for kinds that are read at their original size.
        kinds: additional kinds, tried before `KINDS`.
        **options: options of the kind, see its `open`: `recipe`, one of
            `tgan_tf.data.recordings.RECIPES` (default "ucf101" for UCF-101, else "center_crop");
            `split` and `split_lists` of `ucf101.recordings`; `test_share` of
            `video_files.recordings`; `table` and `allow_unpickling` of `hdf5.HDF5File`;
            `damaged_shards` and `verify_shards` of `TFRecordVideos`; `array_axes` of
            `MovingMNISTFile` and `npz.ClipsFile`. None means not given.

    Raises:
        InputError: the path does not exist, its kind is unknown, or the kind does not have a given
            option; or the kind's `open` raises it.
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
        raise InputError(f"{path}: is not a known kind of file: give one of these: {known}")
    for name, value in options.items():
        if name not in kind.options:
            knowing = ", ".join(kind.name for kind in kinds if name in kind.options)
            raise InputError(
                Argument(name, value),
                f": {path} holds {kind.name}, which does not use it; it is for "
                f"{knowing or 'no known kind'}",
            )
    return kind.open(path, size, **options)
