"""The recurrent temporal generator against a gated recurrent unit in NumPy."""

import numpy as np
import pytest
import reference_networks as reference
from reference_networks import latents, trained_looking

from tgan_tf.errors import InputError
from tgan_tf.models import RecurrentTemporalGenerator, VideoGenerator


@pytest.mark.slow
@pytest.mark.parametrize("frames, num_layers", [(4, 1), (8, 2)])
def test_frame_latents_equal_those_of_numpys_gated_units(frames, num_layers):
    network = trained_looking(RecurrentTemporalGenerator(frames, 6, 5, 7, num_layers))
    expected = reference.recurrent_temporal_generator(network, latents(3))
    assert expected.shape == (3, frames, 5)
    np.testing.assert_allclose(network(latents(3)), expected, atol=1e-5)


@pytest.mark.slow
def test_papers_sizes_have_the_parameters_counted_by_hand():
    network = RecurrentTemporalGenerator()
    to_state = 100 * 512 + 512
    unit = 3 * 512 * (100 + 512 + 2)
    to_frame_latents = 512 * 100 + 100
    parameters = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert parameters == to_state + unit + to_frame_latents


@pytest.mark.slow
def test_a_video_generator_uses_it_when_it_is_given_layers_and_joins_labels_to_z0():
    generator = VideoGenerator(4, 8, 1, 4, 5, 7, 4, gru_layers=2, num_classes=2)
    trained_looking(generator)
    joined = np.concatenate([latents(2, 4), np.eye(2, dtype=np.float32)], axis=1)
    z1 = reference.recurrent_temporal_generator(generator.temporal_generator, joined)
    np.testing.assert_allclose(generator.frame_latents(joined), z1, atol=1e-5)
    z1 = reference.with_labels(z1, np.eye(2))
    clips = reference.image_generator(generator.image_generator, joined, z1, False)
    np.testing.assert_allclose(generator(joined), clips, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"frames": 12}, "frames=12"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"filters": 0}, "temporal_filters=0"),
        ({"z1_dim": 0}, "z1_dim=0"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message):
        RecurrentTemporalGenerator(**arguments)
