"""The critic's spectral report: how much each of its kernels can stretch what it is given.

Singular value clipping (the paper, Section 4) keeps the singular values of each kernel, seen as the
matrix [kernel positions and inputs, outputs], at 1 or below.
"""

from __future__ import annotations

import keras
import numpy as np

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.spectral import kernel_matrix, singular_values


def spectral_report(critic: keras.Model) -> dict[str, Estimate]:
    """The largest singular value of each kernel of a critic, and their product.

    The product bounds what the matrices, one after the other, can stretch. It is no bound of the
    critic's Lipschitz constant: the norm of a convolution can be larger than its matrix's where
    the kernel's windows overlap (with kernel 4 and stride 2 up to √8 times in 3-D), and the batch
    normalisations, which scale as well, are not in it.

    Args:
        critic: a `Critic`, or another Keras model whose kernels have the outputs as the last axis.

    Returns:
        By the name of the layer the largest singular value, which has no error; in `details` the
        `shape` of the matrix and `above_half`, the share of its singular values that are above half
        the largest. At "product" the product over the layers.

    Raises:
        InputError: a kernel is not finite.
    """
    report = {}
    for layer in critic.layers:
        if not hasattr(layer, "kernel"):
            continue
        # Checked first: a decomposition of what is not finite need not end.
        if not np.isfinite(layer.kernel.numpy()).all():
            raise InputError(
                f"the kernel of {layer.name} has NaN or infinite entries: take a checkpoint from "
                "before the training diverged"
            )
        values = singular_values(layer.kernel).numpy()
        report[layer.name] = Estimate(
            float(values[0]),
            details={
                "shape": kernel_matrix(layer.kernel).shape.as_list(),
                "above_half": float(np.mean(values > values[0] / 2)),
            },
        )
    product = float(np.prod([estimate.value for estimate in report.values()]))
    return {**report, "product": Estimate(product)}
