"""The critic's estimate of the Wasserstein distance between generated and real clips.

    mean D(real) - mean D(fake)

is the quantity that the critic is trained to maximise. On held-out clips it shows what the critic
has learnt about real clips rather than about the training set. The scale is the critic's: two
critics' numbers are comparable only as far as their Lipschitz constants are.
"""

from __future__ import annotations

import numpy as np

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.metric import SCORES, Metric


def wasserstein_estimate(*, fake: np.ndarray, real: np.ndarray) -> Estimate:
    """The difference of a critic's mean scores.

    Args:
        fake: float [n], scores of generated clips, n at least 2.
        real: float [m], scores of real clips, m at least 2.

    Returns:
        mean D(real) - mean D(fake) and its standard error.

    Raises:
        InputError: there are fewer than 2 scores, or one is not finite.
    """
    mean, variance = {}, {}
    for name, scores in (("real", real), ("generated", fake)):
        if len(scores) < 2:
            raise InputError(f"{len(scores)} scores of {name} clips: give at least 2")
        if not np.isfinite(scores).all():
            raise InputError(
                f"some scores of {name} clips are NaN or infinite: evaluate a checkpoint from "
                "before the training diverged"
            )
        mean[name] = np.mean(scores, dtype=np.float64)
        variance[name] = np.var(scores, dtype=np.float64, ddof=1) / len(scores)
    return Estimate(
        float(mean["real"] - mean["generated"]),
        float(np.sqrt(variance["real"] + variance["generated"])),
        "standard error",
    )


WASSERSTEIN = Metric(
    "wasserstein",
    "mean D(real) - mean D(generated), on held-out clips",
    SCORES,
    wasserstein_estimate,
)
