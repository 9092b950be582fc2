"""Losses of four scores, worked by hand."""

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


def test_unknown_objective_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="objective='nosuch'.*wasserstein"):
        objectives.get("nosuch")
