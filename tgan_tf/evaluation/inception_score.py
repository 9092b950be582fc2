"""Inception Score of clips: is each clearly of one class, and do they cover all classes?

Salimans et al. 2016, "Improved Techniques for Training GANs" (arXiv 1606.03498), Section 4:

    IS = exp( mean over clips of KL( p(y | clip) || p(y) ) ),    p(y) the mean of p(y | clip)

It ranges from 1, if the classifier sees all clips alike, to the number of classes.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.metric import PROBABILITIES, Metric

_BLOCK = 4096


def inception_score(probabilities: np.ndarray, splits: int = 10) -> Estimate:
    """The score of clips from a classifier's probabilities.

    Args:
        probabilities: float [n, classes], rows of sum 1 within 1e-3: p(y | clip).
        splits: number of successive parts with a score each; n must be a multiple of it. 1 is the
            score of all clips at once, as evaluation/calc_inception.py of pfnet-research/tgan
            computes it (except for its 1e-7 inside the logarithms).

    Returns:
        The mean of the splits' scores and their standard deviation; with 1 split there is no error.
        The details have the number of splits and, as "whole", the score of all clips at once.

    Raises:
        InputError: n is not a multiple of `splits`, or a row is not a distribution.
    """
    if probabilities.ndim != 2:
        raise InputError(f"probabilities of shape {probabilities.shape}: must be [clips, classes]")
    count = len(probabilities)
    if count == 0 or count % splits:
        nearest = max(1, round(count / splits)) * splits
        raise InputError(
            f"{count} clips do not divide into {splits} splits: give {nearest} of them"
        )
    size = count // splits
    parts = [_sums(probabilities, first, size) for first in range(0, count, size)]
    scores = [_score(*part, size) for part in parts]
    negentropy = sum(part[0] for part in parts)
    total = np.sum([part[1] for part in parts], axis=0)
    details = {"splits": splits, "whole": _score(negentropy, total, count)}
    if splits == 1:
        return Estimate(scores[0], details=details)
    error_of = f"standard deviation of {splits} splits"
    return Estimate(float(np.mean(scores)), float(np.std(scores)), error_of, details)


IS = Metric(
    "is",
    "Inception Score, mean over 10 splits; higher is better",
    PROBABILITIES,
    lambda fake: inception_score(fake),
    num_clips=10_000,
    multiple=10,
)
IS_WHOLE = Metric(
    "is_whole",
    "Inception Score of all clips at once, as in the paper's code",
    PROBABILITIES,
    lambda fake: inception_score(fake, splits=1),
    num_clips=10_000,
)


def _sums(probabilities: np.ndarray, start: int, size: int) -> tuple[float, np.ndarray]:
    """The sum of p log p over clips and classes, and of p over clips, block by block."""
    negentropy, total = 0.0, np.zeros(probabilities.shape[1])
    for first in range(start, start + size, _BLOCK):
        block = probabilities[first : min(first + _BLOCK, start + size)]
        p = np.asarray(block, np.float64)
        _check(p, first)
        # xlogy(0, 0) is 0: a class without clips contributes nothing.
        negentropy += float(xlogy(p, p).sum())
        total += p.sum(axis=0)
    return negentropy, total


def _score(negentropy: float, total: np.ndarray, count: int) -> float:
    marginal = total / count
    return float(np.exp(negentropy / count - xlogy(marginal, marginal).sum()))


def _check(p: np.ndarray, first: int) -> None:
    wrong = ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3))
    if wrong.any():
        raise InputError(
            f"probabilities: row {first + np.argmax(wrong)} is not a distribution, its sum is "
            f"{p[np.argmax(wrong)].sum():g}: give an extractor that ends in a softmax"
        )
