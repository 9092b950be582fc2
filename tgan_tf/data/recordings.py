"""A recording is one original video; a recipe resizes its frames to those of a data set.

The input of a preparation (`tgan_tf.data.preparation`) is recordings, whatever the files are: a
video file, a tall JPEG, rows of an HDF5 file. Each is read once, from its first frame to its last,
with one frame in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Callable, NamedTuple

import numpy as np
from PIL import Image

from tgan_tf.arguments import Integer, OneOf, check


class Recipe(NamedTuple):
    """How to resize a frame of any size to the size of the data set.

    Attributes:
        name: "ucf101": the whole frame, stretched to `size` rows and 85/64 as many columns, of
            which training takes `size`; in the centre these are columns 10 to 73 of 64 x 85
            (pfnet-research/tgan, `make_ucf101.py` and `datasets/ucf_dataset.py`). "center_crop":
            the shorter side resized to `size`, the centre cut out of the longer one.
        size: rows of a frame.

    Example:
        >>> Recipe("ucf101", 64).frame_shape
        (64, 85, 3)
    """

    name: str
    size: int

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the frames."""
        return self.size, round(self.size * 85 / 64) if self.name == "ucf101" else self.size, 3

    def resized(self, rows: float | Fraction, columns: float | Fraction) -> tuple[int, int]:
        """The rows and columns to resize a frame to, before its centre is cut out.

        Args:
            rows: rows of the upright frame as displayed: "center_crop" keeps its proportions.
            columns: columns of the upright frame as displayed.
        """
        if self.name == "ucf101":
            return self.frame_shape[:2]
        shorter = min(rows, columns)
        return (
            max(self.size, round(rows * self.size / shorter)),
            max(self.size, round(columns * self.size / shorter)),
        )

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Resizes and crops a frame, by area averaging if it becomes smaller, else bilinearly.

        Args:
            frame: uint8 [rows, columns, 3].

        Returns:
            uint8 `frame_shape`.
        """
        rows, columns = self.resized(*frame.shape[:2])
        if (rows, columns) != frame.shape[:2]:
            smaller = rows <= frame.shape[0] and columns <= frame.shape[1]
            filter_ = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
            frame = np.asarray(Image.fromarray(frame).resize((columns, rows), filter_))
        top, left = (rows - self.frame_shape[0]) // 2, (columns - self.frame_shape[1]) // 2
        return frame[top : top + self.frame_shape[0], left : left + self.frame_shape[1]]


#: The names of the recipes.
RECIPES = ("ucf101", "center_crop")


def recipe(name: str, size: int) -> Recipe:
    """Returns a recipe by its name.

    Raises:
        InputError: no recipe has that name, or `size` is below 1.
    """
    check(OneOf(RECIPES), recipe=name)
    check(Integer(1), size=size)
    return Recipe(name, size)


class UnreadableRecording(Exception):
    """Raised if a recording cannot be used; the message is the reason, for `skipped.csv`."""


class Recording(NamedTuple):
    """A video that has not been read yet. It can be pickled and read by another process.

    Attributes:
        name: a unique name: the path relative to the data set's.
        category: its class; None if there are no classes.
        subset: "train" or "test".
        read: (recipe, frame rate) → the frame rate (frames per second; 0 if unknown) and an
            iterator of frames, uint8 `recipe.frame_shape`. A frame rate of None keeps all frames.
            `read`, or the iterator later, may raise `UnreadableRecording`.
    """

    name: str
    category: str | None
    subset: str
    read: Callable[[Recipe, float | None], tuple[float, Iterator[np.ndarray]]]
