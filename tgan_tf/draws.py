"""The random draws, and the stream of each.

Everything random in a step depends only on the run's seed, the step, the kind of draw and the
position in the global batch. So a resumed run draws the same as an uninterrupted one, and two
replicas the same as one. The streams are those of the counter-based generator Philox (Salmon et
al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), chosen by name, since TensorFlow's
default depends on the device:

    tf.random.stateless_uniform(shape, seed(run_seed, step, Draw.LATENTS), alg=ALGORITHM)
"""

from __future__ import annotations

import enum

import tensorflow as tf

ALGORITHM = "philox"
_STEPS = 2**40


class Draw(enum.IntEnum):
    """The kinds of draws: one for each update of the critic or, for `CLIPS`, for each real clip.

    The numbers never change, since a resumed run must draw as before.
    """

    CLIPS = 0
    """What a real clip shows, or its window of a video; the clip's number is the step."""
    WHETHER_TO_SHUFFLE = 1
    """Whether the frames of this step's clips are shuffled."""
    ORDER_OF_FAKE = 2
    """The order of frames for the generated clips."""
    ORDER_OF_REAL = 3
    """The order of frames for the real clips."""
    PENALTY_WEIGHTS = 4
    """The point between a real and a generated clip at which the critic's gradient is penalised."""
    LATENTS = 5
    """The latents z0 of the generated clips."""
    WINDOW_OF_FAKE = 6
    """The frames of the generated clips that the critic sees."""
    WINDOW_OF_REAL = 7
    """The frames of the real clips that the critic sees."""


class Pass(enum.IntEnum):
    """The critic's passes in an update, each with different noise.

    The noise has separate streams, one for each pass and activation; see
    `tgan_tf.models.network.global_normal`.
    """

    FAKE = 0
    REAL = 1
    PENALTY = 2


def seed(run_seed: int, step: tf.Tensor, draw: Draw) -> tf.Tensor:
    """The seed of a draw, different for each run's seed, step and kind of draw.

    Args:
        run_seed: the run's seed, from 0 to 2^63 - 1.
        step: integer scalar, the critic's step count or a clip's number, from 0 to 2^40 - 1.
        draw: the kind of draw.

    Returns:
        int64 [2], for TensorFlow's stateless operations.
    """
    return tf.stack([tf.constant(run_seed, tf.int64), tf.cast(step, tf.int64) + draw * _STEPS])
