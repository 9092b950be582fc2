"""Keras constraints that keep a critic Lipschitz: singular value clipping and its companions.

A constraint runs after each update of the optimiser, so that

    keras.layers.Dense(1, kernel_constraint=SingularValueClipping())

is all that a critic of any Keras model needs. The paper clips every fifth step only: a constraint
with `interval=5` follows the step count of the optimiser that `follow_optimizer` gives it.
"""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from tgan_tf.arguments import Integer, Number, OneOf, check
from tgan_tf.convolutions import of_layer
from tgan_tf.errors import InputError
from tgan_tf.spectral import clip_singular_values

NORMS = ("matrix", "operator")
_TOLERANCE = 1e-3


class _OnABeat(keras.constraints.Constraint):
    """A constraint that acts only when an optimiser's step count is a multiple of `interval`.

    Args:
        interval: steps from one action to the next, at least 1.
    """

    def __init__(self, interval: int = 1):
        check(Integer(1), interval=interval)
        self.interval = interval
        self.step = None

    def __call__(self, w):
        if self.interval == 1:
            return self.constrain(w)
        if self.step is None:
            raise InputError(
                f"{type(self).__name__}(interval={self.interval}) has no step count: "
                "call tgan_tf.constraints.follow_optimizer(model, optimizer) before training"
            )
        return tf.cond(
            tf.equal(self.step % self.interval, 0),
            lambda: self.constrain(w),
            lambda: tf.convert_to_tensor(w),
        )

    def get_config(self) -> dict:
        return {"interval": self.interval}


@keras.saving.register_keras_serializable(package="tgan_tf")
class SingularValueClipping(_OnABeat):
    """Clips the singular values of a kernel, the method of the paper.

    The kernel of a layer with m outputs is seen as the matrix of everything else x m; its singular
    values above the maximum become the maximum. The result is the nearest matrix, in the Frobenius
    norm, whose spectral norm is at most the maximum.

    The spectral norm of that matrix is what the paper clips. It is not the norm of the convolution
    as an operator, which can be larger where the kernel's windows overlap: with kernel 4 and
    stride 2 up to √2 times for each dimension, √8 in 3-D. With norm="operator" it is that norm
    which is kept at the maximum, of the layer with its own padding, strides and input size: a
    kernel above it is divided by as much. The norm is found by power iteration, which ends when it
    changes by less than 0.001 in a step, and comes out a little too small where many directions are
    stretched alike: by up to some hundredths.

    A kernel that holds a NaN or an infinity is left as it is.

    Args:
        max_singular_value: the largest singular value that is left, positive.
        interval: acts when the optimiser's step count is a multiple of it. 1 needs nothing else;
            for more call `follow_optimizer`. The reference clips every 5 steps.
        output_axis: the axis of the kernel's output channels. None takes it from the kernel's
            name, in which Keras puts the layer's: -2 if the layer is a transposed convolution
            (its kernel is [..., outputs, inputs]), else -1. Give -2 yourself for a transposed
            convolution whose kernel's name does not tell: one with a name of your own without
            "transpose" in it, one in a wrapper such as `TimeDistributed`, one that you build by
            its `build` method instead of calling it.
        norm: "matrix" or "operator". The latter needs to know its layer: call `follow_optimizer`,
            and give each layer a constraint of its own.

    Raises:
        InputError: an argument is out of range; on use, the variable has fewer than 2 axes, or
            with norm="operator" there is not one layer, or its norm is not known.

    Example:
        >>> layer = keras.layers.Conv3D(8, 4, kernel_constraint=SingularValueClipping())
    """

    def __init__(
        self,
        max_singular_value: float = 1.0,
        interval: int = 1,
        output_axis: int | None = None,
        norm: str = "matrix",
    ):
        super().__init__(interval)
        check(Number(above=0), max_singular_value=max_singular_value)
        check(OneOf(NORMS), norm=norm)
        self.max_singular_value = max_singular_value
        self.output_axis = output_axis
        self.norm = norm
        self.layers = []

    def constrain(self, w: tf.Tensor) -> tf.Tensor:
        """The clipped kernel, of the shape and dtype of `w`."""
        name = _name(w)
        if len(w.shape) < 2:
            raise InputError(
                f"SingularValueClipping on {name or 'a variable'} of shape {tuple(w.shape)}: "
                "it clips kernels, which have 2 axes or more"
            )
        if self.norm == "operator":
            return self._scaled(w)
        output_axis = self.output_axis
        if output_axis is None:
            # The layer's own name alone: a model around it may be called "transpose" too.
            output_axis = -2 if re.search("transpose[^/]*/kernel", name) else -1
        return clip_singular_values(w, self.max_singular_value, output_axis)

    def _scaled(self, w):
        """The kernel divided by how far its operator's norm is above the maximum."""
        layers = [layer for layer in self.layers if hasattr(layer, "kernel")]
        if len(layers) != 1:
            names = ", ".join(layer.name for layer in layers) or "no layer"
            raise InputError(
                f"SingularValueClipping(norm='operator') on {_name(w)} follows {names}: give each "
                "layer one of its own, and call tgan_tf.constraints.follow_optimizer(model, "
                "optimizer) before training"
            )
        kernel = tf.cast(tf.convert_to_tensor(w), tf.float32)
        # What is not finite is left as it is: there is no norm.
        finite = tf.reduce_all(tf.math.is_finite(kernel))
        norm, _ = of_layer(layers[0]).norm(
            tf.where(finite, kernel, tf.zeros_like(kernel)), tolerance=_TOLERANCE
        )
        scale = tf.maximum(tf.cast(norm, tf.float32) / self.max_singular_value, 1.0)
        return tf.cast(kernel / scale, w.dtype)

    def get_config(self) -> dict:
        return {
            "max_singular_value": self.max_singular_value,
            "output_axis": self.output_axis,
            "norm": self.norm,
            **super().get_config(),
        }


@keras.saving.register_keras_serializable(package="tgan_tf")
class BatchNormScaleClipping(_OnABeat):
    """Clips the scale γ of a batch normalisation to [0.01 s, s], s = √(running variance).

    In inference a batch normalisation multiplies its input by γ / √(running variance + ε): with
    γ ≤ s it stretches nothing, as the paper asks of the critic. The lower bound is of the authors'
    code (pfnet-research/tgan, `tgan_updater_wgan.py`).

    It needs the running variance of the layer it belongs to: call `follow_optimizer`, and give
    each layer a constraint of its own.

    Args:
        interval: acts when the optimiser's step count is a multiple of it.

    Raises:
        InputError: `interval` is not a whole number of at least 1; on use, the constraint has
            not been given its layer, or several layers share it, or each replica of a distributed
            training has a running variance of its own.

    Example:
        >>> layer = keras.layers.BatchNormalization(gamma_constraint=BatchNormScaleClipping())
    """

    def __init__(self, interval: int = 1):
        super().__init__(interval)
        self.layers = []

    def bounds(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The lowest and the highest γ allowed now, each [channels]."""
        layers = [layer for layer in self.layers if hasattr(layer, "moving_variance")]
        if not layers:
            raise InputError(
                "BatchNormScaleClipping has no layer whose running variance it could read: "
                "call tgan_tf.constraints.follow_optimizer(model, optimizer) before training"
            )
        names = ", ".join(layer.name for layer in layers)
        if len(layers) > 1:
            raise InputError(
                f"{names} share a BatchNormScaleClipping: give each layer one of its own, "
                "since it clips by its layer's running variance"
            )
        # Each replica would clip its copy of γ by its own running variance.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1 and not getattr(layers[0], "synchronized", True):
            raise InputError(
                f"BatchNormScaleClipping on {names} with {replicas} replicas: "
                "give the batch normalisation synchronized=True"
            )
        deviation = tf.sqrt(tf.convert_to_tensor(layers[0].moving_variance))
        return 0.01 * deviation, deviation

    def constrain(self, w: tf.Tensor) -> tf.Tensor:
        """The clipped scale, of the shape and dtype of `w`."""
        w = tf.convert_to_tensor(w)
        lowest, highest = (tf.cast(bound, w.dtype) for bound in self.bounds())
        return tf.minimum(tf.maximum(w, lowest), highest)


@keras.saving.register_keras_serializable(package="tgan_tf")
class WeightClipping(keras.constraints.Constraint):
    """Clips every entry to [-limit, limit] (the paper's baseline, Arjovsky et al. 2017).

    Args:
        limit: the largest magnitude that is left, positive. The reference's is 0.01.

    Raises:
        InputError: `limit` is not a positive, finite number.
    """

    def __init__(self, limit: float = 0.01):
        check(Number(above=0), limit=limit)
        self.limit = limit

    def __call__(self, w):
        return tf.clip_by_value(tf.convert_to_tensor(w), -self.limit, self.limit)

    def get_config(self) -> dict:
        return {"limit": self.limit}


def follow_optimizer(model: keras.layers.Layer, optimizer: keras.optimizers.Optimizer) -> None:
    """Gives the constraints of a model's layers the step count of the optimiser that trains them.

    The count is the optimiser's own variable, so that training resumed from a checkpoint keeps
    the beat. A `BatchNormScaleClipping` is given its layer as well, and so is a
    `SingularValueClipping` of the operator's norm. `TGAN.compile` does this for
    its critic; for another model call it after `compile` and after loading.

    Args:
        model: a model or layer; all layers that it holds, at any depth, are visited.
        optimizer: the optimiser whose `apply_gradients` updates the model.
    """
    layers: list[keras.layers.Layer] = []
    _collect_layers(model, layers)
    for layer in layers:
        for attribute in vars(layer).values():
            if isinstance(attribute, _OnABeat):
                attribute.step = optimizer.iterations
            if isinstance(attribute, (BatchNormScaleClipping, SingularValueClipping)):
                attribute.layers = [other for other in layers if _has(other, attribute)]


def _collect_layers(value, layers: list[keras.layers.Layer]) -> None:
    """Adds a layer and all that it holds, in attributes or in containers there, each once."""
    if isinstance(value, keras.layers.Layer):
        if not any(value is layer for layer in layers):
            layers.append(value)
            for attribute in vars(value).values():
                _collect_layers(attribute, layers)
    elif isinstance(value, dict):
        for item in value.values():
            _collect_layers(item, layers)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect_layers(item, layers)


def _has(layer: keras.layers.Layer, constraint: keras.constraints.Constraint) -> bool:
    return any(attribute is constraint for attribute in vars(layer).values())


def _name(w) -> str:
    """The variable's name; empty for an eager tensor, which has none."""
    try:
        return w.name
    except AttributeError:
        return ""
