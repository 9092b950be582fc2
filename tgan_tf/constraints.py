"""Keras constraints that keep a critic Lipschitz: singular value clipping and its companions.

A constraint runs after each update of the optimiser, so that

    keras.layers.Dense(1, kernel_constraint=SingularValueClipping())

is all that a critic of any Keras model needs. The paper clips every fifth step only: a constraint
with `interval=5` acts by the step count of the optimiser that has just updated its variable.

Keras gives a constraint only the variable. On its first use the constraint finds the layer of the
variable, and so what to clip, among the layers that `follow_optimizer` gave it or else among all
existing layers. It looks for the optimiser on each call, so that a recompiled model never uses the
count of an old optimiser that stands still.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tgan_tf import convolutions, kernels, stack
from tgan_tf.arguments import Integer, Number, OneOf, check
from tgan_tf.errors import InputError

NORMS = ("matrix", "operator")
_TOLERANCE = 1e-3


class _AtIntervals(keras.constraints.Constraint):
    """A constraint that acts only when its optimiser's step count is a multiple of `interval`.

    The count is that of the optimiser whose update it follows. If the user calls it directly, it is
    the count of the optimiser that `follow_optimizer` was given.

    Args:
        interval: steps from one action to the next, at least 1.
    """

    def __init__(self, interval: int = 1):
        check(Integer(1), interval=interval)
        self.interval = interval
        self.step: tf.Variable | None = None

    def __call__(self, w: tf.Variable | tf.Tensor) -> tf.Tensor:
        if self.interval == 1:
            return self.constrain(w)
        optimizer = _calling_optimizer()
        step = self.step if optimizer is None else optimizer.iterations + stack.UNCOUNTED
        if step is None:
            raise InputError(
                f"{type(self).__name__}(interval={self.interval}) has no step count: it is not "
                "called by a Keras optimizer: call tgan_tf.constraints.follow_optimizer(model, "
                "optimizer) first"
            )
        return tf.cond(
            tf.equal(step % self.interval, 0),
            lambda: self.constrain(w),
            lambda: tf.convert_to_tensor(w),
        )

    def get_config(self) -> dict[str, Any]:
        return {"interval": self.interval}

    def __reduce__(self) -> tuple[Callable[..., _AtIntervals], tuple[dict[str, Any]]]:
        # A copy belongs to other layers and another optimiser.
        return type(self).from_config, (self.get_config(),)


@keras.saving.register_keras_serializable(package="tgan_tf")
class SingularValueClipping(_AtIntervals):
    """Clips the singular values of a kernel, as in the paper.

    The kernel of a layer with m outputs is a matrix of everything else x m; its singular values
    above the maximum become the maximum. The result is the nearest matrix, in the Frobenius norm,
    whose spectral norm is at most the maximum. The layer's class determines the matrix, see
    `tgan_tf.kernels`. If a kernel is several matrices side by side, such as a depthwise one, each
    is clipped.

    The paper clips the spectral norm of that matrix. The norm of the convolution as an operator can
    be larger if the kernel's windows overlap: with kernel 4 and stride 2 up to √2 times per
    dimension, √8 in 3-D. norm="operator" bounds the operator's norm instead, for the layer with its
    own padding, strides and input size: a kernel above the maximum is divided by the excess factor.
    Power iteration finds the norm and ends when it changes by less than 0.001 in a step. If many
    directions are stretched alike, the result is too small by up to a few hundredths.

    A kernel that holds a NaN or an infinity is left unchanged.

    Args:
        max_singular_value: the largest singular value that is left, positive.
        interval: steps between clippings: it acts when the optimiser's step count is a multiple of
            it. The reference clips every 5 steps.
        output_axis: the axis of the kernel's outputs, for custom layers: the kernel is then one
            matrix of everything else x that axis. With None the layer's class decides, which must
            be a Keras class or derived from one; in other layers a variable with 2 axes is taken as
            the matrix.
        norm: the norm to bound, "matrix" or, for dense layers and convolutions, "operator".

    Raises:
        InputError: an argument is out of range; on use, the matrix of the variable or, with
            norm="operator", the norm of its layer is not known.

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
        self.layers: list[keras.layers.Layer] = []
        self._found: dict[int, tuple[tf.Variable, keras.layers.Layer | None, kernels.Matrices]] = {}

    def constrain(self, w: tf.Variable | tf.Tensor) -> tf.Tensor:
        """The clipped kernel, of the shape and dtype of `w`."""
        if self.norm == "operator":
            return self._scaled(w)
        if self.output_axis is not None:
            if len(w.shape) < 2:
                raise InputError(
                    f"SingularValueClipping(output_axis={self.output_axis}) on "
                    f"{kernels.described(w)}: it clips kernels, which have 2 axes or more"
                )
            return kernels.Matrices((self.output_axis,)).clip(w, self.max_singular_value)
        _, matrices = self._owner(w)
        return matrices.clip(w, self.max_singular_value)

    def _owner(
        self, w: tf.Variable | tf.Tensor
    ) -> tuple[keras.layers.Layer | None, kernels.Matrices]:
        """The layer of a kernel, None if it is not known, and the kernel's matrices."""
        if not stack.is_variable(w):
            return self._unknown(w, [])
        if id(w) not in self._found:
            found = kernels.matrices_of_variable(w, self.layers)
            if found is None:
                living = _living_layers()
                # The other constraints get theirs too, so that this happens once per model.
                _give_layers(living, SingularValueClipping)
                found = kernels.matrices_of_variable(w, living) or self._unknown(w, living)
            # Keeps the variable too, so that its id cannot be reused.
            self._found[id(w)] = (w, *found)
        return self._found[id(w)][1:]

    def _unknown(
        self, w: tf.Variable | tf.Tensor, layers: list[keras.layers.Layer]
    ) -> tuple[None, kernels.Matrices]:
        if self.norm == "operator":
            raise InputError(
                f"SingularValueClipping(norm='operator') on {kernels.described(w)}: it is not in a "
                "Keras layer whose norm is known: give norm='matrix'"
            )
        return None, kernels.matrices_of_unknown(w, layers)

    def _scaled(self, w: tf.Variable | tf.Tensor) -> tf.Tensor:
        """The kernel, divided by its operator's norm over the maximum if that is above 1."""
        layer, _ = self._owner(w)
        kernel = tf.cast(tf.convert_to_tensor(w), tf.float32)
        # A kernel that is not finite has no norm and is left unchanged.
        finite = tf.reduce_all(tf.math.is_finite(kernel))
        norm, _ = convolutions.convolution_of(layer).norm(
            tf.where(finite, kernel, tf.zeros_like(kernel)), tolerance=_TOLERANCE
        )
        scale = tf.maximum(tf.cast(norm, tf.float32) / self.max_singular_value, 1.0)
        return tf.cast(kernel / scale, w.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "max_singular_value": self.max_singular_value,
            "output_axis": self.output_axis,
            "norm": self.norm,
            **super().get_config(),
        }


@keras.saving.register_keras_serializable(package="tgan_tf")
class BatchNormScaleClipping(_AtIntervals):
    """Clips the scale γ of a batch normalisation to [0.01 s, s], s = √(running variance).

    In inference a batch normalisation multiplies its input by γ / √(running variance + ε): with
    γ ≤ s it does not stretch, as the paper requires of the critic. The lower bound comes from the
    authors' code (pfnet-research/tgan, `tgan_updater_wgan.py`).

    It needs the running variance of its layer: call `follow_optimizer`, and give each layer a
    separate constraint.

    Args:
        interval: acts when the optimiser's step count is a multiple of it.

    Raises:
        InputError: `interval` is not an integer ≥ 1; on use, the constraint does not know its
            layer, several layers share it, or each replica of a distributed training has a separate
            running variance.

    Example:
        >>> layer = keras.layers.BatchNormalization(gamma_constraint=BatchNormScaleClipping())
    """

    def __init__(self, interval: int = 1):
        super().__init__(interval)
        self.layers: list[keras.layers.Layer] = []

    def bounds(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The lowest and the highest γ allowed now, each [channels]."""
        layers = [layer for layer in self.layers if hasattr(layer, "moving_variance")]
        if not layers:
            raise InputError(
                "BatchNormScaleClipping does not know the layer whose running variance it needs: "
                "call tgan_tf.constraints.follow_optimizer(model, optimizer) before training"
            )
        names = ", ".join(layer.name for layer in layers)
        if len(layers) > 1:
            raise InputError(
                f"{names} share a BatchNormScaleClipping, which clips by its layer's running "
                "variance: give each layer a separate one"
            )
        # Otherwise each replica would clip its copy of γ by its own running variance.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1 and not getattr(layers[0], "synchronized", True):
            raise InputError(
                f"BatchNormScaleClipping on {names} with {replicas} replicas: "
                "give the batch normalisation synchronized=True"
            )
        deviation = tf.sqrt(tf.convert_to_tensor(layers[0].moving_variance))
        return 0.01 * deviation, deviation

    def constrain(self, w: tf.Variable | tf.Tensor) -> tf.Tensor:
        """The clipped scale, of the shape and dtype of `w`."""
        w = tf.convert_to_tensor(w)
        lowest, highest = (tf.cast(bound, w.dtype) for bound in self.bounds())
        return tf.minimum(tf.maximum(w, lowest), highest)


@keras.saving.register_keras_serializable(package="tgan_tf")
class WeightClipping(keras.constraints.Constraint):
    """Clips every entry to [-limit, limit] (the paper's baseline, Arjovsky et al. 2017).

    Args:
        limit: the largest magnitude left, positive. The reference's is 0.01.

    Raises:
        InputError: `limit` is not a positive, finite number.
    """

    def __init__(self, limit: float = 0.01):
        check(Number(above=0), limit=limit)
        self.limit = limit

    def __call__(self, w: tf.Variable | tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.convert_to_tensor(w), -self.limit, self.limit)

    def get_config(self) -> dict[str, Any]:
        return {"limit": self.limit}


def follow_optimizer(model: keras.layers.Layer, optimizer: keras.optimizers.Optimizer) -> None:
    """Tells the constraints of a model's layers their layers and an optimiser's step count.

    A `BatchNormScaleClipping` needs this to know its layer. A `SingularValueClipping` finds its
    layer and its optimiser itself; here an error is raised at once if it does not know what to
    clip, and the count serves direct calls. `TGAN.compile` calls this for its critic; for another
    model call it after `compile` and after loading.

    Args:
        model: a model or layer; all layers in it, at any depth, are visited.
        optimizer: the optimiser whose `apply_gradients` updates the model.

    Raises:
        InputError: a layer has a `SingularValueClipping` on a variable that is not a known kernel.
    """
    layers = stack.held_layers(model)
    for layer in layers:
        for name, attribute in vars(layer).items():
            if isinstance(attribute, SingularValueClipping) and attribute.output_axis is None:
                kernels.check(layer, name)
    _give_layers(layers, (BatchNormScaleClipping, SingularValueClipping))
    for layer in layers:
        for attribute in vars(layer).values():
            if isinstance(attribute, _AtIntervals):
                attribute.step = optimizer.iterations


def _give_layers(layers: list[keras.layers.Layer], kinds: type | tuple[type, ...]) -> None:
    """Tells the constraints of some classes the layers that have them as attributes."""
    having: dict[int, tuple[Any, list[keras.layers.Layer]]] = {}
    for layer in layers:
        # A layer may have the same constraint twice, for a kernel and a recurrent kernel.
        for attribute in {id(value): value for value in vars(layer).values()}.values():
            if isinstance(attribute, kinds):
                having.setdefault(id(attribute), (attribute, []))[1].append(layer)
    for constraint, own in having.values():
        constraint.layers = own


def _living_layers() -> list[keras.layers.Layer]:
    """All Keras layers of this process. Finding them takes a tenth of a second."""
    # Checks types only: `isinstance` would trigger lazy imports.
    return [thing for thing in gc.get_objects() if issubclass(type(thing), keras.layers.Layer)]


def _calling_optimizer() -> keras.optimizers.Optimizer | None:
    """The optimiser that is applying this constraint now; None for a direct call.

    It is the `self` of the innermost running method of an optimiser. Keras does not pass it to a
    constraint, and an optimiser given beforehand may have been replaced since.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, stack.OPTIMIZERS):
            return caller
        frame = frame.f_back
    return None
