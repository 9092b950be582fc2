"""The image generator G1: maps a video's and a frame's latent to a frame (the paper, Figure 1).

For 64x64 frames: z0 and z1 [100] each through a dense layer to 256 maps of 4x4, joined to 512,
and on through transposed 2-D convolutions, 8x8x256 → 16x16x128 → 32x32x64 → 64x64x32 → 64x64xC.

z0 is the same for all frames of a video and the first transposed convolution is linear, so its z0
half is computed once per video and added to each frame's z1 half: the same sums as joining first,
with an eighth less arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import Integer, Number, check
from tgan_tf.errors import Argument, InputError
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import Network
from tgan_tf.models.sizes import BASE_SIZE, doublings_to_size


@keras.saving.register_keras_serializable(package="tgan_tf")
class ImageGenerator(Network):
    """G1: maps the latents of a video and of its frames to the frames.

    Dense layers without bias, batch normalisation and ReLU; transposed convolutions of kernel 4
    and stride 2 without bias, batch normalisation and ReLU, one for each doubling of the size; a
    transposed convolution of kernel 3 with bias and tanh.

    Args:
        size: rows and columns of a frame, a power of two, at least 8.
        channels: channels of a frame, 1 for grey, 3 for colour.
        z0_dim: entries of the video's latent.
        z1_dim: entries of a frame's latent.
        filters: maps of 4x4 at the base, half of them from z0 and half from z1. Each doubling of
            the size halves them, so they must be a multiple of 2 to the number of doublings.
        kernel_initializer: initial weights. The reference's is Uniform(-0.01, 0.01).
        epsilon: ε of the batch normalisations.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, z0_dim] and float32 [batch, frames, z1_dim], any number of frames, in;
    float32 [batch, frames, size, size, channels] in [-1, 1] out.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z0_dim: int = 100,
        z1_dim: int = 100,
        filters: int = 512,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        epsilon: float = 2e-5,
        **kwargs: Any,
    ):
        doublings = doublings_to_size(size)
        sizes = {"channels": channels, "z0_dim": z0_dim, "z1_dim": z1_dim, "filters": filters}
        check(Integer(1), **sizes)
        check(Number(at_least=0), epsilon=epsilon)
        if filters % 2**doublings:
            raise InputError(
                Argument("filters", filters),
                f": for size {size} must be a multiple of {2**doublings}",
            )
        super().__init__(**kwargs)
        self.size = size
        self.channels = channels
        self.z0_dim = z0_dim
        self.z1_dim = z1_dim
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.epsilon = epsilon

        maps = BASE_SIZE * BASE_SIZE * filters // 2
        self.z0_dense = self._dense(maps, "z0_dense")
        self.z0_normalization = BatchNormalization(epsilon=epsilon, name="z0_bn")
        self.z1_dense = self._dense(maps, "z1_dense")
        self.z1_normalization = BatchNormalization(epsilon=epsilon, name="z1_bn")
        self.z0_deconvolution = self._deconvolution(filters // 2, "z0_deconv1")
        self.deconvolutions = [
            self._deconvolution(filters >> i, f"deconv{i}" if i > 1 else "z1_deconv1")
            for i in range(1, doublings + 1)
        ]
        self.normalizations = [
            BatchNormalization(epsilon=epsilon, name=f"bn{i}") for i in range(1, doublings + 1)
        ]
        self.to_frame = keras.layers.Conv2DTranspose(
            channels,
            kernel_size=3,
            padding="same",
            kernel_initializer=self._initializer(),
            name="to_frame",
        )
        self.build_layers((z0_dim,), (None, z1_dim))

    def call(self, inputs: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        z0, z1 = inputs
        frames = tf.shape(z1)[1]
        maps = [-1, BASE_SIZE, BASE_SIZE, self.filters // 2]

        # Normalised as T equal rows per video, which the unbiased running variance counts.
        h0 = tf.repeat(tf.expand_dims(self.z0_dense(z0), 1), frames, axis=1)
        h0 = tf.nn.relu(self.z0_normalization(h0, training=training)[:, 0])
        h0 = self.z0_deconvolution(tf.reshape(h0, maps))
        h1 = tf.nn.relu(self.z1_normalization(self.z1_dense(z1), training=training))
        h = self.deconvolutions[0](tf.reshape(h1, maps)) + tf.repeat(h0, frames, axis=0)

        h = tf.nn.relu(self.normalizations[0](h, training=training))
        for deconvolution, normalization in zip(self.deconvolutions[1:], self.normalizations[1:]):
            h = tf.nn.relu(normalization(deconvolution(h), training=training))
        images = tf.cast(tf.tanh(self.to_frame(h)), tf.float32)
        return tf.reshape(images, [-1, frames, self.size, self.size, self.channels])

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "size": self.size,
            "channels": self.channels,
            "z0_dim": self.z0_dim,
            "z1_dim": self.z1_dim,
            "filters": self.filters,
            "kernel_initializer": self._initializer(),
            "epsilon": self.epsilon,
        }

    def _dense(self, units: int, name: str) -> keras.layers.Layer:
        return keras.layers.Dense(
            units, use_bias=False, kernel_initializer=self._initializer(), name=name
        )

    def _deconvolution(self, filters: int, name: str) -> keras.layers.Layer:
        return keras.layers.Conv2DTranspose(
            filters,
            kernel_size=4,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=self._initializer(),
            name=name,
        )

    def _initializer(self) -> dict[str, Any]:
        # Serialised, since a shared unseeded initialiser repeats its values in every layer.
        return keras.initializers.serialize(self.kernel_initializer)
