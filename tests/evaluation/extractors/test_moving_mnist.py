"""The classifier that comes with the package, on clips of digits it has never seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tgan_tf.evaluation.extractors.moving_mnist as moving_mnist
from tgan_tf.data import MovingMNIST
from tgan_tf.data.pipeline import normalise
from tgan_tf.errors import InputError


@pytest.fixture(scope="module")
def extractor():
    return moving_mnist.DigitClassifier()


def clips(count, size, digit_size):
    source = MovingMNIST(16, size, digit_size, 1, split="held_out", seed=3)
    numbers = range(count)
    made = tf.stack([source.clip(number) for number in numbers])
    return normalise(made), np.array([source.label(number) for number in numbers])


@pytest.mark.slow
@pytest.mark.parametrize("size, digit_size", [(64, 28), (32, 16)])
def test_knows_digits_it_has_not_seen(extractor, size, digit_size):
    held_out, labels = clips(200, size, digit_size)
    probabilities = extractor(held_out).probabilities.numpy()
    # 200 clips of a classifier that is right in 97 of 100 would hardly show fewer than 94 %.
    assert np.mean(probabilities.argmax(1) == labels) >= 0.94
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_colour_clips_count_as_their_grey(extractor):
    grey, _ = clips(2, 32, 16)
    colour = tf.repeat(grey, 3, axis=-1)
    # The weights of the three channels, as rounded by TensorFlow, have the sum 0.9999.
    found, expected = extractor(colour).features, extractor(grey).features
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.slow
def test_measures_alike_while_a_generator_trains_in_mixed_precision(extractor):
    held_out, _ = clips(2, 32, 16)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = moving_mnist.DigitClassifier()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(mixed(held_out).features, extractor(held_out).features)


def test_says_what_it_gives(extractor):
    extracted = extractor(clips(3, 64, 28)[0])
    assert extracted.features.shape == (3, extractor.num_features)
    assert extracted.probabilities.shape == (3, extractor.num_classes)


def test_the_weights_are_small_and_named_by_their_hash(extractor):
    data = moving_mnist.WEIGHTS.read_bytes()
    assert len(data) <= 3_000_000
    assert extractor.sha256 == hashlib.sha256(data).hexdigest()


def test_a_card_says_how_they_were_made():
    card = Path(moving_mnist.__file__).with_suffix(".md").read_text()
    assert "experiments/studies/train_classifier.py" in card


def test_refuses_clips_that_are_too_short(extractor):
    with pytest.raises(InputError, match="clips of 3 frames: .* at least 4"):
        extractor.check((3, 64, 64, 1))


@pytest.mark.parametrize("content", [None, b"no npz", "other arrays"])
def test_refuses_other_weights(tmp_path, content):
    path = tmp_path / "weights.npz"
    if content == "other arrays":
        np.savez(path, a=np.zeros(3))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="does not hold the weights"):
        moving_mnist.DigitClassifier(path)
