"""Metrics, and the quantities that are measured for them.

A metric is computed from one quantity, measured for each evaluated clip and, if the metric
compares, for real clips:

    fvd          features [n, d] of both                  → the distance of their distributions
    is           probabilities [n, classes]               → a score; real clips are not needed
    wasserstein  a critic's scores [n] of both            → the difference of their means
    spectrum     the critic's kernels, no clips           → their largest singular values

The package's metrics are in `tgan_tf.evaluation.metrics.METRICS`; any other `Metric` works too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

import tensorflow as tf

from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.models.network import CriticNetwork


class Quantity(NamedTuple):
    """What a metric is computed from.

    Attributes:
        name: name of its column in files of measurements. Since measurements of real clips are
            kept, a quantity that is measured differently than before needs another name.
        measure: (clips, judge) → float32 [batch, ...]. Clips are float32 [batch, T, rows, columns,
            channels] in [-1, 1]. The judge is the extractor's output for them, an `Extracted`, or
            the critic if the quantity needs one; hence its type Any. None: the quantity is the
            critic itself, not a property of clips.
        num_critics: number of critics it needs: 1 for the critic of the evaluated run, 2 for those
            of two compared runs.
        of_real: whether it is measured for real clips as well. With a critic these are held-out
            clips, which the critic was not trained on.
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
        name: its name in requests: lower-case letters and underscores.
        about: a description, for help texts.
        quantity: what it is computed from.
        compute: the metric, called by keyword. `fake` and, if the quantity is measured for real
            clips too, `real` are the values for the evaluated and the real clips, float32 [clips,
            ...], which may differ in number. If the quantity is the critic itself, `critic` is the
            critic. A metric of two runs takes `first` and `second`. It returns an estimate, or
            several by name; a metric of two runs may also return the name of the better one, or
            None for no value.
        num_clips: default number of clips; 0 for a metric without clips.
        fewest: number of the extractor's features → the smallest number of clips.
        multiple: the number of clips must be a multiple of it.
        of_classes_in_turn: whether it needs clips of a conditional generator, clip i of class i
            modulo the number of classes, and an extractor of the same classes.
    """

    name: str
    about: str
    quantity: Quantity
    compute: Callable[..., Estimate | Mapping[str, Estimate | str | None]]
    num_clips: int = 2048
    fewest: Callable[[int], int] = lambda num_features: 10
    multiple: int = 1
    of_classes_in_turn: bool = False

    @property
    def is_of_clips_alone(self) -> bool:
        """Whether other real clips can have a value: it needs no critic and asks for no classes."""
        return not self.quantity.num_critics and not self.of_classes_in_turn


def score(clips: tf.Tensor, critic: CriticNetwork) -> tf.Tensor:
    """A critic's scores of clips in inference, float32 [batch]; for several critics their sum.

    Args:
        clips: float32 [batch, *critic.clip_shape] in [-1, 1].
        critic: an unconditional critic.
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
