"""The real clips nearest to generated ones: has the generator memorised the training set?

The clips of a generator that has memorised are nearer to training clips than other real clips are.
The picture shows the generated clips that are nearest to a training clip, each above its nearest
training clips.
"""

from __future__ import annotations

import numpy as np

from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.metric import FEATURES, Metric
from tgan_tf.evaluation.prdc import nearest
from tgan_tf.rendering import contact_sheet, to_uint8


def nearest_distance(fake: np.ndarray, real: np.ndarray) -> Estimate:
    """The median distance from a clip to its nearest real clip, in the space of features.

    Args:
        fake: float32 [n, features], features of the evaluated clips.
        real: float32 [m, features], features of real clips.

    Returns:
        The median and its standard error (1.2533 standard errors of the mean, as for a normal
        distribution). The details have the indices of the eight clips that are nearest to a real
        one and, for each, of its three nearest real clips.

    Raises:
        InputError: see `tgan_tf.evaluation.prdc.nearest`.
    """
    places, distances = nearest(fake, real, min(3, len(real)))
    closest = np.argsort(distances[:, 0], kind="stable")[:8]
    return Estimate(
        float(np.median(distances[:, 0])),
        float(1.2533 * distances[:, 0].std(ddof=1) / np.sqrt(len(fake))),
        "standard error of the median",
        {"closest": closest.tolist(), "nearest_real": places[closest].tolist()},
    )


NEAREST = Metric(
    "nearest",
    "distance to the nearest real clip, and a picture: shows memorisation",
    FEATURES,
    nearest_distance,
)


def picture(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """A picture of each evaluated clip above its nearest real ones, with one column per frame.

    Args:
        fake: float32 [clips, T, rows, columns, channels] in [-1, 1].
        real: float32 [clips, nearest, T, rows, columns, channels], the nearest first.

    Returns:
        uint8 [height, width, channels], white bars between the groups.
    """
    groups = []
    for one, others in zip(fake, real):
        sheet = contact_sheet(to_uint8(np.concatenate([one[np.newaxis], others])))
        groups += [np.full((8, *sheet.shape[1:]), 255, np.uint8), sheet]
    return np.concatenate(groups[1:])
