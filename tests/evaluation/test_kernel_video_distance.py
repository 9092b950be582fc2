"""Kernel Video Distance against its double sum, term by term."""

from __future__ import annotations

import numpy as np
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation import kernel_video_distance as module
from tgan_tf.evaluation.kernel_video_distance import kernel_video_distance


def draws(seed, count, shift=0.0, size=3):
    return np.random.default_rng(seed).normal(shift, 1, (count, size)).astype(np.float32)


def kernel(x, y):
    return (sum(float(a) * float(b) for a, b in zip(x, y)) / len(x) + 1) ** 3


def double_sum(x, y):
    total, n = 0.0, len(x)
    for i in range(n):
        for j in range(n):
            if i != j:
                total += kernel(x[i], x[j]) + kernel(y[i], y[j])
                total -= kernel(x[i], y[j]) + kernel(x[j], y[i])
    return total / (n * (n - 1))


def test_equals_the_double_sum():
    fake, real = draws(0, 30, shift=0.4), draws(1, 30)
    estimate = kernel_video_distance(fake, real)
    assert estimate.value == pytest.approx(double_sum(fake, real), rel=1e-9)
    assert estimate.error is None


def test_blocks_give_mean_and_standard_error(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10)
    fake, real = draws(0, 30, shift=0.4), draws(1, 33)
    estimate = kernel_video_distance(fake, real)
    parts = [double_sum(fake[i : i + 10], real[i : i + 10]) for i in (0, 10, 20)]
    assert estimate.value == pytest.approx(np.mean(parts), rel=1e-9)
    assert estimate.error == pytest.approx(np.std(parts, ddof=1) / np.sqrt(3), rel=1e-9)


def test_identical_sets_are_at_no_distance():
    features = draws(0, 600)
    assert kernel_video_distance(features, features).value == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_sets_of_the_same_distribution_are_at_no_distance_on_average():
    estimates = [kernel_video_distance(draws(i, 768), draws(1000 + i, 768)) for i in range(30)]
    values = np.array([estimate.value for estimate in estimates])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(30)
    assert (values < 0).any()


@pytest.mark.slow
def test_the_error_is_as_large_as_the_spread_of_other_draws():
    estimates = [kernel_video_distance(draws(i, 2560, 0.1), draws(99 + i, 2560)) for i in range(30)]
    spread = np.std([estimate.value for estimate in estimates])
    assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(spread, rel=0.4)


def test_refuses_a_single_clip():
    with pytest.raises(InputError, match="1 clips: give at least 2"):
        kernel_video_distance(draws(0, 1), draws(1, 5))
