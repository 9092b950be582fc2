"""Signs that a training is failing, cheap enough to compute while it runs.

Three numbers from a few generated clips and a few real ones show whether the generated clips differ
from each other, whether they move, and whether the critic tells them from real clips.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tgan_tf.models.network import CriticNetwork


class Signs(NamedTuple):
    """The signs from a few clips."""

    diversity: float
    """How much generated clips differ from each other, relative to real clips; 0: all are equal,
    NaN: all real clips are equal. The measure is the mean variance of a pixel over the clips."""
    motion: float
    """How much successive frames differ, relative to real clips; 0: none moves, NaN: no real clip
    moves. The measure is the mean absolute difference of successive frames."""
    critic_auc: float
    """Share of the pairs of a real and a generated clip in which the critic gives the real one the
    higher score (area under the ROC curve); 0.5: it cannot tell them apart, 1: it always can."""

    def warnings(self) -> dict[str, str]:
        """A sentence for each bad sign, by its name; empty for a healthy training."""
        found = {}
        if self.diversity < 0.5:
            found["diversity"] = (
                f"the generated clips differ {self.diversity:.2f} times as much as real ones: the "
                "generator is collapsing"
            )
        if self.motion < 0.5:
            found["motion"] = (
                f"the generated clips move only {self.motion:.2f} times as much as real ones"
            )
        if self.motion > 2:
            found["motion"] = (
                f"the generated clips change {self.motion:.1f} times as much as real ones from "
                "frame to frame: they flicker"
            )
        if self.critic_auc < 0.6:
            found["critic_auc"] = (
                "the critic does not tell generated clips from real ones (AUC "
                f"{self.critic_auc:.2f}): the generator has nothing to learn from"
            )
        if self.critic_auc > 0.995:
            found["critic_auc"] = (
                "the critic ranks all real clips above all generated ones (AUC 1.00): if it stays "
                "saturated, the generator learns little"
            )
        return found


def signs(
    critic: CriticNetwork,
    generated: np.ndarray,
    real: np.ndarray,
    labels: tuple[np.ndarray, np.ndarray] | None = None,
) -> Signs:
    """Computes the signs.

    Args:
        critic: the critic; of each clip it sees the first frames, as many as it takes.
        generated: float32 [n, frames, size, size, channels] in [-1, 1], n at least 2.
        real: float32 [m, frames, size, size, channels] in [-1, 1], m at least 2.
        labels: for a conditional critic, the classes of the generated clips, int [n], and of the
            real ones, int [m].
    """
    return Signs(
        diversity=_share(_diversity(generated), _diversity(real)),
        motion=_share(_motion(generated), _motion(real)),
        critic_auc=_critic_auc(critic, (generated, real), labels),
    )


def _share(value: float, of: float) -> float:
    return value / of if of else float("nan")


def _diversity(clips: np.ndarray) -> float:
    # The mean squared distance between two clips is twice the sum of the pixels' variances.
    return float(np.mean(np.var(clips, axis=0, ddof=1)))


def _motion(clips: np.ndarray) -> float:
    return float(np.mean(np.abs(np.diff(clips, axis=1))))


def _critic_auc(
    critic: CriticNetwork,
    clips: tuple[np.ndarray, np.ndarray],
    labels: tuple[np.ndarray, np.ndarray] | None,
) -> float:
    inputs: list = [of_kind[:, : critic.frames] for of_kind in clips]
    if labels is not None:
        one_hot = np.eye(critic.num_classes, dtype=np.float32)
        inputs = [[seen, one_hot[classes]] for seen, classes in zip(inputs, labels)]
    of_generated, of_real = (critic(seen, training=False).numpy().sum(axis=1) for seen in inputs)
    # A tie counts half.
    return float(np.mean(np.sign(of_real[:, np.newaxis] - of_generated) / 2 + 0.5))
