"""Methods that keep a critic Lipschitz, by name; each is a function of its own arguments.

    singular_value_clipping   the paper's: kernels of spectral norm at most 1, and scales of batch
                              normalisations that do not stretch
    weight_clipping           every parameter in [-0.01, 0.01] (Arjovsky et al. 2017), the paper's
                              baseline
    spectral_normalization    kernels divided by their spectral norms (Miyato et al. 2018)
    gradient_penalty          a term of the critic's loss (Gulrajani et al. 2017)
    none                      nothing, for objectives whose critic's loss is bounded

A method gives arguments of the critic and a term of its loss:

    method = lipschitz.singular_value_clipping(interval=5)
    critic = Critic(channels=1, **method.critic_arguments)
    tgan = TGAN(VideoGenerator(channels=1), critic)
    tgan.compile(rmsprop(), rmsprop(), penalty=method.penalty)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tgan_tf.arguments import Number, check
from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping, WeightClipping

Penalty = Callable[
    [Callable[[tf.Tensor], tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor],
    tf.Tensor,
]
"""(scores, real, fake, uniform) → scalar that is added to the critic's loss: `scores` is the critic
as a function of clips; `real` and `fake` are clips float32 [batch, frames, size, size, channels];
`uniform` is float32 [batch, 1, 1, 1, 1] in [0, 1), drawn again in each step."""


class LipschitzMethod(NamedTuple):
    """The effect of a method on the game.

    Attributes:
        critic_arguments: arguments of `CriticNetwork`.
        penalty: the argument `penalty` of `TGAN.compile`; None if nothing is added to the critic's
            loss.
        bounds: whether it keeps the critic from growing without bound.
    """

    critic_arguments: dict[str, Any]
    penalty: Penalty | None = None
    bounds: bool = True


def singular_value_clipping(
    max_singular_value: float = 1.0, interval: int = 5, norm: str = "matrix"
) -> LipschitzMethod:
    """The paper's method; see `SingularValueClipping`. The interval applies to scales too."""
    return LipschitzMethod(
        {
            "kernel_constraint": SingularValueClipping(max_singular_value, interval, norm=norm),
            "gamma_constraint": BatchNormScaleClipping(interval),
        }
    )


def weight_clipping(limit: float = 0.01) -> LipschitzMethod:
    """Every parameter in [-limit, limit], see `WeightClipping`."""
    constraint = WeightClipping(limit)
    kinds = ("kernel_constraint", "bias_constraint", "gamma_constraint")
    return LipschitzMethod(dict.fromkeys(kinds, constraint))


def spectral_normalization(interval: int = 5) -> LipschitzMethod:
    """Kernels of spectral norm 1; scales are clipped every `interval` updates of the critic."""
    # With kernels of norm 1 alone the scales could still grow.
    arguments = {
        "spectral_normalization": True,
        "gamma_constraint": BatchNormScaleClipping(interval),
    }
    return LipschitzMethod(arguments)


def gradient_penalty(weight: float = 10.0) -> LipschitzMethod:
    """The penalty of a `GradientPenalty`."""
    return LipschitzMethod({}, GradientPenalty(weight))


def none() -> LipschitzMethod:
    """No method."""
    return LipschitzMethod({}, bounds=False)


METHODS: dict[str, Callable[..., LipschitzMethod]] = {
    "singular_value_clipping": singular_value_clipping,
    "weight_clipping": weight_clipping,
    "spectral_normalization": spectral_normalization,
    "gradient_penalty": gradient_penalty,
    "none": none,
}
"""The methods by name."""


@keras.saving.register_keras_serializable(package="tgan_tf")
class GradientPenalty:
    """λ times the mean over the batch of (‖∇D(x)‖ - 1)² (Gulrajani et al. 2017, equation 3).

    x lies on the line between a real and a generated clip, and the norm is over all pixels of a
    clip. The PyTorch TGAN (proceduralia/tgan-pytorch) takes the norm over one axis of the clip
    instead. The clips of a batch share the moments of batch normalisation, so the gradient at a
    clip also includes that of the others' scores.

    Args:
        weight: λ, positive; 10 in the paper.

    Raises:
        InputError: `weight` is not a positive, finite number.
    """

    def __init__(self, weight: float = 10.0):
        check(Number(above=0), weight=weight)
        self.weight = weight

    def __call__(
        self,
        scores: Callable[[tf.Tensor], tf.Tensor],
        real: tf.Tensor,
        fake: tf.Tensor,
        uniform: tf.Tensor,
    ) -> tf.Tensor:
        """Implements `Penalty`."""
        between = uniform * real + (1.0 - uniform) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            of_between = scores(between)
        gradients = tape.gradient(of_between, between)
        # The root has no derivative at 0.
        norms = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3, 4]) + 1e-12)
        return self.weight * tf.reduce_mean(tf.square(norms - 1.0))

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight}
