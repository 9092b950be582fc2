"""Motion energy: how much a clip changes from frame to frame, without optical flow."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import GROUPS, Estimate, jackknifed
from tgan_tf.evaluation.metric import Metric, Quantity


def motion_energy(clips: tf.Tensor) -> tf.Tensor:
    """The mean squared difference of successive frames.

    Args:
        clips: float [batch, T, rows, columns, channels] in [-1, 1], T at least 2.

    Returns:
        float [batch, T - 1], the mean over pixels and channels.
    """
    return tf.reduce_mean(tf.square(clips[:, 1:] - clips[:, :-1]), axis=[2, 3, 4])


def motion_difference(fake: np.ndarray, real: np.ndarray) -> Estimate:
    """The difference in motion energy between generated and real clips, frame by frame.

    Args:
        fake: float [n, T - 1], motion energy of generated clips.
        real: float [m, T - 1], motion energy of real clips.

    Returns:
        The mean over frames of |mean of fake - mean of real|, divided by the mean of real: 0 if
        they are equal. Its error is the jackknife's, which leaves out each tenth of the generated
        clips once. The details have both means frame by frame, and the ratio of their means.

    Raises:
        InputError: there are fewer than 10 generated clips or no real ones, the real ones do not
            move, an entry is not finite, or the numbers of frames differ.
    """
    _check(fake, real)
    if len(fake) < GROUPS:
        raise InputError(f"{len(fake)} clips: give at least {GROUPS} to judge their motion")
    if not real.size:
        raise InputError("no motion of real clips: give at least 1 clip of at least 2 frames")
    real_mean = np.mean(real, axis=0, dtype=np.float64)
    if real_mean.mean() == 0:
        raise InputError("the real clips do not move: motion cannot be compared")
    parts = np.array_split(fake, GROUPS)
    sums = np.stack([part.sum(axis=0, dtype=np.float64) for part in parts])
    counts = np.array([len(part) for part in parts])

    def difference(mean: np.ndarray) -> float:
        return np.abs(mean - real_mean).mean() / real_mean.mean()

    mean = sums.sum(axis=0) / len(fake)
    without = [
        difference((sums.sum(axis=0) - one) / (len(fake) - count))
        for one, count in zip(sums, counts)
    ]
    return jackknifed(
        difference(mean),
        without,
        {
            "fake": mean.tolist(),
            "real": real_mean.tolist(),
            "ratio": float(mean.mean() / real_mean.mean()),
        },
    )


MOTION_ENERGY = Quantity("motion", lambda clips, extracted: motion_energy(clips))
MOTION = Metric(
    "motion",
    "difference from real clips in the change from frame to frame; lower is better",
    MOTION_ENERGY,
    motion_difference,
)


def _check(fake: np.ndarray, real: np.ndarray) -> None:
    if fake.ndim != 2 or real.ndim != 2 or fake.shape[1] != real.shape[1]:
        raise InputError(
            f"motion of shapes {fake.shape} and {real.shape}: must be [clips, frames - 1] with the "
            "same number of frames"
        )
    for name, motion in (("generated", fake), ("real", real)):
        finite = np.isfinite(motion).all(axis=1)
        if not finite.all():
            raise InputError(
                f"the motion of {name} clip {np.argmin(finite)} is NaN or infinite: give clips "
                "whose values are in [-1, 1]"
            )
