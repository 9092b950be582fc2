"""Class accuracy, against counts by hand; what clips it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation.class_accuracy import class_accuracy


def one_hot(classes, num_classes):
    return np.eye(num_classes)[classes]


def test_is_the_share_of_clips_of_their_class():
    # Asked for: 0 1 2 0 1 2 0 1; read: all but the second and the sixth.
    found = class_accuracy(one_hot([0, 2, 2, 0, 1, 1, 0, 1], 3))
    assert found.value == 6 / 8
    assert found.error == pytest.approx((0.75 * 0.25 / 8) ** 0.5)
    assert found.details == {"by_class": [1.0, pytest.approx(2 / 3), 0.5]}


def test_is_one_in_the_number_of_classes_by_chance():
    classes = np.random.default_rng(0).integers(10, size=20_000)
    assert class_accuracy(one_hot(classes, 10)).value == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("shape", [(2, 3), (6,)])
def test_refuses_what_has_not_every_class(shape):
    with pytest.raises(InputError, match="must be .clips, classes., of at least one clip a class"):
        class_accuracy(np.ones(shape) / 3)
