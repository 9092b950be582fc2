"""Class accuracy of conditional clips: does the classifier read the class that was asked for?

    accuracy = share of clips whose most probable class is the one that they were made for

It is about 1 / classes by chance, and 1 at best. Odena et al. 2017, "Conditional Image Synthesis
with Auxiliary Classifier GANs" (arXiv 1610.09585), Section 4.1, judge in the same way whether
classes are legible; their classifier is trained on real images too.
"""

from __future__ import annotations

import numpy as np

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.metric import PROBABILITIES, Metric


def class_accuracy(probabilities: np.ndarray) -> Estimate:
    """The share of clips that the classifier reads as the class asked for.

    Args:
        probabilities: float [n, classes]: p(y | clip). Clip i was asked to be of class i modulo the
            number of classes, as a conditional generator makes them in turn.

    Returns:
        The share in [0, 1] and its binomial standard error; in the details "by_class", the share of
        each class.

    Raises:
        InputError: the shape is not [n, classes], or there are fewer clips than classes.
    """
    if probabilities.ndim != 2 or len(probabilities) < probabilities.shape[-1]:
        raise InputError(
            f"probabilities of shape {probabilities.shape}: must be [clips, classes], of at least "
            "one clip a class"
        )
    count, num_classes = probabilities.shape
    asked = np.arange(count) % num_classes
    right = probabilities.argmax(axis=1) == asked
    accuracy = float(right.mean())
    by_class = [float(right[asked == label].mean()) for label in range(num_classes)]
    error = float(np.sqrt(accuracy * (1 - accuracy) / count))
    return Estimate(accuracy, error, "binomial standard error", {"by_class": by_class})


CLASS_ACCURACY = Metric(
    "class_accuracy",
    "share of clips of a conditional generator that show the class asked for; higher is better",
    PROBABILITIES,
    lambda fake: class_accuracy(fake),
    of_classes_in_turn=True,
)
