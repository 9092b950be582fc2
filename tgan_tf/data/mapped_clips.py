"""Clips that lie in one array, usually mapped from a file."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from tgan_tf import capacity


class MappedClips:
    """The clips of an array, each a video without a class.

    Args:
        path: where they come from.
        clips: uint8 [clips, frames, rows, columns, channels].
        name: what a clip is called in messages, before its number.

    Attributes: those of `tgan_tf.data.windows.Videos`.

    Raises:
        InputError: they are more than the memory holds the names of.
    """

    labels = None
    classes = None

    def __init__(self, path: str | os.PathLike, clips: np.ndarray, name: str):
        self.path = str(path)
        self._clips = clips
        count, length, *frame_shape = clips.shape
        # A file without blocks on the disk may be said to hold any number of clips.
        capacity.check_memory(150 * count, f"{path}: its {count:,} clips", "give a shorter array")
        self.names = [f"{name} {number}" for number in range(count)]
        self.lengths = np.full(count, length, np.int64)
        self.frame_shape = tuple(frame_shape)

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """Reads a window; see `tgan_tf.data.windows.Videos`."""

        def copy(video: np.int64, first: np.int64) -> np.ndarray:
            # Copied here, while the file is at hand: TensorFlow must not hold on to the map.
            return np.array(self._clips[video, first : first + frames * stride : stride])

        # Not stateful: the same arguments read the same window, in any order and thread.
        window = tf.numpy_function(copy, [video, first], tf.uint8, stateful=False)
        return tf.ensure_shape(window, [frames, *self.frame_shape])
