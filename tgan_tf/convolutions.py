"""The sizes, strides and padding of a Keras layer as a convolution."""

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
    """The convolution of a layer; for a transposed layer, the convolution that it transposes.

    Attributes:
        sizes: sizes of its input in each dimension, without channels; empty for a dense layer.
        strides: strides in each dimension.
        padding: "SAME" or "VALID".
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str

    def norm(self, kernel: tf.Tensor, **kwargs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The operator's norm with this kernel, see `spectral.operator_norm`."""
        if not self.sizes:
            return spectral.singular_values(kernel)[0], tf.zeros([], tf.float64)
        return spectral.operator_norm(kernel, *self, **kwargs)

    def norm_bound(self, kernel: tf.Tensor) -> float:
        """An upper bound on the operator's norm with this kernel."""
        if not self.sizes:
            return float(spectral.singular_values(kernel)[0])
        # Enlarged by the padding and to a multiple of the stride.
        sizes = [
            -(-(size + window - 1) // stride) * stride
            for size, window, stride in zip(self.sizes, kernel.shape, self.strides)
        ]
        return spectral.circular_operator_norm(kernel, sizes, self.strides)


def convolution_of(layer: keras.layers.Layer) -> Convolution:
    """The convolution of a built layer.

    Args:
        layer: a dense layer, a convolution or a transposed convolution with a fixed input size, or
            a wrapper of one, such as TensorFlow Addons' `SpectralNormalization`.

    Raises:
        InputError: it is of another kind, dilated, causal, grouped or channels-first, or its input
            size is not fixed.
    """
    # A wrapped layer does not know its input's shape, but the wrapper does.
    shape = (layer.get_build_config() or {}).get("input_shape")
    layer = unwrapped(layer)
    if isinstance(layer, keras.layers.Dense):
        return Convolution((), (), "VALID")
    # Depthwise, separable and locally connected layers have strides too, but compute other maps.
    known = (
        isinstance(layer, (*_CONVOLUTIONS, *_TRANSPOSED))
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
        and layer.padding in ("same", "valid")
        and layer.data_format == "channels_last"
    )
    if shape is None or not known:
        raise InputError(
            f"{layer.name}: the norm of its operator is not known: give norm='matrix', or a built "
            "convolution without dilation, groups or causal padding, channels last"
        )
    if isinstance(layer, _TRANSPOSED):
        shape = layer.compute_output_shape(shape)
    sizes = tuple(shape[1:-1])
    if None in sizes:
        raise InputError(
            f"{layer.name}: its input has no fixed size, {tuple(shape)}: build it with a fixed size"
        )
    return Convolution(sizes, tuple(layer.strides), layer.padding.upper())


def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer in a wrapper, or the layer itself."""
    return getattr(layer, "layer", layer)
