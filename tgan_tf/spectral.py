"""Singular values of kernels: the linear algebra under singular value clipping.

The paper keeps a linear layer 1-Lipschitz by replacing every singular value of its weight above one
with one, which is the projection onto the ball of matrices of spectral norm 1. It does not need a
full singular value decomposition of a tall kernel. With only the decomposition of the small Gram
matrix, WᵀW = V diag(σ²) Vᵀ,

    clip(W) = W + W V diag(max(σ / c, 1)⁻¹ - 1) Vᵀ

leaves each direction with σ ≤ c unchanged and scales the others down to c. For the critic's 4x4x4
convolution from 256 to 512 channels W is 16384 x 512, its Gram matrix 512 x 512.

That matrix's largest singular value is not the norm of the convolution, the most that it can
stretch its input: the windows overlap, and several may stretch the same input. The norm itself is
computed here in two ways: exactly for circular padding, by the Fourier transform, and for zero
padding by power iteration on the convolution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def kernel_matrix(
    kernel: tf.Tensor, output_axis: int | Sequence[int] = -1, block_axes: Sequence[int] = ()
) -> tf.Tensor:
    """Flattens a kernel to the matrix whose singular values the paper clips.

    Args:
        kernel: tensor of rank 1 or more.
        output_axis: the axis of the output channels, or the axes that together are the outputs.
        block_axes: axes that number separate matrices; empty if the kernel is one matrix.

    Returns:
        Tensor [everything else, outputs] of the kernel's dtype; with block axes
        [blocks, everything else, outputs].
    """
    kernel = tf.convert_to_tensor(kernel)
    permutation, shape = _as_matrix(kernel.shape, output_axis, block_axes)
    return tf.reshape(tf.transpose(kernel, permutation), shape)


def clip_singular_values(
    kernel: tf.Tensor,
    max_singular_value: float = 1.0,
    output_axis: int | Sequence[int] = -1,
    block_axes: Sequence[int] = (),
) -> tf.Tensor:
    """Projects a kernel onto the ball of matrices whose singular values are at most a maximum.

    The result is within 2e-6 times the maximum of the exact projection if the largest singular
    value is at most 10,000 times the maximum; a kernel of half precision is then rounded to its own
    dtype. A kernel with a NaN or an infinity has no decomposition and is returned unchanged.

    Args:
        kernel: floating tensor of rank 1 or more, every dimension at least 1.
        max_singular_value: the maximum, positive.
        output_axis: the axis of the output channels, or the axes that together are the outputs.
        block_axes: axes that number separate matrices, each of which is clipped. All other axes
            form the matrices' other side.

    Returns:
        Tensor of the kernel's shape and dtype.
    """
    kernel = tf.convert_to_tensor(kernel)
    matrix = kernel_matrix(kernel, output_axis, block_axes)
    if kernel.dtype == tf.float64:
        clipped, _ = _clip_matrix(matrix, max_singular_value)
    else:
        matrix = tf.cast(matrix, tf.float32)
        clipped, largest = _clip_matrix(matrix, max_singular_value)

        # The Gram matrix holds squares: float32 rounds a small singular value by about 1e-7 times
        # the square of the largest, which stays below twice the maximum in training.
        def clip_in_float64() -> tf.Tensor:
            clipped, _ = _clip_matrix(tf.cast(matrix, tf.float64), max_singular_value)
            return tf.cast(clipped, tf.float32)

        clipped = tf.cond(largest > 2.0 * max_singular_value, clip_in_float64, lambda: clipped)

    permutation, _ = _as_matrix(kernel.shape, output_axis, block_axes)
    moved_shape = [kernel.shape[axis] for axis in permutation]
    inverse = [permutation.index(axis) for axis in range(len(permutation))]
    return tf.cast(tf.transpose(tf.reshape(clipped, moved_shape), inverse), kernel.dtype)


def singular_values(
    kernel: tf.Tensor, output_axis: int | Sequence[int] = -1, block_axes: Sequence[int] = ()
) -> tf.Tensor:
    """Singular values of a kernel's matrix, for reports.

    They are the square roots of the Gram matrix's singular values, in float64. This is many times
    faster than the decomposition of the tall matrix and exact to about 1e-8 times the largest.

    Args:
        kernel: floating tensor of rank 1 or more, all finite.
        output_axis: the axis of the output channels, or the axes that together are the outputs.
        block_axes: axes that number matrices of their own.

    Returns:
        float64 tensor [min(outputs, everything else)], in descending order; for several matrices,
        the values of all of them.
    """
    matrix = tf.cast(kernel_matrix(kernel, output_axis, block_axes), tf.float64)
    values = tf.sqrt(tf.linalg.svd(_gram(matrix), compute_uv=False))
    return tf.sort(tf.reshape(values, [-1]), direction="DESCENDING") if block_axes else values


@tf.function(autograph=False)
def operator_norm(
    kernel: tf.Tensor,
    sizes: Sequence[int],
    strides: Sequence[int],
    padding: str = "SAME",
    tolerance: float = 1e-5,
    max_iterations: int = 300,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The norm of a convolution with zero padding: the most that it can stretch its input.

    It uses power iteration from a fixed start. Every intermediate value is how much one input is
    stretched, so the result is never above the norm except for rounding. It ends when an iteration
    changes it by less than the tolerance. `circular_operator_norm` of the sizes enlarged by the
    kernel's is an upper bound.

    Args:
        kernel: float32 or float64 [*window, inputs, outputs], of 1 to 3 dimensions, all finite.
        sizes: sizes of the input in each dimension, without channels.
        strides: strides in each dimension.
        padding: "SAME" or "VALID".
        tolerance: relative change of the norm per iteration below which it ends.
        max_iterations: largest number of iterations.

    Returns:
        The norm and its relative change in the last iteration, scalars of the kernel's dtype.
    """
    kernel = tf.convert_to_tensor(kernel)
    shape = [1, *sizes, kernel.shape[-2]]
    strides = list(strides)

    def stretched(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = tf.nn.convolution(x, kernel, strides, padding)
        return y, tf.norm(y)

    def iterate(
        i: tf.Tensor, x: tf.Tensor, norm: tf.Tensor, change: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        y, _ = stretched(x)
        x = tf.nn.conv_transpose(y, kernel, shape, strides, padding)
        x = tf.math.divide_no_nan(x, tf.norm(x))
        _, new = stretched(x)
        return i + 1, x, new, tf.math.divide_no_nan(tf.abs(new - norm), new)

    x = tf.random.stateless_normal(shape, [0, 0], dtype=kernel.dtype, alg="philox")
    x /= tf.norm(x)
    one = tf.ones([], kernel.dtype)
    _, _, norm, change = tf.while_loop(
        lambda i, x, norm, change: (change > tolerance) & (i < max_iterations),
        iterate,
        (0, x, stretched(x)[1], one),
    )
    return norm, change


def circular_operator_norm(
    kernel: np.ndarray, sizes: Sequence[int], strides: Sequence[int]
) -> float:
    """The norm of a convolution with circular padding, exactly (Sedghi et al., ICLR 2019).

    The Fourier transform turns a convolution into a matrix [outputs, inputs] at each frequency; a
    stride joins the matrices of frequencies that it maps to the same one side by side.

    With zero padding the norm is at most this one for sizes enlarged by the kernel's size minus
    one: the input is then zero outside its part of the larger circle, and the output is a part of
    the circular one.

    Args:
        kernel: [*window, inputs, outputs].
        sizes: sizes of the circle in each dimension, multiples of the stride and at least the
            window.
        strides: strides in each dimension.
    """
    kernel = np.asarray(kernel, np.float64)
    window, (inputs, outputs) = kernel.shape[:-2], kernel.shape[-2:]
    taps = np.array(list(itertools.product(*map(range, window))))
    weights = kernel.reshape(len(taps), inputs * outputs)
    aliases = np.array(list(itertools.product(*map(range, strides))))
    steps = np.array([size // stride for size, stride in zip(sizes, strides)])
    largest = 0.0
    # Opposite frequencies have conjugate matrices: half of the last dimension is enough.
    ranges = [*map(range, steps[:-1]), range(steps[-1] // 2 + 1)]
    for frequency in itertools.product(*ranges):
        joined = (frequency + aliases * steps) / np.array(sizes)
        waves = np.exp(-2j * math.pi * (joined @ taps.T))
        matrix = (waves @ weights).reshape(len(aliases) * inputs, outputs)
        # The smaller Gram matrix has the same largest eigenvalue.
        gram = matrix.conj().T @ matrix if outputs <= len(matrix) else matrix @ matrix.conj().T
        largest = max(largest, float(np.linalg.eigvalsh(gram)[-1]))
    return math.sqrt(largest / math.prod(strides))


def _clip_matrix(matrix: tf.Tensor, max_singular_value: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The projection in the arithmetic of the matrix's dtype, and the largest singular value.

    If there are several matrices [blocks, rows, columns], each is projected, and the largest is
    over all. If a Gram matrix is not finite, the results are the unchanged matrices and infinity.
    """
    gram = _gram(matrix)

    # The decomposition of a matrix that is not finite may never end, so it gets zeros.
    finite = tf.reduce_all(tf.math.is_finite(gram))
    squares, _, vectors = tf.linalg.svd(tf.where(finite, gram, tf.zeros_like(gram)))
    values = tf.sqrt(squares)
    correction = 1.0 / tf.maximum(values / max_singular_value, 1.0) - 1.0
    projector = tf.matmul(vectors * correction[..., tf.newaxis, :], vectors, transpose_b=True)
    change = tf.matmul(projector, matrix) if _wide(matrix) else tf.matmul(matrix, projector)
    clipped = tf.where(finite, matrix + change, matrix)
    largest = tf.reduce_max(values[..., 0])
    return clipped, tf.where(finite, largest, tf.constant(float("inf"), values.dtype))


def _gram(matrix: tf.Tensor) -> tf.Tensor:
    """The smaller Gram matrix of each matrix."""
    wide = _wide(matrix)
    return tf.matmul(matrix, matrix, transpose_a=not wide, transpose_b=wide)


def _wide(matrix: tf.Tensor) -> bool:
    return matrix.shape[-2] < matrix.shape[-1]


def _as_matrix(
    shape: tf.TensorShape, output_axis: int | Sequence[int], block_axes: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The permutation to blocks, inputs, outputs, and the shape of the matrix or matrices."""
    rank = len(shape)
    outputs = [output_axis] if isinstance(output_axis, int) else output_axis
    outputs = [axis % rank for axis in outputs]
    blocks = [axis % rank for axis in block_axes]
    inputs = [axis for axis in range(rank) if axis not in (*outputs, *blocks)]
    sides = [blocks, inputs, outputs] if blocks else [inputs, outputs]
    return sum(sides, []), [math.prod(shape[axis] for axis in side) for side in sides]
