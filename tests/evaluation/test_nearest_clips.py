"""Nearest real clips: distances by hand, the picture pixel by pixel."""

import numpy as np
import pytest

from tgan_tf.evaluation.nearest_clips import nearest_distance, picture


def test_finds_the_clips_that_are_nearest_to_a_real_one():
    real = np.array([[0.0], [10.0], [20.0], [30.0]], np.float32)
    fake = np.array([[1.0], [14.0], [20.25], [33.0], [7.0]], np.float32)
    estimate = nearest_distance(fake, real)
    # The distances are 1, 4, 0.25, 3 and 3.
    assert estimate.value == pytest.approx(3.0)
    assert estimate.details["closest"] == [2, 0, 3, 4, 1]
    assert estimate.details["nearest_real"][0] == [2, 3, 1]


def test_shows_each_clip_above_its_nearest_real_ones():
    fake = np.linspace(-1, 0.9, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4, 1).astype(np.float32)
    real = np.stack([fake * 0.5, fake * 0.25], axis=1)
    image = picture(fake, real)
    # Three rows of 4 pixels with gaps of 2, twice, with a bar of 8 between; three frames.
    assert image.shape == (16 + 8 + 16, 3 * 6 - 2, 1)
    for group in range(2):
        for row, clip in enumerate((fake[group], real[group, 0], real[group, 1])):
            top = 24 * group + 6 * row
            expected = np.rint(clip[1] * 128 + 128)
            np.testing.assert_array_equal(image[top : top + 4, 6:10], expected)
    assert (image[16:24] == 255).all()
