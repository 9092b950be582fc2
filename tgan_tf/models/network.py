"""The networks' base classes: built in the constructor, with the shape of every layer in summaries.

The rest of the package knows generators and critics as `GeneratorNetwork` and `CriticNetwork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tgan_tf import stack
from tgan_tf.arguments import Boolean, Integer, Number, OneOf, check
from tgan_tf.errors import Argument, InputError
from tgan_tf.models.batch_normalization import BatchNormalization

LATENT_DISTRIBUTIONS = ("uniform", "normal")
NORMALIZATIONS = ("batch", "none")


class Network(keras.Model):
    """A subclassed Keras model whose constructor's arguments determine its input shapes.

    A network calls `build_layers` at the end of its constructor. Its variables then exist, in the
    order of the layers, so a strategy's scope and a seed are needed nowhere else.
    """

    def build_layers(self, *input_shapes: tuple[int | None, ...]) -> None:
        """Creates the variables for inputs of these shapes, without the batch axis."""
        self._input_shapes = input_shapes
        # Called on one clip of zeros, in a tenth of the time that symbolic inputs take.
        zeros = [tf.zeros([1, *(size or 1 for size in shape)]) for shape in input_shapes]
        self(zeros if len(zeros) > 1 else zeros[0])

    # Nothing here branches on a tensor's value, so AutoGraph has nothing to rewrite. It would take
    # longer than everything else in a network's first call.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        return super().__call__(*args, **kwargs)

    def summary(self, **kwargs: Any) -> None:
        """Prints one row per layer with its output shape; arguments: see `keras.Model.summary`."""
        inputs = [keras.Input(shape) for shape in self._input_shapes]
        stack.summary(self, inputs if len(inputs) > 1 else inputs[0], **kwargs)


class GeneratorNetwork(Network):
    """The interface of generators, which map latents to clips.

    A conditional generator takes z0 joined with the one-hot label.

    Args:
        frames: T.
        size: rows and columns of a frame.
        channels: channels of a frame, 1 for grey, 3 for colour.
        z0_dim: entries of a video's latent.
        num_classes: number of classes to choose from; 0 for an unconditional generator.
        latent_distribution: distribution of z0: "uniform" over [-1, 1], as in the paper, or
            "normal" with mean 0 and standard deviation 1.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, latent_dim] in, float32 [batch, frames, size, size, channels] in [-1, 1]
    out, with latent_dim = z0_dim + num_classes.
    """

    has_frame_latents = False
    """Whether a clip is made from one latent per frame. The generator then has `frame_latents`,
    `render` and `z1_dim`, and frames can be interpolated."""

    def __init__(
        self,
        frames: int,
        size: int,
        channels: int,
        z0_dim: int,
        num_classes: int = 0,
        latent_distribution: str = "uniform",
        **kwargs: Any,
    ):
        check(Integer(1), channels=channels, z0_dim=z0_dim)
        check(Integer(0), num_classes=num_classes)
        check(OneOf(LATENT_DISTRIBUTIONS), latent_distribution=latent_distribution)
        super().__init__(**kwargs)
        self.frames = frames
        self.size = size
        self.channels = channels
        self.z0_dim = z0_dim
        self.num_classes = num_classes
        self.latent_distribution = latent_distribution

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, rows, columns and channels of a clip."""
        return (self.frames, self.size, self.size, self.channels)

    @property
    def latent_dim(self) -> int:
        """Entries of its input: z0 and the one-hot label."""
        return self.z0_dim + self.num_classes

    def frame_latents(self, z0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The latents of a clip's frames, float32 [batch, frames, z1_dim].

        Args:
            z0: the generator's input, float32 [batch, latent_dim].
            training: see `call`.
        """
        raise NotImplementedError

    def render(self, z0: tf.Tensor, frame_latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Renders clips from given frame latents, any number per video."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "frames": self.frames,
            "size": self.size,
            "channels": self.channels,
            "z0_dim": self.z0_dim,
            "num_classes": self.num_classes,
            "latent_distribution": self.latent_distribution,
        }


class CriticNetwork(Network):
    """The interface of critics, which map clips to scores.

    Args:
        frames: T.
        size: rows and columns of a frame.
        channels: channels of a frame.
        filters: channels after the first convolution.
        kernel_initializer: initial weights.
        kernel_constraint: Keras constraint of every kernel.
        bias_constraint: Keras constraint of every bias.
        gamma_constraint: Keras constraint of every batch normalisation's scale.
        normalization: "batch" for batch normalisation after every convolution but the first, as in
            the paper, or "none" (docs/learning.md).
        spectral_normalization: whether to divide each kernel by its largest singular value, found
            by one power iteration per step (Miyato et al. 2018).
        center: whether batch normalisations have an offset β. The paper's critic has none.
        epsilon: ε of the batch normalisations.
        slope: slope of the leaky ReLU for negative values. The reference's 0.2.
        noise: standard deviation of the Gaussian noise with mean 0 that is added before each leaky
            ReLU in training; the reference's normal GAN has 0.3. It needs the argument `noise_seed`
            of `call`: int [3], the run's seed, the step and the number of the pass in the step.
        num_classes: number of classes; 0 for an unconditional critic. A conditional critic takes
            [clips, one-hot labels float32 [batch, num_classes]] and sees the labels as channels.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, frames, size, size, channels] in [-1, 1] in, float32 [batch, 1] out,
    with one column per critic if there are several.
    """

    head = "convolution"
    """How the last feature maps become the score. "convolution": by a convolution. "projection":
    by a convolution, plus another one for the clip's class; the layers before it do not see the
    label. This is the projection discriminator (Miyato and Koyama 2018, arXiv 1802.05637, equation
    3) on feature maps that keep their positions."""

    def __init__(
        self,
        frames: int,
        size: int,
        channels: int,
        filters: int = 64,
        kernel_initializer: keras.initializers.Initializer | str = "lecun_normal",
        kernel_constraint: keras.constraints.Constraint | None = None,
        bias_constraint: keras.constraints.Constraint | None = None,
        gamma_constraint: keras.constraints.Constraint | None = None,
        normalization: str = "batch",
        spectral_normalization: bool = False,
        center: bool = False,
        epsilon: float = 2e-5,
        slope: float = 0.2,
        noise: float = 0.0,
        num_classes: int = 0,
        **kwargs: Any,
    ):
        check(Integer(1), channels=channels, filters=filters)
        check(Integer(0), num_classes=num_classes)
        check(OneOf(NORMALIZATIONS), normalization=normalization)
        check(Boolean(), spectral_normalization=spectral_normalization, center=center)
        check(Number(at_least=0), epsilon=epsilon, noise=noise)
        check(Number(), slope=slope)
        super().__init__(**kwargs)
        self.frames = frames
        self.size = size
        self.channels = channels
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.gamma_constraint = keras.constraints.get(gamma_constraint)
        self.normalization = normalization
        self.spectral_normalization = spectral_normalization
        self.center = center
        self.epsilon = epsilon
        self.slope = slope
        self.noise = noise
        self.num_classes = num_classes

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, rows, columns and channels of a clip."""
        return (self.frames, self.size, self.size, self.channels)

    @property
    def stages(self) -> list[tuple[keras.layers.Layer, BatchNormalization | None]]:
        """The layers with a kernel in order, each with the batch normalisation after it."""
        raise NotImplementedError

    @property
    def head_norm(self) -> float:
        """The Lipschitz constant of the map from the last stage's outputs to the score."""
        # With a projection it is the sum of two outputs.
        return 2**0.5 if self.head == "projection" else 1.0

    # Not a property: Keras walks a model's properties when saving, and this one leads back to it.
    def critics(self) -> list[CriticNetwork]:
        """The critics whose scores are the columns of the output, in order."""
        return [self]

    def build_layers(self, *input_shapes: tuple[int | None, ...]) -> None:
        """Creates the variables; by default for clips, and for labels if there are classes."""
        labels = [(self.num_classes,)] if self.num_classes else []
        super().build_layers(*(input_shapes or (self.clip_shape, *labels)))

    def linear(
        self, kind: type[keras.layers.Layer], outputs: int, **kwargs: Any
    ) -> keras.layers.Layer:
        """Makes a Keras layer of class `kind` with the critic's initial weights and constraints."""
        # Serialised, so that each layer has its own: a shared unseeded initialiser repeats its
        # values, and a constraint may depend on its layer.
        layer = kind(
            outputs,
            kernel_initializer=keras.initializers.serialize(self.kernel_initializer),
            kernel_constraint=keras.constraints.serialize(self.kernel_constraint),
            bias_constraint=keras.constraints.serialize(self.bias_constraint),
            **kwargs,
        )
        if not self.spectral_normalization:
            return layer
        # The wrapper would round the kernel to the compute dtype of a mixed precision policy.
        return stack.spectral_normalization(layer, name=f"{layer.name}_normalized", dtype="float32")

    def normalization_layer(self, name: str) -> BatchNormalization | None:
        """Makes a batch normalisation with the critic's constraints, or None if it has none."""
        if self.normalization == "none":
            return None
        gamma_constraint = keras.constraints.serialize(self.gamma_constraint)
        return BatchNormalization(
            center=self.center,
            epsilon=self.epsilon,
            gamma_constraint=gamma_constraint,
            # β is a bias like any other.
            beta_constraint=keras.constraints.serialize(self.bias_constraint),
            name=name,
        )

    def activate(
        self,
        h: tf.Tensor,
        place: int,
        training: bool,
        noise_seed: tf.Tensor | Sequence[tf.Tensor | int] | None,
    ) -> tf.Tensor:
        """Adds noise in training, then applies leaky ReLU; `place` is the activation's number."""
        if self.noise and training:
            if noise_seed is None:
                raise InputError(
                    Argument("noise", self.noise),
                    ": give ",
                    Argument("noise_seed"),
                    " when training",
                )
            h += self.noise * tf.cast(global_normal(h, noise_seed, place), h.dtype)
        return tf.nn.leaky_relu(h, alpha=self.slope)

    def score_layer(self, kind: type[keras.layers.Layer], **kwargs: Any) -> keras.layers.Layer:
        """Makes the convolution for `score_of`, see `linear`.

        Raises:
            InputError: the head is "projection" without classes.
        """
        if self.head != "projection":
            return self.linear(kind, 1, name="score", **kwargs)
        if not self.num_classes:
            raise InputError(
                Argument("head", self.head), ": needs classes: give ", Argument("num_classes")
            )
        return self.linear(kind, 1 + self.num_classes, name="score", **kwargs)

    def score_of(self, outputs: tf.Tensor, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """The score, float32 [batch, 1], from what the layer of `score_layer` put out."""
        outputs = tf.cast(outputs, tf.float32)
        if self.head != "projection":
            return tf.reshape(outputs, [-1, 1])
        outputs = tf.reshape(outputs, [-1, 1 + self.num_classes])
        of_class = tf.cast(inputs[1], tf.float32) * outputs[:, 1:]
        return outputs[:, :1] + tf.reduce_sum(of_class, axis=1, keepdims=True)

    def joined(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """The clips with a channel for each class: 1 for the clip's class, otherwise 0.

        A critic that projects on the class has no such channels.
        """
        if not self.num_classes:
            return inputs
        clips, labels = inputs
        if self.head == "projection":
            return clips
        return join_labels(clips, tf.cast(labels, clips.dtype))

    def get_config(self) -> dict[str, Any]:
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
            "normalization": self.normalization,
            "spectral_normalization": self.spectral_normalization,
            "center": self.center,
            "epsilon": self.epsilon,
            "slope": self.slope,
            "noise": self.noise,
            "num_classes": self.num_classes,
        }


def join_labels(values: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Joins a one-hot label to the last axis at every position (the paper, conditional TGAN).

    Args:
        values: [batch, ..., channels].
        labels: [batch, num_classes], of the same dtype.

    Returns:
        [batch, ..., channels + num_classes].
    """
    positions = values.shape.rank - 2
    labels = tf.reshape(labels, [-1, *[1] * positions, labels.shape[-1]])
    shape = tf.concat([tf.shape(values)[:-1], [labels.shape[-1]]], axis=0)
    return tf.concat([values, tf.broadcast_to(labels, shape)], axis=-1)


def global_normal(
    like: tf.Tensor, seed: tf.Tensor | Sequence[tf.Tensor | int], stream: int
) -> tf.Tensor:
    """Draws standard normal values for this replica's part of a batch.

    A value depends only on the seed, the stream and its position in the global batch. So a resumed
    run draws the same values as an uninterrupted one, and two replicas the same as one. Each
    replica draws only its own part, by the counter of the generator Philox.

    Args:
        like: a tensor [batch, ...] whose rows have a multiple of 4 entries.
        seed: int [3]: the run's seed, the step and the pass.
        stream: number of the noise within a pass, below 256.

    Returns:
        float32 with the shape of `like`.
    """
    shape = tf.shape(like, out_type=tf.int64)
    replica = tf.distribute.get_replica_context()
    number = 0 if replica is None else replica.replica_id_in_sync_group
    # Each count of Philox gives four values.
    first = tf.cast(number, tf.int64) * (tf.reduce_prod(shape) // 4)
    run, step, number_of_pass = tf.unstack(tf.cast(seed, tf.int64))
    key = (run * 256 + number_of_pass) * 256 + stream
    return tf.raw_ops.StatelessRandomNormalV2(
        shape=shape,
        key=tf.cast(key, tf.uint64)[tf.newaxis],
        counter=tf.cast(tf.stack([first, step]), tf.uint64),
        alg=1,  # Philox
    )
