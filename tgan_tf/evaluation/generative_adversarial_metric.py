"""Generative Adversarial Metric: two trained GANs, each judged by the other's critic.

Im et al. 2016, "Generating images with recurrent adversarial networks" (arXiv 1602.05110),
Section 4. With e the share of clips that a critic takes for the wrong kind,

    r_test    = e(D1(test clips)) / e(D2(test clips))
    r_samples = e(D1(G2(z))) / e(D2(G1(z)))

The first GAN wins if r_samples < 1 and r_test is about 1: its generator fools the other's critic
more often than the other's fools its own, and its critic is no better or worse on real clips. For
r_test far from 1 nothing follows: a critic that takes everything for a fake is fooled by none.

A Wasserstein critic's score has no threshold of its own between real and fake. As in the TGAN
paper's evaluation it is given one first, which parts real clips from its own generator's fakes
best. All here are functions of scores but `critic_scores`, which makes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.metric import SCORES_OF_TWO, Metric, score
from tgan_tf.models.network import CriticNetwork


class Scores(NamedTuple):
    """What the critic of one of the two says, higher for real.

    Attributes:
        own_fakes: float [n], of its own generator's clips, for the threshold.
        real: float [m], of real clips that its threshold is set by, those of the training.
        rival_fakes: float [k], of the other generator's clips.
        test: float [l], of real clips of a test set.
    """

    own_fakes: np.ndarray
    real: np.ndarray
    rival_fakes: np.ndarray
    test: np.ndarray


def critic_scores(critic: CriticNetwork, clip_batches: Iterable[np.ndarray]) -> np.ndarray:
    """Scores clips in inference mode, a batch in memory at a time.

    Args:
        critic: one that is not conditional.
        clip_batches: float32 [batch, *critic.clip_shape] in [-1, 1], at least one.

    Returns:
        float32 [clips], in the order of the clips.

    Raises:
        InputError: the clips are of another shape than the critic's.
    """
    signature = [tf.TensorSpec([None, *critic.clip_shape], tf.float32)]
    call = tf.function(lambda clips: score(clips, critic), signature, autograph=False)
    scores = []
    for clips in clip_batches:
        if tuple(clips.shape[1:]) != critic.clip_shape:
            raise InputError(
                f"clips of {tuple(clips.shape[1:])}, the critic takes {critic.clip_shape}: compare "
                "runs of the same frames, size and channels"
            )
        scores.append(call(clips).numpy())
    return np.concatenate(scores)


def best_threshold(*, fake: np.ndarray, real: np.ndarray) -> float:
    """The threshold that parts real from fake best: a clip above it is taken for real.

    Best is the least mean of the two error rates, so that the numbers of the two kinds of clips do
    not matter. It is the middle of a gap between two neighbouring scores; of gaps that are equally
    good the widest, of those the lowest. If every one of them is worse than chance, or all scores
    are the same, it is the highest score: all clips are then taken for fakes.

    Args:
        fake: float [n], the scores of generated clips, at least 1.
        real: float [m], those of real clips, at least 1.

    Raises:
        InputError: there are no scores, or one is not finite.
    """
    real = np.sort(_checked(real, "real clips"))
    fake = np.sort(_checked(fake, "generated clips"))
    values = np.unique(np.concatenate([real, fake]))
    lower, upper = values[:-1], values[1:]
    missed = np.searchsorted(real, lower, side="right")
    fooled_by = len(fake) - np.searchsorted(fake, lower, side="right")
    # 2 n m times the mean error rate: whole numbers, of which equal ones are equal.
    costs = missed * len(fake) + fooled_by * len(real)
    if not len(costs) or costs.min() > len(real) * len(fake):
        return float(values[-1])
    gap = np.argmax(np.where(costs == costs.min(), upper - lower, -1.0))
    # Between neighbouring floats there is no middle, and it would be rounded to the upper one.
    middle = min(lower[gap] + (upper[gap] - lower[gap]) / 2, np.nextafter(upper[gap], -np.inf))
    return float(middle)


def generative_adversarial_metric(
    first: Scores, second: Scores
) -> dict[str, Estimate | str | None]:
    """Judges two GANs by each other's critic.

    r_test counts as about 1 here if the two error rates on test clips differ by at most two
    standard errors of such a difference between equal rates.

    Args:
        first: the scores of the first GAN's critic.
        second: those of the second's.

    Returns:
        - "test_error_first", "test_error_second": share of test clips that the critic takes for
          fakes; in `details` the critic's threshold;
        - "samples_error_first", "samples_error_second": share of the rival's clips that the critic
          takes for real;
        - "r_test", "r_samples": the first's error rate over the second's; None where the second's
          is 0;
        - "winner": "first" or "second", the one whose critic errs less on the rival's clips, if
          r_test is about 1, and "undecided" otherwise.

        Errors are standard errors of a binomial share; of a ratio propagated from the two shares,
        as if those were independent. That a threshold is found from a sample is not in them: give
        more clips for the thresholds than are tested.

    Raises:
        InputError: there are no scores of a kind, or one is not finite.
    """
    rates = {}
    for player, scores in (("first", first), ("second", second)):
        threshold = best_threshold(fake=scores.own_fakes, real=scores.real)
        details = {"threshold": threshold}
        test = _checked(scores.test, "test clips") <= threshold
        fooled = _checked(scores.rival_fakes, "the rival's clips") > threshold
        rates[f"test_error_{player}"] = _share(test, details)
        rates[f"samples_error_{player}"] = _share(fooled, details)
    samples = rates["samples_error_first"].value, rates["samples_error_second"].value
    winner = "undecided"
    if samples[0] != samples[1] and _about_equal(first, second, rates):
        winner = "first" if samples[0] < samples[1] else "second"
    return {
        **rates,
        "r_test": _ratio(rates["test_error_first"], rates["test_error_second"]),
        "r_samples": _ratio(rates["samples_error_first"], rates["samples_error_second"]),
        "winner": winner,
    }


GAM = Metric(
    "gam",
    "Generative Adversarial Metric: two runs, each judged by the other's critic",
    SCORES_OF_TWO,
    generative_adversarial_metric,
    num_clips=500,
)


def _checked(scores: np.ndarray, of: str) -> np.ndarray:
    """Scores as float64, which the middle of two is rounded in."""
    scores = np.asarray(scores, np.float64)
    if not len(scores):
        raise InputError(f"there are no scores of {of}: give those of some")
    if not np.isfinite(scores).all():
        raise InputError(
            f"some scores of {of} are NaN or infinite: compare checkpoints from before the "
            "training diverged"
        )
    return scores


def _share(wrong: np.ndarray, details: dict[str, Any]) -> Estimate:
    share = float(wrong.mean())
    error = math.sqrt(share * (1 - share) / len(wrong))
    return Estimate(share, error, "standard error (binomial)", details)


def _ratio(one: Estimate, other: Estimate) -> Estimate | None:
    if other.value == 0:
        return None
    ratio = one.value / other.value
    error = math.hypot(one.error or 0.0, ratio * (other.error or 0.0)) / other.value
    return Estimate(ratio, error, "standard error (propagated)")


def _about_equal(first: Scores, second: Scores, rates: dict[str, Estimate]) -> bool:
    """Whether the error rates on test clips are, as the test of two proportions judges."""
    one, other = rates["test_error_first"].value, rates["test_error_second"].value
    n, m = len(first.test), len(second.test)
    pooled = (one * n + other * m) / (n + m)
    return abs(one - other) <= 2 * math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
