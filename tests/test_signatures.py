"""What an exported generator answers, run as TensorFlow Serving runs it: in a session, by tags."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from model_servers import Servable
from PIL import Image
from tiny_tgan import CLIP_SHAPE, Z0_DIM, make_generator

from tgan_tf import interpolation, rendering
from tgan_tf.export import export_generator
from tgan_tf.latents import latents
from tgan_tf.models import Conv3DGenerator
from tgan_tf.signatures import MAX_FRAMES

FRAMES = CLIP_SHAPE[0]
EMPTY = {
    "serving_default": {"videos": (0, *CLIP_SHAPE), "frame_latents": (0, FRAMES, 5)},
    "generate": {"videos": (0, *CLIP_SHAPE)},
    "generate_encoded": {"frames_bytes": (0, FRAMES)},
    "interpolate": {"videos": (0, *CLIP_SHAPE), "num_frames": (0,)},
    "latent_walk": {"videos": (0, 8, *CLIP_SHAPE)},
}


@pytest.fixture(scope="module")
def generator():
    return make_generator()


@pytest.fixture(scope="module")
def ask(generator, tmp_path_factory):
    yield from served(generator, tmp_path_factory.mktemp("saved_models") / "name")


@pytest.fixture(scope="module")
def conditional():
    return make_generator(num_classes=3)


@pytest.fixture(scope="module")
def ask_conditional(conditional, tmp_path_factory):
    yield from served(conditional, tmp_path_factory.mktemp("saved_models") / "conditional")


def served(generator, export_dir):
    """A function of a signature's name and inputs to its outputs; `ask.signatures` has them all."""
    servable = Servable(export_generator(generator, export_dir))

    def ask(name, **inputs):
        signature = ask.signatures[name]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return servable.session.run(fetches, feeds)

    ask.signatures = {
        name: signature
        for name, signature in servable.signatures.items()
        if signature.method_name == "tensorflow/serving/predict"
    }
    yield ask
    servable.session.close()


def seeds(*values):
    return np.array(values, np.int64)


def latents_of(*values):
    return np.concatenate([latents(seed, 1, Z0_DIM) for seed in values])


@pytest.mark.slow
def test_are_all_there(ask):
    assert set(ask.signatures) == set(EMPTY)


@pytest.mark.slow
@pytest.mark.parametrize("name", EMPTY)
def test_answer_an_empty_batch_with_an_empty_result(ask, name):
    inputs = {
        key: np.zeros(
            [0, *(dim.size for dim in info.tensor_shape.dim[1:])],
            tf.dtypes.as_dtype(info.dtype).as_numpy_dtype,
        )
        for key, info in ask.signatures[name].inputs.items()
    }
    assert {key: value.shape for key, value in ask(name, **inputs).items()} == EMPTY[name]


@pytest.mark.slow
def test_serving_default_makes_what_the_generator_makes(ask, generator):
    z0 = latents_of(1, 2, 3)
    outputs = ask("serving_default", z0=z0)
    assert np.std(outputs["videos"]) > 0.01
    np.testing.assert_allclose(outputs["videos"], generator(z0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        outputs["frame_latents"], generator.frame_latents(z0), rtol=0, atol=1e-6
    )


@pytest.mark.slow
def test_batches_that_are_made_in_parts_are_the_same_videos(ask, generator):
    z0 = latents(0, 70, Z0_DIM)
    videos = ask("serving_default", z0=z0)["videos"]
    np.testing.assert_allclose(videos, generator(z0), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_generate_makes_the_pixels_of_a_seed_s_latent(ask, generator):
    videos = ask("generate", seed=seeds(3, 5, -1))["videos"]
    assert videos.dtype == np.uint8 and np.std(videos) > 1
    expected = rendering.to_uint8(generator(latents_of(3, 5, 2**64 - 1)).numpy())
    # Rounding in another order may move a value across a half.
    assert np.abs(videos.astype(int) - expected).max() <= 1
    assert (videos != expected).mean() < 0.001


@pytest.mark.slow
def test_generate_gives_a_seed_s_video_whatever_else_is_in_the_batch(ask):
    alone = ask("generate", seed=seeds(5))["videos"][0]
    for batch, place in ((seeds(5, 5, 1, 2), 1), (seeds(9, 8, 7, 6, 4, 3, 5), 6)):
        beside = ask("generate", seed=batch)["videos"][place]
        assert np.abs(alone.astype(int) - beside).max() <= 1
        assert (alone != beside).mean() < 0.001


@pytest.mark.slow
def test_generate_encoded_gives_the_frames_as_png(ask):
    frames = ask("generate_encoded", seed=seeds(3, 5))["frames_bytes"]
    decoded = [[np.asarray(Image.open(io.BytesIO(png))) for png in video] for video in frames]
    assert Image.open(io.BytesIO(frames[0, 0])).format == "PNG"
    expected = ask("generate", seed=seeds(3, 5))["videos"]
    np.testing.assert_array_equal(np.array(decoded)[..., np.newaxis], expected)


@pytest.mark.slow
def test_interpolate_renders_the_points_between_the_frame_latents(ask, generator):
    z0, factor = latents_of(1, 2), np.array([3, 3], np.int64)
    outputs = ask("interpolate", z0=z0, factor=factor)
    assert outputs["num_frames"].tolist() == [10, 10]
    between = interpolation.interpolate(generator.frame_latents(z0), tf.constant(factor))
    expected = generator.render(tf.constant(z0), between)
    np.testing.assert_allclose(outputs["videos"], expected, rtol=0, atol=1e-6)
    whole = ask("serving_default", z0=z0)["videos"]
    np.testing.assert_allclose(outputs["videos"][:, ::3], whole, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_interpolate_takes_a_factor_of_its_own_for_each_video(ask):
    z0 = latents_of(1, 2, 3)
    together = ask("interpolate", z0=z0, factor=seeds(1, 4, 2))
    assert together["num_frames"].tolist() == [4, 13, 7]
    for row, (factor, frames) in enumerate([(1, 4), (4, 13), (2, 7)]):
        alone = ask("interpolate", z0=z0[row : row + 1], factor=seeds(factor))["videos"][0]
        video = together["videos"][row]
        np.testing.assert_allclose(video[:frames], alone, rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            video[frames:], np.repeat(alone[-1:], 13 - frames, axis=0), rtol=0, atol=1e-6
        )


@pytest.mark.slow
def test_latent_walk_goes_straight_from_one_seed_s_video_to_the_other_s(ask, generator):
    videos = ask("latent_walk", start_seed=seeds(3, 1), end_seed=seeds(5, 1))["videos"]
    start, end = latents_of(3), latents_of(5)
    walk = np.concatenate([start + (end - start) * step / 7 for step in range(8)])
    expected = rendering.to_uint8(generator(walk).numpy()).astype(int)
    assert np.abs(videos[0] - expected).max() <= 1
    assert np.abs(videos[1] - videos[1, :1].astype(int)).max() <= 1
    assert (videos[0, 0] != videos[0, -1]).mean() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["serving_default", "interpolate"])
def test_a_latent_that_is_not_finite_is_an_error_that_names_it(ask, name, value):
    z0 = latents_of(1, 2)
    z0[1, 2] = value
    factor = {"factor": seeds(1, 1)} if name == "interpolate" else {}
    with pytest.raises(tf.errors.InvalidArgumentError, match="z0 holds a NaN or an infinity"):
        ask(name, z0=z0, **factor)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0, -1, 17])
def test_a_factor_out_of_range_is_an_error_that_names_it(ask, factor):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"factor must be from 1 to 16.*\[1 {factor}\]"
    ):
        ask("interpolate", z0=latents_of(1, 2), factor=seeds(1, factor))


@pytest.mark.slow
def test_inputs_of_two_lengths_are_an_error_that_names_them(ask):
    for names, inputs in {
        "z0 and factor": {"name": "interpolate", "z0": latents_of(1, 2), "factor": seeds(2)},
        "start_seed and end_seed": {
            "name": "latent_walk",
            "start_seed": seeds(1, 2),
            "end_seed": seeds(3),
        },
    }.items():
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=rf"{names} must be of one length.*\[2\] \[1\]"
        ):
            ask(**inputs)


@pytest.mark.slow
def test_more_frames_than_memory_may_hold_are_an_error_that_says_so(ask):
    many = np.zeros([MAX_FRAMES // FRAMES + 1], np.int64)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"a request may have 16384 frames.*\[4097\] \[4\]"
    ):
        ask("generate", seed=many)


def joined(z0, *labels):
    return np.concatenate([z0, np.eye(3, dtype=np.float32)[list(labels)]], axis=1)


@pytest.mark.slow
def test_a_conditional_generator_s_take_a_label_more(ask, ask_conditional):
    for name, signature in ask.signatures.items():
        assert set(ask_conditional.signatures[name].inputs) == {*signature.inputs, "label"}


@pytest.mark.slow
def test_serving_default_makes_videos_of_their_labels(ask_conditional, conditional):
    z0 = latents_of(1, 2)
    videos = ask_conditional("serving_default", z0=z0, label=seeds(2, 0))["videos"]
    np.testing.assert_allclose(videos, conditional(joined(z0, 2, 0)), rtol=0, atol=1e-6)
    others = ask_conditional("serving_default", z0=z0, label=seeds(1, 1))["videos"]
    assert np.abs(videos - others).max() > 0.01


@pytest.mark.slow
def test_a_latent_walk_keeps_its_label(ask_conditional):
    inputs = {"start_seed": seeds(3, 3), "end_seed": seeds(5, 5), "label": seeds(1, 2)}
    videos = ask_conditional("latent_walk", **inputs)["videos"]
    for end, seed in ((0, 3), (-1, 5)):
        expected = ask_conditional("generate", seed=seeds(seed, seed), label=seeds(1, 2))["videos"]
        assert np.abs(videos[:, end].astype(int) - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("labels", [(3,), (-1,), (0, 1)])
def test_a_label_that_is_no_class_or_of_no_request_is_refused(ask_conditional, labels):
    with pytest.raises(tf.errors.InvalidArgumentError, match="label"):
        ask_conditional("generate", seed=seeds(1), label=seeds(*labels))


@pytest.mark.slow
def test_a_generator_of_normal_latents_without_frame_latents(tmp_path):
    generator = Conv3DGenerator(*CLIP_SHAPE[:2], 1, Z0_DIM, 8, latent_distribution="normal")
    for ask in served(generator, tmp_path / "name"):
        assert set(ask.signatures) == set(EMPTY) - {"interpolate"}
        assert set(ask.signatures["serving_default"].outputs) == {"videos"}
        videos = ask("generate", seed=seeds(3, 5))["videos"]
    z0 = np.concatenate([latents(seed, 1, Z0_DIM, "normal") for seed in (3, 5)])
    expected = rendering.to_uint8(generator(z0).numpy())
    assert np.abs(videos.astype(int) - expected).max() <= 1
