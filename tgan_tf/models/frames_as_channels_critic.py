"""A critic that sees the frames of a clip as channels of one image.

For 16 frames of 64x64: [16, 64, 64, C] → 64x64x16C, then 2-D convolutions to 4x4 and a convolution
over all remaining positions to one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import Integer, OneOf, check
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import CriticNetwork
from tgan_tf.models.sizes import doublings_to_size

DOWNSAMPLINGS = ("max_pooling", "stride")
HEADS = ("convolution", "projection")


@keras.saving.register_keras_serializable(package="tgan_tf")
class FramesAsChannelsCritic(CriticNetwork):
    """Maps clips to unbounded scores by 2-D convolutions.

    Convolutions with bias, one for each halving of the size down to 4x4; leaky ReLU, preceded by
    batch normalisation in all but the first if the critic has any. A convolution over the remaining
    positions makes the score. Frame t of the clip's channel c is channel c * T + t of the image;
    the channels of the classes follow, once per clip.

    Args:
        frames: T, at least 2; it need not be a power of two, since nothing is halved in time.
        size: rows and columns of a frame, a power of two, at least 8.
        channels: channels of a frame.
        filters: channels after the first convolution; each later one doubles them.
        kernel_initializer: initial weights.
        downsampling: how the size is halved: "max_pooling" takes 2x2 maxima after each leaky ReLU,
            with convolutions of kernel 3 and stride 1; "stride" has convolutions of kernel 4 and
            stride 2, as in the reference's `FrameDiscriminator`.
        head: how the last feature maps become the score: "convolution" or, for a critic with
            classes, "projection"; see `CriticNetwork`.
        **kwargs: the other arguments of `CriticNetwork`.

    Raises:
        InputError: an argument is out of range, or the head is "projection" without classes.

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
        downsampling: str = "max_pooling",
        head: str = "convolution",
        **kwargs: Any,
    ):
        check(Integer(2), frames=frames)
        halvings = doublings_to_size(size)
        check(OneOf(DOWNSAMPLINGS), downsampling=downsampling)
        check(OneOf(HEADS), head=head)
        super().__init__(
            frames=frames,
            size=size,
            channels=channels,
            filters=filters,
            kernel_initializer=kernel_initializer,
            **kwargs,
        )
        self.downsampling = downsampling
        self.head = head

        self.convolutions = [
            self.linear(
                keras.layers.Conv2D,
                filters << i,
                name=f"conv{i}",
                kernel_size=4 if downsampling == "stride" else 3,
                strides=2 if downsampling == "stride" else 1,
                padding="same",
            )
            for i in range(halvings)
        ]
        self.normalizations = [self.normalization_layer(f"bn{i}") for i in range(1, halvings)]
        self.score = self.score_layer(keras.layers.Conv2D, kernel_size=4)
        self.build_layers()

    def call(
        self,
        inputs: tf.Tensor | Sequence[tf.Tensor],
        training: bool = False,
        noise_seed: tf.Tensor | Sequence[tf.Tensor | int] | None = None,
    ) -> tf.Tensor:
        h = self._image(inputs)
        for i, (convolution, normalization) in enumerate(self.stages[:-1]):
            h = convolution(h, training=training)
            if normalization is not None:
                h = normalization(h, training=training)
            h = self.activate(h, i, training, noise_seed)
            if self.downsampling == "max_pooling":
                h = tf.nn.max_pool2d(h, 2, 2, "VALID")
        return self.score_of(self.score(h, training=training), inputs)

    @property
    def stages(self) -> list[tuple[keras.layers.Layer, BatchNormalization | None]]:
        normalizations = [None, *self.normalizations, None]
        return list(zip([*self.convolutions, self.score], normalizations))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "downsampling": self.downsampling, "head": self.head}

    def _image(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """The frames as channels, followed by the channels of the classes if there are any."""
        clips, *labels = inputs if self.num_classes else [inputs]
        channels_first = tf.transpose(clips, [0, 2, 3, 4, 1])
        shape = [-1, self.size, self.size, self.channels * self.frames]
        image = tf.reshape(channels_first, shape)
        return self.joined([image, *labels] if labels else image)
