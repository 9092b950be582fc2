"""Checks arrays sent to and from a server against the dtypes and shapes that it declares."""

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
    """A server's declaration of an input or an output.

    Attributes:
        dtype: TensorFlow's name of the dtype, such as "float32" or "string".
        shape: its sizes, None for any size; None as a whole for any number of axes.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        """For example "float32 [n, 100]"."""
        if self.shape is None:
            return f"{self.dtype} of any shape"
        sizes = ", ".join("n" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} [{sizes}]"

    @property
    def row(self) -> tuple[int, ...]:
        """The sizes of a row, which is all axes but the first; 0 for any size."""
        return tuple(size or 0 for size in (self.shape or ())[1:])

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor may have this shape."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            declared in (None, size) for declared, size in zip(self.shape, shape)
        )


def as_declared(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    """Converts an input to the model's declaration.

    Args:
        name: name of the input, for messages.
        value: the user's value.
        spec: the declaration, of dtype float32 or int64.

    Raises:
        InputError: it has another shape, no rows, or values that the dtype cannot hold.
    """
    wanted = f"must be {spec}, n at least 1"
    is_floating = spec.dtype == "float32"
    try:
        # Otherwise NumPy turns integers on both sides of 2^63 into floats.
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
        raise InputError(f"{name}: holds a NaN or an infinity in {spec.dtype}: {wanted}")
    return tensor


class Output(NamedTuple):
    """The expected form of an output.

    Attributes:
        dtype: TensorFlow's name of the dtype.
        shape: the complete shape.
        values: the values, if they are known.
        frame_shape: rows, columns and channels of a frame, if the values are PNGs of frames.
    """

    dtype: str
    shape: tuple[int, ...]
    values: np.ndarray | None = None
    frame_shape: tuple[int, int, int] | None = None

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def least_bytes(self) -> int:
        """The fewest bytes of its values in any protocol."""
        return self.size * (1 if self.dtype == "string" else np.dtype(self.dtype).itemsize)

    @property
    def longest_value(self) -> int:
        """The most characters of a string in base64; 0 for numbers, see `bytes_per_value`."""
        # A PNG stores incompressible data unchanged, plus some bytes for each row and chunk.
        return 2 * math.prod(self.frame_shape) + 4096 if self.frame_shape else 0

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raises a `ValueError` for another shape."""
        if tuple(shape) != self.shape:
            raise ValueError(f"of shape {list(shape)}, not {list(self.shape)}")

    def checked(self, array: np.ndarray) -> np.ndarray:
        """Checks an answer's values and converts them to the dtype.

        Args:
            array: an array of any dtype, in the expected shape; integers and bytes may be objects.

        Raises:
            ValueError: a value is out of range.
        """
        if self.dtype == "string" and self.frame_shape:
            rows, columns, channels = self.frame_shape
            start = _PNG_START + struct.pack(
                ">IIBB", columns, rows, 8, _PNG_COLOURS.get(channels, 9)
            )
            if not all(png.startswith(start) and png.endswith(_PNG_END) for png in array.flat):
                raise ValueError(f"of which one is not a PNG of {rows} rows and {columns} columns")
            return array
        if self.values is not None and (array != self.values).any():
            raise ValueError(f"of {array.tolist()[:8]}, not {self.values.tolist()[:8]}")
        if self.dtype == "float32":
            low, high, rounding = -1, 1, 1e-5
        else:
            info = np.iinfo(self.dtype)
            low, high, rounding = info.min, info.max, 0
        # A NaN fails both.
        fits = (array >= low - rounding) & (array <= high + rounding)
        if not fits.all():
            raise ValueError(f"of {array[~fits][0]}, not from {low} to {high}")
        return (np.clip(array, low, high) if rounding else array).astype(self.dtype)
