"""Generative Adversarial Metric: two trained GANs, each judged by the other's critic.

Im et al. 2016, "Generating images with recurrent adversarial networks" (arXiv 1602.05110),
Section 4. With e the share of clips that a critic misclassifies,

    r_test    = e(D1(test clips)) / e(D2(test clips))
    r_samples = e(D1(G2(z))) / e(D2(G1(z)))

The first GAN wins if r_samples < 1 and r_test is about 1: its generator fools the other's critic
more often than the other's fools its own, and the critics are equally good on real clips. If r_test
is far from 1 nothing follows: a critic that takes everything for fake is never fooled.

A Wasserstein critic's score has no natural threshold between real and fake. As in the TGAN paper's
evaluation, the threshold is first chosen that best separates real clips from its own generator's
fakes. `critic_scores` computes scores; all other functions here take scores.
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
    """The scores of one GAN's critic, higher for real.

    Attributes:
        own_fakes: float [n], scores of its own generator's clips, for the threshold.
        real: float [m], scores of real training clips, for the threshold.
        rival_fakes: float [k], scores of the other generator's clips.
        test: float [l], scores of real clips from a test set.
    """

    own_fakes: np.ndarray
    real: np.ndarray
    rival_fakes: np.ndarray
    test: np.ndarray


def critic_scores(critic: CriticNetwork, clip_batches: Iterable[np.ndarray]) -> np.ndarray:
    """Scores clips in inference mode, with one batch in memory at a time.

    Args:
        critic: an unconditional critic.
        clip_batches: float32 [batch, *critic.clip_shape] in [-1, 1], at least one.

    Returns:
        float32 [clips], in the order of the clips.

    Raises:
        InputError: the clips' shape is not the critic's.
    """
    signature = [tf.TensorSpec([None, *critic.clip_shape], tf.float32)]
    call = tf.function(lambda clips: score(clips, critic), signature, autograph=False)
    scores = []
    for clips in clip_batches:
        if tuple(clips.shape[1:]) != critic.clip_shape:
            raise InputError(
                f"clips of {tuple(clips.shape[1:])}, the critic takes {critic.clip_shape}: compare "
                "runs with the same frames, size and channels"
            )
        scores.append(call(clips).numpy())
    return np.concatenate(scores)


def best_threshold(*, fake: np.ndarray, real: np.ndarray) -> float:
    """The threshold that best separates real from fake: a clip above it is taken for real.

    The best threshold minimises the mean of the two error rates, so that the numbers of clips do
    not matter. It is the middle of a gap between two neighbouring scores: of equally good gaps the
    widest, and of these the lowest. If every gap is worse than chance, or all scores are equal, it
    is the highest score, and all clips are taken for fake.

    Args:
        fake: float [n], scores of generated clips, n at least 1.
        real: float [m], scores of real clips, m at least 1.

    Raises:
        InputError: there are no scores, or one is not finite.
    """
    real = np.sort(_checked(real, "real clips"))
    fake = np.sort(_checked(fake, "generated clips"))
    values = np.unique(np.concatenate([real, fake]))
    lower, upper = values[:-1], values[1:]
    missed = np.searchsorted(real, lower, side="right")
    fooled_by = len(fake) - np.searchsorted(fake, lower, side="right")
    # 2 n m times the mean error rate: integers, which compare exactly.
    costs = missed * len(fake) + fooled_by * len(real)
    if not len(costs) or costs.min() > len(real) * len(fake):
        return float(values[-1])
    gap = np.argmax(np.where(costs == costs.min(), upper - lower, -1.0))
    # Adjacent floats have no middle; it would be rounded to the upper one.
    middle = min(lower[gap] + (upper[gap] - lower[gap]) / 2, np.nextafter(upper[gap], -np.inf))
    return float(middle)


def generative_adversarial_metric(
    first: Scores, second: Scores
) -> dict[str, Estimate | str | None]:
    """Judges two GANs by each other's critics.

    r_test counts as about 1 if the two error rates on test clips differ by at most two standard
    errors of the difference under equal rates.

    Args:
        first: the scores of the first GAN's critic.
        second: the scores of the second GAN's critic.

    Returns:
        - "test_error_first", "test_error_second": share of test clips that the critic takes for
          fake; `details` has the critic's threshold;
        - "samples_error_first", "samples_error_second": share of the rival's clips that the critic
          takes for real;
        - "r_test", "r_samples": the first's error rate over the second's; None if the second's is
          0;
        - "winner": "first" or "second", the one whose critic errs less on the rival's clips, if
          r_test is about 1, and "undecided" otherwise.

        Errors are standard errors of a binomial share; a ratio's error is propagated from the two
        shares as if they were independent. They do not include the error of a threshold found from
        a sample: give more clips for the thresholds than for the test.

    Raises:
        InputError: scores of one kind are missing, or a score is not finite.
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
    "Generative Adversarial Metric: two runs judged by each other's critics",
    SCORES_OF_TWO,
    generative_adversarial_metric,
    num_clips=500,
)


def _checked(scores: np.ndarray, of: str) -> np.ndarray:
    """Scores as float64, in which the middle of two is rounded."""
    scores = np.asarray(scores, np.float64)
    if not len(scores):
        raise InputError(f"there are no scores of {of}: give at least one")
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
    """Whether the error rates on test clips are equal by the test of two proportions."""
    one, other = rates["test_error_first"].value, rates["test_error_second"].value
    n, m = len(first.test), len(second.test)
    pooled = (one * n + other * m) / (n + m)
    return abs(one - other) <= 2 * math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
