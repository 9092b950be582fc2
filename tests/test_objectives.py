"""Losses of four scores, worked by hand."""

import math

import pytest
import tensorflow as tf

from tgan_tf import objectives
from tgan_tf.errors import InputError

REAL = tf.constant([[1.0], [2.0]])
FAKE = tf.constant([[0.5], [-4.0]])


def test_wasserstein_critic_loss_is_mean_fake_minus_mean_real():
    assert float(objectives.get("wasserstein").critic_loss(REAL, FAKE)) == -1.75 - 1.5


def test_wasserstein_generator_loss_is_minus_mean_fake():
    assert float(objectives.get("wasserstein").generator_loss(FAKE)) == 1.75


def test_normal_losses_are_the_cross_entropies_of_the_sigmoids():
    objective = objectives.get("normal")

    def loss(scores, label):
        probabilities = [1 / (1 + math.exp(-score)) for score in scores]
        right = [p if label else 1 - p for p in probabilities]
        return -sum(math.log(p) for p in right) / len(right)

    assert float(objective.critic_loss(REAL, FAKE)) == pytest.approx(
        loss([1, 2], 1) + loss([0.5, -4], 0), rel=1e-6
    )
    assert float(objective.generator_loss(FAKE)) == pytest.approx(loss([0.5, -4], 1), rel=1e-6)


def test_least_squares_losses_are_the_squares_from_1_and_minus_1_and_from_0():
    objective = objectives.get("least_squares")
    assert float(objective.critic_loss(REAL, FAKE)) == (0 + 1) / 2 + (2.25 + 9) / 2
    assert float(objective.generator_loss(FAKE)) == (0.25 + 16) / 2


def test_hinge_losses_are_what_the_scores_lack_and_minus_mean_fake():
    objective = objectives.get("hinge")
    real = tf.constant([[0.25], [2.0]])
    assert float(objective.critic_loss(real, FAKE)) == 0.75 / 2 + 1.5 / 2
    assert float(objective.generator_loss(FAKE)) == 1.75


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_zero_sum_are_those_whose_gradients_by_fake_scores_cancel(name):
    objective = objectives.get(name)
    with tf.GradientTape() as tape:
        tape.watch(FAKE)
        both = objective.critic_loss(REAL, FAKE) + objective.generator_loss(FAKE)
    gradient = tape.gradient(both, FAKE, unconnected_gradients="zero")
    assert objective.zero_sum == (float(tf.norm(gradient)) == 0.0)


def test_unknown_objective_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="objective='nosuch'.*wasserstein"):
        objectives.get("nosuch")
