"""Interpolated frame latents, against NumPy's linear interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf import interpolation

FRAMES = 5


def frame_latents(count):
    return np.random.default_rng(0).uniform(-1, 1, [count, FRAMES, 3]).astype(np.float32)


def interpolate(latents, factor):
    return interpolation.interpolate(tf.constant(latents), tf.constant(factor, tf.int64)).numpy()


@pytest.mark.parametrize("factor", [1, 2, 3, 16])
def test_lie_on_the_lines_between_the_frames(factor):
    latents = frame_latents(2)
    count = (FRAMES - 1) * factor + 1
    times = np.linspace(0, FRAMES - 1, count)
    found = interpolate(latents, [factor, factor])
    assert found.shape == (2, count, 3)
    for video in range(2):
        for entry in range(3):
            expected = np.interp(times, np.arange(FRAMES), latents[video, :, entry])
            np.testing.assert_allclose(found[video, :, entry], expected, atol=1e-6)


def test_keep_the_generator_s_own_to_the_bit():
    latents = frame_latents(1)
    np.testing.assert_array_equal(interpolate(latents, [7])[:, ::7], latents)


def test_of_a_smaller_factor_end_with_the_last_frame_s():
    latents = frame_latents(2)
    found = interpolate(latents, [2, 3])
    assert found.shape == (2, 13, 3)
    np.testing.assert_array_equal(found[:1, :9], interpolate(latents[:1], [2]))
    np.testing.assert_array_equal(found[0, 9:], np.repeat(latents[0, -1:], 4, axis=0))


def test_of_no_videos_are_an_empty_batch():
    assert interpolate(frame_latents(0), []).shape == (0, FRAMES, 3)


def test_count_the_frames():
    assert interpolation.num_frames(16, 4) == 61
