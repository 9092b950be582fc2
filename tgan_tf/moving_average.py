"""A generator with the moving average of its weights over the training.

An optimiser with Keras's `use_ema` keeps an exponential moving average of the weights that it
trains. A generator with the averages makes steadier videos than the last step's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import stack
from tgan_tf.latents import generator_latents
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import GeneratorNetwork

_BATCHES = 8
_BATCH_SIZE = 32


def kept(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, kind: str
) -> dict[int, tf.Variable]:
    """The variables that an optimiser keeps for a network's weights.

    Args:
        network: the network that the optimiser trains.
        optimizer: a built optimiser, bare or inside a `LossScaleOptimizer`.
        kind: Keras's name for them: "average", or "velocity" for RMSprop.

    Returns:
        The variables by the `id` of each weight; empty if the optimiser keeps none of this kind.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    found = [variable for variable in optimizer.variables if kind in variable.name]
    return {id(weight): slot for weight, slot in zip(network.trainable_variables, found)}


def begin(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Sets an optimiser's averages, if it keeps any, to the current weights.

    Without this they are zeros until the first update in Keras 3.
    """
    averages = kept(network, optimizer, "average")
    for weight in network.trainable_variables:
        if id(weight) in averages:
            averages[id(weight)].assign(weight)


def averaged(
    generator: GeneratorNetwork, optimizer: keras.optimizers.Optimizer
) -> GeneratorNetwork:
    """Returns a generator with an optimiser's averages as its weights, see `averaging`."""
    return averaging(generator, optimizer)()


def averaging(
    generator: GeneratorNetwork, optimizer: keras.optimizers.Optimizer
) -> Callable[[], GeneratorNetwork]:
    """Returns a function that gives a generator with an optimiser's averages as its weights.

    The running averages of batch normalisation belong to the last step's weights, so they are
    estimated again, as the means over 256 videos of fixed latents.

    Args:
        generator: the generator that the optimiser trains.
        optimizer: any optimiser, bare or inside a `LossScaleOptimizer`.

    Returns:
        A function that gives a copy, the same one each time, which each call brings up to date;
        or `generator` itself if the optimiser has no `use_ema`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema:
        return lambda: generator

    # A copy, and the trace of its passes, take longer to make than a small network's videos.
    @functools.cache
    def copy_and_passes() -> tuple[GeneratorNetwork, Callable[[tf.Tensor, float], None]]:
        copy = type(generator).from_config(generator.get_config())
        layers = [part for part in stack.held_layers(copy) if isinstance(part, BatchNormalization)]

        signature = [tf.TensorSpec([_BATCH_SIZE, copy.latent_dim]), tf.TensorSpec([])]

        @tf.function(input_signature=signature, autograph=False)
        def pass_with_momentum(latents: tf.Tensor, momentum: tf.Tensor) -> None:
            momenta = [layer.momentum for layer in layers]
            for layer in layers:
                layer.momentum = momentum
            copy(latents, training=True)
            for layer, own in zip(layers, momenta):
                layer.momentum = own

        return copy, pass_with_momentum

    def up_to_date() -> GeneratorNetwork:
        copy, pass_with_momentum = copy_and_passes()
        weights = generator.get_weights()
        try:
            # Keras gives access to the averages only by overwriting the weights.
            optimizer.finalize_variable_values(generator.trainable_variables)
            copy.set_weights(generator.get_weights())
        finally:
            generator.set_weights(weights)
        latents = generator_latents(copy, 0, _BATCHES * _BATCH_SIZE)
        for number, part in enumerate(np.split(latents, _BATCHES)):
            # Makes the running averages the means over the batches so far.
            pass_with_momentum(part, number / (number + 1))
        return copy

    return up_to_date
