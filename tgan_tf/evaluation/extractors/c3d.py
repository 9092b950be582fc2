"""C3D of UCF-101, the classifier of the paper's Inception Score.

Tran et al. 2015 (arXiv 1412.0767), fine-tuned on UCF-101, as in the TGAN authors' repository:
evaluation/c3d_ft.py has the network, evaluation/calc_inception.py the pre-processing.

For clips [16, 64, 64, 3]: 16x112x112x3 → conv1a 16x112x112x64, pooled 16x56x56 → conv2a 128, pooled
8x28x28 → conv3a, conv3b 256, pooled 4x14x14 → conv4a, conv4b 512, pooled 2x7x7 → conv5a, conv5b
512, pooled 1x4x4 → fc6 4096 → fc7 4096 → fc8 101.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import numpy_files
from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.evaluation.extractors.extractor import Extracted
from tgan_tf.evaluation.extractors.model_file import sha256_of

FRAMES = 16
RESIZED = 128
CROP = slice(8, 120)
"""The rows and columns of a resized frame that the network sees."""
MEAN_SHAPE = (3, FRAMES, 128, 171)
MEAN_COLUMNS = slice(21, 149)
"""The columns of the mean clip that belong to a resized frame."""


class C3D:
    """C3D as an extractor: 4096 features (fc6 after ReLU), the probabilities of 101 classes.

    It takes clips of 16 frames of any size; grey clips are repeated to three channels.

    Args:
        weights: path or http(s) URL of conv3d_deepnetA_ucf.npz, which has for each layer NAME an
            array NAME/W [outputs, inputs, time, rows, columns] or [outputs, inputs], and NAME/b
            [outputs].
        mean: path or http(s) URL of mean2.npz, which the authors distribute: an array mean of 3
            (BGR) x 16 x 128 x 171 numbers. Downloads are kept in ~/.keras/tgan_tf.

    Raises:
        InputError: a file is missing, is not an .npz file or holds other arrays, or a download
            failed.
    """

    name = "c3d"
    about = "the paper's"
    options = {
        "weights": "path or URL of conv3d_deepnetA_ucf.npz",
        "mean": "path or URL of mean2.npz",
    }
    programs = ()
    num_features = 4096
    num_classes = 101

    def __init__(self, weights: str, mean: str):
        self.weights, self.mean = weights, mean
        weights, mean = _local(weights), _local(mean)
        mean_clip = _read(mean).get("mean", np.empty(0))
        if mean_clip.size != np.prod(MEAN_SHAPE):
            raise InputError(
                f"{mean}: does not hold an array mean of {' x '.join(map(str, MEAN_SHAPE))} "
                "numbers: give the mean2.npz that the authors of TGAN distribute"
            )
        mean_clip = mean_clip.reshape(MEAN_SHAPE)[:, :, CROP, MEAN_COLUMNS][..., CROP]
        self._mean = mean_clip.transpose(1, 2, 3, 0).astype(np.float32)
        self._network = network()
        _load(self._network, weights)
        self.sha256 = sha256_of(weights, mean)

    def __reduce__(self) -> tuple:
        return C3D, (self.weights, self.mean)

    def check(self, clip_shape: tuple[int, int, int, int]) -> None:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        if clip_shape[0] != FRAMES:
            raise InputError(
                f"clips of {clip_shape[0]} frames: C3D takes {FRAMES}: give ",
                Argument("frames", FRAMES),
                ", or another ",
                Argument("extractor"),
            )

    def __call__(self, clips: tf.Tensor) -> Extracted:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        features, probabilities = self._network(prepare(clips, self._mean), training=False)
        return Extracted(features, probabilities)


def network() -> keras.Model:
    """The network without the dropout after fc6 and fc7, which is for training.

    Shapes: float32 [batch, 16, 112, 112, 3] in; fc6 after ReLU, float32 [batch, 4096], and the
    class probabilities, float32 [batch, 101], out. All layers are float32 whatever the policy.
    """
    options = {"activation": "relu", "dtype": "float32"}
    inputs = h = keras.Input((FRAMES, 112, 112, 3), dtype="float32")
    for stage, (filters, names, pool) in enumerate(
        (
            (64, "a", (1, 2, 2)),
            (128, "a", 2),
            (256, "ab", 2),
            (512, "ab", 2),
            (512, "ab", 2),
        ),
        start=1,
    ):
        for name in names:
            layer = keras.layers.Conv3D(
                filters, 3, padding="same", name=f"conv{stage}{name}", **options
            )
            h = layer(h)
        # "same": Chainer's pooling covers all of its input, so 7 rows become 4.
        h = keras.layers.MaxPooling3D(pool, padding="same", dtype="float32")(h)
    # fc6 was trained on maps flattened channels first.
    h = keras.layers.Permute((4, 1, 2, 3), dtype="float32")(h)
    h = keras.layers.Flatten(dtype="float32")(h)
    fc6 = keras.layers.Dense(4096, name="fc6", **options)(h)
    fc7 = keras.layers.Dense(4096, name="fc7", **options)(fc6)
    fc8 = keras.layers.Dense(101, activation="softmax", name="fc8", dtype="float32")(fc7)
    return keras.Model(inputs, [fc6, fc8])


def prepare(clips: tf.Tensor, mean: np.ndarray) -> tf.Tensor:
    """Pre-processes clips for the network.

    Frames are resized to 128x128 by OpenCV's cubic interpolation, the channels are made BGR, the
    mean clip is subtracted and the centre is cut out. Values above 255 or below 0 from the
    interpolation are kept.

    Args:
        clips: float32 [batch, 16, rows, columns, 1 or 3] in [-1, 1].
        mean: float32 [16, 112, 112, 3] in [0, 255], BGR.

    Returns:
        float32 [batch, 16, 112, 112, 3], pixels minus their mean.
    """
    rows, columns = (cubic_interpolation(size, RESIZED)[CROP] for size in clips.shape[2:4])
    pixels = clips * 128.0 + 128.0
    pixels = tf.einsum("ih,bthwc->btiwc", rows, pixels)
    pixels = tf.einsum("jw,btiwc->btijc", columns, pixels)
    # Subtracting the mean gives grey clips three channels.
    return pixels[..., ::-1] - mean


def cubic_interpolation(size: int, resized: int) -> np.ndarray:
    """OpenCV's INTER_CUBIC along one axis, as a matrix.

    Cubic convolution (Keys 1981) with a = -0.75, pixel centres at halves, no antialiasing when
    shrinking, and border pixels repeated beyond the edge. `tf.image.resize` has a = -0.5.

    Args:
        size: pixels before.
        resized: pixels after.

    Returns:
        float32 [resized, size], rows of sum 1.
    """
    a = -0.75
    positions = (np.arange(resized) + 0.5) * size / resized - 0.5
    matrix = np.zeros((resized, size))
    for tap in (-1, 0, 1, 2):
        places = np.floor(positions) + tap
        x = np.abs(positions - places)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        places = np.clip(places, 0, size - 1).astype(int)
        np.add.at(matrix, (np.arange(resized), places), np.where(x <= 1, near, far))
    return matrix.astype(np.float32)


def _local(path: str) -> str:
    """The path of a file, downloaded if it is a URL."""
    if not path.startswith(("http://", "https://")):
        return path
    try:
        return keras.utils.get_file(origin=path, cache_subdir="tgan_tf")
    except Exception as error:  # it has no narrower class
        raise InputError(
            f"{path}: cannot be downloaded ({str(error).splitlines()[0]}): download it manually "
            "and give its path"
        ) from error


def _read(path: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz file."""
    remedy = "give an .npz file, as the authors of TGAN distribute it"
    try:
        return numpy_files.read_npz(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}): {remedy}") from error
    except Exception as error:  # a damaged archive or header may raise anything
        raise InputError(
            f"{path}: is not a complete .npz file of plain numbers ({reason(error)}): {remedy}"
        ) from error


def _load(network: keras.Model, path: str) -> None:
    """Sets the weights of a network whose layers have the names of the file's arrays."""
    arrays = _read(path)
    shapes = {
        f"{layer.name}/{letter}": variable.shape
        for layer in network.layers
        for letter, variable in zip("Wb", layer.weights)
    }
    # Chainer has outputs and inputs first, Keras inputs and outputs last.
    shapes = {name: [*shape[:-3:-1], *shape[:-2]] for name, shape in shapes.items()}
    missing = [name for name in shapes if name not in arrays]
    wrong = [
        f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}, not float {shape}"
        for name, shape in shapes.items()
        if name in arrays and (list(arrays[name].shape) != shape or arrays[name].dtype.kind != "f")
    ]
    if missing or wrong:
        lacks = [f"lacks {', '.join(missing)}"] if missing else []
        raise InputError(
            f"{path}: {'; '.join(lacks + wrong)}: give conv3d_deepnetA_ucf.npz, as the authors of "
            "TGAN distribute it"
        )
    for layer in network.layers:
        if layer.weights:
            kernel = np.moveaxis(arrays[f"{layer.name}/W"], [1, 0], [-2, -1])
            layer.set_weights([kernel, arrays[f"{layer.name}/b"]])
