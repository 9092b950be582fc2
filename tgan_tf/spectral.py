"""Singular values of kernels: the linear algebra under singular value clipping.

The paper keeps a linear layer 1-Lipschitz by replacing every singular value of its
weight above one with one, which is the projection onto the ball of matrices of spectral norm 1.
A full singular value decomposition of a tall kernel is not needed for it. With the decomposition
of the small Gram matrix alone, WᵀW = V diag(σ²) Vᵀ,

    clip(W) = W + W V diag(max(σ / c, 1)⁻¹ - 1) Vᵀ

leaves each direction with σ ≤ c as it is and scales the others down to c. For the critic's
4x4x4 convolution from 256 to 512 channels W is 16384 x 512, its Gram matrix 512 x 512.
"""

from __future__ import annotations

import tensorflow as tf


def kernel_matrix(kernel: tf.Tensor, output_axis: int = -1) -> tf.Tensor:
    """Flattens a kernel to the matrix whose singular values the paper clips.

    Args:
        kernel: tensor of rank 2 or more.
        output_axis: the axis of the output channels.

    Returns:
        Tensor [everything else, outputs] of the kernel's dtype.
    """
    kernel = tf.convert_to_tensor(kernel)
    permutation, _ = _output_last(kernel.shape.rank, output_axis)
    return tf.reshape(tf.transpose(kernel, permutation), [-1, kernel.shape[output_axis]])


def clip_singular_values(
    kernel: tf.Tensor, max_singular_value: float = 1.0, output_axis: int = -1
) -> tf.Tensor:
    """Projects a kernel onto the ball of matrices whose singular values are at most a maximum.

    The result is within 2e-6 times the maximum of the exact projection, while the largest singular
    value is at most 10,000 times the maximum; a kernel of half precision is rounded to its own
    dtype after that. A kernel with a NaN or an infinity is returned as it is: there is no
    decomposition of it.

    Args:
        kernel: floating tensor of rank 2 or more, every dimension at least 1.
        max_singular_value: the largest singular value that is left, positive.
        output_axis: the axis of the output channels; all other axes form the matrix's other side.

    Returns:
        Tensor of the kernel's shape and dtype.
    """
    kernel = tf.convert_to_tensor(kernel)
    matrix = kernel_matrix(kernel, output_axis)
    if kernel.dtype == tf.float64:
        clipped, _ = _clip_matrix(matrix, max_singular_value)
    else:
        matrix = tf.cast(matrix, tf.float32)
        clipped, largest = _clip_matrix(matrix, max_singular_value)

        # The Gram matrix holds the squares: float32 rounds a small singular value by about
        # 1e-7 times the square of the largest. In training that one stays below twice the maximum.
        def clip_in_float64():
            clipped, _ = _clip_matrix(tf.cast(matrix, tf.float64), max_singular_value)
            return tf.cast(clipped, tf.float32)

        clipped = tf.cond(largest > 2.0 * max_singular_value, clip_in_float64, lambda: clipped)

    permutation, inverse = _output_last(kernel.shape.rank, output_axis)
    moved_shape = [kernel.shape[axis] for axis in permutation]
    return tf.cast(tf.transpose(tf.reshape(clipped, moved_shape), inverse), kernel.dtype)


def singular_values(kernel: tf.Tensor, output_axis: int = -1) -> tf.Tensor:
    """Singular values of a kernel's matrix, for reports.

    They are the square roots of the Gram matrix's, in float64, which is many times faster than the
    decomposition of the tall matrix and exact to about 1e-8 times the largest.

    Args:
        kernel: floating tensor of rank 2 or more, all finite.
        output_axis: the axis of the output channels.

    Returns:
        float64 tensor [min(outputs, everything else)], in falling order.
    """
    matrix = tf.cast(kernel_matrix(kernel, output_axis), tf.float64)
    wide = matrix.shape[0] < matrix.shape[1]
    gram = tf.matmul(matrix, matrix, transpose_a=not wide, transpose_b=wide)
    return tf.sqrt(tf.linalg.svd(gram, compute_uv=False))


def _clip_matrix(matrix: tf.Tensor, max_singular_value: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The projection in the arithmetic of the matrix's dtype, and the largest singular value.

    Where the Gram matrix is not finite they are the matrix as it is and infinity.
    """
    wide = matrix.shape[0] < matrix.shape[1]
    gram = tf.matmul(matrix, matrix, transpose_a=not wide, transpose_b=wide)

    # The decomposition of a matrix that is not finite need not end, so it is given zeros.
    finite = tf.reduce_all(tf.math.is_finite(gram))
    squares, _, vectors = tf.linalg.svd(tf.where(finite, gram, tf.zeros_like(gram)))
    values = tf.sqrt(squares)
    correction = 1.0 / tf.maximum(values / max_singular_value, 1.0) - 1.0
    projector = tf.matmul(vectors * correction, vectors, transpose_b=True)
    change = tf.matmul(projector, matrix) if wide else tf.matmul(matrix, projector)
    clipped = tf.where(finite, matrix + change, matrix)
    return clipped, tf.where(finite, values[0], tf.constant(float("inf"), values.dtype))


def _output_last(rank: int, output_axis: int) -> tuple[list[int], list[int]]:
    """The permutation that moves the output axis to the end, and its inverse."""
    permutation = [axis for axis in range(rank) if axis != output_axis % rank]
    permutation.append(output_axis % rank)
    return permutation, [permutation.index(axis) for axis in range(rank)]
