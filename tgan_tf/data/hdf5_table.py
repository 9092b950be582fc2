"""The table of the videos in an HDF5 file: each row gives the frames of one video.

The columns are `start` and `end` (exclusive) of a video's frames in the file, `category`, `group`
and `scene`. The reference (`make_ucf101.py` of pfnet-research/tgan) pickles the table with pandas.
Unpickling runs any code that the file holds, so here the table is a CSV file unless the user allows
a pickle.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf.data import storage
from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.extras import extra

_COLUMNS = ("start", "end", "category", "group", "scene")
_PICKLES = (".pkl", ".pickle")
_REMEDY = f"give a table with the columns {', '.join(_COLUMNS)}, one row per video"


class Table(NamedTuple):
    """The videos in a file of frames.

    Attributes:
        start: int64 [videos], the first frame of each video.
        end: int64 [videos], the frame after its last.
        category: the name of its class.
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
        """UCF-101's names of the videos: v_<Category>_g<group>_c<scene>."""
        videos = zip(self.category, self.group, self.scene)
        return tuple(f"v_{category}_g{group:02d}_c{scene:02d}" for category, group, scene in videos)


def read_table(path: str | os.PathLike[str], allow_unpickling: bool = False) -> Table:
    """Reads a table of videos.

    Args:
        path: a CSV file with a header, columns in any order, other columns ignored; or, with the
            extension .pkl or .pickle, a pickled pandas DataFrame with these columns.
        allow_unpickling: whether a pickle may be read. Reading runs the code that the file holds.

    Raises:
        InputError: the file cannot be read, is a pickle and pickles are not allowed, lacks a column
            or rows, has a video without a category or frames, or lists a video twice.
    """
    path = storage.register(path)
    if path.lower().endswith(_PICKLES):
        columns, rows = _unpickle(path, allow_unpickling)
    else:
        columns, rows = _read_csv(path)
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}: {_REMEDY}")
    videos: list[tuple[int, int, str, int, int]] = []
    places: dict[tuple[str, int, int], str] = {}
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
                "last and must be greater than start"
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
        raise InputError(f"{path}: has no rows: {_REMEDY}")
    starts, ends, categories, groups, scenes = zip(*videos)
    return Table(np.array(starts), np.array(ends), categories, np.array(groups), np.array(scenes))


def write_table(path: str | os.PathLike[str], table: Table) -> None:
    """Writes a table as CSV, or as a pickle like the reference's if it ends in .pkl or .pickle.

    Raises:
        InputError: the extension is unknown, the file exists, or it cannot be written.
    """
    path = storage.register(path)
    extension = os.path.splitext(path)[1].lower()
    if extension not in (".csv", *_PICKLES):
        raise InputError(f"{path}: must end with one of {', '.join(('.csv', *_PICKLES))}")
    if extension == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(zip(*table))
        data = text.getvalue().encode()
    else:
        file = io.BytesIO()
        needed("pandas", path).DataFrame(table._asdict()).to_pickle(file)
        data = file.getvalue()
    try:
        if storage.exists(path):
            raise InputError(f"{path}: already exists: give another name")
        storage.write(path, data)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: cannot be written ({reason(error)}): give a path in a folder that exists and "
            "has space"
        ) from error


def table_path(h5_path: str | os.PathLike[str]) -> str:
    """Finds the table beside an HDF5 file, preferably a CSV file.

    For ucf101_train.h5 it is ucf101_train.csv, ucf101_train_pd.csv or ucf101_train_conf_pd.csv, or
    one of the latter two as .pkl, which are the reference's names.

    Raises:
        InputError: there is none.
    """
    h5_path = storage.register(h5_path)
    stem = os.path.splitext(h5_path)[0]
    endings = (".csv", "_pd.csv", "_conf_pd.csv", "_pd.pkl", "_conf_pd.pkl")
    for ending in endings:
        if storage.exists(stem + ending):
            return stem + ending
    name = os.path.basename(stem)
    looked_for = ", ".join(name + ending for ending in endings)
    raise InputError(
        f"{h5_path}: has no table of its videos beside it (looked for {looked_for}): put one there"
    )


def _read_csv(path: str) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """The columns of a CSV file, and its rows, each with its place in the file."""
    text = storage.read_text(path, _REMEDY)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        return list(reader.fieldnames or []), [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV file: {_REMEDY}") from error


def _unpickle(
    path: str, allow_unpickling: bool
) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """`_read_csv` for a pickled DataFrame."""
    if not allow_unpickling:
        raise InputError(
            f"{path}: unpickling runs code from the file: if you trust it, give ",
            Argument("allow_unpickling", True),
            ", or give a CSV file",
        )
    pandas = needed("pandas", path)
    try:
        frame = pandas.read_pickle(io.BytesIO(storage.read(path)))
    except Exception as error:  # a pickle may raise anything
        raise InputError(f"{path}: cannot be unpickled ({reason(error)}): {_REMEDY}") from error
    if not isinstance(frame, pandas.DataFrame):
        raise InputError(f"{path}: holds a {type(frame).__name__}, not a DataFrame: {_REMEDY}")
    return list(frame), [(f"row {n}", row) for n, row in enumerate(frame.to_dict("records"))]


def _whole(path: str, place: str, column: str, value: Any) -> int:
    """The integer in a cell of a table."""
    try:
        number = int(value)
        if number != float(value) or not 0 <= number < 2**53:
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: {place}: {column}={value!r}: must be an integer ≥ 0") from error
    return number


def needed(module: str, path: str) -> ModuleType:
    """Imports a package that only HDF5 files need."""
    with extra("data", path):
        return importlib.import_module(module)
