"""The critic (discriminator): clips to one score each (the paper, Figure 1).

For 16 frames of 64x64: 3-D convolutions [16, 64, 64, C] → 8x32x32x64 → 4x16x16x128 → 2x8x8x256 →
1x4x4x512, then a convolution over all that is left to one number.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import Network
from tgan_tf.models.sizes import check_positive, doublings_to_frames, doublings_to_size


@keras.saving.register_keras_serializable(package="tgan_tf")
class Critic(Network):
    """Clips to scores, unbounded.

    3-D convolutions of kernel 4 and stride 2 with bias, one for each halving of the size down to
    4x4; leaky ReLU of slope 0.2, before it a batch normalisation without offset in all but the
    first. A convolution over what is left makes the score. Frames halve with the size while there
    are two; after that the kernel and stride in time are 1.

    Args:
        frames: T, a power of two from 2 on.
        size: rows and columns of a frame, a power of two from 8 on.
        channels: channels of a frame.
        filters: channels after the first convolution, doubled by each later one.
        kernel_initializer: initial weights. The reference's is Uniform(-0.01, 0.01) for Moving
            MNIST and LeCun normal for UCF-101.
        kernel_constraint: Keras constraint of every kernel.
        bias_constraint: Keras constraint of every bias.
        gamma_constraint: Keras constraint of every batch normalisation's scale.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, frames, size, size, channels] in [-1, 1] in, float32 [batch, 1] out.
    """

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        channels: int = 3,
        filters: int = 64,
        kernel_initializer="lecun_normal",
        kernel_constraint=None,
        bias_constraint=None,
        gamma_constraint=None,
        **kwargs,
    ):
        halvings = doublings_to_size(size)
        time_halvings = doublings_to_frames(frames)
        check_positive(channels=channels, critic_filters=filters)
        super().__init__(**kwargs)
        self.frames = frames
        self.size = size
        self.channels = channels
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.gamma_constraint = keras.constraints.get(gamma_constraint)

        self.convolutions = [
            self._convolution(
                filters << i,
                name=f"conv{i}",
                kernel_size=(4 if i < time_halvings else 1, 4, 4),
                strides=(2 if i < time_halvings else 1, 2, 2),
                padding="same",
            )
            for i in range(halvings)
        ]
        self.normalizations = [
            BatchNormalization(
                center=False,
                gamma_constraint=keras.constraints.serialize(self.gamma_constraint),
                name=f"bn{i}",
            )
            for i in range(1, halvings)
        ]
        self.score = self._convolution(
            1, name="score", kernel_size=(max(frames >> halvings, 1), 4, 4)
        )
        self.build_layers(self.clip_shape)

    def call(self, inputs, training=False):
        h = tf.nn.leaky_relu(self.convolutions[0](inputs), alpha=0.2)
        for convolution, normalization in zip(self.convolutions[1:], self.normalizations):
            h = tf.nn.leaky_relu(normalization(convolution(h), training=training), alpha=0.2)
        return tf.cast(tf.reshape(self.score(h), [-1, 1]), tf.float32)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, rows, columns and channels of a clip."""
        return (self.frames, self.size, self.size, self.channels)

    def get_config(self):
        return {
            "name": self.name,
            "frames": self.frames,
            "size": self.size,
            "channels": self.channels,
            "filters": self.filters,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "gamma_constraint": keras.constraints.serialize(self.gamma_constraint),
        }

    def _convolution(self, filters, **kwargs):
        # Serialised, so that each layer has its own: an unseeded initialiser repeats itself, and
        # a constraint may follow its layer.
        return keras.layers.Conv3D(
            filters,
            kernel_initializer=keras.initializers.serialize(self.kernel_initializer),
            kernel_constraint=keras.constraints.serialize(self.kernel_constraint),
            bias_constraint=keras.constraints.serialize(self.bias_constraint),
            **kwargs,
        )
