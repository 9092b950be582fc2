"""What is drawn at random, and the stream that each draw is of.

All that is random in a step follows from the run's seed, the step, which draw it is and the place
in the global batch: so a run that goes on draws what an unbroken one would, and two replicas what
one would. The streams are those of the counter-based generator Philox (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC 2011), by name: TensorFlow by itself chooses by the device:

    tf.random.stateless_uniform(shape, seed(run_seed, step, Draw.LATENTS), alg=ALGORITHM)
"""

from __future__ import annotations

import enum

import tensorflow as tf

ALGORITHM = "philox"
_STEPS = 2**40


class Draw(enum.IntEnum):
    """What is drawn once for an update of the critic or, `CLIPS`, once for a real clip.

    A number keeps its meaning, or a run that goes on would draw otherwise than before.
    """

    CLIPS = 0
    """What a real clip shows, or which window of a video it is; its number is the step."""
    WHETHER_TO_SHUFFLE = 1
    """Whether the frames of this step's clips are put in another order."""
    ORDER_OF_FAKE = 2
    """That order, of the generated clips."""
    ORDER_OF_REAL = 3
    """That order, of the real clips."""
    PENALTY_WEIGHTS = 4
    """Where between a real and a generated clip the critic's gradient is penalised."""
    LATENTS = 5
    """The latents z0 of the generated clips."""
    WINDOW_OF_FAKE = 6
    """Which frames of the generated clips the critic sees."""
    WINDOW_OF_REAL = 7
    """Which frames of the real clips the critic sees."""


class Pass(enum.IntEnum):
    """The critic's passes in an update, each with noise of its own.

    The noise is of further streams, one for each pass and activation: see
    `tgan_tf.models.network.global_normal`.
    """

    FAKE = 0
    REAL = 1
    PENALTY = 2


def seed(run_seed: int, step: tf.Tensor, draw: Draw) -> tf.Tensor:
    """The seed of a draw, another one for each run's seed, step and draw.

    Args:
        run_seed: of the run, from 0 to 2^63 - 1.
        step: integer scalar, the critic's step count or a clip's number, from 0 to 2^40 - 1.
        draw: which of the step's it is.

    Returns:
        int64 [2], for TensorFlow's stateless operations.
    """
    return tf.stack([tf.constant(run_seed, tf.int64), tf.cast(step, tf.int64) + draw * _STEPS])
