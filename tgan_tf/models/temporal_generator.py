"""The temporal generator G0: maps a video's latent to its frames' latents (the paper, Figure 1).

z0 [batch, 100] is a sequence of one step, which transposed 1-D convolutions double up to T steps:
[batch, 1, 100] → 1x512 → 2x256 → 4x128 → 8x128 → 16x100 for T = 16.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import Boolean, Integer, Number, check
from tgan_tf.errors import Argument, InputError
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import Network
from tgan_tf.models.sizes import doublings_to_frames


@keras.saving.register_keras_serializable(package="tgan_tf")
class TemporalGenerator(Network):
    """G0: maps the latent of a video to the latents of its frames.

    A transposed convolution of kernel 1, then one of kernel 4 and stride 2 for each doubling of
    the frames, all with bias; batch normalisation and ReLU after all but the last, tanh at the
    end.

    Args:
        frames: T, a power of two, at least 2.
        z0_dim: entries of the video's latent.
        z1_dim: entries of a frame's latent.
        filters: channels after the first convolution, a multiple of 4; the second has half as many,
            later ones a quarter.
        kernel_initializer: initial weights. The reference's is Uniform(-0.01, 0.01) for Moving
            MNIST and LeCun normal for UCF-101.
        center: whether batch normalisations have an offset β. The paper's have none.
        epsilon: ε of the batch normalisations.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, z0_dim] in, float32 [batch, frames, z1_dim] in [-1, 1] out.
    """

    def __init__(
        self,
        frames: int = 16,
        z0_dim: int = 100,
        z1_dim: int = 100,
        filters: int = 512,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        center: bool = False,
        epsilon: float = 2e-5,
        **kwargs: Any,
    ):
        doublings = doublings_to_frames(frames)
        check(Integer(1), z0_dim=z0_dim, z1_dim=z1_dim, filters=filters)
        check(Boolean(), center=center)
        check(Number(at_least=0), epsilon=epsilon)
        if filters % 4:
            raise InputError(Argument("filters", filters), ": must be a multiple of 4")
        super().__init__(**kwargs)
        self.frames = frames
        self.z0_dim = z0_dim
        self.z1_dim = z1_dim
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.center = center
        self.epsilon = epsilon

        hidden = [max(filters >> i, filters // 4) for i in range(doublings)]
        self.deconvolutions = [
            keras.layers.Conv1DTranspose(
                outputs,
                kernel_size=4 if i else 1,
                strides=2 if i else 1,
                padding="same",
                # Serialised, since a shared unseeded initialiser repeats its values in every layer.
                kernel_initializer=keras.initializers.serialize(self.kernel_initializer),
                name=f"deconv{i}",
            )
            for i, outputs in enumerate([*hidden, z1_dim])
        ]
        self.normalizations = [
            BatchNormalization(center, epsilon=epsilon, name=f"bn{i}") for i in range(doublings)
        ]
        self.build_layers((z0_dim,))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        h = tf.expand_dims(inputs, 1)
        for deconvolution, normalization in zip(self.deconvolutions, self.normalizations):
            h = tf.nn.relu(normalization(deconvolution(h), training=training))
        return tf.cast(tf.tanh(self.deconvolutions[-1](h)), tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "frames": self.frames,
            "z0_dim": self.z0_dim,
            "z1_dim": self.z1_dim,
            "filters": self.filters,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "center": self.center,
            "epsilon": self.epsilon,
        }
