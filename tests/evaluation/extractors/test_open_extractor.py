"""Extractors by name."""

import hashlib

import keras
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors import DigitClassifier, moving_mnist, open_extractor


@pytest.mark.slow
def test_the_default_comes_with_the_package():
    assert isinstance(open_extractor("moving_mnist"), DigitClassifier)


def test_another_name_is_a_path(tmp_path):
    inputs = keras.Input((4, 16, 16, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "own.keras")
    extractor = open_extractor(str(tmp_path / "own.keras"))
    assert (extractor.num_features, extractor.num_classes) == (3, 0)


def test_an_option_is_the_extractors_own(tmp_path):
    weights = tmp_path / "mine.npz"
    weights.write_bytes(moving_mnist.WEIGHTS.read_bytes() + b" ")
    opened = open_extractor("moving_mnist", weights=str(weights), mean=None)
    assert opened.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "extractor, options, message",
    [
        (
            "c3d",
            {},
            r"extractor='c3d': give weights \(path or URL of conv3d_deepnetA_ucf.npz\) and mean \(",
        ),
        ("c3d", {"weights": "weights.npz"}, r"extractor='c3d': give mean \(path"),
        ("i3d", {"mean": "mean2.npz"}, "mean='mean2.npz': is for c3d, not for i3d"),
        ("own.keras", {"weights": "w.npz"}, "weights='w.npz': is for moving_mnist, c3d, i3d, not"),
        ("c4d", {}, "extractor='c4d': no such file: give moving_mnist, c3d, i3d, or the path"),
    ],
)
def test_refuses_what_does_not_go_together(extractor, options, message):
    with pytest.raises(InputError, match=message):
        open_extractor(extractor, **options)
