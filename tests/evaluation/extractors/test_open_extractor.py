"""Extractors by name."""

import keras
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors import MovingMNIST, open_extractor


def test_the_default_comes_with_the_package():
    assert isinstance(open_extractor("moving_mnist"), MovingMNIST)


def test_another_name_is_a_path(tmp_path):
    inputs = keras.Input((4, 16, 16, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "own.keras")
    extractor = open_extractor(str(tmp_path / "own.keras"))
    assert (extractor.num_features, extractor.num_classes) == (3, 0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("c3d",), "--extractor=c3d: give --extractor_weights=.*--c3d_mean"),
        (("c3d", "weights.npz"), "--extractor=c3d: give"),
        (("i3d", None, "mean2.npz"), "--c3d_mean=mean2.npz: is for --extractor=c3d"),
        (("moving_mnist", "w.npz"), "--extractor_weights=w.npz: is for c3d and i3d"),
        (("nowhere.keras",), "nowhere.keras"),
    ],
)
def test_refuses_what_does_not_go_together(arguments, message):
    with pytest.raises(InputError, match=message):
        open_extractor(*arguments)
