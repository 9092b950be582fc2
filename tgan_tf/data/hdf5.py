"""UCF-101 as the reference stores it: one HDF5 file of frames, and a table of the videos in it.

The file is what `make_ucf101.py` of pfnet-research/tgan writes and `datasets/ucf_dataset.py` reads:
a dataset `image`, uint8 [frames, 3, rows, columns] (64 rows of 85 columns), with the frames of all
videos one after the other. The table has a row a video: `start` and `end` (exclusive) of its
frames, `category`, `group` and `scene`. The reference pickles it with pandas; since unpickling runs
whatever code the file holds, the table is a CSV file here unless the user says otherwise.

tensorflow-io reads windows of the file inside the graph. It can do so for the layout of
`make_ucf101.py`, in a local file; h5py, which checks every file first, reads all others, because
tensorflow-io

- loads a file from an object store whole into memory, where h5py asks for the parts it needs,
- ends the process where an entry of the file beside `image` cannot be followed, and refuses a file
  with an entry of a type it does not know,
- prints HDF5's error stacks where compressed frames are damaged.

From an object store each window takes several requests, one after the other: for training convert
such a file to TFRecords (`tgan_tf.data.preparation`) or copy it first.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf.data import storage
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.errors import InputError, reason
from tgan_tf.extras import extra

_COLUMNS = ("start", "end", "category", "group", "scene")
_PICKLES = (".pkl", ".pickle")
_TABLE_REMEDY = f"give a table with the columns {', '.join(_COLUMNS)}, a row a video"
_FILE_REMEDY = (
    "give an HDF5 file with a dataset 'image', uint8 [frames, 3, rows, columns], as make_ucf101.py "
    "of pfnet-research/tgan writes it"
)

# Frames read at a time while a video is prepared: 1 MB of 64 x 85.
_BLOCK = 64


class Table(NamedTuple):
    """The videos in a file of frames.

    Attributes:
        start: int64 [videos], the first frame of each.
        end: int64 [videos], the frame after its last.
        category: its class, by name.
        group: int64 [videos], the group of films it was cut from.
        scene: int64 [videos], its number in the group.
    """

    start: np.ndarray
    end: np.ndarray
    category: tuple[str, ...]
    group: np.ndarray
    scene: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """What UCF-101 calls the videos: v_<Category>_g<group>_c<scene>."""
        videos = zip(self.category, self.group, self.scene)
        return tuple(f"v_{category}_g{group:02d}_c{scene:02d}" for category, group, scene in videos)


def read_table(path: str | os.PathLike, allow_unpickling: bool = False) -> Table:
    """Reads a table of videos.

    Args:
        path: a CSV file with a header, its columns in any order, others ignored; or, by its
            extension .pkl or .pickle, a pandas DataFrame with these columns.
        allow_unpickling: whether a pickle may be read. It runs the code that the file holds.

    Raises:
        InputError: the file cannot be read, is a pickle and must not be, lacks a column or rows,
            has a video without a category or frames, or one video twice.
    """
    path = storage.register(path)
    if path.lower().endswith(_PICKLES):
        columns, rows = _unpickle(path, allow_unpickling)
    else:
        columns, rows = _read_csv(path)
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}: {_TABLE_REMEDY}")
    videos, places = [], {}
    for place, row in rows:
        start, end, group, scene = (
            _whole(path, place, column, row[column])
            for column in ("start", "end", "group", "scene")
        )
        category = row["category"].strip() if isinstance(row["category"], str) else ""
        if not category:
            raise InputError(f"{path}: {place}: category={row['category']!r}: give a name")
        if start >= end:
            raise InputError(
                f"{path}: {place}: start={start}, end={end}: end is the frame after the video's "
                "last, give one greater than start"
            )
        video = category, group, scene
        if video in places:
            raise InputError(
                f"{path}: {place}: category={category}, group={group}, scene={scene} is in "
                f"{places[video]} already: remove one of them"
            )
        places[video] = place
        videos.append((start, end, *video))
    if not videos:
        raise InputError(f"{path}: has no rows: {_TABLE_REMEDY}")
    start, end, category, group, scene = zip(*videos)
    return Table(np.array(start), np.array(end), category, np.array(group), np.array(scene))


def write_table(path: str | os.PathLike, table: Table) -> None:
    """Writes a table as CSV or, by its extension .pkl or .pickle, as a pickle like the reference's.

    Raises:
        InputError: the extension is another, there is a file of that name, or it cannot be
            written.
    """
    path = storage.register(path)
    extension = os.path.splitext(path)[1].lower()
    if extension not in (".csv", *_PICKLES):
        raise InputError(f"{path}: a table ends with {', '.join(('.csv', *_PICKLES))}: name one so")
    if extension == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(zip(*table))
        data = text.getvalue().encode()
    else:
        file = io.BytesIO()
        _needed("pandas", path).DataFrame(table._asdict()).to_pickle(file)
        data = file.getvalue()
    try:
        if tf.io.gfile.exists(path):
            raise InputError(f"{path}: exists already: give another name")
        storage.write(path, data)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}): give a path in a folder that exists and "
            "has space"
        ) from error


def table_path(h5_path: str | os.PathLike) -> str:
    """The table beside an HDF5 file, a CSV file if there is one.

    For ucf101_train.h5 it is ucf101_train.csv, ucf101_train_pd.csv or ucf101_train_conf_pd.csv, or
    one of the latter two as .pkl, the names that the reference gives it.

    Raises:
        InputError: there is none.
    """
    h5_path = storage.register(h5_path)
    stem = os.path.splitext(h5_path)[0]
    endings = (".csv", "_pd.csv", "_conf_pd.csv", "_pd.pkl", "_conf_pd.pkl")
    for ending in endings:
        if tf.io.gfile.exists(stem + ending):
            return stem + ending
    name = os.path.basename(stem)
    looked_for = ", ".join(name + ending for ending in endings)
    raise InputError(
        f"{h5_path}: there is no table of its videos beside it, looked for {looked_for}: put one "
        "there"
    )


class HDF5File:
    """Videos in an HDF5 file, read window by window; implements `windows.Videos`.

    Args:
        path: of the HDF5 file.
        table: of the table of its videos; default the one beside it, see `table_path`.
        allow_unpickling: see `read_table`.
        classes: names of the classes, in the order of their numbers; default the categories of
            the table in alphabetical order.

    Attributes:
        path, names, lengths, frame_shape, labels, classes: see `windows.Videos`. Names are those
            of UCF-101, v_<Category>_g<group>_c<scene>; the shape is (rows, columns, 3).

    Raises:
        InputError: the file or the table cannot be read, the file holds no such dataset or fewer
            frames than the table says, or a category is none of the classes.

    Example:
        >>> videos = HDF5File("ucf101_train.h5")
        >>> videos.read(tf.constant(7, tf.int64), tf.constant(0, tf.int64), 16, 1).shape
        TensorShape([16, 64, 85, 3])
    """

    def __init__(
        self,
        path: str | os.PathLike,
        table: str | os.PathLike | None = None,
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
                    f"{self.path}: the category {category} of its table is none of the "
                    f"{len(self.classes)} classes: give classes with it, or a table without it"
                )
        self.labels = np.array([numbers[category] for category in rows.category], np.int32)
        self._graph_image = None
        if (
            not storage.is_remote(self.path)
            and list(file) == ["image"]
            and self._image.id.get_offset() is not None  # in one piece
        ):
            # Where a file cannot be locked, as on some network file systems, tensorflow-io crashes.
            os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
            tfio = _needed("tensorflow_io", self.path)
            self._graph_image = tfio.IOTensor.from_hdf5(self.path)("/image")
            file.close()

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """See `windows.Videos`; with a stride the frames between are read too."""
        start = tf.gather(self._start, video) + first
        stop = start + (frames - 1) * stride + 1
        if self._graph_image is not None:
            window = self._graph_image[start:stop]
        else:
            # Not stateful: the same arguments read the same window, in any order and thread.
            window = tf.numpy_function(self._read, [start, stop], tf.uint8, stateful=False)
        window = tf.ensure_shape(window[::stride], (frames, *self._image_shape[1:]))
        return tf.transpose(window, [0, 2, 3, 1])

    def _read(self, start: np.int64, stop: np.int64) -> np.ndarray:
        try:
            return self._image[start:stop]
        except Exception as error:  # of h5py, or of the object store
            raise InputError(
                f"{self.path}: frames {start} to {stop - 1} cannot be read ({_why(error)}): get "
                "the file anew"
            ) from error


def recordings(
    path: str | os.PathLike,
    table: str | os.PathLike | None = None,
    allow_unpickling: bool = False,
) -> list[Recording]:
    """The videos of an HDF5 file, to be prepared for training.

    The file holds no times: their frame rate is 0, and to ask for another raises an `InputError`.

    Args:
        path: of the HDF5 file.
        table: of the table of its videos; default the one beside it, see `table_path`.
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
            f"frame_rate={frame_rate}: {path} holds no times of frames: leave the frame rate as "
            "it is"
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


def _open_both(path, table, allow_unpickling) -> tuple[Any, Table]:
    """Opens a file that fits its table: an `h5py.File` and the table."""
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
    """Opens an `h5py.File` whose dataset `image` has the shape and type of the reference's."""
    h5py = _needed("h5py", path)
    try:
        # HDF5 asks for what it needs of a remote file: nothing is loaded as a whole.
        file = h5py.File(tf.io.gfile.GFile(path, "rb") if storage.is_remote(path) else path, "r")
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
    except Exception as error:  # a damaged file may raise anything, RuntimeError for one
        raise InputError(
            f"{path}: cannot be read as HDF5 ({_why(error)}): {_FILE_REMEDY}"
        ) from error
    if not fits:
        raise InputError(f"{path}: {found}: {_FILE_REMEDY}")
    return file


def _read_csv(path: str) -> tuple[list[str], list[tuple[str, dict]]]:
    """The columns of a CSV file, and its rows, each with the place it stands at."""
    text = storage.read_text(path, _TABLE_REMEDY)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        return list(reader.fieldnames or []), [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV file: {_TABLE_REMEDY}") from error


def _unpickle(path: str, allow_unpickling: bool) -> tuple[list[str], list[tuple[str, dict]]]:
    """As `_read_csv`, of a pickled DataFrame."""
    if not allow_unpickling:
        raise InputError(
            f"{path}: unpickling runs code that is in the file: if you trust it, give "
            "--allow_unpickling, or make a CSV file of it once and for all: python "
            f"experiments/convert_table.py --input={path} "
            f"--output={os.path.splitext(path)[0]}.csv --allow_unpickling"
        )
    pandas = _needed("pandas", path)
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            frame = pandas.read_pickle(io.BytesIO(file.read()))
    except Exception as error:  # a pickle may raise anything
        raise InputError(
            f"{path}: cannot be unpickled ({reason(error)}): {_TABLE_REMEDY}"
        ) from error
    if not isinstance(frame, pandas.DataFrame):
        raise InputError(f"{path}: holds a {type(frame).__name__}, no DataFrame: {_TABLE_REMEDY}")
    return list(frame), [(f"row {n}", row) for n, row in enumerate(frame.to_dict("records"))]


def _whole(path: str, place: str, column: str, value: Any) -> int:
    """The whole number in a cell of a table."""
    try:
        number = int(value)
        if number != float(value) or not 0 <= number < 2**53:
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{path}: {place}: {column}={value!r}: give a whole number, 0 or more"
        ) from error
    return number


def _needed(module: str, path: str) -> ModuleType:
    """Imports a package that only this format needs."""
    with extra("data", path):
        return importlib.import_module(module)


def _why(error: Exception) -> str:
    """The reason in an error; h5py wraps it: "Unable to open file (REASON: details, errno = 2)"."""
    wrapped = re.search(r"\(([^:,)]*)", str(error))
    if wrapped is None:
        return reason(error)
    errno = getattr(error, "errno", None)
    return f"{wrapped[1]}: {os.strerror(errno)}" if errno else wrapped[1]
