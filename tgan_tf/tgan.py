"""TGAN: the game between a video generator and a critic, as a Keras model.

A step of the reference (`updaters/tgan_updater_wgan.py` of pfnet-research/tgan) updates critic and
generator once each, both from the same forward pass:

    z0 ~ Uniform(-1, 1)      fake = G(z0)
    critic minimises         mean D(fake) - mean D(real)
    generator minimises      -mean D(fake)

The generator's gradient is minus the critic's, so one backward pass over the variables of both
gives the two gradients. Objectives that are not zero-sum share the forward pass and take two
backward passes.

For conditional networks the one-hot class is joined to z0, and the critic sees the class too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tgan_tf import draws, moving_average, objectives, stack
from tgan_tf.arguments import Integer, Number, check
from tgan_tf.constraints import follow_optimizer
from tgan_tf.draws import Draw, Pass
from tgan_tf.errors import Argument, InputError
from tgan_tf.lipschitz import Penalty
from tgan_tf.models.network import CriticNetwork, GeneratorNetwork
from tgan_tf.optimizers import rmsprop, with_loss_scale

__all__ = ["TGAN", "rmsprop"]

Player = tuple[keras.Model, keras.optimizers.Optimizer]
"""A network and its optimiser."""


@keras.saving.register_keras_serializable(package="tgan_tf")
class TGAN(keras.Model):
    """Trains a video generator against a critic.

    Called on latents [batch, latent_dim] it returns the generator's clips; so does `predict`. `fit`
    takes a dataset of clips, float32 [n_critic * batch, frames, size, size, channels] in [-1, 1];
    for conditional networks, of pairs of that and classes, int [n_critic * batch]. It reports means
    over all replicas and steps: `critic_loss`, with the penalty if there is one, `generator_loss`,
    and `wasserstein_estimate`, mean D(real) - mean D(fake).

    The latents of a step, and the noise, orders and weights of its variants, depend only on `seed`,
    the critic's step count and the position in the global batch: a resumed training draws the same
    as an uninterrupted one, and two replicas the same as one.

    Args:
        generator: a `GeneratorNetwork`.
        critic: a `CriticNetwork` of the same frame shape and classes. A generated clip gets the
            class of the real clip at the same position. A critic with fewer frames than the
            generator sees a window of that many frames. It changes with each update and is the same
            for all real clips; generated clips have another.
        seed: the seed of all random draws, from 0 to 2^63 - 1.

    Raises:
        InputError: generator and critic have different frame shapes or classes, the critic takes
            more frames than the generator makes, or the seed is out of range.

    Example:
        >>> sizes = {"frames": 4, "size": 16, "channels": 1}
        >>> tgan = TGAN(VideoGenerator(**sizes), Critic(**sizes))
        >>> tgan.compile(rmsprop(5e-5), rmsprop(5e-5))
        >>> history = tgan.fit(tf.random.uniform([2, 4, 16, 16, 1], -1.0, 1.0), verbose=0)
    """

    def __init__(
        self, generator: GeneratorNetwork, critic: CriticNetwork, seed: int = 0, **kwargs: Any
    ):
        check(Integer(0, 2**63 - 1), seed=seed)
        if generator.clip_shape[1:] != critic.clip_shape[1:] or generator.frames < critic.frames:
            raise InputError(
                f"the generator makes clips of {generator.clip_shape}, the critic takes "
                f"{critic.clip_shape}: give both the same size and channels, and the critic no "
                "more frames"
            )
        if generator.num_classes != critic.num_classes:
            raise InputError(
                f"the generator has num_classes={generator.num_classes}, the critic "
                f"{critic.num_classes}: give both the same"
            )
        super().__init__(**kwargs)
        self.generator = generator
        self.critic = critic
        self.seed = seed
        self.critic_loss = keras.metrics.Mean(name="critic_loss")
        self.generator_loss = keras.metrics.Mean(name="generator_loss")
        self.wasserstein_estimate = keras.metrics.Mean(name="wasserstein_estimate")
        # They have the same results; Keras 2 would add up those of several workers.
        self.distribute_reduction_method = "first"
        self(tf.zeros([1, generator.latent_dim]))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.generator(inputs, training=training)

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        critic_optimizer: keras.optimizers.Optimizer,
        objective: str | objectives.Objective = "wasserstein",
        n_critic: int = 1,
        penalty: Penalty | None = None,
        shuffle_frames: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Configures the training.

        Args:
            generator_optimizer: updates the generator. The reference's is `rmsprop(5e-5)`. With
                Keras's `use_ema`, `averaged_generator` has the averages.
            critic_optimizer: updates the critic; the critic's constraints use its step count. Under
                the `mixed_float16` policy both are wrapped in a `LossScaleOptimizer`.
            objective: a name in `tgan_tf.objectives.OBJECTIVES`, or an `Objective`.
            n_critic: updates of the critic per update of the generator, each on different clips and
                latents. The reference's is 1.
            penalty: a term added to the critic's loss, such as a
                `tgan_tf.lipschitz.GradientPenalty`.
            shuffle_frames: probability that a step's clips have their frames in a random order, one
                for all generated and another for all real clips (the reference's
                `shuffle_time_order` is the probability that they are not shuffled).
            **kwargs: see `keras.Model.compile`; without optimizer, loss and metrics.

        Raises:
            InputError: the objective is unknown, n_critic is not an integer ≥ 1, shuffle_frames is
                out of range, penalty is not a function, or the two optimisers are one object.
        """
        self.objective = objectives.get(objective)
        check(Integer(1), n_critic=n_critic)
        check(Number(at_least=0, at_most=1), shuffle_frames=shuffle_frames)
        if penalty is not None and not callable(penalty):
            raise InputError(
                Argument("penalty", penalty),
                ": must be None or a function, such as a tgan_tf.lipschitz.GradientPenalty",
            )
        if generator_optimizer is critic_optimizer:
            raise InputError(
                "generator_optimizer and critic_optimizer are the same object: give each its own"
            )
        # By default Keras 3 would use XLA, whose 3-D convolutions are 20 times slower on a CPU.
        super().compile(**{"jit_compile": False, **kwargs})
        self.n_critic = n_critic
        self.penalty = penalty
        self.shuffle_frames = shuffle_frames
        self.generator_optimizer = with_loss_scale(generator_optimizer)
        self.critic_optimizer = with_loss_scale(critic_optimizer)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)
        self._averaged = moving_average.averaging(self.generator, self.generator_optimizer)
        # An optimiser that has trained already keeps its averages.
        if not self.step:
            moving_average.begin(self.generator, self.generator_optimizer)
        follow_optimizer(self.critic, self.critic_optimizer)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        # Keras 3 would include a `loss`, which is meaningless here.
        return [self.critic_loss, self.generator_loss, self.wasserstein_estimate]

    @property
    def means(self) -> dict[str, list[float]]:
        """The sum and the count of each metric so far; all replicas hold the same."""
        return {
            metric.name: [float(self._on_replicas(v)[0].numpy()) for v in metric.variables]
            for metric in self.metrics
        }

    @means.setter
    def means(self, means: Mapping[str, Sequence[float]]) -> None:
        for metric in self.metrics:
            for variable, value in zip(metric.variables, means.get(metric.name, ())):
                for own in self._on_replicas(variable):
                    own.assign(value)

    def _on_replicas(self, variable: tf.Variable) -> Sequence[tf.Variable]:
        return self.distribute_strategy.experimental_local_results(
            stack.tensorflow_variable(variable)
        )

    @property
    def step(self) -> int:
        """The number of training steps: the generator's updates."""
        return int(self.generator_optimizer.iterations.numpy())

    def averaged_generator(self) -> GeneratorNetwork:
        """The generator to show and evaluate, see `tgan_tf.moving_average.averaging`.

        It is the same object each time, brought up to date.
        """
        return self._averaged()

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras 3 would build here what `compile` has built, and refuses clips with labels that
        # several workers share.
        pass

    @tf.autograph.experimental.do_not_convert  # see `Network`
    def train_step(self, data: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`n_critic` critic updates and a generator update, which shares the last forward pass."""
        num_classes = self.generator.num_classes
        clips, labels = data if num_classes else (data, None)

        def part(i: int) -> tuple[tf.Tensor, tf.Tensor | None]:
            # Every n-th clip, not the n-th part, so that the parts are the same for any number of
            # replicas.
            own = slice(i, None, self.n_critic)
            return clips[own], None if labels is None else tf.one_hot(labels[own], num_classes)

        parts = [part(i) for i in range(self.n_critic)]
        for real, labels in parts[:-1]:
            self._update_critic(real, labels)
        self._update_both(*parts[-1])
        return {metric.name: stack.step_result(metric.result()) for metric in self.metrics}

    def _update_critic(self, real: tf.Tensor, labels: tf.Tensor | None) -> None:
        # Outside the tape, so that the generator's forward pass is neither kept nor differentiated.
        fake = self._fake(self._latents(real, labels))
        self._play(lambda: fake, real, labels, [(self.critic, self.critic_optimizer)])

    def _update_both(self, real: tf.Tensor, labels: tf.Tensor | None) -> None:
        latents = self._latents(real, labels)
        self._play(
            lambda: self._fake(latents),
            real,
            labels,
            [
                (self.critic, self.critic_optimizer),
                (self.generator, self.generator_optimizer),
            ],
        )

    def _play(
        self,
        make_fake: Callable[[], tf.Tensor],
        real: tf.Tensor,
        labels: tf.Tensor | None,
        players: Sequence[Player],
    ) -> None:
        """One forward pass, and an update of each (network, optimizer), critic first."""
        real = self._shuffled(self._window(real, Draw.WINDOW_OF_REAL), Draw.ORDER_OF_REAL)
        with tf.GradientTape(persistent=not self.objective.zero_sum) as tape:
            # The fake clips go first, as in the reference: the running averages keep the order.
            fake = self._shuffled(make_fake(), Draw.ORDER_OF_FAKE)
            fake_scores = self._scores(fake, labels, Pass.FAKE)
            real_scores = self._scores(real, labels, Pass.REAL)
            critic_loss = self.objective.critic_loss(real_scores, fake_scores)
            generator_loss = self.objective.generator_loss(fake_scores)
            if self.penalty is not None:
                # Affects only the critic, so a zero-sum game stays zero-sum.
                critic_loss += self.penalty(
                    lambda clips: self._scores(clips, labels, Pass.PENALTY),
                    real,
                    tf.stop_gradient(fake),
                    self._of_global_batch(
                        tf.random.stateless_uniform, real, [1, 1, 1, 1], Draw.PENALTY_WEIGHTS
                    ),
                )
        if self.objective.zero_sum:
            of_critic, *of_generator = _gradients(tape, critic_loss, players)
            # The generator loses what the critic gains on the fake clips.
            gradients = [of_critic, *([-part for part in own] for own in of_generator)]
        else:
            losses = (critic_loss, generator_loss)
            gradients = [
                _gradients(tape, loss, [player])[0] for loss, player in zip(losses, players)
            ]
        for own, (network, optimizer) in zip(gradients, players):
            optimizer.apply_gradients(zip(own, network.trainable_variables))
        estimate = objectives.mean(real_scores) - objectives.mean(fake_scores)
        # Of the global batch, so that each replica has the means of all.
        values = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN, tf.stack([critic_loss, generator_loss, estimate])
        )
        for metric, value in zip(self.metrics, tf.unstack(values)):
            metric.update_state(value)

    def _scores(
        self, clips: tf.Tensor, labels: tf.Tensor | None, number_of_pass: Pass
    ) -> tf.Tensor:
        """The critic's scores of clips in training; each pass of a step has different noise."""
        noise_seed = None
        if self.critic.noise:
            parts = (self.seed, self.critic_optimizer.iterations, int(number_of_pass))
            noise_seed = tf.stack([tf.cast(part, tf.int64) for part in parts])
        inputs = clips if labels is None else [clips, labels]
        return self.critic(inputs, training=True, noise_seed=noise_seed)

    def _fake(self, latents: tf.Tensor) -> tf.Tensor:
        """The generated frames that the critic sees; no others are rendered."""
        generator = self.generator
        if self.critic.frames < generator.frames and generator.has_frame_latents:
            frame_latents = generator.frame_latents(latents, training=True)
            window = self._window(frame_latents, Draw.WINDOW_OF_FAKE)
            return generator.render(latents, window, training=True)
        return self._window(generator(latents, training=True), Draw.WINDOW_OF_FAKE)

    def _window(self, values: tf.Tensor, draw: Draw) -> tf.Tensor:
        """A random window of [batch, frames, ...] with as many frames as the critic takes."""
        frames = self.critic.frames
        left_out = values.shape[1] - frames
        if not left_out:
            return values
        start = tf.random.stateless_uniform(
            [], self._seed(draw), 0, left_out + 1, tf.int32, alg=draws.ALGORITHM
        )
        return tf.gather(values, start + tf.range(frames), axis=1)

    def _shuffled(self, clips: tf.Tensor, order_draw: Draw) -> tf.Tensor:
        """The clips, with their frames shuffled in a part of the steps."""
        if not self.shuffle_frames:
            return clips
        frames = clips.shape[1]
        uniform = functools.partial(tf.random.stateless_uniform, alg=draws.ALGORITHM)
        order = tf.argsort(uniform([frames], self._seed(order_draw)))
        # Applies to both real and generated clips, or to neither.
        in_this_step = uniform([], self._seed(Draw.WHETHER_TO_SHUFFLE)) < self.shuffle_frames
        return tf.gather(clips, tf.where(in_this_step, order, tf.range(frames)), axis=1)

    def _latents(self, real: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """This replica's part of the step's latents, one for each real clip, with its class."""
        draw = tf.random.stateless_normal
        if self.generator.latent_distribution == "uniform":
            draw = functools.partial(tf.random.stateless_uniform, minval=-1.0, maxval=1.0)
        z0 = self._of_global_batch(draw, real, [self.generator.z0_dim], Draw.LATENTS)
        return z0 if labels is None else tf.concat([z0, labels], axis=-1)

    def _of_global_batch(
        self, function: Callable[..., tf.Tensor], real: tf.Tensor, shape: Sequence[int], draw: Draw
    ) -> tf.Tensor:
        """Random values [batch, *shape]: this replica's rows of the global batch's values."""
        replica = tf.distribute.get_replica_context()
        batch = tf.shape(real)[0]
        global_batch = batch * replica.num_replicas_in_sync
        values = function([global_batch, *shape], self._seed(draw), alg=draws.ALGORITHM)
        first = batch * tf.cast(replica.replica_id_in_sync_group, tf.int32)
        return values[first : first + batch]

    def _seed(self, draw: Draw) -> tf.Tensor:
        return draws.seed(self.seed, self.critic_optimizer.iterations, draw)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "generator": keras.saving.serialize_keras_object(self.generator),
            "critic": keras.saving.serialize_keras_object(self.critic),
            "seed": self.seed,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> TGAN:
        networks = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("generator", "critic")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self) -> dict[str, Any]:
        return {
            "generator_optimizer": keras.saving.serialize_keras_object(self.generator_optimizer),
            "critic_optimizer": keras.saving.serialize_keras_object(self.critic_optimizer),
            "objective": objectives.name_of(self.objective),
            "n_critic": self.n_critic,
            "penalty": keras.saving.serialize_keras_object(self.penalty),
            "shuffle_frames": self.shuffle_frames,
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        objects = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("generator_optimizer", "critic_optimizer", "penalty")
        }
        self.compile(**{**config, **objects})


def _gradients(
    tape: tf.GradientTape, loss: tf.Tensor, players: Sequence[Player]
) -> list[list[tf.Tensor]]:
    """This replica's part of a loss's gradients, a list for each (network, optimizer)."""
    scale = tf.constant(1.0 / tf.distribute.get_strategy().num_replicas_in_sync)
    scaled = [
        optimizer
        for _, optimizer in players
        if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    ]
    for optimizer in scaled:
        scale = stack.scaled_loss(scale, optimizer)
    variables = [network.trainable_variables for network, _ in players]
    gradients = tape.gradient(loss, variables, output_gradients=scale)
    return [
        stack.unscaled_gradients(own, optimizer, scaled)
        for own, (_, optimizer) in zip(gradients, players)
    ]
