"""The losses of critic and generator, functions of the critic's scores alone.

Each objective is a pair of losses of real and fake scores, float [batch, critics], looked up by its
name in `OBJECTIVES`. Losses are means over the batch, summed over the critics. With D the critic, x
real and G(z) fake clips:

    wasserstein     critic D(G(z)) - D(x), generator -D(G(z)) (the paper)
    normal          critic softplus(-D(x)) + softplus(D(G(z))), generator softplus(-D(G(z))):
                    sigmoid cross-entropy, non-saturating (Goodfellow et al. 2014)
    least_squares   critic (D(x) - 1)² + (D(G(z)) + 1)², generator D(G(z))² (Mao et al. 2017)
    hinge           critic max(0, 1 - D(x)) + max(0, 1 + D(G(z))), generator -D(G(z))
                    (Lim and Ye 2017)

The reference has the first three (`updaters/` of pfnet-research/tgan). It swaps the labels of the
second, so that its critic's scores have the opposite sign.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

from tgan_tf.arguments import OneOf, check
from tgan_tf.errors import Argument, InputError


class Objective(NamedTuple):
    """The two losses of an adversarial game.

    Attributes:
        critic_loss: (real_scores, fake_scores) → scalar that the critic minimises.
        generator_loss: fake_scores → scalar that the generator minimises.
        zero_sum: whether the gradient of the generator's loss with respect to the fake scores is
            minus that of the critic's loss, so that a single backward pass gives both.
        bounded: whether the critic's loss has a lower bound for any scores. If not, a method must
            keep the critic Lipschitz, see `tgan_tf.lipschitz`.
    """

    critic_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator_loss: Callable[[tf.Tensor], tf.Tensor]
    zero_sum: bool = False
    bounded: bool = True


def wasserstein_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """Minus the Wasserstein estimate: mean D(fake) - mean D(real)."""
    return mean(fake_scores) - mean(real_scores)


def wasserstein_generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """Minus the mean score of the generated clips: -mean D(fake)."""
    return -mean(fake_scores)


def normal_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """Sigmoid cross-entropy with real clips labelled 1 and generated ones 0."""
    return mean(tf.nn.softplus(-real_scores)) + mean(tf.nn.softplus(fake_scores))


def normal_generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """Sigmoid cross-entropy with generated clips labelled 1."""
    return mean(tf.nn.softplus(-fake_scores))


def least_squares_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """Squared distances of the real scores from 1 and of the generated clips' from -1."""
    return mean(tf.square(real_scores - 1.0)) + mean(tf.square(fake_scores + 1.0))


def least_squares_generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """Squared distance of the generated clips' scores from 0."""
    return mean(tf.square(fake_scores))


def hinge_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """Shortfall of the real scores below 1, and excess of the generated clips' scores above -1."""
    return mean(tf.nn.relu(1.0 - real_scores)) + mean(tf.nn.relu(1.0 + fake_scores))


def mean(values: tf.Tensor) -> tf.Tensor:
    """The mean over the batch, summed over the critics."""
    return tf.reduce_sum(tf.reduce_mean(values, axis=0))


OBJECTIVES = {
    "wasserstein": Objective(
        wasserstein_critic_loss, wasserstein_generator_loss, zero_sum=True, bounded=False
    ),
    "normal": Objective(normal_critic_loss, normal_generator_loss),
    "least_squares": Objective(least_squares_critic_loss, least_squares_generator_loss),
    "hinge": Objective(hinge_critic_loss, wasserstein_generator_loss),
}


def get(objective: str | Objective) -> Objective:
    """Returns the objective of a name; an `Objective` is returned unchanged.

    Raises:
        InputError: no objective has that name.
    """
    if isinstance(objective, Objective):
        return objective
    check(OneOf(tuple(sorted(OBJECTIVES))), objective=objective)
    return OBJECTIVES[objective]


def name_of(objective: Objective) -> str:
    """The name of an objective, for storing it in a file.

    Raises:
        InputError: it has no name.
    """
    for name, known in OBJECTIVES.items():
        # Keras 3 keeps a copy of a tuple that is a model's attribute.
        if known == objective:
            return name
    raise InputError(
        Argument("objective", objective),
        ": has no name, so it cannot be saved: put it into tgan_tf.objectives.OBJECTIVES",
    )
