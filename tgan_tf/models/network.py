"""What the networks share: they are built at once, and their summary shows every layer's shape.

`GeneratorNetwork` and `CriticNetwork` are what the rest of the package knows of a generator and of
a critic, whichever it is.
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
    """A subclassed Keras model whose input shapes follow from its constructor's arguments.

    A network calls `build_layers` at the end of its constructor: its variables exist from then on,
    in the order of the layers, so that a strategy's scope and a seed are needed nowhere else.
    """

    def build_layers(self, *input_shapes: tuple[int | None, ...]) -> None:
        """Creates the variables, for inputs of these shapes (without the batch axis)."""
        self._input_shapes = input_shapes
        # Of one clip's zeros, which takes a tenth of what symbolic inputs take.
        zeros = [tf.zeros([1, *(size or 1 for size in shape)]) for shape in input_shapes]
        self(zeros if len(zeros) > 1 else zeros[0])

    # Nothing here branches on a tensor's value, so there is nothing for AutoGraph to rewrite, which
    # takes longer than all else in a network's first call.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        return super().__call__(*args, **kwargs)

    def summary(self, **kwargs: Any) -> None:
        """Prints a row a layer with its output shape; arguments as of `keras.Model.summary`."""
        if stack.KERAS_3:
            # It takes no operations of TensorFlow between layers, and shows the shapes of the last
            # symbolic call.
            self(self._symbolic_inputs())
            super().summary(**{"expand_nested": True, **kwargs})
        else:
            # As a functional model, which knows them there.
            inputs = self._symbolic_inputs()
            keras.Model(inputs, self.call(inputs), name=self.name).summary(**kwargs)

    def _symbolic_inputs(self) -> tf.Tensor | list[tf.Tensor]:
        inputs = [keras.Input(shape) for shape in self._input_shapes]
        return inputs if len(inputs) > 1 else inputs[0]


class GeneratorNetwork(Network):
    """Latents to clips: what every generator is made with and can be asked for.

    A conditional generator takes latents with the class joined to them: z0, then the one-hot label.

    Args:
        frames: T.
        size: rows and columns of a frame.
        channels: channels of a frame, 1 for grey, 3 for colour.
        z0_dim: entries of a video's latent.
        num_classes: classes that a clip can be asked for; 0 for a generator without.
        latent_distribution: what z0 is to be drawn from: "uniform", of [-1, 1], as in the paper, or
            "normal", of mean 0 and deviation 1.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, latent_dim] in, float32 [batch, frames, size, size, channels] in [-1, 1]
    out, with latent_dim = z0_dim + num_classes.
    """

    has_frame_latents = False
    """Whether a clip is made of a latent a frame: whether there are `frame_latents`, `render` and
    `z1_dim`, so that frames can be interpolated."""

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
        """Entries of what it is called on: z0 and the one-hot label."""
        return self.z0_dim + self.num_classes

    def frame_latents(self, z0: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The latents of a clip's frames, float32 [batch, frames, z1_dim].

        Args:
            z0: what the generator is called on, float32 [batch, latent_dim].
            training: as of `call`.
        """
        raise NotImplementedError

    def render(self, z0: tf.Tensor, frame_latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The clips of given frame latents, of which there may be any number a video."""
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
    """Clips to scores: what every critic is made with.

    Args:
        frames: T.
        size: rows and columns of a frame.
        channels: channels of a frame.
        filters: channels after the first convolution.
        kernel_initializer: initial weights.
        kernel_constraint: Keras constraint of every kernel.
        bias_constraint: Keras constraint of every bias.
        gamma_constraint: Keras constraint of every batch normalisation's scale.
        normalization: "batch", as in the paper: a batch normalisation after every convolution but
            the first; or "none" (docs/learning.md).
        spectral_normalization: whether each kernel is divided by its largest singular value, by
            one power iteration a step (Miyato et al. 2018).
        center: whether batch normalisations have an offset β. The paper's critic has none.
        epsilon: ε of the batch normalisations.
        slope: of the leaky ReLU for negative values. The reference's 0.2.
        noise: deviation of the Gaussian noise that is added before each leaky ReLU in training, of
            mean 0; the reference's normal GAN has 0.3. It needs the argument `noise_seed` of
            `call`: int [3], the run's seed, the step, and which of the step's passes it is.
        num_classes: classes of the clips; 0 for a critic without. A critic with them takes
            [clips, one-hot labels float32 [batch, num_classes]], which it sees as channels.

    Raises:
        InputError: an argument is out of range.

    Shapes: float32 [batch, frames, size, size, channels] in [-1, 1] in, float32 [batch, 1] out, or
    as many columns as there are critics.
    """

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
        """The layers with a kernel in their order, each with the batch normalisation after it."""
        raise NotImplementedError

    @property
    def head_norm(self) -> float:
        """The Lipschitz constant of what makes the score of the last stage's outputs."""
        return 1.0

    # No property: where Keras saves a model it walks its properties, and this one leads back to it.
    def critics(self) -> list[CriticNetwork]:
        """The critics whose scores are the columns of the output, in their order."""
        return [self]

    def build_layers(self, *input_shapes: tuple[int | None, ...]) -> None:
        """Creates the variables; for clips, and labels if there are classes, if not told shapes."""
        labels = [(self.num_classes,)] if self.num_classes else []
        super().build_layers(*(input_shapes or (self.clip_shape, *labels)))

    def linear(
        self, kind: type[keras.layers.Layer], outputs: int, **kwargs: Any
    ) -> keras.layers.Layer:
        """A layer of Keras's class `kind` with the critic's initial weights and constraints."""
        # Serialised, so that each layer has its own: an unseeded initialiser repeats itself, and
        # a constraint may follow its layer.
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
        """A batch normalisation with the critic's constraints; None if it has no normalisation."""
        if self.normalization == "none":
            return None
        gamma_constraint = keras.constraints.serialize(self.gamma_constraint)
        return BatchNormalization(
            center=self.center,
            epsilon=self.epsilon,
            gamma_constraint=gamma_constraint,
            # β is a bias as others are.
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
        """Leaky ReLU, in training of the values with noise; `place` is the activation's number."""
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

    def joined(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """The clips with a channel for each class, 1 where it is the clip's, else 0."""
        if not self.num_classes:
            return inputs
        clips, labels = inputs
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
    """Standard normal values for this replica's part of a batch.

    A value follows from the seed, the stream and its place in the global batch alone: so a run that
    goes on draws what an unbroken one would, and two replicas what one would. Each replica draws
    only its own part, by the counter of the generator Philox.

    Args:
        like: a tensor [batch, ...], with a multiple of 4 entries a row.
        seed: int [3]: the run's seed, the step and the pass.
        stream: below 256, which of the noises of one pass it is.

    Returns:
        float32 of the shape of `like`.
    """
    shape = tf.shape(like, out_type=tf.int64)
    replica = tf.distribute.get_replica_context()
    number = 0 if replica is None else replica.replica_id_in_sync_group
    # Each count of Philox is four values.
    first = tf.cast(number, tf.int64) * (tf.reduce_prod(shape) // 4)
    run, step, number_of_pass = tf.unstack(tf.cast(seed, tf.int64))
    key = (run * 256 + number_of_pass) * 256 + stream
    return tf.raw_ops.StatelessRandomNormalV2(
        shape=shape,
        key=tf.cast(key, tf.uint64)[tf.newaxis],
        counter=tf.cast(tf.stack([first, step]), tf.uint64),
        alg=1,  # Philox
    )
