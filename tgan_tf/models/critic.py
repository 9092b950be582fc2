"""The critic (discriminator): maps each clip to one score (the paper, Figure 1).

For 16 frames of 64x64: 3-D convolutions [16, 64, 64, C] → 8x32x32x64 → 4x16x16x128 → 2x8x8x256 →
1x4x4x512, then a convolution over all remaining positions to one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import OneOf, check
from tgan_tf.errors import InputError
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import CriticNetwork
from tgan_tf.models.sizes import BASE_SIZE, doublings_to_frames, doublings_to_size

HEADS = ("convolution", "mean", "projection")


@keras.saving.register_keras_serializable(package="tgan_tf")
class Critic(CriticNetwork):
    """Maps clips to unbounded scores.

    3-D convolutions of kernel 4 and stride 2 with bias, one for each halving of the size down to
    4x4; leaky ReLU, preceded by batch normalisation in all but the first if the critic has any. A
    convolution over the remaining positions makes the score. Frames halve with the size down to 1;
    after that the kernel and stride in time are 1.

    Args:
        frames: T, a power of two, at least 2.
        size: rows and columns of a frame, a power of two, at least 8.
        channels: channels of a frame.
        filters: channels after the first convolution; each later one doubles them.
        kernel_initializer: initial weights. The reference's is Uniform(-0.01, 0.01) for Moving
            MNIST and LeCun normal for UCF-101.
        kernel_constraint: Keras constraint of every kernel, such as
            `tgan_tf.constraints.SingularValueClipping(interval=5)`, the paper's.
        head: how the last feature maps become the score. "convolution": by a convolution, as in the
            paper. "mean": as their mean, as in the PyTorch TGAN (proceduralia/tgan-pytorch).
            "projection", for a critic with classes: see `CriticNetwork`.
        **kwargs: the other arguments of `CriticNetwork`.

    Raises:
        InputError: an argument is out of range, the head is "projection" without classes, or the
            critic is called with another number of frames.

    Shapes: float32 [batch, frames, size, size, channels] in [-1, 1] in, float32 [batch, 1] out;
    with `num_classes` a list of that and float32 [batch, num_classes] in.
    """

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        channels: int = 3,
        filters: int = 64,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        kernel_constraint: keras.constraints.Constraint | None = None,
        head: str = "convolution",
        **kwargs: Any,
    ):
        halvings = doublings_to_size(size)
        time_halvings = doublings_to_frames(frames)
        check(OneOf(HEADS), head=head)
        super().__init__(
            frames=frames,
            size=size,
            channels=channels,
            filters=filters,
            kernel_initializer=kernel_initializer,
            kernel_constraint=kernel_constraint,
            **kwargs,
        )
        self.head = head

        self.convolutions = [
            self.linear(
                keras.layers.Conv3D,
                filters << i,
                name=f"conv{i}",
                kernel_size=(4 if i < time_halvings else 1, 4, 4),
                strides=(2 if i < time_halvings else 1, 2, 2),
                padding="same",
            )
            for i in range(halvings)
        ]
        self.normalizations = [self.normalization_layer(f"bn{i}") for i in range(1, halvings)]
        if head != "mean":
            kernel_size = (max(frames >> halvings, 1), 4, 4)
            self.score = self.score_layer(keras.layers.Conv3D, kernel_size=kernel_size)
        self.build_layers()

    def call(
        self,
        inputs: tf.Tensor | Sequence[tf.Tensor],
        training: bool = False,
        noise_seed: tf.Tensor | Sequence[tf.Tensor | int] | None = None,
    ) -> tf.Tensor:
        clips = tf.convert_to_tensor(inputs[0] if self.num_classes else inputs)
        if clips.shape[1] != self.frames:
            # The convolutions would accept them and give each clip several scores.
            raise InputError(
                f"clips of {clips.shape[1]} frames: the critic takes {self.frames}: give it a "
                "window of that many"
            )
        h = self.joined(inputs)
        for i, (convolution, normalization) in enumerate(self.stages[: len(self.convolutions)]):
            h = convolution(h, training=training)
            if normalization is not None:
                h = normalization(h, training=training)
            h = self.activate(h, i, training, noise_seed)
        if self.head == "mean":
            return tf.reduce_mean(tf.cast(h, tf.float32), axis=[1, 2, 3, 4])[:, tf.newaxis]
        return self.score_of(self.score(h, training=training), inputs)

    @property
    def stages(self) -> list[tuple[keras.layers.Layer, BatchNormalization | None]]:
        stages = list(zip(self.convolutions, [None, *self.normalizations]))
        return stages if self.head == "mean" else [*stages, (self.score, None)]

    @property
    def head_norm(self) -> float:
        if self.head != "mean":
            return super().head_norm
        # The mean over N features.
        halvings = len(self.convolutions)
        positions = max(self.frames >> halvings, 1) * BASE_SIZE**2
        return float(positions * (self.filters << (halvings - 1))) ** -0.5

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "head": self.head}
