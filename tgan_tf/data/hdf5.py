"""UCF-101 in the reference's format: an HDF5 file of frames and a table of its videos.

The file is what `make_ucf101.py` of pfnet-research/tgan writes and `datasets/ucf_dataset.py` reads:
a dataset `image`, uint8 [frames, 3, rows, columns] (64 rows of 85 columns), with the frames of all
videos one after another. `tgan_tf.data.hdf5_table` reads the table.

On TensorFlow 2.15 tensorflow-io reads windows of a local file with the layout of `make_ucf101.py`
inside the graph. h5py checks every file first. It reads all other files, and on the new stack all
files, because tensorflow-io

- has no release for a later TensorFlow,
- loads a whole file from an object store into memory, where h5py reads only the parts it needs,
- ends the process if the file has another entry that cannot be followed, and rejects a file with an
  entry of an unknown type,
- prints HDF5's error stacks if compressed frames are damaged.

From an object store each window takes several successive requests. For training, first convert such
a file to TFRecords (`tgan_tf.data.preparation`) or copy it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from tgan_tf import stack
from tgan_tf.data import storage
from tgan_tf.data.hdf5_table import Table, needed, read_table, table_path
from tgan_tf.data.kind import Corpus, Kind, files
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.data.recordings import recipe as named_recipe
from tgan_tf.data.windows import read_in_python
from tgan_tf.errors import Argument, InputError, reason

_FILE_REMEDY = (
    "give an HDF5 file with a dataset 'image', uint8 [frames, 3, rows, columns], as make_ucf101.py "
    "of pfnet-research/tgan writes it"
)

# Frames read at a time while a video is prepared: 1 MB at 64 x 85.
_BLOCK = 64


class HDF5File:
    """Videos in an HDF5 file, read window by window; implements `windows.Videos`.

    Args:
        path: the HDF5 file.
        table: the table of its videos. Default: the one beside it, see `table_path`.
        allow_unpickling: see `read_table`.
        classes: names of the classes, in the order of their numbers. Default: the categories of the
            table in alphabetical order.

    Attributes:
        path, names, lengths, frame_shape, labels, classes: see `windows.Videos`. The names are
            those of UCF-101, v_<Category>_g<group>_c<scene>; the shape is (rows, columns, 3).

    Raises:
        InputError: the file or the table cannot be read, the file lacks the dataset or has fewer
            frames than the table says, or a category is not one of the classes.

    Example:
        >>> videos = HDF5File("ucf101_train.h5")
        >>> videos.read(tf.constant(7, tf.int64), tf.constant(0, tf.int64), 16, 1).shape
        TensorShape([16, 64, 85, 3])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        table: str | os.PathLike[str] | None = None,
        allow_unpickling: bool = False,
        classes: Sequence[str] | None = None,
    ):
        self.path = storage.register(path)
        file, rows = _open_both(self.path, table, allow_unpickling)
        self._image = file["image"]
        self._image_shape = self._image.shape
        self._start = rows.start
        self.names = rows.names
        self.lengths = rows.end - rows.start
        _, channels, height, width = self._image_shape
        self.frame_shape = (height, width, channels)
        self.classes = tuple(sorted(set(rows.category)) if classes is None else classes)
        numbers = {name: number for number, name in enumerate(self.classes)}
        for category in rows.category:
            if category not in numbers:
                raise InputError(
                    f"{self.path}: the category {category} of its table is not one of the "
                    f"{len(self.classes)} classes: add it to the classes, or give a table without "
                    "it"
                )
        self.labels = np.array([numbers[category] for category in rows.category], np.int32)
        self._graph_image = None
        if (
            stack.ADDONS_AND_IO
            and not storage.is_remote(self.path)
            and list(file) == ["image"]
            and self._image.id.get_offset() is not None  # contiguous
        ):
            # tensorflow-io crashes where files cannot be locked, as on some network file systems.
            os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
            tfio = needed("tensorflow_io", self.path)
            self._graph_image = tfio.IOTensor.from_hdf5(self.path)("/image")
            file.close()

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """See `windows.Videos`. With a stride the frames in between are read too."""
        start = tf.gather(self._start, video) + first
        stop = start + (frames - 1) * stride + 1
        if self._graph_image is not None:
            window = self._graph_image[start:stop]
        else:
            window = read_in_python(self._read, [start, stop], (None, *self._image_shape[1:]))
        window = tf.ensure_shape(window[::stride], (frames, *self._image_shape[1:]))
        return tf.transpose(window, [0, 2, 3, 1])

    def _read(self, start: np.int64, stop: np.int64) -> np.ndarray:
        try:
            return self._image[start:stop]
        except Exception as error:  # of h5py, or of the object store
            raise InputError(
                f"{self.path}: frames {start} to {stop - 1} cannot be read ({_why(error)}): "
                "download the file again"
            ) from error


def recordings(
    path: str | os.PathLike[str],
    table: str | os.PathLike[str] | None = None,
    allow_unpickling: bool = False,
) -> list[Recording]:
    """Lists the videos of an HDF5 file, for preparation.

    The file holds no frame times: the frame rate is 0, and asking for another raises an
    `InputError`.

    Args:
        path: the HDF5 file.
        table: the table of its videos. Default: the one beside it, see `table_path`.
        allow_unpickling: see `read_table`.

    Raises:
        InputError: see `HDF5File`.
    """
    path = storage.register(path)
    file, rows = _open_both(path, table, allow_unpickling)
    file.close()
    return [
        Recording(name, category, "train", partial(_read_video, path, int(start), int(end)))
        for name, category, start, end in zip(rows.names, rows.category, rows.start, rows.end)
    ]


def _read_video(
    path: str, start: int, end: int, recipe: Recipe, frame_rate: float | None
) -> tuple[float, Iterator[np.ndarray]]:
    if frame_rate is not None:
        raise InputError(
            Argument("frame_rate", frame_rate), f": {path} holds no frame times: leave it out"
        )
    return 0.0, _read_frames(path, start, end, recipe)


def _read_frames(path: str, start: int, end: int, recipe: Recipe) -> Iterator[np.ndarray]:
    with _open(path) as file:
        for first in range(start, end, _BLOCK):
            try:
                frames = file["image"][first : min(first + _BLOCK, end)]
            except Exception as error:  # of h5py, or of the object store
                raise UnreadableRecording(_why(error)) from error
            for frame in frames.transpose(0, 2, 3, 1):
                yield recipe.apply(np.ascontiguousarray(frame))


def _open_both(
    path: str, table: str | os.PathLike[str] | None, allow_unpickling: bool
) -> tuple[Any, Table]:
    """Opens a file and its table, checked against each other: an `h5py.File` and the table."""
    file = _open(path)
    frames = len(file["image"])
    table = table_path(path) if table is None else storage.register(table)
    rows = read_table(table, allow_unpickling)
    last = rows.end.argmax()
    if rows.end[last] > frames:
        raise InputError(
            f"{table}: end={rows.end[last]} of {rows.names[last]}, but {path} holds {frames} "
            "frames: give the table that was written with the file"
        )
    return file, rows


def _open(path: str) -> Any:
    """Opens an `h5py.File` and checks the shape and type of its dataset `image`."""
    h5py = needed("h5py", path)
    try:
        # HDF5 reads only the parts it needs of a remote file.
        file = h5py.File(storage.open_file(path) if storage.is_remote(path) else path, "r")
        image = file.get("image")
        fits = isinstance(image, h5py.Dataset)
        if fits:
            found = f"its dataset 'image' is {image.dtype} {list(image.shape or [])}"
            fits = image.dtype == np.uint8 and image.ndim == 4 and image.shape[1] == 3
            fits = fits and 0 not in image.shape
        else:
            names = []
            file.visititems(
                lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
            found = ", ".join(names[:5]) + (" ..." if names[5:] else "")
            found = f"has no dataset 'image', {f'only {found}' if found else 'nor any other'}"
    except Exception as error:  # a damaged file may raise anything, such as RuntimeError
        raise InputError(
            f"{path}: cannot be read as HDF5 ({_why(error)}): {_FILE_REMEDY}"
        ) from error
    if not fits:
        raise InputError(f"{path}: {found}: {_FILE_REMEDY}")
    return file


def _why(error: Exception) -> str:
    """The reason of an error; h5py wraps it: "Unable to open file (REASON: details, errno = 2)"."""
    wrapped = re.search(r"\(([^:,)]*)", str(error))
    if wrapped is None:
        return reason(error)
    errno = getattr(error, "errno", None)
    return f"{wrapped[1]}: {os.strerror(errno)}" if errno else wrapped[1]


def _open_corpus(
    path: str, size: int, table: str | None = None, allow_unpickling: bool = False
) -> Corpus:
    found = recordings(path, table, allow_unpickling)
    return Corpus(
        path,
        KIND.name,
        ("train",),
        videos=lambda _: HDF5File(path, table, allow_unpickling),
        classes=tuple(sorted({each.category for each in found if each.category is not None})),
        recipe=named_recipe("ucf101", size),
        recordings=lambda: found,
        has_times=False,
    )


KIND = Kind(
    "hdf5",
    "an .h5 file of the reference's UCF-101",
    files(".h5", ".hdf5"),
    _open_corpus,
    ("table", "allow_unpickling"),
)
