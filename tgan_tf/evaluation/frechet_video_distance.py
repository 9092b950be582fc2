"""Fréchet Video Distance of two sets of clips in the space of their features.

Unterthiner et al. 2018, "Towards Accurate Generative Models of Video" (arXiv 1812.01717), Section
3: with means μ and covariances Σ of the features of generated (1) and real clips (2),

    FVD = |μ1 - μ2|² + Tr( Σ1 + Σ2 - 2 (Σ1 Σ2)^½ )

the squared Fréchet (2-Wasserstein) distance of two Gaussians.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.linalg

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import GROUPS, Estimate, jackknifed
from tgan_tf.evaluation.features import check_features
from tgan_tf.evaluation.metric import FEATURES, Metric

SIZES = 15
"""The number of sets of different sizes for the extrapolation."""
_BLOCK = 1024

_Sums = tuple[int, np.ndarray, np.ndarray]


def frechet_video_distance(fake: np.ndarray, real: np.ndarray, unbiased: bool = False) -> Estimate:
    """The distance between two sets of clips.

    It is biased: for two finite sets of the same distribution it is above 0, and the more so the
    smaller they are. `unbiased` extrapolates to infinitely many clips (Chong & Forsyth 2020,
    "Effectively Unbiased FID and Inception Score and Where to Find Them", arXiv 1911.07023):
    the distances of sets of several sizes n lie on a line over 1/n, whose value at 0 is the result.
    The sizes are evenly spaced from half the clips to all; a fixed seed chooses the clips of each
    set.

    Args:
        fake: float [n, features], n greater than the number of features and at least 10; to
            extrapolate, half of n must be greater than the number of features.
        real: float [m, features], likewise.
        unbiased: whether to extrapolate; both sides then have the same, smaller number of clips.

    Returns:
        The distance. Its error is the jackknife's, which leaves out each tenth of the fake clips
        once and takes the real ones as given. The error of an extrapolated distance is the standard
        error of the fitted line's value; sizes and distances are in the details. That error only
        says how well the line fits: the distance varies more between draws, since other clips give
        another line.

    Raises:
        InputError: there are too few clips, an entry is not finite, or the numbers of features
            differ.
    """
    check_features(fake, real)
    fewest = _fewest(fake.shape[1], unbiased)
    for name, features in (("generated", fake), ("real", real)):
        if len(features) < fewest:
            raise InputError(
                f"{len(features)} {name} clips are too few for {features.shape[1]} features: give "
                f"at least {fewest}, or an extractor with fewer features"
            )
    return _extrapolated(fake, real) if unbiased else _jackknifed(fake, real)


def _fewest(num_features: int, unbiased: bool = False) -> int:
    """The fewest clips allowed: with no more clips than features the covariance is singular."""
    return max(GROUPS, (num_features + 1) * (2 if unbiased else 1))


FVD = Metric(
    "fvd",
    "Fréchet Video Distance; lower is better",
    FEATURES,
    frechet_video_distance,
    fewest=_fewest,
)
FVD_UNBIASED = Metric(
    "fvd_unbiased",
    "Fréchet Video Distance extrapolated to infinitely many clips; lower is better",
    FEATURES,
    functools.partial(frechet_video_distance, unbiased=True),
    num_clips=10_000,
    fewest=functools.partial(_fewest, unbiased=True),
)


def gaussian(features: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (divided by n - 1) of features.

    Args:
        features: float [n, d], n at least 2.
        rows: int [at least 2], the rows to use; None for all.

    Returns:
        float64 [d] and [d, d].
    """
    origin = np.asarray(features[0], np.float64)
    return _from_sums(_sums(features, origin, rows), origin)


def frechet_distance(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """The squared Fréchet distance between two Gaussians, float64, at least 0.

    Args:
        mean1: [d].
        covariance1: [d, d], symmetric, no negative eigenvalue.
        mean2: [d].
        covariance2: [d, d], symmetric, no negative eigenvalue.
    """
    return _distance(mean1, covariance1, mean2, covariance2, _factor(covariance2))


def _distance(
    mean1: np.ndarray,
    covariance1: np.ndarray,
    mean2: np.ndarray,
    covariance2: np.ndarray,
    factor2: np.ndarray,
) -> float:
    # With Σ = F Fᵀ the eigenvalues of Σ1 Σ2 are the squared singular values of F1ᵀ F2. These need
    # no square root, which would amplify the rounding noise of a zero.
    root_trace = scipy.linalg.svdvals(_factor(covariance1).T @ factor2).sum()
    traces = np.trace(covariance1) + np.trace(covariance2)
    difference = np.asarray(mean1) - np.asarray(mean2)
    return float(np.maximum(0.0, difference @ difference + traces - 2.0 * root_trace))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F [d, rank] with F Fᵀ = Σ, by a pivoted Cholesky decomposition that stops at the rank."""
    matrix = np.asarray_chkfinite(covariance, np.float64)
    triangle, pivots, rank, _ = scipy.linalg.lapack.dpstrf(matrix, lower=1)
    factor = np.empty([len(matrix), rank])
    factor[pivots - 1] = np.tril(triangle)[:, :rank]
    return factor


def _sums(features: np.ndarray, origin: np.ndarray, rows: np.ndarray | None = None) -> _Sums:
    """Number, sum and sum of products of features relative to `origin`, block by block."""
    rows = np.arange(len(features)) if rows is None else rows
    total = np.zeros(len(origin))
    products = np.zeros([len(origin)] * 2)
    for first in range(0, len(rows), _BLOCK):
        block = features[rows[first : first + _BLOCK]] - origin
        total += block.sum(axis=0)
        products += block.T @ block
    return len(rows), total, products


def _from_sums(sums: _Sums, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, total, products = sums
    mean = total / count
    return mean + origin, (products - count * np.outer(mean, mean)) / (count - 1)


def _jackknifed(fake: np.ndarray, real: np.ndarray) -> Estimate:
    mean, covariance = gaussian(real)
    factor = _factor(covariance)
    # Near the mean, so that the subtraction of products loses no precision.
    origin = mean
    groups = [_sums(part, origin) for part in np.array_split(fake, GROUPS)]
    counts = sum(group[0] for group in groups)
    totals = functools.reduce(np.add, (group[1] for group in groups))
    products = functools.reduce(np.add, (group[2] for group in groups))

    def distance(sums: _Sums) -> float:
        return _distance(*_from_sums(sums, origin), mean, covariance, factor)

    without = [
        distance((counts - count, totals - total, products - product))
        for count, total, product in groups
    ]
    return jackknifed(distance((counts, totals, products)), without, {})


def _extrapolated(fake: np.ndarray, real: np.ndarray) -> Estimate:
    most = min(len(fake), len(real))
    sizes = np.unique(np.linspace(most / 2, most, SIZES).astype(int))
    rng = np.random.default_rng(0)
    distances = []
    for size in sizes:
        gaussians = [
            gaussian(features, np.sort(rng.choice(len(features), size, replace=False)))
            for features in (fake, real)
        ]
        distances.append(frechet_distance(*gaussians[0], *gaussians[1]))
    line = np.stack([np.ones(len(sizes)), 1.0 / sizes], axis=1)
    solution, *_ = np.linalg.lstsq(line, distances, rcond=None)
    residuals = distances - line @ solution
    variance = residuals @ residuals / (len(sizes) - 2)
    error = np.sqrt(variance * np.linalg.inv(line.T @ line)[0, 0])
    return Estimate(
        float(solution[0]),
        float(error),
        "standard error of the line's value at endless clips",
        {"sizes": sizes.tolist(), "distances": distances},
    )
