"""What goes to a server and comes back: arrays of the dtypes and shapes that it has declared."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tgan_tf.errors import InputError, reason

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82"
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels


class TensorSpec(NamedTuple):
    """What a server declares of an input or an output.

    Attributes:
        dtype: TensorFlow's name of it, as "float32" or "string".
        shape: its sizes, each None where any will do; None if it may have any number of axes.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        """As "float32 [n, 100]"."""
        if self.shape is None:
            return f"{self.dtype} of any shape"
        sizes = ", ".join("n" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} [{sizes}]"

    @property
    def row(self) -> tuple[int, ...]:
        """The sizes of a row, all axes but the first; 0 where any will do."""
        return tuple(size or 0 for size in (self.shape or ())[1:])

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor may have this shape."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            declared in (None, size) for declared, size in zip(self.shape, shape)
        )


def as_declared(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    """An input as the model declares it.

    Args:
        name: of the input, for messages.
        value: what a user gives.
        spec: of dtype float32 or int64.

    Raises:
        InputError: it has another shape, no row, or values that the dtype has not.
    """
    wanted = f"must be {spec}, n at least 1"
    is_floating = spec.dtype == "float32"
    try:
        # Else NumPy makes floats of whole numbers on both sides of 2^63.
        array = np.asarray(value, None if is_floating else object)
        if is_floating:
            if array.dtype.kind not in "fiu":
                raise TypeError(array.dtype)
            with np.errstate(over="ignore"):
                tensor: np.ndarray = array.astype(np.float32)
        else:
            values = [operator.index(number) for number in array.flat]
            if not all(0 <= number < 2**64 for number in values):
                raise InputError(f"{name}: must be integers from 0 to 2^64 - 1")
            tensor = np.array(values, np.uint64).view(np.int64).reshape(array.shape)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {reason(error)}: {wanted}") from error
    if not spec.admits(tensor.shape) or not tensor.size:
        raise InputError(f"{name}: of shape {list(tensor.shape)}: {wanted}")
    if is_floating and not np.isfinite(tensor).all():
        raise InputError(f"{name}: holds a NaN or an infinity, in {spec.dtype}: {wanted}")
    return tensor


class Output(NamedTuple):
    """What an output of an answer must be.

    Attributes:
        dtype: TensorFlow's name of it.
        shape: all of it is known.
        values: where they are known too.
        frame_shape: rows, columns and channels of a frame of which a value is the PNG.
    """

    dtype: str
    shape: tuple[int, ...]
    values: np.ndarray | None = None
    frame_shape: tuple[int, int, int] | None = None

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def least_bytes(self) -> int:
        """Bytes of its values at the least, in any protocol."""
        return self.size * (1 if self.dtype == "string" else np.dtype(self.dtype).itemsize)

    @property
    def longest_value(self) -> int:
        """Characters of a string, in base64; 0 of a number, as that depends on the protocol."""
        # A PNG keeps what does not shrink as it is, with some bytes for each row and each chunk.
        return 2 * math.prod(self.frame_shape) + 4096 if self.frame_shape else 0

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raises a `ValueError` for another shape."""
        if tuple(shape) != self.shape:
            raise ValueError(f"of shape {list(shape)}, not {list(self.shape)}")

    def checked(self, array: np.ndarray) -> np.ndarray:
        """An answer's values as its dtype, in the shape that they must have.

        Args:
            array: of any dtype; whole numbers and bytes may be objects.

        Raises:
            ValueError: a value is out of range.
        """
        if self.dtype == "string" and self.frame_shape:
            rows, columns, channels = self.frame_shape
            start = _PNG_START + struct.pack(
                ">IIBB", columns, rows, 8, _PNG_COLOURS.get(channels, 9)
            )
            if not all(png.startswith(start) and png.endswith(_PNG_END) for png in array.flat):
                raise ValueError(f"of which one is no PNG of {rows} rows and {columns} columns")
            return array
        if self.values is not None and (array != self.values).any():
            raise ValueError(f"of {array.tolist()[:8]}, not {self.values.tolist()[:8]}")
        if self.dtype == "float32":
            low, high, rounding = -1, 1, 1e-5
        else:
            info = np.iinfo(self.dtype)
            low, high, rounding = info.min, info.max, 0
        # A NaN is neither.
        fits = (array >= low - rounding) & (array <= high + rounding)
        if not fits.all():
            raise ValueError(f"of {array[~fits][0]}, not from {low} to {high}")
        return (np.clip(array, low, high) if rounding else array).astype(self.dtype)
