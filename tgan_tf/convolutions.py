"""What a Keras layer does as a convolution: over which sizes, with which strides and padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tgan_tf import spectral
from tgan_tf.errors import InputError

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


class Convolution(NamedTuple):
    """The convolution of a layer, or the one whose transpose a transposed layer is.

    Attributes:
        sizes: of its input in each dimension, without channels; none of a dense layer.
        strides: in each dimension.
        padding: "SAME" or "VALID".
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str

    def norm(self, kernel: tf.Tensor, **kwargs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The operator's norm with this kernel, as `spectral.operator_norm`."""
        if not self.sizes:
            return spectral.singular_values(kernel)[0], tf.zeros([], tf.float64)
        return spectral.operator_norm(kernel, *self, **kwargs)

    def norm_bound(self, kernel: tf.Tensor) -> float:
        """What the operator's norm with this kernel is at most."""
        if not self.sizes:
            return float(spectral.singular_values(kernel)[0])
        # Grown by the padding and up to a multiple of the stride.
        sizes = [
            -(-(size + window - 1) // stride) * stride
            for size, window, stride in zip(self.sizes, kernel.shape, self.strides)
        ]
        return spectral.circular_operator_norm(kernel, sizes, self.strides)


def convolution_of(layer: keras.layers.Layer) -> Convolution:
    """The convolution of a built layer.

    Args:
        layer: a dense layer, a convolution or a transposed convolution, of fixed sizes; or a
            wrapper of one, such as TensorFlow Addons' `SpectralNormalization`.

    Raises:
        InputError: it is of another kind, dilated, causal, of several groups or with the channels
            first, or has an input of no fixed size.
    """
    # A wrapped layer does not know its input's shape, the wrapper does.
    shape = (layer.get_build_config() or {}).get("input_shape")
    layer = unwrapped(layer)
    if isinstance(layer, keras.layers.Dense):
        return Convolution((), (), "VALID")
    # Depthwise, separable and locally connected layers have strides too, and other maps.
    known = (
        isinstance(layer, (*_CONVOLUTIONS, *_TRANSPOSED))
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
        and layer.padding in ("same", "valid")
        and layer.data_format == "channels_last"
    )
    if shape is None or not known:
        raise InputError(
            f"{layer.name}: no convolution that was built without dilation, groups and causal "
            "padding, channels last, so that its operator's norm is not known: give norm='matrix', "
            "or such a layer"
        )
    if isinstance(layer, _TRANSPOSED):
        shape = layer.compute_output_shape(shape)
    sizes = tuple(shape[1:-1])
    if None in sizes:
        raise InputError(
            f"{layer.name}: its input has no fixed size, {tuple(shape)}: build it with one"
        )
    return Convolution(sizes, tuple(layer.strides), layer.padding.upper())


def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer that a wrapper holds, or the layer itself."""
    return getattr(layer, "layer", layer)
