"""The networks against their description: shapes, parameters by hand, numbers by NumPy."""

import contextlib
import io
import json

import keras
import numpy as np
import pytest
import reference_networks as reference
import tensorflow as tf
from reference_networks import latents, trained_looking

from tgan_tf import stack
from tgan_tf.constraints import SingularValueClipping, WeightClipping
from tgan_tf.errors import InputError
from tgan_tf.evaluation.spectral_report import gradient_norms, lipschitz_bound
from tgan_tf.models import (
    CRITICS,
    GENERATORS,
    Conv3DGenerator,
    Critic,
    FramesAsChannelsCritic,
    ImageGenerator,
    RecurrentTemporalGenerator,
    TemporalGenerator,
    TwoStreamGenerator,
    VideoAndFrameCritic,
    VideoGenerator,
)


def count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.slow
def test_papers_temporal_generator_has_the_parameters_counted_by_hand():
    convolutions = (
        (100 * 512 + 512)
        + (4 * 512 * 256 + 256)
        + (4 * 256 * 128 + 128)
        + (4 * 128 * 128 + 128)
        + (4 * 128 * 100 + 100)
    )
    assert count(TemporalGenerator()) == convolutions + (512 + 256 + 128 + 128) == 825_444


@pytest.mark.slow
@pytest.mark.parametrize("channels, expected", [(1, 3_622_113), (3, 3_622_691)])
def test_papers_image_generator_has_the_parameters_counted_by_hand(channels, expected):
    dense = 2 * 100 * 4096
    convolutions = 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 32)
    normalizations = 2 * (4096 + 4096 + 256 + 128 + 64 + 32)
    last = 9 * 32 * channels + channels
    by_hand = dense + convolutions + normalizations + last
    assert count(ImageGenerator(channels=channels)) == by_hand == expected


@pytest.mark.slow
def test_papers_critic_has_the_parameters_counted_by_hand():
    convolutions = (
        (64 * 1 * 64 + 64)
        + (64 * 64 * 128 + 128)
        + (64 * 128 * 256 + 256)
        + (64 * 256 * 512 + 512)
        + (16 * 512 + 1)
    )
    assert count(Critic(channels=1)) == convolutions + (128 + 256 + 512) == 11_024_193


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("frames", [2, 16])
def test_temporal_generator_equals_numpy(frames, training):
    network = trained_looking(TemporalGenerator(frames, z0_dim=6, z1_dim=5, filters=8))
    z0 = latents(4)
    expected = reference.temporal_generator(network, z0, training)
    np.testing.assert_allclose(network(z0, training=training), expected, atol=1e-5)


@pytest.mark.slow
def test_temporal_generator_with_offsets_and_another_epsilon_equals_numpy():
    network = trained_looking(TemporalGenerator(4, 6, 5, 8, center=True, epsilon=0.1))
    assert all(hasattr(bn, "beta") for bn in network.normalizations)
    expected = reference.temporal_generator(network, latents(4), True)
    np.testing.assert_allclose(network(latents(4), training=True), expected, atol=1e-5)


@pytest.mark.slow
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
    clips = reference.clips(3, network.clip_shape)
    expected = reference.critic(network, clips, training)
    np.testing.assert_allclose(
        network(clips, training=training), expected, atol=1e-5 * np.abs(expected).max() + 1e-5
    )


def test_critic_with_mean_offsets_slope_and_another_epsilon_equals_numpy():
    network = Critic(4, 16, 2, filters=3, head="mean", center=True, slope=0.01, epsilon=0.1)
    trained_looking(network, seed=3)
    clips = reference.clips(3, network.clip_shape)
    assert [name for name, _ in _names(network)] == ["conv0", "conv1"]
    for training in (False, True):
        expected = reference.critic(network, clips, training)
        np.testing.assert_allclose(network(clips, training=training), expected, atol=1e-5)


def test_critic_without_normalization_equals_numpy():
    network = trained_looking(Critic(4, 16, 2, filters=3, normalization="none"), seed=3)
    clips = reference.clips(3, network.clip_shape)
    assert _names(network) == [("conv0", None), ("conv1", None), ("score", None)]
    for training in (False, True):
        expected = reference.critic(network, clips, training)
        np.testing.assert_allclose(network(clips, training=training), expected, atol=1e-5)


def test_stages_of_a_critic_are_its_kernels_in_order():
    names = _names(Critic(2, 16, 1, filters=2))
    assert names == [("conv0", None), ("conv1", "bn1"), ("score", None)]


def _names(critic):
    return [(layer.name, bn and bn.name) for layer, bn in critic.stages]


def test_conditional_critic_sees_the_label_as_channels_of_every_frame():
    network = trained_looking(Critic(4, 8, 2, filters=3, num_classes=3))
    clips, labels = reference.clips(3, network.clip_shape), np.eye(3, dtype=np.float32)[[2, 0, 0]]
    joined = reference.with_labels(clips, labels)
    np.testing.assert_allclose(
        network([clips, labels]), reference.critic(network, joined, False), atol=1e-5
    )


@pytest.mark.slow
def test_video_generator_renders_the_frame_latents_it_gives():
    generator = trained_looking(
        VideoGenerator(4, 8, 1, z0_dim=6, z1_dim=5, temporal_filters=8, image_filters=8)
    )
    z0 = latents(2)
    z1 = reference.temporal_generator(generator.temporal_generator, z0, False)
    np.testing.assert_allclose(generator.frame_latents(z0), z1, atol=1e-5)
    clips = reference.image_generator(generator.image_generator, z0, z1, False)
    np.testing.assert_allclose(generator(z0), clips, atol=1e-5)


@pytest.mark.slow
def test_conditional_video_generator_joins_the_label_to_z0_and_to_each_z1():
    generator = VideoGenerator(4, 8, 1, 4, 5, temporal_filters=8, image_filters=8, num_classes=2)
    trained_looking(generator)
    joined = np.concatenate([latents(2, 4), np.eye(2, dtype=np.float32)], axis=1)
    z1 = reference.temporal_generator(generator.temporal_generator, joined, False)
    np.testing.assert_allclose(generator.frame_latents(joined), z1, atol=1e-5)
    z1 = reference.with_labels(z1, np.eye(2))
    clips = reference.image_generator(generator.image_generator, joined, z1, False)
    np.testing.assert_allclose(generator(joined), clips, atol=1e-5)


@pytest.mark.slow
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


@pytest.mark.slow
def test_image_generator_takes_more_frames_than_the_temporal_generator_makes():
    generator = VideoGenerator(4, 8, 1, 6, 5, temporal_filters=8, image_filters=8)
    assert generator.render(latents(2), tf.zeros([2, 9, 5])).shape == (2, 9, 8, 8, 1)


@pytest.mark.slow
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
        (lambda: Critic(filters=0), "^filters=0"),
        (lambda: Critic(frames=16.0), "frames=16.0"),
        (lambda: Critic(head="sum"), "head='sum': must be one of convolution, mean"),
        (lambda: Critic(noise=-0.1), "^noise=-0.1"),
        (lambda: Critic(num_classes=-1), "num_classes"),
        (lambda: VideoGenerator(num_classes=-1), "num_classes"),
        (lambda: VideoGenerator(latent_distribution="cauchy"), "latent_distribution='cauchy'"),
        (lambda: VideoGenerator(gru_layers=1, center=True), "center=True"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_by_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


GENERATOR_ARGUMENTS = {
    "frames": 4,
    "size": 8,
    "channels": 1,
    "z0_dim": 6,
    "epsilon": 0.1,
    "num_classes": 2,
    "latent_distribution": "normal",
    "name": "named",
}
CRITIC_ARGUMENTS = {
    "frames": 4,
    "size": 8,
    "channels": 1,
    "filters": 2,
    "kernel_initializer": "he_normal",
    "kernel_constraint": SingularValueClipping(2.0, interval=3),
    "bias_constraint": WeightClipping(0.1),
    "gamma_constraint": keras.constraints.MaxNorm(3),
    "spectral_normalization": True,
    "center": True,
    "epsilon": 0.1,
    "slope": 0.1,
    "noise": 0.3,
    "num_classes": 2,
    "name": "named",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, arguments",
    [
        (
            VideoGenerator,
            {
                **GENERATOR_ARGUMENTS,
                "z1_dim": 5,
                "temporal_filters": 8,
                "image_filters": 4,
                "temporal_initializer": "he_normal",
                "image_initializer": keras.initializers.RandomUniform(-0.01, 0.01),
                "center": True,
            },
        ),
        (
            VideoGenerator,
            {
                **GENERATOR_ARGUMENTS,
                "z1_dim": 5,
                "temporal_filters": 4,
                "image_filters": 4,
                "gru_layers": 1,
            },
        ),
        (Conv3DGenerator, {**GENERATOR_ARGUMENTS, "filters": 4, "kernel_initializer": "he_normal"}),
        (
            TwoStreamGenerator,
            {**GENERATOR_ARGUMENTS, "filters": 4, "kernel_initializer": "he_normal"},
        ),
        (Critic, {**CRITIC_ARGUMENTS, "head": "mean"}),
        (Critic, {**CRITIC_ARGUMENTS, "normalization": "none"}),
        (Critic, {**CRITIC_ARGUMENTS, "head": "projection", "num_classes": 3}),
        (FramesAsChannelsCritic, {**CRITIC_ARGUMENTS, "downsampling": "stride"}),
        (VideoAndFrameCritic, CRITIC_ARGUMENTS),
        (
            RecurrentTemporalGenerator,
            {
                "frames": 4,
                "z0_dim": 6,
                "z1_dim": 5,
                "filters": 4,
                "num_layers": 2,
                "kernel_initializer": "he_normal",
                "name": "named",
            },
        ),
    ],
)
def test_constructor_arguments_come_back_in_the_configuration_through_json(kind, arguments):
    network = kind(**arguments)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is kind
    assert copy.get_config() == network.get_config()
    for name, value in arguments.items():
        assert name in network.get_config()
        if isinstance(value, (int, float)) or name == "name":
            assert getattr(copy, name) == value
    assert [v.shape for v in copy.variables] == [v.shape for v in network.variables]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, x",
    [
        (lambda: TwoStreamGenerator(4, 8, 1, z0_dim=6, filters=4), latents(2)),
        (lambda: VideoAndFrameCritic(4, 8, 1, filters=2), reference.clips(2, (4, 8, 8, 1))),
    ],
)
def test_a_network_comes_back_from_a_keras_file(make, x, tmp_path):
    network = trained_looking(make())
    network.save(tmp_path / "network.keras")
    copy = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(copy(x), network(x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*GENERATORS.values(), *CRITICS.values()])
def test_every_networks_layers_and_variables_have_names_of_their_own(kind):
    network = kind(2, 8, 1)
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == len(names)
    assert len({stack.variable_path(v) for v in network.variables}) == len(network.variables)


@pytest.mark.slow
def test_uniform_initialiser_gives_each_layer_its_own_weights():
    init = keras.initializers.RandomUniform(-0.01, 0.01)
    generator = VideoGenerator(4, 16, 1, 6, 5, 8, 8, init, init)
    kernels = [v.numpy().ravel()[:100] for v in generator.trainable_variables if "kernel" in v.name]
    assert all(np.abs(kernel).max() <= 0.01 for kernel in kernels)
    assert len({kernel[:16].tobytes() for kernel in kernels}) == len(kernels)


@pytest.mark.slow
def test_summary_shows_each_layers_output_shape():
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        Critic(16, 64, 1).summary()
        ImageGenerator(64, 1).summary()
        Conv3DGenerator(16, 32, 3, filters=8).summary()
        TwoStreamGenerator(16, 32, 3, filters=8).summary()
        FramesAsChannelsCritic(16, 32, 3, filters=8).summary()
    for shape in ("8, 32, 32, 64", "1, 4, 4, 512", "64, 64, 32", "64, 64, 1"):
        assert shape in text.getvalue()
    for shape in ("2, 4, 4, 8", "8, 16, 16, 2", "16, 32, 32, 3", "1, 32, 32, 3", "8, 8, 32"):
        assert shape in text.getvalue()
    assert "multiple" not in text.getvalue()
    assert "11024193" in text.getvalue().replace(",", "")


def test_a_critic_refuses_clips_of_other_frames_than_its_own():
    critic = Critic(frames=4, size=8, channels=1, filters=2)
    with pytest.raises(InputError, match="clips of 8 frames: the critic takes 4: give it a window"):
        critic(tf.zeros([2, 8, 8, 8, 1]))


class TestProjection:
    def critic(self):
        return trained_looking(
            Critic(frames=2, size=8, channels=1, filters=2, head="projection", num_classes=3)
        )

    def test_adds_the_output_of_the_class_to_that_of_the_clip(self):
        critic, clips = self.critic(), reference.clips(4, (2, 8, 8, 1))
        classes = [2, 0, 1, 2]
        scores = critic([clips, np.eye(3, dtype=np.float32)[classes]]).numpy()[:, 0]
        # The last convolution has one filter for the clip and three for classes.
        h = tf.nn.leaky_relu(critic.convolutions[0](clips), 0.2)
        outputs = np.einsum("nijkc,ijkco->no", h, critic.score.kernel) + critic.score.bias
        expected = [row[0] + row[1 + label] for row, label in zip(outputs, classes)]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)

    def test_a_score_changes_no_faster_than_the_bound_of_its_spectra_says(self):
        critic, clips = self.critic(), reference.clips(16, (2, 8, 8, 1))
        labels = np.eye(3, dtype=np.float32)[np.arange(16) % 3]
        fastest = gradient_norms(critic, clips, labels).max()
        assert 0 < fastest <= lipschitz_bound(critic)

    def test_needs_classes(self):
        with pytest.raises(InputError, match="head='projection': needs classes: give num_classes"):
            Critic(frames=2, size=8, channels=1, head="projection")
