"""The critics that see frames as channels against NumPy and against counts by hand."""

import numpy as np
import pytest
import reference_networks as reference
import tensorflow as tf
from reference_networks import trained_looking

from tgan_tf.errors import InputError
from tgan_tf.evaluation.spectral_report import gradient_norms, lipschitz_bound
from tgan_tf.models import Critic, FramesAsChannelsCritic, VideoAndFrameCritic
from tgan_tf.models.batch_normalization import BatchNormalization


@pytest.fixture(scope="module")
def both():
    """A noisy pair of critics, with weights that look trained, and clips for it."""
    network = VideoAndFrameCritic(4, 16, 2, filters=3, center=True, noise=0.3, slope=0.1)
    return trained_looking(network, seed=3), reference.clips(3, network.clip_shape)


def assert_scores_equal(scores, expected):
    tolerance = 1e-5 * np.abs(expected).max() + 1e-5
    np.testing.assert_allclose(scores, expected, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("downsampling", ["max_pooling", "stride"])
@pytest.mark.parametrize("frames, size", [(16, 8), (3, 8), (2, 32)])
def test_frame_critic_equals_numpy_in_inference_and_training(frames, size, downsampling):
    network = FramesAsChannelsCritic(
        frames, size, 2, filters=3, downsampling=downsampling, epsilon=0.01
    )
    trained_looking(network, seed=3)
    clips = reference.clips(3, network.clip_shape)
    images = reference.frames_as_channels(clips)
    for training in (False, True):
        expected = reference.frame_critic(network, images, training)
        assert_scores_equal(network(clips, training=training), expected)


@pytest.mark.slow
def test_a_class_is_channels_after_all_frames_and_once_a_clip():
    network = trained_looking(FramesAsChannelsCritic(4, 8, 2, filters=3, num_classes=3))
    assert network.convolutions[0].kernel.shape == (3, 3, 4 * 2 + 3, 3)
    clips = reference.clips(3, network.clip_shape)
    labels = np.eye(3, dtype=np.float32)[[2, 0, 0]]
    images = reference.with_labels(reference.frames_as_channels(clips), labels)
    assert_scores_equal(
        network([clips, labels]), reference.frame_critic(network, images, training=False)
    )


@pytest.fixture(scope="module")
def projecting():
    """A critic that projects on the class, clips and their labels."""
    critic = FramesAsChannelsCritic(4, 8, 2, filters=3, num_classes=3, head="projection")
    clips = reference.clips(4, critic.clip_shape)
    return trained_looking(critic), clips, np.eye(3, dtype=np.float32)[[2, 0, 1, 2]]


@pytest.mark.slow
def test_a_projection_adds_the_output_of_the_class_to_that_of_the_clip(projecting):
    critic, clips, labels = projecting
    outputs = reference.frame_critic(critic, reference.frames_as_channels(clips), training=False)
    assert outputs.shape == (4, 4)  # one of the clip, three of classes
    expected = outputs[:, :1] + (labels * outputs[:, 1:]).sum(axis=1, keepdims=True)
    assert_scores_equal(critic([clips, labels]), expected)


@pytest.mark.slow
def test_a_projection_changes_no_faster_than_the_bound_of_its_spectra_says(projecting):
    fastest = gradient_norms(*projecting).max()
    assert 0 < fastest <= lipschitz_bound(projecting[0])


def test_a_projection_needs_classes():
    with pytest.raises(InputError, match="head='projection': needs classes: give num_classes"):
        FramesAsChannelsCritic(2, 8, 1, head="projection")


@pytest.mark.slow
def test_stages_of_a_frame_critic_are_its_kernels_in_order():
    network = FramesAsChannelsCritic(2, 16, 1, filters=2)
    names = [(layer.name, bn and bn.name) for layer, bn in network.stages]
    assert names == [("conv0", None), ("conv1", "bn1"), ("score", None)]


@pytest.mark.slow
def test_references_frame_critic_has_the_parameters_counted_by_hand():
    network = FramesAsChannelsCritic(16, 64, 1, downsampling="stride", center=True)
    convolutions = 16 * (16 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512
    normalizations = 2 * (128 + 256 + 512)
    score = 512 * 4 * 4 + 1
    parameters = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert parameters == convolutions + normalizations + score


@pytest.mark.slow
def test_second_derivatives_reach_every_kernel_as_a_gradient_penalty_needs():
    network = trained_looking(FramesAsChannelsCritic(2, 16, 1, filters=2))
    clips = tf.constant(reference.clips(2, network.clip_shape))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(clips)
            scores = network(clips, training=True)
        penalty = tf.reduce_sum(tf.square(inner.gradient(scores, clips)))
    kernels = [layer.kernel for layer, _ in network.stages]
    assert all(np.abs(gradient).max() > 0 for gradient in outer.gradient(penalty, kernels))


@pytest.mark.slow
def test_video_and_frame_critic_gives_a_column_for_each_critic(both):
    network, clips = both
    expected = np.concatenate(
        [
            reference.critic(network.video_critic, clips, False),
            reference.frame_critic(
                network.frame_critic, reference.frames_as_channels(clips), False
            ),
        ],
        axis=1,
    )
    scores = network(clips)
    assert scores.shape == (3, 2)
    assert_scores_equal(scores, expected)


@pytest.mark.slow
def test_the_two_critics_get_all_arguments_and_constraints_of_their_own():
    network = VideoAndFrameCritic(
        2, 8, 1, filters=2, kernel_constraint="max_norm", epsilon=0.1, slope=0.3, num_classes=2
    )
    assert [type(critic) for critic in network.critics()] == [Critic, FramesAsChannelsCritic]
    for critic in network.critics():
        shared = {**network.get_config(), "name": critic.name}
        assert {key: critic.get_config()[key] for key in shared} == shared
    constraints = [layer.kernel_constraint for layer, _ in network.stages]
    assert len({id(constraint) for constraint in constraints}) == len(constraints) == 4


@pytest.mark.slow
def test_stages_of_both_are_the_video_critics_then_the_frame_critics(both):
    network, _ = both
    layers = [layer for layer, _ in network.stages]
    assert layers[:3] == [*network.video_critic.convolutions, network.video_critic.score]
    assert layers[3:] == [*network.frame_critic.convolutions, network.frame_critic.score]
    after = [normalization for _, normalization in network.stages]
    assert [type(bn) for bn in after if bn is not None] == [BatchNormalization] * 2


def test_the_two_critics_do_not_share_their_noise(both, monkeypatch):
    network, clips = both
    draws = []

    def recorded(like, seed, stream):
        draws.append((*np.array(seed).tolist(), stream))
        return tf.zeros_like(like)

    monkeypatch.setattr("tgan_tf.models.network.global_normal", recorded)
    for number_of_pass in range(3):
        network(clips, training=True, noise_seed=[1, 2, number_of_pass])
    assert len(set(draws)) == len(draws) == 3 * 4


def test_both_critics_see_the_class():
    network = trained_looking(VideoAndFrameCritic(2, 8, 1, filters=2, num_classes=2))
    clips = np.repeat(reference.clips(1, network.clip_shape), 2, axis=0)
    first, second = network([clips, np.eye(2, dtype=np.float32)]).numpy()
    assert (first != second).all()


@pytest.mark.parametrize("kind", [FramesAsChannelsCritic, VideoAndFrameCritic])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"frames": 1}, "^frames=1: must be an integer ≥ 2"),
        ({"size": 48}, "size=48"),
        ({"filters": 0}, "^filters=0"),
        ({"noise": -0.1}, "^noise=-0.1"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_by_name(kind, arguments, message):
    with pytest.raises(InputError, match=message):
        kind(**arguments)


def test_an_unknown_downsampling_is_refused():
    with pytest.raises(InputError, match="downsampling='average': must be one of max_pooling"):
        FramesAsChannelsCritic(downsampling="average")


def test_a_critic_of_volumes_too_is_refused_frames_that_are_no_power_of_two():
    with pytest.raises(InputError, match="^frames=12: must be a power of two"):
        VideoAndFrameCritic(12)
