"""The critic's mean of real less its mean of generated clips."""

from __future__ import annotations

import numpy as np
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation.wasserstein_estimate import wasserstein_estimate


def test_is_the_difference_of_the_means_with_its_standard_error():
    # Means 4 and 1; squared deviations 4 + 0 + 4 over 2 and 1 + 1 over 1: 4 / 3 and 2 / 2.
    estimate = wasserstein_estimate(fake=np.array([0.0, 2.0]), real=np.array([2.0, 4.0, 6.0]))
    assert estimate.value == 3.0
    assert estimate.error == pytest.approx(np.sqrt(4 / 3 + 1))
    assert estimate.error_of == "standard error"


def test_has_an_error_like_its_spread_over_repetitions():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(1.0, 2.0, (2000, 50)), rng.normal(0.5, 1.0, (2000, 80))
    estimates = [wasserstein_estimate(fake=f, real=r) for r, f in zip(real, fake)]
    values = [estimate.value for estimate in estimates]
    # The spread of 2000 repetitions is itself known to 1.6 %.
    errors = np.mean([estimate.error for estimate in estimates])
    assert errors == pytest.approx(np.std(values), rel=0.06)
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


def test_adds_float32_scores_without_loss():
    # In float32 a mean of a million such scores would be off by more than the difference.
    scores = np.full(1_000_000, 1000.1, np.float32)
    estimate = wasserstein_estimate(fake=scores[:999_999] - np.float32(1 / 1024), real=scores)
    assert estimate.value == pytest.approx(1 / 1024, rel=1e-6)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        ([1.0], [1.0, 2.0], "1 scores of real clips: give at least 2"),
        ([1.0, 2.0], [], "0 scores of generated clips"),
        ([1.0, 2.0], [1.0, np.nan], "some scores of generated clips are NaN"),
        ([1.0, np.inf], [1.0, 2.0], "some scores of real clips are NaN or infinite"),
    ],
)
def test_scores_that_say_nothing_are_refused(real, fake, message):
    with pytest.raises(InputError, match=message):
        wasserstein_estimate(fake=np.array(fake), real=np.array(real))
