"""Clips in an .npz file, as `experiments/generate.py` writes it."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from typing import Literal

import numpy as np

from tgan_tf import capacity, numpy_files
from tgan_tf.data.kind import Corpus, Kind, files
from tgan_tf.data.mapped_clips import (
    AXES_REMEDY,
    MappedClips,
    corpus_of,
    in_order,
    is_of_other_axes,
)
from tgan_tf.errors import InputError

_REMEDY = (
    "give an .npz file with an array clips, uint8 [clips, frames, rows, columns, channels] with 1 "
    "or 3 channels"
)

_MAPPED = "write it with np.savez, whose files need not fit in memory"


class ClipsFile(MappedClips):
    """The clips in an .npz file, memory-mapped if they are stored uncompressed.

    A file of `np.savez` is not read whole; a file of `np.savez_compressed` is.

    Args:
        path: a local .npz file. Its array `clips`, or the only one in it, is uint8 [clips, frames,
            rows, columns, channels] with 1 or 3 channels, or [clips, frames, rows, columns].
        array_axes: the letters of its axes if they are in another order, see
            `tgan_tf.data.mapped_clips`.

    Attributes: those of `tgan_tf.data.windows.Videos`; a clip is a video without a class.

    Raises:
        InputError: the file cannot be read or does not hold such an array, its axes are in doubt,
            or it is compressed and larger than the free memory.

    Example:
        >>> Windows(ClipsFile("generated/step-1000_seed-0/clips.npz")).clip(0).shape
        TensorShape([16, 64, 64, 1])
    """

    def __init__(self, path: str | os.PathLike[str], array_axes: str | None = None):
        self.array_axes = array_axes
        array, name = _open(path, array_axes)
        usual = "nthw" if array.ndim == 4 else "nthwc"
        clips = in_order(path, array, usual if array_axes is None else array_axes)
        # An array named clips has the axes that generate.py writes, whatever its model has learnt.
        if array_axes is None and name != "clips" and is_of_other_axes(clips):
            raise InputError(
                f"{path}: its array {name} is uint8 {list(array.shape)}: more alike along its "
                f"first axis than along its second, where frames would be: ",
                *AXES_REMEDY,
            )
        super().__init__(path, clips, "clip")

    def __reduce__(self) -> tuple:
        return ClipsFile, (self.path, self.array_axes)


def _open(path: str | os.PathLike[str], axes: str | None) -> tuple[np.ndarray, str]:
    """The array of the clips in a file, uint8, and its name."""
    clips: np.ndarray
    try:
        with zipfile.ZipFile(path) as archive:
            info = _member(path, archive)
            with archive.open(info) as member:
                shape, fortran_order, dtype = numpy_files.read_header(member)
                _check(path, info.filename, shape, dtype, axes)
                if info.file_size - member.tell() != math.prod(shape):
                    raise ValueError("not as long as its shape says")
                if info.compress_type == zipfile.ZIP_STORED:
                    offset = _offset(path, info) + member.tell()
                    order: Literal["F", "C"] = "F" if fortran_order else "C"
                    clips = np.memmap(path, np.uint8, "r", offset, shape, order)
                else:
                    capacity.check_memory(
                        math.prod(shape), f"{path}: its array, which is compressed", _MAPPED
                    )
                    member.seek(0)
                    clips = np.lib.format.read_array(member, allow_pickle=False)
    except InputError:
        raise
    except MemoryError as error:
        size = capacity.readable(math.prod(shape))
        raise InputError(
            f"{path}: its array, which is compressed, takes {size} of memory, which is not "
            f"available: {_MAPPED}"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}): {_REMEDY}") from error
    except Exception as error:  # a damaged archive or header may raise anything
        raise InputError(
            f"{path}: is not a complete .npz file of plain numbers: {_REMEDY}"
        ) from error
    return clips, info.filename[: -len(".npy")]


def _member(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The entry of the clips."""
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if "clips.npy" in names:
        return archive.getinfo("clips.npy")
    if len(names) != 1:
        found = ", ".join(name[: -len(".npy")] for name in names) or "no array"
        raise InputError(f"{path}: holds {found}: {_REMEDY}")
    return archive.getinfo(names[0])


def _check(
    path: str | os.PathLike[str],
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    axes: str | None,
) -> None:
    array = f"{path}: its array {name[: -len('.npy')]} is {dtype} {list(shape)}"
    if dtype.kind == "f":
        raise InputError(
            f"{array}: must be uint8: tgan_tf.rendering.to_uint8 converts values in [-1, 1]"
        )
    if dtype != np.uint8 or len(shape) not in (4, 5) or 0 in shape:
        raise InputError(f"{array}: {_REMEDY}")
    # Four axes that end with channels are images without frames.
    if axes is None and (shape[-1] in (1, 3)) != (len(shape) == 5):
        raise InputError(f"{array}: {_REMEDY}, or ", *AXES_REMEDY)


def _offset(path: str | os.PathLike[str], info: zipfile.ZipInfo) -> int:
    """The position in the file at which an uncompressed entry begins."""
    with open(path, "rb") as file:
        # A header of 30 bytes precedes it and ends with the lengths of the two fields after it.
        file.seek(info.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + name_length + extra_length


def _open_corpus(path: str, size: int, array_axes: str | None = None) -> Corpus:
    return corpus_of(KIND.name, ClipsFile(path, array_axes))


KIND = Kind(
    "npz",
    "an .npz file of clips",
    files(".npz"),
    _open_corpus,
    ("array_axes",),
    to_prepare=False,
)
