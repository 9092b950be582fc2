"""The numbers of frames and frame sizes that the networks can be built for."""

from __future__ import annotations

from tgan_tf.arguments import Integer, check
from tgan_tf.errors import Argument, InputError

BASE_SIZE = 4
"""Rows and columns of the smallest feature maps of generator and critic."""


def doublings_to_frames(frames: int) -> int:
    """The number of doublings from 1 to `frames`; 4 for 16 frames.

    Raises:
        InputError: `frames` is not 2, 4, 8, …
    """
    check(Integer(2), frames=frames)
    if frames & (frames - 1):
        raise InputError(
            Argument("frames", frames), ": must be a power of two ≥ 2, such as 8, 16, 32 or 64"
        )
    return frames.bit_length() - 1


def doublings_to_size(size: int) -> int:
    """The number of doublings from 4 to `size`; 4 for 64 rows.

    Raises:
        InputError: `size` is not 8, 16, 32, …
    """
    check(Integer(2 * BASE_SIZE), size=size)
    if size & (size - 1):
        raise InputError(
            Argument("size", size), ": must be a power of two ≥ 8, such as 32, 64 or 128"
        )
    return (size // BASE_SIZE).bit_length() - 1
