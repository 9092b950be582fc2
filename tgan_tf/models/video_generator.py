"""The video generator: the temporal generator G0 and the image generator G1 together (Figure 1).

z0 [batch, 100] ─┬─ G0 → frame latents z1 [batch, 16, 100] ─┐
                 └──────────────────────────────────────────┴─ G1 → clips [batch, 16, 64, 64, C]
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tgan_tf.arguments import Boolean, Integer, Number, check
from tgan_tf.errors import Argument, InputError, renaming
from tgan_tf.models.image_generator import ImageGenerator
from tgan_tf.models.network import GeneratorNetwork, join_labels
from tgan_tf.models.recurrent_temporal_generator import RecurrentTemporalGenerator
from tgan_tf.models.temporal_generator import TemporalGenerator


@keras.saving.register_keras_serializable(package="tgan_tf")
class VideoGenerator(GeneratorNetwork):
    """Maps latents to clips.

    With `num_classes` the one-hot label is joined to z0 and to the latent z1 of each frame (the
    paper, conditional TGAN).

    Args:
        frames: T, a power of two, at least 2.
        size: rows and columns of a frame, a power of two, at least 8.
        channels: channels of a frame, 1 for grey, 3 for colour.
        z0_dim: entries of a video's latent.
        z1_dim: entries of a frame's latent.
        temporal_filters: width of the temporal generator, a multiple of 4.
        image_filters: width of the image generator at its base.
        temporal_initializer: initial weights of the temporal generator.
        image_initializer: initial weights of the image generator.
        gru_layers: layers of a recurrent temporal generator; 0 for the paper's generator with
            transposed convolutions.
        center: whether the batch normalisations of the paper's temporal generator have an offset β.
            The paper's have none.
        epsilon: ε of all batch normalisations. The reference's 2e-5.
        num_classes: see `GeneratorNetwork`.
        latent_distribution: see `GeneratorNetwork`.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, z0_dim + num_classes] in, float32 [batch, frames, size, size, channels]
    in [-1, 1] out.

    Example:
        >>> generator = VideoGenerator(frames=16, size=64, channels=1)
        >>> z0 = tf.random.uniform([2, 100], -1.0, 1.0)
        >>> generator(z0).shape
        TensorShape([2, 16, 64, 64, 1])
        >>> generator.frame_latents(z0).shape
        TensorShape([2, 16, 100])
    """

    has_frame_latents = True

    def __init__(
        self,
        frames: int = 16,
        size: int = 64,
        channels: int = 3,
        z0_dim: int = 100,
        z1_dim: int = 100,
        temporal_filters: int = 512,
        image_filters: int = 512,
        temporal_initializer: keras.initializers.Initializer | str = "lecun_normal",
        image_initializer: keras.initializers.Initializer | str = "lecun_normal",
        gru_layers: int = 0,
        center: bool = False,
        epsilon: float = 2e-5,
        num_classes: int = 0,
        latent_distribution: str = "uniform",
        **kwargs: Any,
    ):
        check(Integer(0), gru_layers=gru_layers)
        # The parts check their own arguments, but a recurrent generator has neither of these.
        check(Boolean(), center=center)
        check(Number(at_least=0), epsilon=epsilon)
        super().__init__(
            frames=frames,
            size=size,
            channels=channels,
            z0_dim=z0_dim,
            num_classes=num_classes,
            latent_distribution=latent_distribution,
            **kwargs,
        )
        self.z1_dim = z1_dim
        self.temporal_filters = temporal_filters
        self.image_filters = image_filters
        self.gru_layers = gru_layers
        self.center = center
        self.epsilon = epsilon
        if gru_layers and center:
            raise InputError(
                Argument("center", True),
                ": a recurrent temporal generator has no batch normalisation: leave it out",
            )
        own = {"num_layers": gru_layers} if gru_layers else {"center": center, "epsilon": epsilon}
        with renaming(lambda name: {"filters": "temporal_filters"}.get(name, name)):
            self.temporal_generator = (
                RecurrentTemporalGenerator if gru_layers else TemporalGenerator
            )(
                frames=frames,
                z0_dim=self.latent_dim,
                z1_dim=z1_dim,
                filters=temporal_filters,
                kernel_initializer=temporal_initializer,
                **own,
            )
        with renaming(lambda name: {"filters": "image_filters"}.get(name, name)):
            self.image_generator = ImageGenerator(
                size=size,
                channels=channels,
                z0_dim=self.latent_dim,
                z1_dim=z1_dim + num_classes,
                filters=image_filters,
                kernel_initializer=image_initializer,
                epsilon=epsilon,
            )
        self.build_layers((self.latent_dim,))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.render(inputs, self.frame_latents(inputs, training), training)

    def frame_latents(self, z0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The latents z1 of a video's frames, float32 [batch, frames, z1_dim] in [-1, 1]."""
        return self.temporal_generator(z0, training=training)

    def render(self, z0: tf.Tensor, frame_latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Renders clips from given frame latents, any number per video."""
        if self.num_classes:
            frame_latents = join_labels(frame_latents, z0[:, self.z0_dim :])
        return self.image_generator([z0, frame_latents], training=training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "z1_dim": self.z1_dim,
            "temporal_filters": self.temporal_filters,
            "image_filters": self.image_filters,
            "temporal_initializer": keras.initializers.serialize(
                self.temporal_generator.kernel_initializer
            ),
            "image_initializer": keras.initializers.serialize(
                self.image_generator.kernel_initializer
            ),
            "gru_layers": self.gru_layers,
            "center": self.center,
            "epsilon": self.epsilon,
        }
