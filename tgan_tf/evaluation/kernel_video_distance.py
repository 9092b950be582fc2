"""Kernel Video Distance: the squared maximum mean discrepancy between two sets of features.

With the cubic kernel k(x, y) = (x·y / d + 1)³ of Bińkowski et al. 2018, "Demystifying MMD GANs"
(arXiv 1801.01401), Section 4, which the FVD paper uses too. Unlike FVD it has no bias.
"""

from __future__ import annotations

import numpy as np

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.features import check_features
from tgan_tf.evaluation.metric import FEATURES, Metric

BLOCK = 256
"""The smallest number of clips in a block, unless there are fewer in all."""


def kernel_video_distance(fake: np.ndarray, real: np.ndarray) -> Estimate:
    """MMD² between two sets of clips.

    It is the mean over successive blocks of an unbiased estimate for two samples of equal size. The
    estimate omits pairs with the same index (Gretton et al. 2012, "A Kernel Two-Sample Test", Lemma
    6 and Equation 4) and is exactly 0 for identical sets:

        1 / (n (n - 1)) · Σ over i ≠ j of  k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)

    Args:
        fake: float [n, features].
        real: float [m, features]. Only the first min(n, m) rows of each set are used, since the
            samples of a block have equal size.

    Returns:
        The mean, which may be negative for similar sets. Its error is the standard error over the
        blocks; a single block has none.

    Raises:
        InputError: there are fewer than 2 clips, an entry is not finite, or the numbers of features
            differ.
    """
    check_features(fake, real)
    count = min(len(fake), len(real))
    if count < 2:
        raise InputError(f"{count} clips: give at least 2")
    blocks = max(1, count // BLOCK)
    values = [
        _unbiased(np.asarray(x, np.float64), np.asarray(y, np.float64))
        for x, y in zip(np.array_split(fake[:count], blocks), np.array_split(real[:count], blocks))
    ]
    details = {"blocks": blocks, "clips_of_a_block": count // blocks}
    if blocks == 1:
        return Estimate(values[0], details=details)
    error = np.std(values, ddof=1) / np.sqrt(blocks)
    error_of = f"standard error over {blocks} blocks of clips"
    return Estimate(float(np.mean(values)), float(error), error_of, details)


KVD = Metric(
    "kvd",
    "Kernel Video Distance, MMD² with a cubic kernel; lower is better",
    FEATURES,
    kernel_video_distance,
)


def _unbiased(x: np.ndarray, y: np.ndarray) -> float:
    count, features = x.shape
    h = _kernel(x, x, features) + _kernel(y, y, features)
    h -= 2 * _kernel(x, y, features)  # Summed over i ≠ j the two mixed terms are equal.
    return float((h.sum() - np.trace(h)) / (count * (count - 1)))


def _kernel(x: np.ndarray, y: np.ndarray, features: int) -> np.ndarray:
    return (x @ y.T / features + 1.0) ** 3
