"""Precision, recall, density, coverage: are generated clips realistic, and do they cover the data?

Each clip has a ball that reaches to its k-th nearest neighbour in the same set.

- precision, the share of generated clips inside a real clip's ball, and recall, the share of real
  clips inside a generated clip's ball: Kynkäänniemi et al. 2019 (arXiv 1904.06991), Equation 1;
- density, the number of real balls that a generated clip lies in, divided by k, and coverage, the
  share of real clips whose ball holds a generated clip: Naeem et al. 2020 (arXiv 2002.09797),
  Equations 4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

from tgan_tf.arguments import Integer, check
from tgan_tf.errors import Argument, InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.features import check_features
from tgan_tf.evaluation.metric import FEATURES, Metric

_BLOCK = 512


def prdc(fake: np.ndarray, real: np.ndarray, k: int = 5) -> dict[str, Estimate]:
    """Precision, recall, density and coverage of generated clips.

    Args:
        fake: float [n, features], n greater than k.
        real: float [m, features], m greater than k.
        k: the nearest neighbour that a ball reaches to, at least 1.

    Returns:
        "precision", "recall", "density", "coverage". Errors are standard errors of the mean over
        clips, as if they shared no neighbours.

    Raises:
        InputError: there are no more than k clips, k is below 1, an entry is not finite, or the
            numbers of features differ.
    """
    check_features(fake, real)
    check(Integer(1), k=k)
    for name, features in (("generated", fake), ("real", real)):
        if len(features) <= k:
            raise InputError(f"{len(features)} {name} clips: give more than ", Argument("k", k))
    fake_radius, real_radius = _radii(fake, k), _radii(real, k)
    balls = np.zeros(len(fake))
    recalled = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    for rows, distances in _squared_distances(fake, real):
        inside_real = distances <= real_radius
        balls[rows] = inside_real.sum(axis=1)
        covered |= inside_real.any(axis=0)
        recalled |= (distances <= fake_radius[rows, np.newaxis]).any(axis=0)
    return {
        "precision": _mean(balls > 0, k),
        "recall": _mean(recalled, k),
        "density": _mean(balls / k, k),
        "coverage": _mean(covered, k),
    }


PRDC = Metric("prdc", "precision, recall, density, coverage; higher is better", FEATURES, prdc)


def nearest(queries: np.ndarray, among: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest clips in the space of features.

    Args:
        queries: float [q, features].
        among: float [n, features], the clips to search.
        count: number of nearest clips, 1 to n.

    Returns:
        Their indices in `among`, int64 [q, count], the nearest first, and their distances, float64.

    Raises:
        InputError: `count` is not 1 to n, an entry is not finite, or the numbers of features
            differ.
    """
    check_features(queries, among)
    check(Integer(1, len(among)), count=count)
    places = np.empty([len(queries), count], np.int64)
    found = np.empty([len(queries), count])
    for rows, distances in _squared_distances(queries, among):
        places[rows] = np.argsort(distances, axis=1, kind="stable")[:, :count]
        found[rows] = np.sqrt(np.take_along_axis(distances, places[rows], axis=1))
    return places, found


def _radii(features: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest neighbour; entry 0 is the row itself."""
    radii = np.empty(len(features))
    for rows, distances in _squared_distances(features, features):
        radii[rows] = np.partition(distances, k, axis=1)[:, k]
    return radii


def _squared_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of `a`, and their squared distances to all rows of `b`, float64."""
    for first in range(0, len(a), _BLOCK):
        rows = slice(first, min(first + _BLOCK, len(a)))
        x = np.asarray(a[rows], np.float64)
        distances = np.empty([len(x), len(b)])
        for start in range(0, len(b), _BLOCK):
            y = np.asarray(b[start : start + _BLOCK], np.float64)
            distances[:, start : start + len(y)] = cdist(x, y, "sqeuclidean")
        yield rows, distances


def _mean(of_clips: np.ndarray, k: int) -> Estimate:
    error = of_clips.std(dtype=np.float64) / np.sqrt(len(of_clips))
    return Estimate(float(of_clips.mean()), float(error), "standard error", {"neighbours": k})
