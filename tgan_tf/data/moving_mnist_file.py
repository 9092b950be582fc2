"""Moving MNIST from `mnist_test_seq.npy`, the file the reference trains on.

The file is uint8 [20 frames, 10000 sequences, 64, 64], frames first
(https://www.cs.toronto.edu/~nitish/unsupervised_video/). As in the authors' code a clip is a
random window of T successive frames of a sequence: with the default arguments uint8
[16, 64, 64, 1], from one of 5 first frames.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from tgan_tf.errors import InputError


class MovingMNISTFile:
    """Windows of the sequences in a .npy file, which is mapped into memory and not loaded.

    Clip n shows sequence n modulo `num_clips`; its first frame is chosen by the seed and n. A
    later epoch, which goes on counting, so shows the same sequences through other windows.

    Args:
        path: a .npy file, uint8 [frames, sequences, height, width].
        frames: frames of a clip T, from 1 to the frames in the file.
        seed: another seed gives other windows.

    Attributes:
        clip_shape: (T, height, width, 1).
        num_clips: the number of sequences.

    Raises:
        InputError: the file cannot be read, does not hold such an array, or has fewer than T
            frames; or `frames` is below 1.

    Example:
        >>> MovingMNISTFile("mnist_test_seq.npy").clip(0).shape
        TensorShape([16, 64, 64, 1])
    """

    def __init__(self, path: str | os.PathLike, frames: int = 16, seed: int = 0):
        if frames < 1:
            raise InputError(f"frames={frames}: a clip needs at least 1 frame")
        self.path = path
        self.frames = frames
        self.seed = seed
        self._sequences = _map(path)
        length, self.num_clips, height, width = self._sequences.shape
        if length < frames:
            raise InputError(
                f"frames={frames}: the sequences of {str(path)!r} have {length} frames: "
                f"give {length} or fewer"
            )
        self.clip_shape = (frames, height, width, 1)

    def clip(self, number: int | tf.Tensor) -> tf.Tensor:
        """Reads one clip.

        Args:
            number: int64 scalar, at least 0.

        Returns:
            uint8 [T, height, width, 1].
        """
        number = tf.cast(number, tf.int64)
        # Philox by name: "auto_select" would choose other windows on other hardware.
        first = tf.random.stateless_uniform(
            [],
            seed=tf.stack([tf.constant(self.seed, tf.int64), number]),
            maxval=len(self._sequences) - self.frames + 1,
            dtype=tf.int64,
            alg="philox",
        )
        # Not stateful: the same arguments read the same window, in any order and thread.
        clip = tf.numpy_function(
            self._read, [number % self.num_clips, first], tf.uint8, stateful=False
        )
        return tf.ensure_shape(clip, self.clip_shape)

    def _read(self, sequence: np.int64, first: np.int64) -> np.ndarray:
        # Copied here, while the file is at hand: TensorFlow must not hold on to the map.
        return np.array(self._sequences[first : first + self.frames, sequence, :, :, np.newaxis])


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
