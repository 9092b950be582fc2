"""The 3-D and the two-stream generator against NumPy and against counts by hand."""

import keras
import numpy as np
import pytest
import reference_networks as reference
import tensorflow as tf
from reference_networks import latents, trained_looking

from tgan_tf.errors import InputError
from tgan_tf.models import Conv3DGenerator, TwoStreamGenerator

SIZES = [(2, 8), (16, 8), (4, 16), (8, 16), (2, 32)]


@pytest.mark.slow
@pytest.mark.parametrize("frames, size", SIZES)
def test_conv3d_generator_equals_numpy_in_inference_and_training(frames, size):
    network = trained_looking(Conv3DGenerator(frames, size, 3, z0_dim=6, filters=8))
    z0 = latents(3)
    for training in (False, True):
        expected = reference.conv3d_generator(network, z0, training)
        assert expected.shape == (3, frames, size, size, 3)
        np.testing.assert_allclose(network(z0, training=training), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("frames, size", [SIZES[1], SIZES[-1]])
def test_two_stream_generator_equals_numpy_in_inference_and_training(frames, size):
    network = trained_looking(TwoStreamGenerator(frames, size, 2, z0_dim=6, filters=8), seed=2)
    z0 = latents(3)
    for training in (False, True):
        expected = reference.two_stream_generator(network, z0, training)
        assert expected.shape == (3, frames, size, size, 2)
        np.testing.assert_allclose(network(z0, training=training), expected, atol=1e-5)


@pytest.mark.slow
def test_where_the_mask_is_shut_a_two_stream_clip_stands_still():
    network = trained_looking(TwoStreamGenerator(4, 8, 1, z0_dim=6, filters=4))
    network.to_mask.bias.assign([-100.0])
    clips = network(latents(2)).numpy()
    np.testing.assert_array_equal(clips, np.repeat(clips[:, :1], 4, axis=1))
    assert clips.std() > 0.01


@pytest.mark.slow
def test_papers_conv3d_generator_has_the_parameters_counted_by_hand():
    dense = 100 * 4 * 4 * 512
    convolutions = 64 * (512 * 256 + 256 * 128 + 128 * 64)
    normalizations = 2 * (512 + 256 + 128 + 64)
    last = 64 * 64 * 3 + 3
    parameters = sum(int(np.prod(v.shape)) for v in Conv3DGenerator().trainable_variables)
    assert parameters == dense + convolutions + normalizations + last == 11_843_459


def test_a_clip_of_more_frames_than_doublings_make_has_them_from_its_base():
    network = Conv3DGenerator(64, 8, 1, z0_dim=6, filters=2)
    assert network(latents(2)).shape == (2, 64, 8, 8, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Conv3DGenerator, TwoStreamGenerator])
def test_a_conditional_generator_takes_the_label_after_z0(kind):
    conditional = kind(4, 8, 1, z0_dim=4, filters=4, num_classes=2)
    plain = kind(4, 8, 1, z0_dim=6, filters=4)
    plain.set_weights(trained_looking(conditional).get_weights())
    assert conditional.latent_dim == 6
    z0 = np.concatenate([latents(2, 4), np.eye(2, dtype=np.float32)], axis=1)
    np.testing.assert_array_equal(conditional(z0), plain(z0))


@pytest.mark.parametrize("kind", [Conv3DGenerator, TwoStreamGenerator])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"frames": 12}, "frames=12"),
        ({"size": 48}, "size=48"),
        ({"filters": 0}, "^filters=0"),
        ({"size": 64, "filters": 12}, "^filters=12: for size 64 must be a multiple of 8"),
        ({"z0_dim": 0}, "z0_dim=0"),
        ({"num_classes": -1}, "num_classes"),
        ({"latent_distribution": "cauchy"}, "latent_distribution='cauchy'"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_by_name(kind, arguments, message):
    with pytest.raises(InputError, match=message):
        kind(**arguments)


@pytest.mark.slow
def test_clips_are_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = TwoStreamGenerator(4, 8, 1, z0_dim=6, filters=4)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    clips = network(latents(2))
    assert clips.dtype == tf.float32
    assert np.abs(clips).max() <= 1.0
