"""What a metric is, and what is measured for it.

A metric is computed of one quantity, which is measured of each clip that is judged and, where it
compares, of real ones:

    fvd          features [n, d] of both                  → the distance of their distributions
    is           probabilities [n, classes]               → a score, real clips are not needed
    wasserstein  a critic's scores [n] of both            → the difference of their means
    spectrum     nothing of clips, the critic's kernels   → their largest singular values

The package's own are in `tgan_tf.evaluation.metrics.METRICS`; another one is an object like those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

import tensorflow as tf

from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.models.network import CriticNetwork


class Quantity(NamedTuple):
    """What a metric is computed of.

    Attributes:
        name: of its column in files of measurements. Real clips are measured once: a quantity that
            is measured otherwise than before needs another name.
        measure: (clips, judge) → float32 [batch, ...]. Clips are float32 [batch, T, rows, columns,
            channels] in [-1, 1]. The judge is what the extractor says of them, an `Extracted`; of a
            quantity that needs a critic it is the critic. None: it is nothing of clips, but the
            critic itself. What the judge is depends on the quantity, so its type is Any.
        num_critics: how many critics it needs: 1 is that of the run that is judged, 2 are those of
            two runs that are compared.
        of_real: whether it is measured of real clips as well. With a critic these are held-out
            ones, which the critic was not trained on.
        of_classes: whether the extractor must have classes.
    """

    name: str
    measure: Callable[[tf.Tensor, Any], tf.Tensor] | None
    num_critics: int = 0
    of_real: bool = True
    of_classes: bool = False


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: lower-case letters and underscores, as it is asked for.
        about: what it is, for help texts.
        quantity: what it is computed of.
        compute: the metric, called by keyword. `fake` and, if the quantity is of real clips too,
            `real` are the quantity of the clips judged and of real ones, float32 [clips, ...];
            they need not be equally many. If it is nothing of clips, `critic` is the critic.
            The metric of two runs has `first` and `second`. It gives an estimate, or several by
            their names; that of two runs may also name the better one, or None for no number.
        num_clips: how many clips it judges if it is not said; 0 for a metric that is of none.
        fewest: from the number of the extractor's features to how few clips it can judge.
        multiple: what the number of clips divides by.
        of_classes_in_turn: whether it is of a conditional generator's clips, clip i of class i
            modulo the number of classes, and the extractor must have these classes.
    """

    name: str
    about: str
    quantity: Quantity
    compute: Callable[..., Estimate | Mapping[str, Estimate | str | None]]
    num_clips: int = 2048
    fewest: Callable[[int], int] = lambda num_features: 10
    multiple: int = 1
    of_classes_in_turn: bool = False


def score(clips: tf.Tensor, critic: CriticNetwork) -> tf.Tensor:
    """A critic's scores of clips in inference, float32 [batch]; of several critics their sum.

    Args:
        clips: float32 [batch, *critic.clip_shape] in [-1, 1].
        critic: one that is not conditional.
    """
    return tf.reduce_sum(critic(clips, training=False), axis=1)


FEATURES = Quantity("features", lambda clips, extracted: extracted.features)
PROBABILITIES = Quantity(
    "probabilities",
    lambda clips, extracted: extracted.probabilities,
    of_real=False,
    of_classes=True,
)
SCORES = Quantity("scores", score, num_critics=1)
CRITIC = Quantity("critic", None, num_critics=1, of_real=False)
SCORES_OF_TWO = Quantity("scores", score, num_critics=2)
