"""The optimisers of generator and critic, by name."""

from __future__ import annotations

from typing import Any

import keras


def rmsprop(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 5e-5, **kwargs: Any
) -> keras.optimizers.Optimizer:
    """The reference's RMSprop: decay 0.99 and epsilon 1e-8 outside the root.

    Keras has epsilon inside the root, so 1e-16 is the same; its default of 1e-7 would damp the
    tiny gradients of this model about tenfold.

    Args:
        learning_rate: a number or a Keras schedule.
        **kwargs: other arguments of `keras.optimizers.RMSprop`.
    """
    return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16, **kwargs)


def adam(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 5e-5, **kwargs: Any
) -> keras.optimizers.Optimizer:
    """Adam with β₁ 0.5 and β₂ 0.9, as the PyTorch TGAN (proceduralia/tgan-pytorch) has it.

    Args:
        learning_rate: a number or a Keras schedule.
        **kwargs: other arguments of `keras.optimizers.Adam`.
    """
    return keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.9, **kwargs)


OPTIMIZERS = {"rmsprop": rmsprop, "adam": adam}
"""By name: functions of a learning rate and of other arguments that all Keras optimisers take."""
