"""The interface of feature extractors: clips in, features and class probabilities out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import tensorflow as tf


class Extracted(NamedTuple):
    """The output of an extractor for a batch of clips.

    Attributes:
        features: float32 [batch, features].
        probabilities: float32 [batch, classes], rows of sum 1; None if it has no classes.
    """

    features: tf.Tensor
    probabilities: tf.Tensor | None


class Extractor(Protocol):
    """A trained network that measures clips.

    To be used by several processes it must be picklable. The package's own are pickled as the
    arguments they were opened with.

    Attributes:
        name: its name in records, such as "c3d", or the path of a model file.
        sha256: hexadecimal digest of its weights, for the record.
        num_features: number of features of a clip.
        num_classes: number of classes; 0 if it gives no probabilities.
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
        """Raises an `InputError` if it does not take clips (frames, rows, columns, channels)."""

    def __call__(self, clips: tf.Tensor) -> Extracted:
        """Measures clips; may be called inside a `tf.function`.

        Args:
            clips: float32 [batch, frames, rows, columns, channels] in [-1, 1], channels 1 (grey)
                or 3 (RGB); x * 128 + 128 is the pixel value, as everywhere in this package.
        """
