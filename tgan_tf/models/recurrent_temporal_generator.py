"""The recurrent temporal generator: maps a video's latent to its frames' latents by gated units.

z0 [batch, 100] → dense → first hidden state [batch, 512] of each layer → T steps → dense → frame
latents [batch, 16, 100].
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import Integer, check
from tgan_tf.models.network import Network
from tgan_tf.models.sizes import doublings_to_frames


@keras.saving.register_keras_serializable(package="tgan_tf")
class RecurrentTemporalGenerator(Network):
    """Maps the latent of a video to the latents of its frames.

    A dense layer with tanh makes the first hidden state of every layer of gated recurrent units
    (Cho et al. 2014). The first layer sees z0 in each step; a dense layer with tanh turns the last
    layer's state into a frame's latent.

    Args:
        frames: T, a power of two, at least 2, as for all generators.
        z0_dim: entries of the video's latent.
        z1_dim: entries of a frame's latent.
        filters: entries of a layer's hidden state.
        num_layers: layers of gated recurrent units, at least 1.
        kernel_initializer: initial weights that are not recurrent.

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
        num_layers: int = 1,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        **kwargs: Any,
    ):
        doublings_to_frames(frames)
        check(Integer(1), z0_dim=z0_dim, z1_dim=z1_dim, temporal_filters=filters)
        check(Integer(1), num_layers=num_layers)
        super().__init__(**kwargs)
        self.frames = frames
        self.z0_dim = z0_dim
        self.z1_dim = z1_dim
        self.filters = filters
        self.num_layers = num_layers
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

        self.to_state = self._dense(filters * num_layers, "to_state")
        self.recurrent_layers = [
            keras.layers.GRU(
                filters,
                return_sequences=True,
                kernel_initializer=self._initializer(),
                name=f"gru{i}",
            )
            for i in range(num_layers)
        ]
        self.to_frame_latents = self._dense(z1_dim, "to_frame_latents")
        self.build_layers((z0_dim,))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        states = tf.split(self.to_state(inputs), self.num_layers, axis=-1)
        h = tf.repeat(tf.expand_dims(inputs, 1), self.frames, axis=1)
        for layer, state in zip(self.recurrent_layers, states):
            h = layer(h, initial_state=state, training=training)
        return tf.cast(self.to_frame_latents(h), tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "frames": self.frames,
            "z0_dim": self.z0_dim,
            "z1_dim": self.z1_dim,
            "filters": self.filters,
            "num_layers": self.num_layers,
            "kernel_initializer": self._initializer(),
        }

    def _dense(self, units: int, name: str) -> keras.layers.Layer:
        return keras.layers.Dense(
            units, activation="tanh", kernel_initializer=self._initializer(), name=name
        )

    def _initializer(self) -> dict[str, Any]:
        # Serialised, since a shared unseeded initialiser repeats its values in every layer.
        return keras.initializers.serialize(self.kernel_initializer)
