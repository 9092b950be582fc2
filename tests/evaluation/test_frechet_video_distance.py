"""Fréchet distance: of Gaussians whose distance is known, and against SciPy's matrix root."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tgan_tf.errors import InputError
from tgan_tf.evaluation.frechet_video_distance import (
    frechet_distance,
    frechet_video_distance,
    gaussian,
)


def random_covariance(rng, size, rank=None):
    factor = rng.normal(size=(size, rank or 2 * size))
    return factor @ factor.T


def draws(seed, count, size=6, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (scale * rng.normal(size=(count, size)) + shift).astype(np.float32)


def test_of_gaussians_on_a_line():
    # (1 - 4)² + (2 - 5)², standard deviations 2 and 5.
    distance = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([4.0]), [[25.0]])
    assert distance == pytest.approx(18.0)


def test_of_covariances_with_the_same_axes():
    rng = np.random.default_rng(0)
    axes = scipy.linalg.qr(rng.normal(size=(5, 5)))[0]
    one, other = rng.uniform(0.1, 3, (2, 5))
    covariances = [(axes * values**2) @ axes.T for values in (one, other)]
    mean = rng.normal(size=5)
    distance = frechet_distance(mean, covariances[0], 0 * mean, covariances[1])
    assert distance == pytest.approx(mean @ mean + np.sum((one - other) ** 2), rel=1e-10)


def test_equals_the_formula_with_scipys_matrix_root():
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2, 8))
    covariances = [random_covariance(rng, 8) for _ in range(2)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(sum(covariances) - 2 * root)
    distance = frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert distance == pytest.approx(expected, rel=1e-9)


def test_covariances_of_low_rank_are_no_trouble():
    rng = np.random.default_rng(2)
    covariance = random_covariance(rng, 20, rank=3)
    distance = frechet_distance(np.zeros(20), covariance, np.zeros(20), covariance)
    assert distance < 1e-12 * np.trace(covariance)
    # To the origin it is the trace.
    distance = frechet_distance(np.zeros(20), covariance, np.zeros(20), np.zeros([20, 20]))
    assert distance == pytest.approx(np.trace(covariance), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_is_symmetric_and_never_negative(seed):
    rng = np.random.default_rng(seed)
    first, second = (
        (rng.normal(size=4), random_covariance(rng, 4, rank=rng.integers(1, 9))) for _ in range(2)
    )
    there, back = frechet_distance(*first, *second), frechet_distance(*second, *first)
    assert there >= 0
    assert there == pytest.approx(back, abs=1e-10)


def test_of_covariances_that_share_no_axis_is_the_sum_of_their_traces():
    rng = np.random.default_rng(3)
    axes = scipy.linalg.qr(rng.normal(size=(40, 40)))[0]
    one, other = (part @ part.T for part in (axes[:, :5], 2 * axes[:, 5:15]))
    distance = frechet_distance(np.zeros(40), one, np.zeros(40), other)
    assert distance == pytest.approx(5 + 4 * 10, rel=1e-12)


def test_a_covariance_that_is_not_finite_has_no_distance():
    with pytest.raises(ValueError, match="infs or NaNs"):
        frechet_distance(np.zeros(2), np.full([2, 2], np.nan), np.zeros(2), np.eye(2))


def test_mean_and_covariance_are_numpys():
    features = draws(0, 3000, scale=0.01, shift=100.0)
    mean, covariance = gaussian(features)
    np.testing.assert_allclose(mean, features.mean(0, np.float64), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features.T.astype(np.float64)), atol=1e-12)


def test_mean_and_covariance_of_some_rows_are_numpys():
    features, rows = draws(0, 3000), np.arange(1, 3000, 2)
    mean, covariance = gaussian(features, rows)
    np.testing.assert_allclose(mean, features[rows].mean(0, np.float64), atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features[rows].T.astype(float)), atol=1e-12)


def test_of_sets_is_that_of_their_gaussians():
    fake, real = draws(0, 300, scale=2.0), draws(1, 400, shift=0.5)
    moments = [(x.mean(0), np.cov(x.T)) for x in (fake.astype(float), real.astype(float))]
    root = scipy.linalg.sqrtm(moments[0][1] @ moments[1][1]).real
    expected = np.sum((moments[0][0] - moments[1][0]) ** 2)
    expected += np.trace(moments[0][1] + moments[1][1] - 2 * root)
    assert frechet_video_distance(fake, real).value == pytest.approx(expected, rel=1e-7)


def test_identical_sets_are_at_no_distance():
    features = draws(0, 500)
    assert frechet_video_distance(features, features).value < 1e-9


def test_identical_sets_of_which_most_features_are_dead_are_at_no_distance():
    features = np.maximum(draws(0, 500, size=60), 0)
    features[:, 20:] = 0
    features[:, 50:] = features[:, :10]
    trace = np.trace(np.cov(features.T))
    assert frechet_video_distance(features, features).value < 1e-12 * trace


def test_the_error_is_that_of_leaving_out_a_tenth_at_a_time():
    fake, real = draws(0, 205), draws(1, 300, shift=0.3)
    without = [
        frechet_distance(*gaussian(np.delete(fake, group, axis=0)), *gaussian(real))
        for group in np.array_split(np.arange(205), 10)
    ]
    expected = np.sqrt(9 / 10 * np.sum((without - np.mean(without)) ** 2))
    assert frechet_video_distance(fake, real).error == pytest.approx(expected, rel=1e-5)


def test_the_error_is_as_large_as_the_spread_of_other_draws():
    real = draws(10_000, 4000)
    estimates = [frechet_video_distance(draws(i, 400, shift=0.5), real) for i in range(40)]
    spread = np.std([estimate.value for estimate in estimates])
    error = np.mean([estimate.error for estimate in estimates])
    assert error == pytest.approx(spread, rel=0.35)


def test_the_extrapolation_is_nearer_to_the_truth():
    # The truth is 20 x 0.2²; 400 clips of 20 features are seen far too far apart.
    plain, unbiased = [], []
    for seed in range(10):
        fake, real = draws(seed, 400, 20, shift=0.2), draws(100 + seed, 400, 20)
        plain.append(frechet_video_distance(fake, real).value)
        unbiased.append(frechet_video_distance(fake, real, unbiased=True).value)
    assert abs(np.mean(unbiased) - 0.8) < 0.4 * abs(np.mean(plain) - 0.8)


def test_the_extrapolation_is_a_line_over_1_by_n():
    estimate = frechet_video_distance(draws(0, 300, shift=0.3), draws(1, 200), unbiased=True)
    sizes, distances = (np.array(estimate.details[name]) for name in ("sizes", "distances"))
    assert sizes.min() == 100 and sizes.max() == 200
    slope, value = np.polyfit(1 / sizes, distances, 1)
    assert estimate.value == pytest.approx(value, rel=1e-9)
    _, covariance = np.polyfit(1 / sizes, distances, 1, cov=True)
    assert estimate.error == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-6)


@pytest.mark.parametrize("sizes", [(12, 100), (100, 12)])
def test_refuses_no_more_clips_than_features(sizes):
    with pytest.raises(InputError, match="12 .* too few for 12 features: give at least 13"):
        frechet_video_distance(draws(0, sizes[0], 12), draws(1, sizes[1], 12))


def test_refuses_fewer_clips_than_groups_to_leave_out():
    with pytest.raises(InputError, match="9 generated clips are too few .* give at least 10"):
        frechet_video_distance(draws(0, 9, 2), draws(1, 50, 2))


def test_refuses_to_extrapolate_from_sets_smaller_than_the_features():
    fake, real = draws(0, 25, 12), draws(1, 100, 12)
    assert np.isfinite(frechet_video_distance(fake, real).value)
    with pytest.raises(InputError, match="25 .* too few for 12 features: give at least 26"):
        frechet_video_distance(fake, real, unbiased=True)


def test_refuses_features_of_different_extractors():
    with pytest.raises(InputError, match="of the same extractor"):
        frechet_video_distance(draws(0, 50, 4), draws(0, 50, 5))


def test_refuses_features_that_are_not_finite():
    features = draws(0, 50)
    features[13, 2] = np.inf
    with pytest.raises(InputError, match="real clip 13 are NaN or infinite"):
        frechet_video_distance(draws(1, 50), features)


def test_reads_mapped_files(tmp_path):
    np.save(tmp_path / "fake.npy", draws(0, 3000))
    mapped = np.load(tmp_path / "fake.npy", mmap_mode="r")
    real = draws(1, 300)
    expected = frechet_video_distance(draws(0, 3000), real).value
    assert frechet_video_distance(mapped, real).value == expected
