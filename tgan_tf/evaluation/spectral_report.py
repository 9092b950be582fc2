"""The critic's spectral report: how much each layer, and the whole critic, can stretch its input.

Singular value clipping (the paper, Section 4) keeps the singular values of each kernel, as the
matrix [kernel positions and inputs, outputs], at 1 or below. That does not make the critic
1-Lipschitz: a convolution can stretch more than its matrix, and a batch normalisation stretches
each channel by γ / √(running variance + ε). The product of the layers' true norms bounds the
critic's Lipschitz constant.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import kernels
from tgan_tf.convolutions import convolution_of, unwrapped
from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.metric import CRITIC, Metric
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import CriticNetwork


class Stage(NamedTuple):
    """How much a layer with a kernel, and the batch normalisation after it, can stretch.

    Attributes:
        name: name of the layer; with two critics, after the critic's name.
        matrix_norm: largest singular value of the kernel's matrix, which is clipped.
        operator_norm: norm of the convolution with its own padding, by power iteration.
        gamma: the largest |γ| / √(running variance + ε), the most that batch normalisation
            stretches a channel in inference; 1 without batch normalisation.
        norm: norm of both together: the convolution with its outputs scaled by the batch
            normalisation. At most operator_norm times gamma.
    """

    name: str
    matrix_norm: float
    operator_norm: float
    gamma: float
    norm: float


def stages(critic: CriticNetwork, tolerance: float = 1e-5) -> list[Stage]:
    """The stages of a critic in order, with a second critic's after the first's.

    Args:
        critic: any critic, in inference mode.
        tolerance: tolerance of the power iterations, see `spectral.operator_norm`.

    Raises:
        InputError: a kernel is not finite.
    """
    several = len(critic.critics()) > 1
    return [
        _stage(f"{part.name}_{layer.name}" if several else layer.name, layer, norm, tolerance)
        for part in critic.critics()
        for layer, norm in part.stages
    ]


def lipschitz_bound(critic: CriticNetwork, measured: list[Stage] | None = None) -> float:
    """An upper bound on the critic's Lipschitz constant in inference, with respect to the clip.

    It is the product of the stages' norms: leaky ReLU and max pooling do not stretch, and the mean
    of N features stretches by 1/√N. For two critics, whose scores are added, it is the sum. The
    labels of a conditional critic count as inputs, so the bound also holds for the clip alone.
    Since power iteration finds the norms from below, it may fall short of a true bound by the
    tolerance.

    Args:
        critic: any critic, in inference mode with its running averages.
        measured: the result of `stages`, if already computed.
    """
    norms = iter(measured if measured is not None else stages(critic))
    total = 0.0
    for part in critic.critics():
        product = 1.0
        for _ in part.stages:
            product *= next(norms).norm * max(1.0, part.slope)
        total += product * part.head_norm
    return total


def gradient_norms(
    critic: CriticNetwork, clips: np.ndarray, labels: np.ndarray | None = None
) -> np.ndarray:
    """The norm of the score's gradient at clips, ‖∇D(x)‖ over all pixels, in inference.

    The largest is a lower bound on the critic's Lipschitz constant.

    Args:
        critic: any critic.
        clips: float32 [n, *clip_shape].
        labels: float32 [n, num_classes], one-hot, for a conditional critic.

    Returns:
        float64 [n].
    """
    clips = tf.convert_to_tensor(clips)
    with tf.GradientTape() as tape:
        tape.watch(clips)
        scores = critic(clips if labels is None else [clips, labels], training=False)
    gradients = tf.cast(tape.gradient(scores, clips), tf.float64)
    return tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3, 4])).numpy()


def spectral_report(critic: CriticNetwork) -> dict[str, Estimate]:
    """How much each layer of a critic, and the whole critic, can stretch.

    Args:
        critic: any critic, in inference mode.

    Returns:
        By layer name, the largest singular value of the kernel's matrix, without an error. Its
        `details` have the `shape` of the matrix; `above_half`, the share of its singular values
        above half the largest; and `operator_norm`, `gamma` and `norm`, see `Stage`. "product" is
        the product of the values, and "bound" the `lipschitz_bound`.

    Raises:
        InputError: a kernel is not finite.
    """
    measured = stages(critic)
    report = {}
    for stage, (layer, _) in zip(measured, critic.stages):
        kernel = unwrapped(layer).kernel
        matrices = kernels.matrices_of_layer(unwrapped(layer))
        values = matrices.singular_values(kernel).numpy()
        report[stage.name] = Estimate(
            stage.matrix_norm,
            details={
                "shape": matrices.shape(kernel),
                "above_half": float(np.mean(values > values[0] / 2)),
                "operator_norm": stage.operator_norm,
                "gamma": stage.gamma,
                "norm": stage.norm,
            },
        )
    product = float(np.prod([stage.matrix_norm for stage in measured]))
    bound = lipschitz_bound(critic, measured)
    return {**report, "product": Estimate(product), "bound": Estimate(bound)}


SPECTRUM = Metric(
    "spectrum",
    "each critic kernel's largest singular value",
    CRITIC,
    lambda critic: {f"spectrum_{name}": one for name, one in spectral_report(critic).items()},
    num_clips=0,
)


def _stage(
    name: str,
    layer: keras.layers.Layer,
    normalization: BatchNormalization | None,
    tolerance: float,
) -> Stage:
    kernel = unwrapped(layer).kernel.numpy()
    # Checked first: a decomposition of values that are not finite may never end.
    if not np.isfinite(kernel).all():
        raise InputError(
            f"the kernel of {name} has NaN or infinite entries: use a checkpoint from before the "
            "training diverged"
        )
    convolution = convolution_of(layer)
    operator_norm = norm = float(convolution.norm(kernel, tolerance=tolerance)[0])
    gamma = 1.0
    if normalization is not None:
        variance = normalization.moving_variance.numpy() + normalization.epsilon
        scales = normalization.gamma.numpy() / np.sqrt(variance)
        gamma = float(np.abs(scales).max())
        norm = float(convolution.norm(kernel * scales, tolerance=tolerance)[0])
    matrix_norm = float(kernels.matrices_of_layer(unwrapped(layer)).singular_values(kernel)[0])
    return Stage(name, matrix_norm, operator_norm, gamma, norm)
