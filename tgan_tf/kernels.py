"""The matrices in a Keras layer's kernel, which singular value clipping clips.

The paper clips a convolution as the matrix from one window of its input to one position of its
output. Each class of layers arranges the kernel's axes differently:

    Dense, convolutions             [*window, inputs, outputs]
    transposed convolutions         [*window, outputs, inputs]
    convolutions of g groups        g matrices [*window, inputs / g, outputs / g] side by side
    depthwise convolutions          for each channel a matrix [*window, multiplier]
    locally connected layers        for each position of the output a matrix [window, outputs]
    recurrent layers                [inputs, gates x units], [units, gates x units]
    EinsumDense                     as given by its equation

Matrices that act side by side on separate inputs are the blocks of a block-diagonal matrix, whose
largest singular value is the largest of theirs.
"""

from __future__ import annotations

import operator
from typing import Callable, NamedTuple

import keras
import tensorflow as tf

from tgan_tf import spectral, stack
from tgan_tf.errors import InputError


class Matrices(NamedTuple):
    """The matrix in a kernel, or several side by side.

    Attributes:
        output_axes: the kernel's axes that together are the matrices' outputs.
        block_axes: the axes that number the matrices; all other axes are the matrices' inputs.
        groups: number of successive parts of the last axis, each a matrix.
    """

    output_axes: tuple[int, ...] = (-1,)
    block_axes: tuple[int, ...] = ()
    groups: int = 1

    def clip(self, kernel: tf.Tensor, max_singular_value: float) -> tf.Tensor:
        """Clips each matrix of a kernel, see `spectral.clip_singular_values`."""
        split, axes = self._split(kernel)
        clipped = spectral.clip_singular_values(split, max_singular_value, *axes)
        return tf.reshape(clipped, kernel.shape)

    def singular_values(self, kernel: tf.Tensor) -> tf.Tensor:
        """The singular values of all matrices, descending; see `spectral.singular_values`."""
        split, axes = self._split(kernel)
        return spectral.singular_values(split, *axes)

    def shape(self, kernel: tf.Tensor) -> list[int]:
        """[inputs, outputs] of a matrix; for several, their number comes first.

        Args:
            kernel: a kernel with the layer's shape.
        """
        split, axes = self._split(kernel)
        return spectral.kernel_matrix(split, *axes).shape.as_list()

    def _split(
        self, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tuple[int, ...], tuple[int, ...]]]:
        kernel = tf.convert_to_tensor(kernel)
        if self.groups == 1:
            return kernel, (self.output_axes, self.block_axes)
        *others, outputs = kernel.shape
        split = tf.reshape(kernel, [*others, self.groups, outputs // self.groups])
        return split, ((-1,), (-2,))


def _whole(layer: keras.layers.Layer) -> Matrices:
    return Matrices()


def _of_groups(layer: keras.layers.Layer) -> Matrices:
    return Matrices(groups=layer.groups)


def _transposed(layer: keras.layers.Layer) -> Matrices:
    return Matrices((-2,))


def _of_channels(layer: keras.layers.Layer) -> Matrices:
    return Matrices((-1,), (-2,))


def _of_positions(layer: keras.layers.Layer) -> Matrices:
    if layer.implementation != 1:
        raise _refusal(layer, f"implementation={layer.implementation}", "give implementation=1")
    return Matrices((-1,), (0,))


def _of_equation(layer: keras.layers.Layer) -> Matrices:
    operands, outputs = layer.equation.replace("...", "").split("->")
    inputs, kernel = operands.split(",")
    # Summing over an input axis that the kernel lacks makes the map larger than the kernel.
    summed = set(inputs) - set(kernel) - set(outputs)
    if summed or any(len(set(axes)) < len(axes) for axes in (inputs, kernel, outputs)):
        raise _refusal(
            layer,
            f"equation={layer.equation!r}",
            "write it without repeated axes and without an axis that only the input has",
        )
    return Matrices(
        tuple(i for i, axis in enumerate(kernel) if axis not in inputs),
        tuple(i for i, axis in enumerate(kernel) if axis in inputs and axis in outputs),
    )


_Rule = Callable[[keras.layers.Layer], Matrices]
_KERNEL = ("kernel_constraint", "kernel")
_RECURRENT = ("recurrent_constraint", "recurrent_kernel")
_DEPTHWISE = ("depthwise_constraint", "depthwise_kernel")
# Keras 3's name in a layer that has no other kernel.
_DEPTHWISE_ALONE = ("depthwise_constraint", "kernel")
_POINTWISE = ("pointwise_constraint", "pointwise_kernel")
_OF_CELL: dict[tuple[str, str], _Rule] = {
    ("kernel_constraint", "cell.kernel"): _whole,
    ("recurrent_constraint", "cell.recurrent_kernel"): _whole,
}

# The kernels of each class: the constraint's argument, the place of the variable, its matrices. The
# first base class found here counts for a layer. Variables that are not here are not clipped.
_LAYERS: dict[type[keras.layers.Layer], dict[tuple[str, str], _Rule]] = {
    keras.layers.Dense: {_KERNEL: _whole},
    keras.layers.EinsumDense: {_KERNEL: _of_equation},
    keras.layers.Embedding: {("embeddings_constraint", "embeddings"): _whole},
    keras.layers.Conv1D: {_KERNEL: _of_groups},
    keras.layers.Conv2D: {_KERNEL: _of_groups},
    keras.layers.Conv3D: {_KERNEL: _of_groups},
    keras.layers.Conv1DTranspose: {_KERNEL: _transposed},
    keras.layers.Conv2DTranspose: {_KERNEL: _transposed},
    keras.layers.Conv3DTranspose: {_KERNEL: _transposed},
    keras.layers.DepthwiseConv1D: {_DEPTHWISE: _of_channels, _DEPTHWISE_ALONE: _of_channels},
    keras.layers.DepthwiseConv2D: {_DEPTHWISE: _of_channels, _DEPTHWISE_ALONE: _of_channels},
    keras.layers.SeparableConv1D: {_DEPTHWISE: _of_channels, _POINTWISE: _whole},
    keras.layers.SeparableConv2D: {_DEPTHWISE: _of_channels, _POINTWISE: _whole},
    **{layer: {_KERNEL: _of_positions} for layer in stack.LOCALLY_CONNECTED},
    keras.layers.SimpleRNNCell: {_KERNEL: _whole, _RECURRENT: _whole},
    keras.layers.GRUCell: {_KERNEL: _whole, _RECURRENT: _whole},
    keras.layers.LSTMCell: {_KERNEL: _whole, _RECURRENT: _whole},
    # Their cells have no public class.
    keras.layers.ConvLSTM1D: _OF_CELL,
    keras.layers.ConvLSTM2D: _OF_CELL,
    keras.layers.ConvLSTM3D: _OF_CELL,
    keras.layers.BatchNormalization: {},
    keras.layers.GroupNormalization: {},
    keras.layers.LayerNormalization: {},
    keras.layers.PReLU: {},
}


def matrices_of_variable(
    variable: tf.Variable, layers: list[keras.layers.Layer]
) -> tuple[keras.layers.Layer, Matrices] | None:
    """Finds the layer that has a variable as a known kernel, and the kernel's matrices.

    Raises:
        InputError: the kernel's layer has settings that are not supported.
    """
    for layer in layers:
        for (_, place), rule in (_rules(layer) or {}).items():
            if _at(layer, place) is variable:
                return layer, rule(layer)
    return None


def matrices_of_unknown(variable: tf.Variable, layers: list[keras.layers.Layer]) -> Matrices:
    """The matrices of a variable that `matrices_of_variable` does not know.

    A variable with 2 axes is taken as the matrix.

    Raises:
        InputError: it does not have 2 axes, or it belongs to a Keras layer but is not a kernel of
            it.
    """
    holders = [
        layer for layer in layers if any(value is variable for value in vars(layer).values())
    ]
    if len(variable.shape) == 2 and all(_rules(layer) is None for layer in holders):
        return Matrices()
    remedy = "give output_axis, the axis of its outputs"
    if len(variable.shape) < 2:
        remedy = "remove it, since a kernel has 2 axes or more"
    raise _refusal(holders[0] if holders else None, described(variable), remedy)


def matrices_of_layer(layer: keras.layers.Layer) -> Matrices:
    """The matrices of the `kernel` of a built layer.

    Raises:
        InputError: it has no kernel, or the kernel's matrices are not known.
    """
    found = matrices_of_variable(layer.kernel, [layer]) if hasattr(layer, "kernel") else None
    if found is None:
        raise _refusal(layer, "the kernel", "use a dense layer or a convolution")
    return found[1]


def check(layer: keras.layers.Layer, argument: str) -> None:
    """Raises an error unless the variable of a layer's constraint is a known kernel.

    Args:
        layer: a layer, built or not. Custom classes are checked only in training.
        argument: the constraint's argument, such as "kernel_constraint".

    Raises:
        InputError: it is not; the message names the layer and the argument.
    """
    rules = _rules(layer)
    if rules is None:
        return
    for (known, _), rule in rules.items():
        if known == argument:
            rule(layer)
            return
    raise _refusal(layer, argument, "remove it, or give output_axis")


def _rules(layer: keras.layers.Layer) -> dict[tuple[str, str], _Rule] | None:
    return next((_LAYERS[base] for base in type(layer).__mro__ if base in _LAYERS), None)


def _at(layer: keras.layers.Layer, place: str) -> tf.Variable | None:
    try:
        return operator.attrgetter(place)(layer)
    except AttributeError:  # not built yet
        return None


def described(variable: tf.Variable | tf.Tensor) -> str:
    """A variable's name, if it has one, and shape, for messages."""
    name = stack.variable_path(variable) if stack.is_variable(variable) else "a tensor"
    return f"{name} of shape {tuple(variable.shape)}"


def _refusal(layer: keras.layers.Layer | None, what: str, remedy: str) -> InputError:
    owner = f"{type(layer).__name__} {layer.name!r}" if layer is not None else "no Keras layer"
    return InputError(
        f"SingularValueClipping on {what}, of {owner}: its matrix of inputs x outputs is not "
        f"known: {remedy}"
    )
