"""What tests of clipping judge by: singular values by NumPy, and steps that only clip."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


def matrix_of(kernel, output_axis=-1):
    """[everything else, outputs], float64."""
    kernel = np.moveaxis(np.asarray(kernel, np.float64), output_axis, -1)
    return kernel.reshape(-1, kernel.shape[-1])


def exact_projection(kernel, maximum=1.0, output_axis=-1):
    """The nearest kernel of no larger singular value, by the full decomposition in float64."""
    matrix = matrix_of(kernel, output_axis)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    clipped = left * np.minimum(values, maximum) @ right
    moved = np.moveaxis(np.asarray(kernel), output_axis, -1)
    return np.moveaxis(clipped.reshape(moved.shape), -1, output_axis)


def largest(kernel, output_axis=-1):
    """The largest singular value, in float64."""
    return np.linalg.svd(matrix_of(kernel, output_axis), compute_uv=False)[0]


def dense_model(constraint, size=3):
    return keras.Sequential(
        [keras.Input((size,)), keras.layers.Dense(size, kernel_constraint=constraint)]
    )


def apply_zero_gradients(optimizer, model):
    """A step that moves nothing: what it changes, the constraints have changed."""
    variables = model.trainable_variables
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
