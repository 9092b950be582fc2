"""Checks features of clips, which have one row per clip."""

from __future__ import annotations

import numpy as np

from tgan_tf.errors import InputError

_BLOCK = 1024


def check_features(fake: np.ndarray, real: np.ndarray) -> None:
    """Raises an `InputError` if two arrays are not finite features [n, d] with the same d."""
    if fake.ndim != 2 or real.ndim != 2 or fake.shape[1] != real.shape[1]:
        raise InputError(
            f"features of shapes {fake.shape} and {real.shape}: must be [clips, features] of the "
            "same extractor"
        )
    for name, features in (("generated", fake), ("real", real)):
        for first in range(0, len(features), _BLOCK):
            finite = np.isfinite(features[first : first + _BLOCK]).all(axis=1)
            if not finite.all():
                raise InputError(
                    f"features of {name} clip {first + np.argmin(finite)} are NaN or infinite: "
                    "the clips or the extractor are broken"
                )
