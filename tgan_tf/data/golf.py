"""Golf scenes: short clips of golf, each stored as one tall JPEG of its frames.

The clips of Vondrick, Pirsiavash and Torralba, "Generating Videos with Scene Dynamics", NeurIPS
2016, arXiv 1609.02612, are stabilised and stored with their frames of 128 x 128 stacked vertically,
in a folder `frames-stable-many`; text files list their paths, one per line. A clip of 32 frames is
a JPEG of 128 x 4096.

The reference (`datasets/golf_dataset.py` of pfnet-research/tgan) takes every second row and column
to get 64 x 64. Here frames are resized by area averaging, which uses every pixel.

A file is left out if it is not a JPEG, is not 128 pixels wide or does not hold a whole number of
frames.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from functools import partial
from multiprocessing.pool import ThreadPool

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from tgan_tf.data import storage
from tgan_tf.data.kind import Corpus, Kind, files
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.data.recordings import recipe as named_recipe
from tgan_tf.data.windows import read_in_python
from tgan_tf.errors import Argument, InputError, reason

#: Rows and columns of a frame as it is stored.
SIZE = 128

# More threads than processors: they mostly wait for a disk or a network.
_THREADS = 8
_WARNINGS = 5


def paths(list_path: str | os.PathLike[str]) -> dict[str, str]:
    """Finds the files that a list names.

    Args:
        list_path: a text file; each line is a path relative to the file's folder or to
            `frames-stable-many` in it. Empty and repeated lines are ignored.

    Returns:
        A dict from each line to the path of its file, in the order of the list.

    Raises:
        InputError: the list cannot be read or is empty, or files are missing.
    """
    list_path = storage.register(list_path)
    remedy = "give a text file with the path of a clip on each line"
    lines = storage.read_text(list_path, remedy).splitlines()
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise InputError(f"{list_path}: is empty: {remedy}")
    folder = os.path.dirname(list_path)
    folders = (folder, os.path.join(folder, "frames-stable-many"))

    def find(name: str) -> str | None:
        candidates = (os.path.join(folder, name) for folder in folders)
        return next(filter(storage.exists, candidates), None)

    with ThreadPool(_THREADS) as pool:
        found = dict(zip(names, pool.map(find, names)))
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise InputError(
            f"{list_path}: {len(missing)} of the {len(names)} files it names are missing, the "
            f"first is {missing[0]}: put the list beside the folder frames-stable-many, and the "
            "missing files into that folder"
        )
    return {name: path for name, path in found.items() if path is not None}


class GolfScenes:
    """Clips of a list, read window by window; implements `windows.Videos`.

    The constructor reads the header of every file, several thousand per second.

    Args:
        list_path: see `paths`.
        recipe: how to resize a frame of 128 x 128 for the model.

    Attributes:
        path, names, lengths, frame_shape, labels, classes: see `windows.Videos`. The names are the
            lines of the list; there are no classes.
        recipe: as given.

    Raises:
        InputError: none of the files can be used; see also `paths`.

    Example:
        >>> videos = GolfScenes("golf.txt", recipe("center_crop", 64))
        >>> videos.read(tf.constant(7, tf.int64), tf.constant(0, tf.int64), 16, 1).shape
        TensorShape([16, 64, 64, 3])
    """

    def __init__(self, list_path: str | os.PathLike[str], recipe: Recipe):
        self.path = os.fspath(list_path)
        self.recipe = recipe
        self.frame_shape = recipe.frame_shape
        self.labels = None
        self.classes = None
        found = paths(list_path)
        with ThreadPool(_THREADS) as pool:
            results = dict(zip(found, pool.map(_length, found.values())))
        faults = {name: why for name, why in results.items() if isinstance(why, str)}
        for name in list(faults)[:_WARNINGS]:
            warnings.warn(f"{self.path}: {name} is left out: {faults[name]}", stacklevel=2)
        if len(faults) > _WARNINGS:
            warnings.warn(f"{self.path}: {len(faults)} files are left out in all", stacklevel=2)
        self.names = tuple(name for name in found if name not in faults)
        if not self.names:
            raise InputError(
                f"{self.path}: none of the {len(found)} files it names can be used: give JPEGs of "
                f"frames of {SIZE} x {SIZE} stacked vertically"
            )
        self._paths = [found[name] for name in self.names]
        self.lengths = np.array([results[name] for name in self.names], np.int64)

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """See `windows.Videos`."""
        read = partial(self._read, frames=frames, stride=stride)
        return read_in_python(read, [video, first], (frames, *self.frame_shape))

    def _read(self, video: np.int64, first: np.int64, frames: int, stride: int) -> np.ndarray:
        try:
            window = _decode(self._paths[video])[first : first + (frames - 1) * stride + 1 : stride]
        except UnreadableRecording as error:
            raise InputError(
                f"{self._paths[video]}: {error}: download the file again, or remove it from "
                f"{self.path}"
            ) from error
        return np.stack([self.recipe.apply(frame) for frame in window])


def recordings(list_path: str | os.PathLike[str]) -> list[Recording]:
    """Lists the clips of a list file, for preparation.

    The files hold no frame times: their frame rate is 0, and asking for another raises an
    `InputError`.

    Args:
        list_path: see `paths`.

    Raises:
        InputError: see `paths`.
    """
    return [
        Recording(name, None, "train", partial(_read_clip, path))
        for name, path in paths(list_path).items()
    ]


def _read_clip(
    path: str, recipe: Recipe, frame_rate: float | None
) -> tuple[float, Iterator[np.ndarray]]:
    if frame_rate is not None:
        raise InputError(
            Argument("frame_rate", frame_rate), f": {path} holds no frame times: leave it out"
        )
    return 0.0, map(recipe.apply, _decode(path))


def _decode(path: str) -> np.ndarray:
    """All frames of a clip, uint8 [frames, 128, 128, 3]."""
    with _open(path) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, SIZE, SIZE, 3)


def _length(path: str) -> int | str:
    """The number of frames of a clip, from its header; or the reason why it cannot be used."""
    try:
        with _open(path) as image:
            return image.height // SIZE
    except UnreadableRecording as error:
        return str(error)


@contextlib.contextmanager
def _open(path: str) -> Iterator[Image.Image]:
    """Opens a JPEG of whole frames; any failure until it is closed is an `UnreadableRecording`."""
    try:
        with storage.open_file(path) as file, Image.open(file, formats=["JPEG"]) as image:
            if image.width != SIZE or image.height % SIZE:
                raise UnreadableRecording(
                    f"is {image.width} x {image.height}, not {SIZE} wide and a multiple of "
                    f"{SIZE} high"
                )
            yield image
    except UnreadableRecording:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableRecording("is not a JPEG") from error
    except Exception as error:  # a damaged JPEG may raise anything, such as SyntaxError
        raise UnreadableRecording(f"cannot be decoded ({reason(error)})") from error


def _open_corpus(path: str, size: int, recipe: str = "center_crop") -> Corpus:
    used = named_recipe(recipe, size)
    return Corpus(
        path,
        KIND.name,
        ("train",),
        videos=lambda _: GolfScenes(path, used),
        recipe=used,
        recordings=lambda: recordings(path),
        has_times=False,
    )


KIND = Kind("golf", "a .txt list of Golf scenes", files(".txt"), _open_corpus, ("recipe",))
