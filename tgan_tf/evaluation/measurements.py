"""The measurements of each clip of a set, streamed to a file and read back as arrays.

    columns of a clip     features [d], probabilities [classes], motion [T - 1], scores []
    rows                  clips

The file holds two arrays in NumPy's format, one after the other, for `np.load` of an open file: a
description of the clips and of what measured them, JSON as bytes; and the rows, with float32 fields
named as the columns. The rows are memory-mapped, so memory does not grow with the number of clips.
A kept file is used again only for exactly what its description says.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Callable

import numpy as np
from tqdm import tqdm

from tgan_tf import numpy_files
from tgan_tf.capacity import check_disk
from tgan_tf.data import storage
from tgan_tf.errors import InputError, reason, remedy

FORMAT = 1

_ANOTHER = "give another file, or one that does not exist yet"


class Measurements:
    """The columns of a file of measurements, as memory-mapped arrays.

    Args:
        path: a file that `write` wrote.

    Attributes:
        columns: float32 [clips, ...] by name.
        count: number of clips.
        description: what was measured, and by what.

    Raises:
        InputError: the file cannot be read or has another format.
    """

    def __init__(self, path: str | os.PathLike[str]):
        try:
            self.description, rows = _open(path)
        except OSError as error:
            why = error.strerror or error
            raise InputError(
                f"{path}: cannot be read as measurements of real clips ({why}): {_ANOTHER}"
            ) from error
        except Exception as error:  # the header of another file may raise anything
            raise InputError(
                f"{path}: is not a file of measurements of real clips ({reason(error)}): {_ANOTHER}"
            ) from error
        self.columns = {name: rows[name] for name in rows.dtype.names or ()}
        self.count = len(rows)


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, Any], np.ndarray]:
    """The description of a file, and its rows, memory-mapped.

    Raises:
        OSError: it cannot be read.
        Exception: of many classes, if it has another format.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        (length,), _, dtype = numpy_files.read_header(file)
        if dtype != np.uint8 or length > size:
            raise ValueError("it does not begin with a description")
        description = json.loads(file.read(length))
        if not isinstance(description, dict):
            raise ValueError("its description is not a JSON object")
        (count,), _, dtype = numpy_files.read_header(file)
        # An array of anything but numbers must not be mapped.
        if not dtype.names or any(dtype[name].base != np.float32 for name in dtype.names):
            raise ValueError(f"it holds {dtype} instead of columns of float32")
        if size - file.tell() != count * dtype.itemsize:
            raise ValueError("its length is not as stated")
        return description, np.memmap(path, dtype, "r", file.tell(), count)


def write(
    path: str | os.PathLike[str],
    rows: Iterator[dict[str, np.ndarray]],
    count: int,
    description: dict[str, Any],
    what: str,
) -> Measurements:
    """Writes measurements batch by batch, with a progress bar on a terminal.

    Args:
        path: the file, which appears whole or not at all.
        rows: the measurements of each batch, see `tgan_tf.evaluation.measuring.measured`; `count`
            clips in all.
        count: number of clips.
        description: what is measured, and by what.
        what: label of the progress bar.

    Returns:
        The measurements, read back from the file.

    Raises:
        InputError: `rows` raises it, or the file cannot be written or does not fit on the disk.
    """
    path = Path(path)
    first = next(rows)
    dtype = [(name, "<f4", value.shape[1:]) for name, value in first.items()]
    check_disk(
        count * np.dtype(dtype).itemsize,
        path.parent,
        f"the measurements of {count:,} {what}",
        "ask for fewer, or give a directory with more room",
    )
    bar = tqdm(total=count, desc=what, unit="clip", disable=None, leave=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.replacing(str(path)) as temporary, open(temporary, "wb") as file, bar:
            _write_head(file, description, dtype, count)
            for values in itertools.chain([first], rows):
                block = np.empty(len(next(iter(values.values()))), dtype)
                for name, value in values.items():
                    block[name] = value
                file.write(block.tobytes())
                bar.update(len(block))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): {remedy(error)}"
        ) from error
    return Measurements(path)


def measure_once(
    directory: str | os.PathLike[str],
    rows: Callable[[int], Iterator[dict[str, np.ndarray]]],
    count: int,
    frames: int,
    description: dict[str, Any],
    what: str,
    path: str | os.PathLike[str] | None = None,
) -> Measurements:
    """Measures real clips, or reads the measurements that an earlier call kept.

    Args:
        directory: where the file is kept, under a name derived from the description.
        rows: count → the measurements of so many clips, see `write`.
        count: number of clips needed; a file with more is used too.
        frames: number of frames measured of each clip.
        description: see `write`; without the count.
        what: see `write`.
        path: a file that the user names instead, made if missing.

    Raises:
        InputError: the file at `path` has measurements of other clips, by another extractor or of
            too few clips, or has another format.
    """
    description = json.loads(json.dumps({"format": FORMAT, "frames": frames, **description}))
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
    place = Path(path) if path is not None else Path(directory) / f"real-{digest[:16]}.npy"
    if path is None:
        kept = _kept(place)
    else:
        kept = Measurements(place) if place.exists() else None
    if kept is not None:
        if kept.description == description and kept.count >= count:
            return kept
        if path is not None:
            if kept.description == description:
                why = f"has {kept.count} clips, but {count} are needed"
            else:
                name, had, asked = _difference(kept.description, description)
                why = f"has other data: {name} is {had}, now {asked}"
            raise InputError(f"{path}: {why}: {_ANOTHER}")
    return write(place, rows(count), count, description, what)


def _kept(place: Path) -> Measurements | None:
    """The measurements that an earlier call kept under their own name; None if they are damaged."""
    if not place.exists():
        return None
    try:
        _open(place)
    except OSError:  # not proved damaged: the last line says why it cannot be read
        pass
    except Exception as error:
        warnings.warn(f"{place}: damaged ({reason(error)}): measuring again", stacklevel=3)
        return None
    return Measurements(place)


def _write_head(
    file: BinaryIO,
    description: dict[str, Any],
    dtype: list[tuple[str, str, tuple[int, ...]]],
    count: int,
) -> None:
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.lib.format.write_array(file, text)
    head = {"descr": dtype, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_2_0(file, head)


def _difference(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, object, object]:
    """The first entry in which two descriptions differ, by its full name."""
    # Hashes last: any other difference says more.
    for name in sorted({*one, *other}, key=lambda name: (name.endswith("sha256"), name)):
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict) and a != b:
            inner, a, b = _difference(a, b)
            return f"{name}.{inner}", a, b
        if a != b:
            return name, a, b
    raise AssertionError("no difference")
