"""What the critic and the generator minimise: functions of the critic's scores alone.

Each objective is a pair of losses of real and fake scores, float [batch, 1], looked up by its name
in `OBJECTIVES`. Their game is zero-sum as far as the generator can see: the gradient of the
generator's loss is minus that of the critic's. `TGAN` relies on it to train both with a single
backward pass.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

from tgan_tf.errors import InputError


class Objective(NamedTuple):
    """The two losses of an adversarial game.

    Attributes:
        critic_loss: (real_scores, fake_scores) → scalar that the critic minimises.
        generator_loss: fake_scores → scalar that the generator minimises.
    """

    critic_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator_loss: Callable[[tf.Tensor], tf.Tensor]


def wasserstein_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """Minus the Wasserstein estimate: mean D(fake) - mean D(real)."""
    return tf.reduce_mean(fake_scores) - tf.reduce_mean(real_scores)


def wasserstein_generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """Minus the mean score of the generated clips: -mean D(fake)."""
    return -tf.reduce_mean(fake_scores)


OBJECTIVES = {"wasserstein": Objective(wasserstein_critic_loss, wasserstein_generator_loss)}


def get(name: str) -> Objective:
    """The objective of a name.

    Raises:
        InputError: there is no such objective.
    """
    if name not in OBJECTIVES:
        raise InputError(f"objective={name!r}: give one of {', '.join(sorted(OBJECTIVES))}")
    return OBJECTIVES[name]
