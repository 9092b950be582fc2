"""Clips in a .npy file, such as `mnist_test_seq.npy`, the Moving MNIST of the reference.

The file is uint8 [20 frames, 10000 sequences, 64, 64], frames first
(https://www.cs.toronto.edu/~nitish/unsupervised_video/).
"""

from __future__ import annotations

import os

import numpy as np

from tgan_tf.data.kind import Corpus, Kind, files
from tgan_tf.data.mapped_clips import (
    AXES_REMEDY,
    MappedClips,
    corpus_of,
    in_order,
    is_of_other_axes,
)
from tgan_tf.errors import InputError


class MovingMNISTFile(MappedClips):
    """The sequences in a .npy file, which is memory-mapped, not loaded.

    Args:
        path: a local .npy file of uint8, with four axes or, with channels, five.
        array_axes: the letters of its axes, see `tgan_tf.data.mapped_clips`. Without them the file
            is read as [frames, sequences, height, width] if that is plausible: it must have fewer
            frames than sequences, and successive frames must differ less than successive sequences.

    Attributes: those of `tgan_tf.data.windows.Videos`; a sequence is a video without a class.

    Raises:
        InputError: the file cannot be read, does not hold such an array, or its axes are in doubt.

    Example:
        >>> Windows(MovingMNISTFile("mnist_test_seq.npy")).clip(0).shape
        TensorShape([16, 64, 64, 1])
    """

    def __init__(self, path: str | os.PathLike[str], array_axes: str | None = None):
        self.array_axes = array_axes
        array = _map(path)
        if array_axes is None:
            _check_usual(path, array)
            array_axes = "tnhw"
        super().__init__(path, in_order(path, array, array_axes), "sequence")

    def __reduce__(self) -> tuple:
        return MovingMNISTFile, (self.path, self.array_axes)


def _check_usual(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Raises an `InputError` if an array cannot be [frames, sequences, h, w]."""
    if array.ndim != 4:
        why = f"{array.ndim} axes, not those of mnist_test_seq.npy [frames, sequences, 64, 64]"
    elif min(array.shape[2:]) <= 3:
        why = f"frames of {array.shape[2]}x{array.shape[3]} if read as [frames, sequences, h, w]"
    elif array.shape[0] >= array.shape[1]:
        why = "not fewer frames than sequences if read as [frames, sequences, height, width]"
    elif is_of_other_axes(array.transpose(1, 0, 2, 3)[..., np.newaxis]):
        why = "more alike along its second axis than along its first, where frames would be"
    else:
        return
    raise InputError(f"{path}: holds uint8 {list(array.shape)}: {why}: ", *AXES_REMEDY)


def _map(path: str | os.PathLike[str]) -> np.ndarray:
    """Memory-maps a file of uint8."""
    remedy = (
        "give a .npy file of uint8 [frames, sequences, height, width], such as mnist_test_seq.npy"
    )
    try:
        # Unlike np.load, opens no archives and never unpickles.
        sequences = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}): {remedy}") from error
    except Exception as error:  # a damaged header may raise anything, such as TokenError
        raise InputError(
            f"{path}: is not a complete .npy file of plain numbers: {remedy}"
        ) from error
    if sequences.dtype != np.uint8 or sequences.ndim not in (4, 5) or 0 in sequences.shape:
        found = f"{sequences.dtype} {list(sequences.shape)}"
        raise InputError(f"{path}: holds {found}: {remedy}")
    return sequences


def _open_corpus(path: str, size: int, array_axes: str | None = None) -> Corpus:
    return corpus_of(KIND.name, MovingMNISTFile(path, array_axes))


KIND = Kind(
    "moving mnist",
    "a .npy array such as mnist_test_seq.npy",
    files(".npy"),
    _open_corpus,
    ("array_axes",),
    to_prepare=False,
)
