"""The moving average of a generator's weights over its training, as a generator of its own.

An optimiser with Keras's `use_ema` keeps an exponential moving average of the weights that it
trains. A generator with the averages makes steadier videos than the one of the last step.
"""

from __future__ import annotations

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
    """What an optimiser keeps of a network's weights.

    Args:
        network: what the optimiser trains.
        optimizer: built, in a `LossScaleOptimizer` or not.
        kind: as Keras names it: "average", or "velocity" of RMSprop.

    Returns:
        It by the `id` of each weight; empty if the optimiser keeps no such thing.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    found = [variable for variable in optimizer.variables if kind in variable.name]
    return {id(weight): slot for weight, slot in zip(network.trainable_variables, found)}


def begin(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Sets the averages that an optimiser keeps, if any, to the weights as they are now.

    Keras 3 has zeros there until the first update.
    """
    averages = kept(network, optimizer, "average")
    for weight in network.trainable_variables:
        if id(weight) in averages:
            averages[id(weight)].assign(weight)


def averaged(
    generator: GeneratorNetwork, optimizer: keras.optimizers.Optimizer
) -> GeneratorNetwork:
    """A generator with the averages that an optimiser keeps.

    The running averages of batch normalisation belong to the weights of the last step, so they are
    estimated anew: as the means over 256 videos of fixed latents.

    Args:
        generator: what the optimiser trains.
        optimizer: of any kind, in a `LossScaleOptimizer` or not.

    Returns:
        A copy, or `generator` itself if the optimiser has no `use_ema`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema:
        return generator
    copy = type(generator).from_config(generator.get_config())
    weights = generator.get_weights()
    try:
        # Keras gives the averages only by overwriting what they are the averages of.
        optimizer.finalize_variable_values(generator.trainable_variables)
        copy.set_weights(generator.get_weights())
    finally:
        generator.set_weights(weights)

    layers = [part for part in stack.held_layers(copy) if isinstance(part, BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    latents = generator_latents(copy, 0, _BATCHES * _BATCH_SIZE)
    for number, part in enumerate(np.split(latents, _BATCHES)):
        for layer in layers:
            # Makes the running averages the means over the batches so far.
            layer.momentum = number / (number + 1)
        copy(part, training=True)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    return copy
