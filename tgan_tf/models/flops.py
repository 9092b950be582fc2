"""Floating-point operations of the networks and of a training step.

A multiplication and an addition are two operations. Only convolutions and dense layers are counted,
which are nearly all of it. Products with padded zeros count, as is usual.

    step_flops(VideoGenerator(), Critic(), batch_size=32)   # 7.4e11: 741 GFLOP
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras

from tgan_tf.models.critic import Critic
from tgan_tf.models.sizes import BASE_SIZE
from tgan_tf.models.video_generator import VideoGenerator


def step_flops(generator: VideoGenerator, critic: Critic, batch_size: int) -> int:
    """Operations of a training step: one forward and one backward pass of both networks.

    A layer's gradient with respect to its kernel, and the one with respect to its input, each take
    as many operations as the layer itself. All kernel gradients are needed, and all input gradients
    except for inputs that do not depend on variables: z0, the input of each generator's first
    layer, and the real clips.

    Args:
        generator: an unconditional generator.
        critic: its critic; if it takes fewer frames, only these are rendered.
        batch_size: real clips per step, and as many generated ones.
    """
    by_layer = generator_flops(generator, critic.frames)
    by_critic = [layer.flops for layer in critic_layers(critic)]
    # The first layer of each generator.
    by_z0 = by_layer[0] + by_layer[len(generator.temporal_generator.deconvolutions)]
    a_video = 3 * sum(by_layer) - by_z0 + 2 * 3 * sum(by_critic) - by_critic[0]
    return batch_size * a_video


def generator_flops(generator: VideoGenerator, frames: int | None = None) -> list[int]:
    """Operations of the layers that make a video: of G0, of G1's z0 branch, and of each frame.

    Args:
        generator: an unconditional generator.
        frames: number of rendered frames, if not all.
    """
    once, each_frame = generator_layers(generator)
    return [
        *(layer.flops for layer in once),
        *[layer.flops for layer in each_frame] * (frames or generator.frames),
    ]


class PlacedLayer(NamedTuple):
    """A layer and its shapes in a network.

    Attributes:
        layer: a dense layer, a convolution or a transposed convolution.
        input_shape: shape of one sample's input.
        output_shape: shape of one sample's output.
    """

    layer: keras.layers.Layer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def flops(self) -> int:
        """Operations of one forward pass for one sample."""
        transposed = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose)
        # The kernel is applied at each position of the output or, if transposed, of the input.
        shape = self.input_shape if isinstance(self.layer, transposed) else self.output_shape
        return 2 * math.prod(shape[:-1]) * math.prod(self.layer.kernel.shape)


def generator_layers(generator: VideoGenerator) -> tuple[list[PlacedLayer], list[PlacedLayer]]:
    """The layers that run once per video, in G0 and G1's z0 branch, and those once per frame.

    Args:
        generator: an unconditional one.
    """
    temporal_generator, image_generator = generator.temporal_generator, generator.image_generator
    maps = (None, BASE_SIZE, BASE_SIZE, image_generator.filters // 2)
    once = [
        *chain_layers(temporal_generator.deconvolutions, (None, 1, temporal_generator.z0_dim)),
        *chain_layers([image_generator.z0_dense], (None, image_generator.z0_dim)),
        *chain_layers([image_generator.z0_deconvolution], maps),
    ]
    each_frame = [
        *chain_layers([image_generator.z1_dense], (None, image_generator.z1_dim)),
        *chain_layers([*image_generator.deconvolutions, image_generator.to_frame], maps),
    ]
    return once, each_frame


def critic_layers(critic: Critic) -> list[PlacedLayer]:
    """The layers that run once per clip.

    Args:
        critic: an unconditional critic with the head "convolution".
    """
    return chain_layers([*critic.convolutions, critic.score], (None, *critic.clip_shape))


def chain_flops(layers: list[keras.layers.Layer], shape: tuple[int | None, ...]) -> list[int]:
    """Operations of one forward pass through each layer of a chain, for one sample.

    Args:
        layers: dense layers, convolutions and transposed convolutions.
        shape: shape of the first layer's input, with the batch axis.
    """
    return [layer.flops for layer in chain_layers(layers, shape)]


def chain_layers(layers: list[keras.layers.Layer], shape: tuple[Any, ...]) -> list[PlacedLayer]:
    """The layers of a chain with their shapes; for the arguments see `chain_flops`."""
    placed = []
    for layer in layers:
        output_shape = tuple(layer.compute_output_shape(shape))
        placed.append(PlacedLayer(layer, shape[1:], output_shape[1:]))
        shape = output_shape
    return placed
