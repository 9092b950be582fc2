"""What lies at a path: which kind of videos, in which subsets, and who reads them.

corpus = open_corpus("UCF-101", size=64, split="1")
source = Windows(corpus.videos("train"))             # to train on as they are
prepare(corpus.recordings(), "prepared", ...)        # or to make TFRecords of first
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Callable, NamedTuple

import tensorflow as tf

from tgan_tf.data import golf, hdf5, storage, subsets, tfrecords, ucf101, video_files
from tgan_tf.data.mapped_clips import MappedClips
from tgan_tf.data.moving_mnist_file import MovingMNISTFile
from tgan_tf.data.npz import ClipsFile
from tgan_tf.data.recordings import Recipe, Recording
from tgan_tf.data.recordings import recipe as named_recipe
from tgan_tf.data.windows import Videos
from tgan_tf.errors import InputError

#: The options that only some kinds of corpora know.
_OPTIONS = {
    "recipe": ("golf", "ucf101", "video files"),
    "split": ("ucf101",),
    "split_lists": ("ucf101",),
    "test_share": ("video files",),
    "table": ("hdf5",),
    "allow_unpickling": ("hdf5",),
    "damaged_shards": ("tfrecords",),
    "verify_shards": ("tfrecords",),
    "array_axes": ("moving mnist", "npz"),
}


class Corpus(NamedTuple):
    """The videos at a path.

    Attributes:
        path: the path.
        kind: "golf", "hdf5", "moving mnist", "npz", "tfrecords", "ucf101" or "video files".
        subsets: which there are: "train" and, for most kinds if they are given, "test".
        recipe: how frames are resized; None where they are taken as they are.
        videos: opens a subset, to read windows of its videos.
        recordings: lists the videos of all subsets, to be prepared.
        classes: names of the classes, or None.
        reading: how an array is understood, whose axes do not tell what they are; else None.
    """

    path: str
    kind: str
    subsets: tuple[str, ...]
    recipe: Recipe | None
    videos: Callable[[str], Videos]
    recordings: Callable[[], list[Recording]]
    classes: tuple[str, ...] | None
    reading: str | None = None


def open_corpus(path: str, size: int = 64, **options) -> Corpus:
    """Finds out what lies at a path.

    A directory with an `info.json` is prepared TFRecords, one with videos is UCF-101 if all of them
    are named like it and a folder of videos otherwise; `.h5` and `.hdf5` are the reference's
    UCF-101, `.npy` is its Moving MNIST or another array, `.txt` a list of Golf scenes; `.npz` are
    clips, as `generate.py` writes them.

    Args:
        path: local, or in an object store.
        size: rows that frames are resized to where they are read as they are filmed.
        **options: `recipe`, of `tgan_tf.data.recordings.RECIPES` (default "ucf101" for
            UCF-101, else "center_crop"); `split` and `split_lists` of `ucf101.recordings`;
            `test_share` of `video_files.recordings`; `table` and `allow_unpickling` of
            `hdf5.HDF5File`; `damaged_shards` and `verify_shards` of `tfrecords.TFRecordVideos`;
            `array_axes`, the `axes` of `MovingMNISTFile` and `npz.ClipsFile`. One that is None
            counts as not given.

    Raises:
        InputError: there is nothing at the path, nothing that is known, or an option is given that
            this kind does not know; or as the readers raise it.
    """
    path = storage.register(path).rstrip("/")
    options = {name: value for name, value in options.items() if value is not None}
    kind = _kind(path, options)
    for name in options:
        if kind not in _OPTIONS[name]:
            raise InputError(
                f"{name}={options[name]}: {path} holds {kind}, which has no use for it; it is for "
                f"{', '.join(_OPTIONS[name])}"
            )
    return _OPENERS[kind](path, size, options)


def _kind(path: str, options: dict) -> str:
    if not tf.io.gfile.exists(path):
        raise InputError(f"{path}: does not exist: give a file or a directory of videos")
    if tf.io.gfile.isdir(path):
        if tf.io.gfile.exists(f"{path}/info.json"):
            return "tfrecords"
        is_ucf101 = "split" in options or ucf101.is_ucf101(video_files.find(path))
        return "ucf101" if is_ucf101 else "video files"
    for suffixes, kind in (
        ((".h5", ".hdf5"), "hdf5"),
        ((".npy",), "moving mnist"),
        ((".npz",), "npz"),
        ((".txt",), "golf"),
    ):
        if path.lower().endswith(suffixes):
            return kind
    raise InputError(
        f"{path}: is no kind of file that is known: give a directory of videos or of prepared "
        "TFRecords, an .h5 file as of make_ucf101.py, mnist_test_seq.npy, an .npz file of clips, "
        "or a .txt list of Golf scenes"
    )


def _ordered(subsets: Container[str]) -> tuple[str, ...]:
    return tuple(subset for subset in ("train", "test") if subset in subsets)


def _filmed(
    path: str,
    kind: str,
    recordings: Sequence[Recording],
    used: Recipe,
    classes: tuple[str, ...] | None,
) -> Corpus:
    """A corpus of video files."""
    if classes is None and all(recording.category is not None for recording in recordings):
        classes = tuple(sorted({recording.category for recording in recordings}))
    return Corpus(
        path,
        kind,
        _ordered({recording.subset for recording in recordings}),
        used,
        lambda subset: video_files.VideoFiles(
            path,
            [recording for recording in recordings if recording.subset == subset],
            used,
            classes,
        ),
        lambda: list(recordings),
        classes,
    )


def _open_video_files(path: str, size: int, options: dict) -> Corpus:
    recordings = video_files.recordings(path, options.get("test_share", 0.0))
    used = named_recipe(options.get("recipe", "center_crop"), size)
    return _filmed(path, "video files", recordings, used, None)


def _open_ucf101(path: str, size: int, options: dict) -> Corpus:
    lists = options.get("split_lists")
    recordings = ucf101.recordings(path, options.get("split", "all"), lists)
    used = named_recipe(options.get("recipe", "ucf101"), size)
    return _filmed(path, "ucf101", recordings, used, ucf101.classes(path, lists))


def _open_golf(path: str, size: int, options: dict) -> Corpus:
    used = named_recipe(options.get("recipe", "center_crop"), size)
    return Corpus(
        path,
        "golf",
        ("train",),
        used,
        lambda _: golf.GolfScenes(path, used),
        lambda: golf.recordings(path),
        None,
    )


def _open_hdf5(path: str, size: int, options: dict) -> Corpus:
    recordings = hdf5.recordings(path, **options)
    return Corpus(
        path,
        "hdf5",
        ("train",),
        named_recipe("ucf101", size),
        lambda _: hdf5.HDF5File(path, **options),
        lambda: recordings,
        tuple(sorted({recording.category for recording in recordings})),
    )


def _open_moving_mnist(path: str, size: int, options: dict) -> Corpus:
    return _clips(path, "moving mnist", MovingMNISTFile(path, options.get("array_axes")))


def _open_npz(path: str, size: int, options: dict) -> Corpus:
    return _clips(path, "npz", ClipsFile(path, options.get("array_axes")))


def _clips(path: str, kind: str, videos: MappedClips) -> Corpus:
    """A corpus of an array."""
    return Corpus(path, kind, ("train",), None, lambda _: videos, lambda: [], None, videos.reading)


def _open_tfrecords(path: str, size: int, options: dict) -> Corpus:
    info = tfrecords.read_info(path)
    try:
        found, classes = _ordered(info["counts"]), info["classes"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}/info.json: is damaged ({type(error).__name__}: {error}): prepare the videos "
            "again with experiments/prepare_data.py"
        ) from error
    subsets.check_classes(path, classes or ())
    damaged_shards = options.get("damaged_shards", "refuse")
    verify = options.get("verify_shards", True)
    return Corpus(
        path,
        "tfrecords",
        found,
        None,
        lambda subset: tfrecords.TFRecordVideos(path, subset, damaged_shards, verify),
        lambda: [],
        classes,
    )


_OPENERS = {
    "golf": _open_golf,
    "hdf5": _open_hdf5,
    "moving mnist": _open_moving_mnist,
    "npz": _open_npz,
    "tfrecords": _open_tfrecords,
    "ucf101": _open_ucf101,
    "video files": _open_video_files,
}
