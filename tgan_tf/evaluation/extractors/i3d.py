"""I3D of Kinetics-400, by which the Fréchet Video Distance is measured.

Carreira & Zisserman 2017 (arXiv 1705.07750); pre-processing and output as Unterthiner et al. 2018
(arXiv 1812.01717, frechet_video_distance.py in google-research/google-research): frames resized
bilinearly to 224x224 (TF1's way: not smoothed, pixel i of the new at i * rows / 224 of the old),
pixels x to 2 x / 255 - 1, the logits of the 400 classes.
"""

from __future__ import annotations

import os

import tensorflow as tf

from tgan_tf.data.storage import is_remote
from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.evaluation.extractors.extractor import Extracted
from tgan_tf.evaluation.extractors.model_file import open_saved_model, sha256_of
from tgan_tf.extras import extra

HANDLE = "https://tfhub.dev/deepmind/i3d-kinetics-400/1"
SIZE = 224
FEWEST_FRAMES = 9
"""It halves the frames three times, rounding up, and averages over windows of two (i3d.py in
google-deepmind/kinetics-i3d)."""


class I3D:
    """I3D as an extractor: the 400 logits are the features, their softmax the probabilities.

    It takes clips of at least 9 frames, of any size; grey ones are repeated to three channels.

    Args:
        weights: a TF-Hub handle, which needs the package tensorflow-hub, or a local SavedModel's
            directory. Its signature "default", or else "serving_default", takes float32 [batch,
            frames, 224, 224, 3] in [-1, 1] to an output "default", or to one output, of logits
            [batch, classes].

    Raises:
        InputError: the handle cannot be reached or tensorflow-hub is missing, the directory is no
            SavedModel, or its signature takes or gives something else.
    """

    name = "i3d"
    about = "the one of FVD"
    options = {
        "weights": "SavedModel directory or TF-Hub handle, default that of Kinetics-400; it runs "
        "its own code, only of a source you trust"
    }
    programs = ("weights",)

    def __init__(self, weights: str | os.PathLike[str] = HANDLE):
        self.weights = weights
        directory = _resolve(weights) if is_remote(weights) else weights
        self._model, shape = open_saved_model(directory, ["default", "serving_default"])
        if not shape.is_compatible_with([None, None, SIZE, SIZE, 3]) or (
            shape.rank and (shape[0], shape[1]) != (None, None)
        ):
            raise InputError(
                f"{weights}: takes {shape}: give an I3D that takes [None, None, {SIZE}, {SIZE}, 3]"
            )
        try:
            outputs = self._model(tf.zeros([1, 16, SIZE, SIZE, 3]))
        except Exception as error:  # a model may raise anything
            raise InputError(
                f"{weights}: fails with a clip of 16 x {SIZE} x {SIZE} x 3 ({reason(error)}): "
                "give an I3D"
            ) from error
        self._output = "default" if "default" in outputs else next(iter(outputs))
        logits = outputs[self._output]
        if ("default" not in outputs and len(outputs) > 1) or logits.shape.rank != 2:
            found = ", ".join(f"{name} {output.shape}" for name, output in sorted(outputs.items()))
            raise InputError(
                f"{weights}: gives {found} of a clip: give an I3D with logits [batch, classes] as "
                'its only output or named "default"'
            )
        self.num_features = self.num_classes = logits.shape[1]
        self.sha256 = sha256_of(directory)

    def __reduce__(self) -> tuple:
        return I3D, (self.weights,)

    def check(self, clip_shape: tuple[int, int, int, int]) -> None:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        if clip_shape[0] < FEWEST_FRAMES:
            raise InputError(
                f"clips of {clip_shape[0]} frames: I3D needs at least {FEWEST_FRAMES}: give more ",
                Argument("frames"),
                ", or another ",
                Argument("extractor"),
            )

    def __call__(self, clips: tf.Tensor) -> Extracted:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        logits = self._model(prepare(clips))[self._output]
        return Extracted(logits, tf.nn.softmax(logits))


def prepare(clips: tf.Tensor) -> tf.Tensor:
    """Clips as the network sees them.

    Args:
        clips: float32 [batch, T, rows, columns, 1 or 3] in [-1, 1]; pixels above 255, which no
            file could hold, are taken as 255.

    Returns:
        float32 [batch, T, 224, 224, 3] in [-1, 1].
    """
    _, frames, rows, columns, channels = clips.shape
    pixels = tf.clip_by_value(clips * 128.0 + 128.0, 0.0, 255.0)
    # tf.image.resize puts pixels' centres at halves, which TF1's tf.image.resize_bilinear did not.
    images = tf.raw_ops.ResizeBilinear(
        images=tf.reshape(pixels, [-1, rows, columns, channels]),
        size=[SIZE, SIZE],
        align_corners=False,
        half_pixel_centers=False,
    )
    if channels == 1:
        images = tf.image.grayscale_to_rgb(images)
    return tf.reshape(2.0 * images / 255.0 - 1.0, [-1, frames, SIZE, SIZE, 3])


def _resolve(handle: str | os.PathLike[str]) -> str:
    """The directory that TF-Hub downloads a handle to."""
    remedy = "give the directory of its SavedModel, downloaded by hand"
    with extra("evaluation", str(handle), otherwise=remedy):
        import tensorflow_hub
    try:
        return tensorflow_hub.resolve(handle)
    except Exception as error:  # of many classes
        raise InputError(f"{handle}: cannot be fetched ({reason(error)}): {remedy}") from error
