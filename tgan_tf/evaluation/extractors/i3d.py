"""I3D of Kinetics-400, the network of the Fréchet Video Distance.

Carreira & Zisserman 2017 (arXiv 1705.07750); pre-processing and output as in Unterthiner et al.
2018 (arXiv 1812.01717, frechet_video_distance.py in google-research/google-research): frames are
resized bilinearly to 224x224 (as in TF1: no antialiasing, new pixel i at i * rows / 224 of the
old), pixels x become 2 x / 255 - 1, and the output is the logits of the 400 classes.
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
"""I3D halves the frames three times, rounding up, and averages over windows of two (i3d.py in
google-deepmind/kinetics-i3d)."""


class I3D:
    """I3D as an extractor: features are the 400 logits, probabilities their softmax.

    It takes clips of at least 9 frames of any size; grey clips are repeated to three channels.

    Args:
        weights: a TF-Hub handle, which needs the package tensorflow-hub, or the directory of a
            local SavedModel. Its signature "default", or else "serving_default", maps float32
            [batch, frames, 224, 224, 3] in [-1, 1] to logits [batch, classes], as an output
            "default" or as its only output.

    Raises:
        InputError: the handle cannot be reached, tensorflow-hub is missing, the directory is not a
            SavedModel, or its signature has other inputs or outputs.
    """

    name = "i3d"
    about = "the network of FVD"
    options = {
        "weights": "SavedModel directory or TF-Hub handle, by default Kinetics-400's; it is a "
        "program: use only one that you trust"
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
                f"{weights}: returns {found} for a clip: give an I3D with logits [batch, classes] "
                "as "
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
    """Pre-processes clips for the network.

    Args:
        clips: float32 [batch, T, rows, columns, 1 or 3] in [-1, 1]; pixels above 255, which no file
            can hold, become 255.

    Returns:
        float32 [batch, T, 224, 224, 3] in [-1, 1].
    """
    _, frames, rows, columns, channels = clips.shape
    pixels = tf.clip_by_value(clips * 128.0 + 128.0, 0.0, 255.0)
    # tf.image.resize has pixel centres at halves; TF1's tf.image.resize_bilinear did not.
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
    """Downloads a TF-Hub handle and returns its directory."""
    remedy = "download its SavedModel manually and give the directory"
    with extra("evaluation", str(handle), otherwise=remedy):
        import tensorflow_hub
    try:
        return tensorflow_hub.resolve(handle)
    except Exception as error:  # it may have many classes
        raise InputError(f"{handle}: cannot be fetched ({reason(error)}): {remedy}") from error
