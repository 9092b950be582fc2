"""The extractor that comes with the package: a classifier of Moving MNIST clips.

A small 3-D convolutional network that predicts which digit a clip shows and in which direction it
moves. `experiments/studies/train_classifier.py` trained it on the training digits of
`tgan_tf.data.MovingMNIST` alone. `moving_mnist.md` beside this file has its accuracy.

For 16 frames: clips [16, 64, 64, 1] → 16x32x32x16 → 8x16x16x32 → 4x8x8x64 → 4x8x8x128 → 4x4x4x128,
then the maximum over positions [4, 128], and the mean over time [128].
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tgan_tf import numpy_files
from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.evaluation.extractors.extractor import Extracted

WEIGHTS = Path(__file__).with_name("moving_mnist.npz")
SIZE = 64
"""Rows and columns of the network's frames; others are resized."""
FEWEST_FRAMES = 4
"""The network reduces four frames to one moment."""
DIGITS = 10
DIRECTIONS = 8


class DigitNetwork(keras.Model):
    """Predicts a digit for each clip and a direction for each moment of it.

    Shapes: float32 [batch, T, 64, 64, 1] in [-1, 1] in, T at least 4; a dict out of

        features       float32 [batch, 128], at least 0
        digits         float32 [batch, 10], logits of the digit
        directions     float32 [batch, moments, 8], logits of the direction in each moment:
                       down, then in eighths of a turn through right, up and left
    """

    def __init__(self, **kwargs: Any):
        # In float32 whatever the policy: a generator may be training in another.
        super().__init__(dtype="float32", **kwargs)
        self.convolutions, self.normalizations = [], []
        for i, (filters, kernel_size, strides) in enumerate(
            (
                (16, (1, 5, 5), (1, 2, 2)),
                (32, (3, 3, 3), (2, 2, 2)),
                (64, (3, 3, 3), (2, 2, 2)),
                (128, (3, 3, 3), (1, 1, 1)),
                (128, (1, 3, 3), (1, 2, 2)),
            )
        ):
            self.convolutions.append(
                keras.layers.Conv3D(
                    filters,
                    kernel_size,
                    strides,
                    "same",
                    use_bias=False,
                    name=f"conv{i}",
                    dtype="float32",
                )
            )
            self.normalizations.append(
                keras.layers.BatchNormalization(momentum=0.98, name=f"bn{i}", dtype="float32")
            )
        self.dropout = keras.layers.Dropout(0.3, dtype="float32")
        self.digit = keras.layers.Dense(DIGITS, name="digit", dtype="float32")
        self.direction = keras.layers.Dense(DIRECTIONS, name="direction", dtype="float32")
        self(keras.Input((16, SIZE, SIZE, 1)))

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        h = inputs
        for convolution, normalization in zip(self.convolutions, self.normalizations):
            h = tf.nn.relu(normalization(convolution(h), training=training))
        moments = tf.reduce_max(h, axis=[2, 3])
        features = tf.reduce_mean(moments, axis=1)
        return {
            "features": features,
            "digits": self.digit(self.dropout(features, training=training)),
            "directions": self.direction(moments),
        }


class DigitClassifier:
    """The classifier as an extractor: 128 features, probabilities of 10 digits.

    Clips of any size are resized to 64x64, and colour becomes grey (ITU-R BT.601). It needs no
    download. Its features describe moving strokes. They tell how similar two sets of films are, but
    other work measures films with C3D or I3D.

    Args:
        weights: an .npz file of `experiments/studies/train_classifier.py`. Default: the package's
            own.

    Raises:
        InputError: the file is missing or holds other arrays.
    """

    name = "moving_mnist"
    about = "comes with the package, for digits"
    options = {"weights": ".npz file of train_classifier.py, by default the package's own"}
    programs = ()
    num_features = 128
    num_classes = DIGITS

    def __init__(self, weights: str | Path = WEIGHTS):
        self.weights = weights
        self.network = DigitNetwork()
        try:
            data = Path(weights).read_bytes()
            arrays = numpy_files.read_npz(weights)
            for name, variable in named_weights(self.network).items():
                variable.assign(arrays[name])
        except Exception as error:  # a damaged archive or header may raise anything
            raise InputError(
                f"{weights}: does not hold the weights of the Moving MNIST classifier "
                f"({reason(error)}): reinstall the package, or make the file with "
                "experiments/studies/train_classifier.py"
            ) from error
        self.sha256 = hashlib.sha256(data).hexdigest()

    def __reduce__(self) -> tuple:
        return DigitClassifier, (self.weights,)

    def check(self, clip_shape: tuple[int, int, int, int]) -> None:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        if clip_shape[0] < FEWEST_FRAMES:
            raise InputError(
                f"clips of {clip_shape[0]} frames: the Moving MNIST classifier needs at least "
                f"{FEWEST_FRAMES}: give more ",
                Argument("frames"),
                ", or another ",
                Argument("extractor"),
            )
        if clip_shape[-1] == 3:
            warnings.warn(
                f"{self.name} is for digits: for films give C3D or I3D, see docs/evaluation.md",
                stacklevel=2,
            )

    def __call__(self, clips: tf.Tensor) -> Extracted:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        outputs = self.network(prepare(clips), training=False)
        return Extracted(outputs["features"], tf.nn.softmax(outputs["digits"]))


def prepare(clips: tf.Tensor) -> tf.Tensor:
    """Pre-processes clips for the network: grey, 64x64.

    Args:
        clips: float32 [batch, T, rows, columns, 1 or 3] in [-1, 1].

    Returns:
        float32 [batch, T, 64, 64, 1] in [-1, 1].
    """
    if clips.shape[-1] == 3:
        clips = tf.image.rgb_to_grayscale(clips)
    _, frames, rows, columns, _ = clips.shape
    if (rows, columns) == (SIZE, SIZE):
        return clips
    images = tf.reshape(clips, [-1, rows, columns, 1])
    images = tf.image.resize(images, [SIZE, SIZE], antialias=True)
    return tf.reshape(images, [-1, frames, SIZE, SIZE, 1])


def named_weights(network: DigitNetwork) -> dict[str, tf.Variable]:
    """The network's variables by their names in the file, such as "conv0/kernel"."""
    return {
        f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}": variable
        for layer in network.layers
        for variable in layer.weights
    }
