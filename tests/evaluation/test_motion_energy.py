"""Motion energy by hand, and its difference to real clips' by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.motion_energy import motion_difference, motion_energy


def test_a_still_clip_has_none():
    assert not motion_energy(np.ones([2, 4, 3, 3, 1], np.float32)).numpy().any()


def test_is_the_mean_squared_change_of_a_frame():
    clips = np.zeros([1, 3, 2, 2, 1], np.float32)
    clips[0, 1] = 0.5  # All four pixels change, by 0.5; then one of them, by 0.5 more.
    clips[0, 2] = 0.5
    clips[0, 2, 0, 0] = 1.0
    np.testing.assert_allclose(motion_energy(clips), [[0.25, 0.0625]])


def test_the_difference_is_relative_to_real_clips_frame_by_frame():
    fake = np.tile([1.0, 3.0], (20, 1))
    real = np.tile([2.0, 2.0], (15, 1))
    estimate = motion_difference(fake, real)
    assert estimate.value == pytest.approx((1 + 1) / 2 / 2)
    assert estimate.details == {"fake": [1.0, 3.0], "real": [2.0, 2.0], "ratio": 1.0}
    assert estimate.error == pytest.approx(0)


def test_the_error_is_that_of_leaving_out_a_tenth_at_a_time():
    rng = np.random.default_rng(0)
    fake, real = rng.uniform(0, 2, (43, 5)), rng.uniform(0, 1, (30, 5))
    without = []
    for group in np.array_split(np.arange(43), 10):
        mean = np.delete(fake, group, axis=0).mean(0)
        without.append(np.abs(mean - real.mean(0)).mean() / real.mean())
    expected = np.sqrt(9 / 10 * np.sum((without - np.mean(without)) ** 2))
    assert motion_difference(fake, real).error == pytest.approx(expected)


def test_refuses_real_clips_that_do_not_move():
    with pytest.raises(InputError, match="do not move"):
        motion_difference(np.ones([20, 3]), np.zeros([20, 3]))


def test_equal_sets_are_at_no_difference():
    motion = np.random.default_rng(0).uniform(0, 1, (30, 5)).astype(np.float32)
    estimate = motion_difference(motion, motion)
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.details["ratio"] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(20, 4), (20, 1), (20,)])
def test_refuses_clips_of_another_number_of_frames(shape):
    with pytest.raises(InputError, match="with the same number of frames"):
        motion_difference(np.ones([20, 3]), np.ones(shape))


def test_refuses_motion_that_is_not_finite():
    motion = np.ones([20, 3])
    motion[7, 1] = np.nan
    with pytest.raises(InputError, match="motion of real clip 7 is NaN or infinite"):
        motion_difference(np.ones([20, 3]), motion)
    with pytest.raises(InputError, match="motion of generated clip 7 is NaN or infinite"):
        motion_difference(motion, np.ones([20, 3]))


def test_refuses_no_real_clips():
    with pytest.raises(InputError, match="no motion of real clips"):
        motion_difference(np.ones([20, 3]), np.ones([0, 3]))


def test_is_measured_inside_a_tf_function():
    clips = np.random.default_rng(0).uniform(-1, 1, (2, 4, 3, 3, 1)).astype(np.float32)
    expected = np.square(np.diff(clips, axis=1)).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(tf.function(motion_energy)(tf.constant(clips)), expected, rtol=1e-5)


def test_refuses_fewer_clips_than_groups():
    with pytest.raises(InputError, match="9 clips: give at least 10"):
        motion_difference(np.ones([9, 3]), np.ones([20, 3]))
