"""The optimisers of generator and critic, by name."""

from __future__ import annotations

from typing import Any

import keras

from tgan_tf.arguments import Number, check


def rmsprop(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 5e-5, **kwargs: Any
) -> keras.optimizers.Optimizer:
    """The reference's RMSprop: decay 0.99 and epsilon 1e-8 outside the root.

    Keras has epsilon inside the root, where 1e-16 is equivalent; its default of 1e-7 would damp the
    tiny gradients of this model about tenfold.

    Args:
        learning_rate: a number or a Keras schedule.
        **kwargs: other arguments of `keras.optimizers.RMSprop`.
    """
    return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16, **kwargs)


def adam(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 5e-5,
    beta_1: float = 0.5,
    beta_2: float = 0.9,
    **kwargs: Any,
) -> keras.optimizers.Optimizer:
    """Adam (Kingma and Ba 2015).

    Args:
        learning_rate: a number or a Keras schedule.
        beta_1: β₁, the decay of the average gradient per update, at least 0 and below 1. 0.5 is the
            PyTorch TGAN's (proceduralia/tgan-pytorch).
        beta_2: β₂, the decay of the average squared gradient, likewise. 0.9 is the PyTorch TGAN's.
        **kwargs: other arguments of `keras.optimizers.Adam`.

    Raises:
        InputError: a β is out of range.
    """
    check(Number(at_least=0, below=1), beta_1=beta_1, beta_2=beta_2)
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2, **kwargs)


OPTIMIZERS = {"rmsprop": rmsprop, "adam": adam}
"""The optimisers by name: functions of a learning rate and of arguments of all Keras optimisers."""


def with_loss_scale(
    optimizer: keras.optimizers.Optimizer, dtype_policy: str | None = None
) -> keras.optimizers.Optimizer:
    """The optimiser as a `TGAN` uses it: wrapped if float16 gradients need a loss scale.

    The scales of both optimisers multiply in a shared backward pass, and each is lowered when its
    gradients overflow, so each starts near the root of the usual 2^15.

    Args:
        optimizer: any optimiser.
        dtype_policy: name of a Keras policy; None for the process's policy.
    """
    needs_scale = (dtype_policy or keras.mixed_precision.global_policy().name) == "mixed_float16"
    if needs_scale and not isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=2**8)
    return optimizer
