"""The networks against their description: shapes, parameters by hand, numbers by NumPy."""

import contextlib
import io

import keras
import numpy as np
import pytest
import reference_networks as reference
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.models import Critic, ImageGenerator, TemporalGenerator, VideoGenerator


def trained_looking(network, seed=0):
    """Gives every weight a value, so that no bias is zero and no scale one."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        low, high = (
            (0.5, 1.5) if "gamma" in variable.name or "variance" in variable.name else (-0.3, 0.3)
        )
        variable.assign(rng.uniform(low, high, variable.shape))
    return network


def latents(n, dim=6, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (n, dim)).astype(np.float32)


def count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_papers_temporal_generator_has_the_parameters_counted_by_hand():
    convolutions = (
        (100 * 512 + 512)
        + (4 * 512 * 256 + 256)
        + (4 * 256 * 128 + 128)
        + (4 * 128 * 128 + 128)
        + (4 * 128 * 100 + 100)
    )
    assert count(TemporalGenerator()) == convolutions + (512 + 256 + 128 + 128) == 825_444


@pytest.mark.parametrize("channels, expected", [(1, 3_622_113), (3, 3_622_691)])
def test_papers_image_generator_has_the_parameters_counted_by_hand(channels, expected):
    dense = 2 * 100 * 4096
    convolutions = 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 32)
    normalizations = 2 * (4096 + 4096 + 256 + 128 + 64 + 32)
    last = 9 * 32 * channels + channels
    by_hand = dense + convolutions + normalizations + last
    assert count(ImageGenerator(channels=channels)) == by_hand == expected


def test_papers_critic_has_the_parameters_counted_by_hand():
    convolutions = (
        (64 * 1 * 64 + 64)
        + (64 * 64 * 128 + 128)
        + (64 * 128 * 256 + 256)
        + (64 * 256 * 512 + 512)
        + (16 * 512 + 1)
    )
    assert count(Critic(channels=1)) == convolutions + (128 + 256 + 512) == 11_024_193


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("frames", [2, 16])
def test_temporal_generator_equals_numpy(frames, training):
    network = trained_looking(TemporalGenerator(frames, z0_dim=6, z1_dim=5, filters=8))
    z0 = latents(4)
    expected = reference.temporal_generator(network, z0, training)
    np.testing.assert_allclose(network(z0, training=training), expected, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [8, 16])
def test_image_generator_equals_numpy_that_joins_z0_for_every_frame(size, training):
    network = trained_looking(
        ImageGenerator(size, channels=3, z0_dim=6, z1_dim=5, filters=8), seed=2
    )
    z0, z1 = latents(3), latents(3 * 4, 5).reshape(3, 4, 5)
    expected = reference.image_generator(network, z0, z1, training)
    np.testing.assert_allclose(network([z0, z1], training=training), expected, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("frames, size", [(16, 16), (4, 16), (2, 32)])
def test_critic_equals_numpy(frames, size, training):
    network = trained_looking(Critic(frames, size, channels=2, filters=3), seed=3)
    clips = np.random.default_rng(4).uniform(-1, 1, (3, *network.clip_shape)).astype(np.float32)
    expected = reference.critic(network, clips, training)
    np.testing.assert_allclose(
        network(clips, training=training), expected, atol=1e-5 * np.abs(expected).max() + 1e-5
    )


def test_video_generator_renders_the_frame_latents_it_gives():
    generator = trained_looking(
        VideoGenerator(4, 8, 1, z0_dim=6, z1_dim=5, temporal_filters=8, image_filters=8)
    )
    z0 = latents(2)
    z1 = reference.temporal_generator(generator.temporal_generator, z0, False)
    np.testing.assert_allclose(generator.frame_latents(z0), z1, atol=1e-5)
    clips = reference.image_generator(generator.image_generator, z0, z1, False)
    np.testing.assert_allclose(generator(z0), clips, atol=1e-5)


@pytest.mark.parametrize("frames", [8, 16, 32, 64])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_every_frame_count_and_size_fits_generator_and_critic(frames, size):
    generator = VideoGenerator(frames, size, 3, 4, 4, temporal_filters=4, image_filters=32)
    critic = Critic(frames, size, 3, filters=1)
    assert generator.clip_shape == critic.clip_shape == (frames, size, size, 3)
    if size == 32 or frames == 8:
        clips = generator(latents(2, 4))
        assert clips.shape == (2, frames, size, size, 3)
        assert critic(clips).shape == (2, 1)


def test_image_generator_takes_more_frames_than_the_temporal_generator_makes():
    generator = VideoGenerator(4, 8, 1, 6, 5, temporal_filters=8, image_filters=8)
    assert generator.render(latents(2), tf.zeros([2, 9, 5])).shape == (2, 9, 8, 8, 1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: VideoGenerator(frames=12), "frames=12"),
        (lambda: VideoGenerator(frames=1), "frames=1"),
        (lambda: VideoGenerator(size=48), "size=48"),
        (lambda: VideoGenerator(size=4), "size=4"),
        (lambda: VideoGenerator(z0_dim=0), "z0_dim=0"),
        (lambda: VideoGenerator(channels=-1), "channels=-1"),
        (lambda: VideoGenerator(temporal_filters=10), "temporal_filters=10"),
        (lambda: VideoGenerator(size=64, image_filters=24), "image_filters=24"),
        (lambda: Critic(frames=20), "frames=20"),
        (lambda: Critic(size=65), "size=65"),
        (lambda: Critic(filters=0), "critic_filters=0"),
        (lambda: Critic(frames=16.0), "frames=16.0"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_by_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "network",
    [
        lambda: VideoGenerator(4, 8, 1, 6, 5, 8, 8, temporal_initializer="he_normal"),
        lambda: Critic(4, 8, 1, 2, kernel_constraint=keras.constraints.MaxNorm(3)),
    ],
)
def test_constructor_arguments_come_back_in_the_configuration(network):
    network = network()
    copy = type(network).from_config(network.get_config())
    assert copy.get_config() == network.get_config()
    assert [v.shape for v in copy.variables] == [v.shape for v in network.variables]


def test_uniform_initialiser_gives_each_layer_its_own_weights():
    init = keras.initializers.RandomUniform(-0.01, 0.01)
    generator = VideoGenerator(4, 16, 1, 6, 5, 8, 8, init, init)
    kernels = [v.numpy().ravel()[:100] for v in generator.trainable_variables if "kernel" in v.name]
    assert all(np.abs(kernel).max() <= 0.01 for kernel in kernels)
    assert len({kernel[:16].tobytes() for kernel in kernels}) == len(kernels)


def test_summary_shows_each_layers_output_shape():
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        Critic(16, 64, 1).summary()
        ImageGenerator(64, 1).summary()
    for shape in ("8, 32, 32, 64", "1, 4, 4, 512", "64, 64, 32", "64, 64, 1"):
        assert shape in text.getvalue()
    assert "multiple" not in text.getvalue()
    assert "11024193" in text.getvalue().replace(",", "")
