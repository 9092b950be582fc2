"""Reads NumPy files from untrusted sources: nothing is unpickled, and sizes are checked first."""

from __future__ import annotations

import math
import os
import re
import zipfile
from typing import IO

import numpy as np

from tgan_tf.capacity import readable

_MOST = 16
"""The most bytes of arrays per byte of an archive; trained weights compress little."""


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the shape of an array, whether its first axis varies fastest, and its dtype.

    Args:
        file: an open file, which is read up to the array's numbers.

    Raises:
        Exception: of many classes, if it does not hold an array.
        ValueError: it holds Python objects, which must not be read or memory-mapped.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_2_0
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if min(shape, default=0) < 0:
        raise ValueError("it has a negative shape")
    return shape, fortran_order, dtype


def read_npz(path: str | os.PathLike[str], names: str = "") -> dict[str, np.ndarray]:
    """Reads arrays from an .npz file of weights.

    Args:
        path: a local file.
        names: regular expression for the beginning of the names to read.

    Raises:
        Exception: of many classes, if it is not a complete .npz file.
        ValueError: an array holds Python objects or its length does not match its shape, or all
            arrays together would take more than 16 times the bytes of the file.
    """
    total = 0
    found: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or not re.match(names, name):
                continue
            with archive.open(info) as member:
                try:
                    shape, _, dtype = read_header(member)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
                size = math.prod(shape) * dtype.itemsize
                if size != info.file_size - member.tell():
                    raise ValueError(f"{name}: its length does not match its shape")
            found.append(name)
            total += size
    most = _MOST * os.path.getsize(path) + 2**20
    if total > most:
        raise ValueError(
            f"its arrays would take {readable(total)}, but the file has "
            f"{readable(os.path.getsize(path))}"
        )
    with np.load(path, allow_pickle=False) as npz:
        return {name: npz[name] for name in found}
