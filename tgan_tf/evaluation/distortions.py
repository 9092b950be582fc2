"""Distorts real clips step by step, to check that a metric responds, as in the FVD paper.

Unterthiner et al. 2018, "Towards Accurate Generative Models of Video" (arXiv 1812.01717), Section
4.1, distort real videos in space and in time and expect the distance to grow with the distortion.
Here the distortions are noise, blur and shuffled frames. Level 0 leaves clips unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import numpy as np
import scipy.ndimage

from tgan_tf.evaluation.clip_sets import ClipSet

Distortion = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def noise(clips: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Adds Gaussian noise of standard deviation `level` to values in [-1, 1], and clips them."""
    return np.clip(clips + rng.normal(0.0, level, clips.shape), -1.0, 1.0).astype(np.float32)


def blur(clips: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Blurs each frame with a Gaussian of standard deviation `level` pixels."""
    return scipy.ndimage.gaussian_filter(clips, (0, 0, level, level, 0), mode="nearest")


def shuffle(clips: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Shuffles a share `level` of each clip's frames."""
    shuffled = clips.copy()
    for clip in shuffled:
        places = rng.permutation(len(clip))[: round(level * len(clip))]
        clip[places] = clip[rng.permutation(places)]
    return shuffled


DISTORTIONS: dict[str, tuple[Distortion, tuple[float, ...], str]] = {
    "noise": (noise, (0.0, 0.1, 0.2, 0.4, 0.8), "standard deviation"),
    "blur": (blur, (0.0, 0.5, 1.0, 2.0, 4.0), "pixels"),
    "shuffle": (shuffle, (0.0, 0.25, 0.5, 0.75, 1.0), "share of frames"),
}


class DistortedClips:
    """A set of clips, distorted.

    Args:
        clips: the original clips.
        name: a name in `DISTORTIONS`.
        level: strength of the distortion, at least 0.
        seed: seed of the distortion.

    Attributes: those of `ClipSet`.
    """

    def __init__(self, clips: ClipSet, name: str, level: float, seed: int = 0):
        self.original = clips
        self.name = name
        self.level = level
        self.seed = seed
        self.clip_shape = clips.clip_shape
        self.num_clips = clips.num_clips
        self.num_classes = clips.num_classes
        self.description = {**clips.description, "distortion": name, "level": level}

    def batches(self, count: int, draw: int) -> Iterator[np.ndarray]:
        """See `ClipSet`."""
        distort, _, _ = DISTORTIONS[self.name]
        rng = np.random.default_rng([self.seed, draw])
        for clips in self.original.batches(count, draw):
            yield clips if self.level == 0 else distort(clips, self.level, rng)
