"""What every feature extractor is: clips in, features and class probabilities out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import tensorflow as tf


class Extracted(NamedTuple):
    """What an extractor says of a batch of clips.

    Attributes:
        features: float32 [batch, features].
        probabilities: float32 [batch, classes], rows of sum 1; None where it has no classes.
    """

    features: tf.Tensor
    probabilities: tf.Tensor | None


class Extractor(Protocol):
    """A trained network that clips are measured by.

    To measure on several processes it can be pickled, which the package's own are as what they are
    opened by.

    Attributes:
        name: that it has in records, such as "c3d", or the path of a model file.
        sha256: hexadecimal digest of its weights, for the record.
        num_features: features of a clip.
        num_classes: classes of its probabilities; 0 where it gives none.
    """

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def num_features(self) -> int: ...

    @property
    def num_classes(self) -> int: ...

    def check(self, clip_shape: tuple[int, int, int, int]) -> None:
        """Raises an `InputError` if clips (frames, rows, columns, channels) do not fit it."""

    def __call__(self, clips: tf.Tensor) -> Extracted:
        """Measures clips; may be called inside a `tf.function`.

        Args:
            clips: float32 [batch, frames, rows, columns, channels] in [-1, 1], channels 1 (grey)
                or 3 (RGB); x * 128 + 128 is the pixel, as everywhere in this package.
        """
