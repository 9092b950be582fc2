"""The paper's critic beside a second one that sees the frames as channels.

This is the reference's `VideoAndFrameDiscriminator`; the two losses are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.critic import Critic
from tgan_tf.models.frames_as_channels_critic import FramesAsChannelsCritic
from tgan_tf.models.network import CriticNetwork

PASSES_OF_A_STEP = 128
"""More than a step has. The frame critic's passes are numbered from here, for separate noise."""


@keras.saving.register_keras_serializable(package="tgan_tf")
class VideoAndFrameCritic(CriticNetwork):
    """Maps clips to the scores of a `Critic` and of a `FramesAsChannelsCritic` with strides.

    Args:
        frames: T, a power of two, at least 2.
        size: rows and columns of a frame, a power of two, at least 8.
        channels: channels of a frame.
        filters: channels after each critic's first convolution; each later one doubles them.
        kernel_initializer: initial weights.
        **kwargs: the other arguments of `CriticNetwork`, for both critics.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, frames, size, size, channels] in [-1, 1] in, float32 [batch, 2] out,
    the video critic's score first; with `num_classes` a list of that and float32
    [batch, num_classes] in.
    """

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        channels: int = 3,
        filters: int = 64,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        **kwargs: Any,
    ):
        super().__init__(
            frames=frames,
            size=size,
            channels=channels,
            filters=filters,
            kernel_initializer=kernel_initializer,
            **kwargs,
        )
        arguments = self.get_config()
        del arguments["name"]
        self.video_critic = Critic(**arguments, name="video_critic")
        self.frame_critic = FramesAsChannelsCritic(
            **arguments, downsampling="stride", name="frame_critic"
        )
        self.build_layers()

    def call(
        self,
        inputs: tf.Tensor | Sequence[tf.Tensor],
        training: bool = False,
        noise_seed: tf.Tensor | Sequence[tf.Tensor | int] | None = None,
    ) -> tf.Tensor:
        seed_of_frames = None
        if noise_seed is not None:
            seed_of_frames = tf.cast(noise_seed, tf.int64) + [0, 0, PASSES_OF_A_STEP]
        scores = [
            self.video_critic(inputs, training=training, noise_seed=noise_seed),
            self.frame_critic(inputs, training=training, noise_seed=seed_of_frames),
        ]
        return tf.concat(scores, axis=-1)

    def critics(self) -> list[CriticNetwork]:
        return [self.video_critic, self.frame_critic]

    @property
    def stages(self) -> list[tuple[keras.layers.Layer, BatchNormalization | None]]:
        """The stages of the video critic, then those of the frame critic; these are two chains."""
        return self.video_critic.stages + self.frame_critic.stages
