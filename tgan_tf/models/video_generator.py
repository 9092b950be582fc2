"""The video generator: the temporal generator G0 and the image generator G1 together (Figure 1).

z0 [batch, 100] ─┬─ G0 → frame latents z1 [batch, 16, 100] ─┐
                 └──────────────────────────────────────────┴─ G1 → clips [batch, 16, 64, 64, C]
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tgan_tf.models.image_generator import ImageGenerator
from tgan_tf.models.network import Network
from tgan_tf.models.temporal_generator import TemporalGenerator


@keras.saving.register_keras_serializable(package="tgan_tf")
class VideoGenerator(Network):
    """Latents to clips.

    Args:
        frames: T, a power of two from 2 on.
        size: rows and columns of a frame, a power of two from 8 on.
        channels: channels of a frame, 1 for grey, 3 for colour.
        z0_dim: entries of a video's latent, to be drawn from Uniform(-1, 1).
        z1_dim: entries of a frame's latent.
        temporal_filters: width of the temporal generator, a multiple of 4.
        image_filters: width of the image generator at its base.
        temporal_initializer: initial weights of the temporal generator.
        image_initializer: initial weights of the image generator.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, z0_dim] in, float32 [batch, frames, size, size, channels] in [-1, 1]
    out.

    Example:
        >>> generator = VideoGenerator(frames=16, size=64, channels=1)
        >>> z0 = tf.random.uniform([2, 100], -1.0, 1.0)
        >>> generator(z0).shape
        TensorShape([2, 16, 64, 64, 1])
        >>> generator.frame_latents(z0).shape
        TensorShape([2, 16, 100])
    """

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        channels: int = 3,
        z0_dim: int = 100,
        z1_dim: int = 100,
        temporal_filters: int = 512,
        image_filters: int = 512,
        temporal_initializer="lecun_normal",
        image_initializer="lecun_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.frames = frames
        self.size = size
        self.channels = channels
        self.z0_dim = z0_dim
        self.z1_dim = z1_dim
        self.temporal_filters = temporal_filters
        self.image_filters = image_filters
        self.temporal_generator = TemporalGenerator(
            frames, z0_dim, z1_dim, temporal_filters, temporal_initializer
        )
        self.image_generator = ImageGenerator(
            size, channels, z0_dim, z1_dim, image_filters, image_initializer
        )
        self.build_layers((z0_dim,))

    def call(self, inputs, training=False):
        return self.render(inputs, self.frame_latents(inputs, training), training)

    def frame_latents(self, z0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The latents z1 of a video's frames, float32 [batch, frames, z1_dim] in [-1, 1]."""
        return self.temporal_generator(z0, training=training)

    def render(self, z0: tf.Tensor, frame_latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The clips of given frame latents, of which there may be any number a video."""
        return self.image_generator([z0, frame_latents], training=training)

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
            "z0_dim": self.z0_dim,
            "z1_dim": self.z1_dim,
            "temporal_filters": self.temporal_filters,
            "image_filters": self.image_filters,
            "temporal_initializer": keras.initializers.serialize(
                self.temporal_generator.kernel_initializer
            ),
            "image_initializer": keras.initializers.serialize(
                self.image_generator.kernel_initializer
            ),
        }
