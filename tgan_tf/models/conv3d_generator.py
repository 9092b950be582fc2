"""The single-stream 3-D generator, the "3D model" that the paper compares with.

For 16 frames of 64x64: a latent [100] through a dense layer to 512 volumes of 1x4x4, and on
through transposed 3-D convolutions, 2x8x8x256 → 4x16x16x128 → 8x32x32x64 → 16x64x64xC.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import Integer, Number, check
from tgan_tf.errors import Argument, InputError
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.network import GeneratorNetwork
from tgan_tf.models.sizes import BASE_SIZE, doublings_to_frames, doublings_to_size


class VolumeGenerator(GeneratorNetwork):
    """The arguments and layers of the generators without a temporal generator.

    Args:
        frames: T, a power of two, at least 2.
        size: rows and columns of a frame, a power of two, at least 8.
        channels: channels of a frame, 1 for grey, 3 for colour.
        z0_dim: entries of a video's latent.
        filters: channels at the base. Each doubling of the size but the last halves them, so they
            must be a multiple of 2 to the number of these doublings.
        kernel_initializer: initial weights.
        epsilon: ε of the batch normalisations.
        num_classes: see `GeneratorNetwork`.
        latent_distribution: see `GeneratorNetwork`.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        channels: int = 3,
        z0_dim: int = 100,
        filters: int = 512,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        epsilon: float = 2e-5,
        num_classes: int = 0,
        latent_distribution: str = "uniform",
        **kwargs: Any,
    ):
        doublings_to_frames(frames)
        multiple = 2 ** (doublings_to_size(size) - 1)
        check(Integer(1), filters=filters)
        check(Number(at_least=0), epsilon=epsilon)
        if filters % multiple:
            raise InputError(
                Argument("filters", filters),
                f": for size {size} must be a multiple of {multiple}",
            )
        super().__init__(
            frames=frames,
            size=size,
            channels=channels,
            z0_dim=z0_dim,
            num_classes=num_classes,
            latent_distribution=latent_distribution,
            **kwargs,
        )
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.epsilon = epsilon

    def to_features(self, name: str, frames: int) -> list[keras.layers.Layer]:
        """A chain of layers from latents to maps of half the size.

        A dense layer without bias to a base of 4x4, then transposed convolutions of kernel 4 and
        stride 2 without bias, each followed by batch normalisation and ReLU. The number of frames
        doubles in the last layers; in earlier ones the kernel and stride in time are 1.

        Args:
            name: beginning of the layers' names.
            frames: frames of the volume that `to_volume` makes from the features, a power of two,
                at least 1; with 1 all convolutions are 2-D.
        """
        doublings = doublings_to_size(self.size)
        base = (max(frames >> doublings, 1), BASE_SIZE, BASE_SIZE, self.filters)
        layers = [
            keras.layers.Dense(
                base[0] * BASE_SIZE * BASE_SIZE * self.filters,
                use_bias=False,
                kernel_initializer=self._initializer(),
                name=f"{name}_dense",
            ),
            keras.layers.Reshape(base, name=f"{name}_base"),
            *self._normalized_relu(f"{name}_bn0"),
        ]
        for i in range(1, doublings):
            layers += [
                self._deconvolution(
                    self.filters >> i,
                    in_time=frames >> (doublings - i + 1) > 0,
                    use_bias=False,
                    name=f"{name}_deconv{i}",
                ),
                *self._normalized_relu(f"{name}_bn{i}"),
            ]
        return layers

    def to_volume(
        self, channels: int, frames: int, activation: str, name: str
    ) -> keras.layers.Layer:
        """The last layer, from features to [batch, frames, size, size, channels]."""
        return self._deconvolution(channels, frames > 1, activation=activation, name=name)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_initializer": self._initializer(),
            "epsilon": self.epsilon,
        }

    def _normalized_relu(self, name: str) -> list[keras.layers.Layer]:
        return [
            BatchNormalization(epsilon=self.epsilon, name=name),
            keras.layers.ReLU(name=f"{name}_relu"),
        ]

    def _deconvolution(self, filters: int, in_time: bool, **kwargs: Any) -> keras.layers.Layer:
        return keras.layers.Conv3DTranspose(
            filters,
            kernel_size=(4 if in_time else 1, 4, 4),
            strides=(2 if in_time else 1, 2, 2),
            padding="same",
            kernel_initializer=self._initializer(),
            **kwargs,
        )

    def _initializer(self) -> dict[str, Any]:
        # Serialised, since a shared unseeded initialiser repeats its values in every layer.
        return keras.initializers.serialize(self.kernel_initializer)


@keras.saving.register_keras_serializable(package="tgan_tf")
class Conv3DGenerator(VolumeGenerator):
    """Maps latents to clips by transposed 3-D convolutions alone.

    A dense layer without bias, batch normalisation and ReLU; transposed convolutions of kernel 4
    and stride 2 without bias, batch normalisation and ReLU, one for each doubling of the size but
    the last; that one with bias and tanh. Time doubles in the last layers, as often as the frames
    allow.

    For arguments and errors see `VolumeGenerator`.

    Shapes: float32 [batch, z0_dim + num_classes] in, float32 [batch, frames, size, size, channels]
    in [-1, 1] out.

    Example:
        >>> generator = Conv3DGenerator(frames=16, size=64, channels=1)
        >>> generator(tf.random.uniform([2, 100], -1.0, 1.0)).shape
        TensorShape([2, 16, 64, 64, 1])
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.volume = self.to_features("volume", self.frames)
        self.to_clip = self.to_volume(self.channels, self.frames, "tanh", "to_clip")
        self.build_layers((self.latent_dim,))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        h = through(self.volume, inputs, training)
        return tf.cast(self.to_clip(h), tf.float32)


def through(layers: list[keras.layers.Layer], h: tf.Tensor, training: bool) -> tf.Tensor:
    """Applies layers one after another."""
    for layer in layers:
        h = layer(h, training=training)
    return h
