"""Clips in one array, usually mapped from a file.

The lengths of an array's axes do not tell what they are: Moving MNIST is distributed as [20, 10000,
64, 64] and as [10000, 20, 64, 64], and exchanging the two axes makes clips whose frames come from
different sequences. The caller can name each axis by a letter: n for clips, t for frames, h for
rows, w for columns, c for channels.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from tgan_tf import capacity
from tgan_tf.data.kind import Corpus
from tgan_tf.data.windows import read_in_python
from tgan_tf.errors import Argument, InputError

_IN_ORDER = "nthwc"

#: The remedy for an array whose axes are unexpected or in doubt, as parts of a message.
AXES_REMEDY = (
    "give its axes as ",
    Argument("array_axes", "nthw"),
    " if clips come first, tnhw if frames do, with c where the channels are (nthwc, ntchw)",
)


class MappedClips:
    """The clips of an array, each a video without a class.

    Subclasses that map a file are pickled as its path, not as the array.

    Args:
        path: the file of the clips, for messages.
        clips: uint8 [clips, frames, rows, columns, channels].
        name: the word for a clip in messages, before its number.

    Attributes: those of `tgan_tf.data.windows.Videos`.

    Raises:
        InputError: there are too many clips to hold their names in memory.
    """

    labels = None
    classes = None

    def __init__(self, path: str | os.PathLike[str], clips: np.ndarray, name: str):
        self.path = str(path)
        self._clips = clips
        count, length, rows, columns, channels = clips.shape
        # A sparse file may claim to hold any number of clips.
        capacity.check_memory(150 * count, f"{path}: its {count:,} clips", "give a shorter array")
        self.names = [f"{name} {number}" for number in range(count)]
        self.lengths = np.full(count, length, np.int64)
        self.frame_shape = (rows, columns, channels)

    @property
    def reading(self) -> str:
        """How the axes of the array are interpreted, for the user."""
        rows, columns, channels = self.frame_shape
        return (
            f"{len(self.lengths)} clips of {self.lengths[0]} frames of {rows}x{columns}, "
            f"{'1 channel' if channels == 1 else f'{channels} channels'}"
        )

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """Reads a window; see `tgan_tf.data.windows.Videos`."""

        def copy(video: np.int64, first: np.int64) -> np.ndarray:
            # Copied here, since TensorFlow must not keep a reference to the map.
            return np.array(self._clips[video, first : first + frames * stride : stride])

        return read_in_python(copy, [video, first], (frames, *self.frame_shape))


def corpus_of(kind: str, videos: MappedClips) -> Corpus:
    """The corpus of the clips of an array: all of them for training, not resized."""
    return Corpus(videos.path, kind, ("train",), videos=lambda _: videos, reading=videos.reading)


def in_order(path: str | os.PathLike[str], array: np.ndarray, array_axes: str) -> np.ndarray:
    """Orders an array's axes as those of clips, without a copy.

    Args:
        path: the file of the array, for messages.
        array: uint8, with four axes or, with channels, five.
        array_axes: the letters of its axes, such as "tnhw".

    Returns:
        uint8 [clips, frames, rows, columns, channels].

    Raises:
        InputError: the letters do not name four or five axes, do not fit the array, or it does not
            have 1 or 3 channels.
    """
    axes, said = array_axes, Argument("array_axes", array_axes)
    if sorted(axes) not in (sorted("nthw"), sorted(_IN_ORDER)):
        raise InputError(
            said,
            ": must name each axis once, in the array's order: n (clips), t (frames), h (rows), w "
            "(columns) and, if there is one, c (channels); for example tnhw",
        )
    shape = f"{path}: holds {array.dtype} {list(array.shape)}"
    if array.ndim != len(axes):
        raise InputError(f"{shape}, ", said, f" names {len(axes)} axes: ", *AXES_REMEDY)
    if "c" not in axes:
        array, axes = array[..., np.newaxis], f"{axes}c"
    clips = array.transpose([axes.index(letter) for letter in _IN_ORDER])
    if clips.shape[-1] not in (1, 3):
        raise InputError(
            f"{shape}, with ", said, f" of {clips.shape[-1]} channels, which must be 1 or 3"
        )
    return clips


def is_of_other_axes(clips: np.ndarray) -> bool:
    """Whether the axes of clips and frames seem to be swapped.

    Successive frames differ less than successive clips. In Moving MNIST they differ two thirds as
    much.

    Args:
        clips: uint8 [clips, frames, rows, columns, channels]; the first 16 clips and frames are
            compared.
    """
    part = clips[:16, :16].astype(np.int16)
    if min(part.shape[:2]) < 2:
        return False
    from_frame_to_frame = np.abs(np.diff(part, axis=1)).mean()
    from_clip_to_clip = np.abs(np.diff(part, axis=0)).mean()
    return from_frame_to_frame > 1.15 * from_clip_to_clip
