"""The two-stream generator: a moving foreground over a static background.

Vondrick, Pirsiavash, Torralba, "Generating Videos with Scene Dynamics", 2016:

    G(z) = m(z) ⊙ f(z) + (1 - m(z)) ⊙ b(z)

where transposed 3-D convolutions make the foreground f and the mask m, and transposed 2-D ones make
the background b, one image per video.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tgan_tf.models.conv3d_generator import VolumeGenerator, through


@keras.saving.register_keras_serializable(package="tgan_tf")
class TwoStreamGenerator(VolumeGenerator):
    """Maps latents to clips, each a foreground that a mask blends over a static background.

    The foreground's stream is that of `Conv3DGenerator`; its last features become the foreground,
    by tanh, and the mask, by a sigmoid. The background's stream has the same layers without time,
    and tanh. Vondrick et al. also add a penalty on the mask to the objective, which is not
    implemented.

    For arguments and errors see `VolumeGenerator`.

    Shapes: float32 [batch, z0_dim + num_classes] in, float32 [batch, frames, size, size, channels]
    in [-1, 1] out.

    Example:
        >>> generator = TwoStreamGenerator(frames=16, size=64, channels=1)
        >>> generator(tf.random.uniform([2, 100], -1.0, 1.0)).shape
        TensorShape([2, 16, 64, 64, 1])
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.foreground = self.to_features("foreground", self.frames)
        self.to_foreground = self.to_volume(self.channels, self.frames, "tanh", "to_foreground")
        self.to_mask = self.to_volume(1, self.frames, "sigmoid", "to_mask")
        self.background = self.to_features("background", 1)
        self.to_background = self.to_volume(self.channels, 1, "tanh", "to_background")
        self.build_layers((self.latent_dim,))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = through(self.foreground, inputs, training)
        foreground = tf.cast(self.to_foreground(features), tf.float32)
        mask = tf.cast(self.to_mask(features), tf.float32)
        image = self.to_background(through(self.background, inputs, training))
        return mask * foreground + (1.0 - mask) * tf.cast(image, tf.float32)
