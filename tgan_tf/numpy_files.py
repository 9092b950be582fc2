"""Arrays of NumPy's files, which may come from anyone: nothing is unpickled, no size unknown."""

from __future__ import annotations

import math
import os
import re
import zipfile
from typing import IO

import numpy as np

from tgan_tf.capacity import readable

_MOST = 16
"""Times its file that what is read of an archive may take: trained weights shrink little."""


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape of an array, whether its first axis varies fastest, and its type.

    Args:
        file: read up to the array's numbers.

    Raises:
        Exception: of many classes, where it holds no array.
        ValueError: it holds Python objects, which must not be read, nor mapped into memory.
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
    """Arrays of an .npz file of weights.

    Args:
        path: a local file.
        names: regular expression of how the names of those that are read begin.

    Raises:
        Exception: of many classes, where it is no whole such file.
        ValueError: an array holds Python objects or is shorter than its shape says, or all together
            would take more than 16 times the bytes of the file.
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
                    raise ValueError(f"{name}: it is not as long as its shape says")
            found.append(name)
            total += size
    most = _MOST * os.path.getsize(path) + 2**20
    if total > most:
        raise ValueError(
            f"its arrays would take {readable(total)}, of a file of "
            f"{readable(os.path.getsize(path))}"
        )
    with np.load(path, allow_pickle=False) as npz:
        return {name: npz[name] for name in found}
