"""What all critics are made of: noise of the global batch, labels, spectral normalisation."""

import types

import numpy as np
import pytest
import reference_networks as reference
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.models import Critic, VideoAndFrameCritic
from tgan_tf.models.network import global_normal, join_labels

SEED = [5, 7, 1]


@pytest.fixture(scope="module")
def noisy():
    return Critic(2, 8, 1, filters=4, noise=0.3, slope=1.0)


def test_a_label_is_joined_at_every_position():
    values = reference.clips(2, (3, 4, 5, 2))
    labels = np.float32([[0, 1, 0], [1, 0, 0]])
    joined = join_labels(tf.constant(values), tf.constant(labels))
    np.testing.assert_array_equal(joined, reference.with_labels(values, labels))


def test_noise_is_standard_normal():
    values = global_normal(tf.zeros([100, 10, 100]), SEED, 3).numpy()
    n = values.size
    assert abs(values.mean()) < 4 / n**0.5
    assert abs(values.std() - 1.0) < 4 / (2 * n) ** 0.5
    # Of a normal distribution 4.55 % are beyond two deviations.
    assert abs((np.abs(values) > 2.0).mean() - 0.0455) < 4 * (0.0455 / n) ** 0.5


def test_noise_follows_from_seed_and_stream_and_changes_with_each():
    like = tf.zeros([4, 8])
    values = global_normal(like, SEED, 3).numpy()
    np.testing.assert_array_equal(global_normal(like, tf.constant(SEED), 3), values)
    others = [([6, 7, 1], 3), ([5, 8, 1], 3), ([5, 7, 2], 3), (SEED, 4)]
    for seed, stream in others:
        assert (global_normal(like, seed, stream).numpy() != values).all()


def test_noise_of_a_replica_is_its_part_of_the_whole_batchs(monkeypatch):
    whole = global_normal(tf.zeros([8, 3, 4]), SEED, 3).numpy()
    for number, part in enumerate([whole[:4], whole[4:]]):
        replica = types.SimpleNamespace(replica_id_in_sync_group=number)
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda replica=replica: replica)
        np.testing.assert_array_equal(global_normal(tf.zeros([4, 3, 4]), SEED, 3), part)


def test_in_training_a_critic_adds_noise_of_its_deviation_before_the_activation(noisy):
    h = tf.ones([25, 4, 10, 10])
    values = noisy.activate(h, 0, True, SEED).numpy()
    # The slope is 1, so the noise is all that the activation changes.
    assert abs(values.mean() - 1.0) < 0.02
    assert abs(values.std() - 0.3) < 0.01
    assert (noisy.activate(h, 1, True, SEED).numpy() != values).any()


def test_noise_changes_scores_in_training_by_its_seed_and_not_in_inference(noisy):
    clips = reference.clips(3, noisy.clip_shape)
    scores = noisy(clips, training=True, noise_seed=SEED).numpy()
    np.testing.assert_array_equal(noisy(clips, training=True, noise_seed=SEED), scores)
    assert (noisy(clips, training=True, noise_seed=[5, 8, 1]).numpy() != scores).all()
    quiet = Critic(2, 8, 1, filters=4, slope=1.0)
    quiet.set_weights(noisy.get_weights())
    np.testing.assert_array_equal(noisy(clips, noise_seed=SEED), quiet(clips))


def test_training_with_noise_and_without_its_seed_is_refused(noisy):
    with pytest.raises(InputError, match="noise=0.3: give noise_seed when training"):
        noisy(reference.clips(1, noisy.clip_shape), training=True)


@pytest.mark.slow
def test_spectral_normalization_brings_every_kernel_to_norm_one():
    tf.random.set_seed(0)
    network = VideoAndFrameCritic(4, 16, 1, filters=3, spectral_normalization=True)
    clips = tf.constant(reference.clips(2, network.clip_shape))
    train = tf.function(lambda: network(clips, training=True))
    for _ in range(40):
        train()
    kernels = [v.numpy() for v in network.trainable_variables if "kernel" in v.name]
    assert len(kernels) == len(network.stages) == 6
    norms = [np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) for kernel in kernels]
    np.testing.assert_allclose(norms, 1.0, rtol=0.02)


@pytest.mark.slow
def test_spectral_normalization_leaves_biases_and_scales_alone():
    network = Critic(2, 16, 1, filters=3, spectral_normalization=True)
    reference.trained_looking(network)
    others = [v for v in network.trainable_variables if "kernel" not in v.name]
    before = [v.numpy() for v in others]
    network(reference.clips(2, network.clip_shape), training=True)
    assert len(others) == 4
    for variable, value in zip(others, before):
        np.testing.assert_array_equal(variable, value)
