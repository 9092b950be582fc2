"""Moving MNIST from `mnist_test_seq.npy`, the file the reference trains on.

The file is uint8 [20 frames, 10000 sequences, 64, 64], frames first
(https://www.cs.toronto.edu/~nitish/unsupervised_video/).
"""

from __future__ import annotations

import os

import numpy as np

from tgan_tf.data.mapped_clips import MappedClips
from tgan_tf.errors import InputError


class MovingMNISTFile(MappedClips):
    """The sequences in a .npy file, which is mapped into memory and not loaded.

    Args:
        path: a local .npy file, uint8 [frames, sequences, height, width].

    Attributes: those of `tgan_tf.data.windows.Videos`; a sequence is a video without a class.

    Raises:
        InputError: the file cannot be read or does not hold such an array.

    Example:
        >>> Windows(MovingMNISTFile("mnist_test_seq.npy")).clip(0).shape
        TensorShape([16, 64, 64, 1])
    """

    def __init__(self, path: str | os.PathLike):
        sequences = _map(path).transpose(1, 0, 2, 3)
        super().__init__(path, sequences[..., np.newaxis], "sequence")


def _map(path: str | os.PathLike) -> np.ndarray:
    """Maps a file of sequences into memory, uint8 [frames, sequences, height, width]."""
    remedy = (
        "give a .npy file of uint8 [frames, sequences, height, width], as mnist_test_seq.npy is"
    )
    try:
        # Unlike np.load, opens no archives and never unpickles.
        sequences = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}): {remedy}") from error
    except Exception as error:  # a damaged header may raise anything, TokenError for one
        raise InputError(f"{path}: is not a whole .npy file of plain numbers: {remedy}") from error
    if sequences.dtype != np.uint8 or sequences.ndim != 4 or 0 in sequences.shape:
        found = f"{sequences.dtype} {list(sequences.shape)}"
        raise InputError(f"{path}: holds {found}: {remedy}")
    return sequences
