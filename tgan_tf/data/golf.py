"""Golf scenes: short clips of one kind of scene, each a tall JPEG of its frames.

The clips of Vondrick, Pirsiavash and Torralba, "Generating Videos with Scene Dynamics", NeurIPS
2016, arXiv 1609.02612, are stabilised and stored with their frames of 128 x 128 one below the
other, under a folder `frames-stable-many`; text files list their paths, one a line. A clip of 32
frames is a JPEG of 128 x 4096.

The reference (`datasets/golf_dataset.py` of pfnet-research/tgan) takes every second row and column
to come to 64 x 64; frames are averaged over areas here, which keeps what lies between.

A file that is no JPEG, is not 128 pixels wide or holds no whole number of frames cannot be cut into
frames with certainty and is left out.
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

# More than there are processors: most of the time they wait for a disk or a network.
_THREADS = 8
_WARNINGS = 5


def paths(list_path: str | os.PathLike[str]) -> dict[str, str]:
    """The files that a list names, by the lines of the list.

    Args:
        list_path: a text file, each line a path relative to its folder or to `frames-stable-many`
            in that. Empty lines and repeated ones are passed over.

    Returns:
        The path of each file by its line, in the order of the list.

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
            f"first is {missing[0]}: put the list beside the folder frames-stable-many, and into "
            "that what is missing"
        )
    return {name: path for name, path in found.items() if path is not None}


class GolfScenes:
    """Clips of a list, read window by window; implements `windows.Videos`.

    The header of every file is read at the start, some thousands a second.

    Args:
        list_path: see `paths`.
        recipe: how a frame of 128 x 128 becomes one of the model's.

    Attributes:
        path, names, lengths, frame_shape, labels, classes: see `windows.Videos`. Names are the
            lines of the list; there are no classes.
        recipe: as given.

    Raises:
        InputError: see `paths`; or none of the files can be used.

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
                f"frames of {SIZE} x {SIZE}, one below the other"
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
                f"{self._paths[video]}: {error}: get the file anew, or take it out of {self.path}"
            ) from error
        return np.stack([self.recipe.apply(frame) for frame in window])


def recordings(list_path: str | os.PathLike[str]) -> list[Recording]:
    """The clips of a list, to be prepared for training.

    The files hold no times: their frame rate is 0, and to ask for another raises an `InputError`.

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
            Argument("frame_rate", frame_rate), f": {path} holds no times of frames: leave it out"
        )
    return 0.0, map(recipe.apply, _decode(path))


def _decode(path: str) -> np.ndarray:
    """All frames of a clip, uint8 [frames, 128, 128, 3]."""
    with _open(path) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, SIZE, SIZE, 3)


def _length(path: str) -> int | str:
    """The frames of a clip, of which only the header is read; or why it cannot be used."""
    try:
        with _open(path) as image:
            return image.height // SIZE
    except UnreadableRecording as error:
        return str(error)


@contextlib.contextmanager
def _open(path: str) -> Iterator[Image.Image]:
    """Opens a JPEG of whole frames; what fails until it is closed is `UnreadableRecording`."""
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
        raise UnreadableRecording("is no JPEG") from error
    except Exception as error:  # a damaged JPEG may raise anything, SyntaxError for one
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
