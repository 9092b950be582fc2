"""TGAN: the game of a video generator and a critic, as a Keras model.

A step of the reference (`updaters/tgan_updater_wgan.py` of pfnet-research/tgan) updates critic and
generator once each, both from the same forward pass:

    z0 ~ Uniform(-1, 1)      fake = G(z0)
    critic minimises         mean D(fake) - mean D(real)
    generator minimises      -mean D(fake)

The generator's gradient is the critic's with the sign turned, so one backward pass over the
variables of both gives the two gradients. Objectives that are not zero-sum share the forward pass
and take two backward passes.

For conditional networks z0 comes with the one-hot class joined, and the critic sees the class too.
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
from tgan_tf.optimizers import rmsprop

__all__ = ["TGAN", "rmsprop"]

Player = tuple[keras.Model, keras.optimizers.Optimizer]
"""A network and what updates it."""


@keras.saving.register_keras_serializable(package="tgan_tf")
class TGAN(keras.Model):
    """Trains a video generator against a critic.

    Called on latents [batch, latent_dim] it gives the generator's clips; so does `predict`. `fit`
    takes a dataset of clips, float32 [n_critic * batch, frames, size, size, channels] in [-1, 1],
    if generator and critic are conditional of pairs of that and classes, int [n_critic * batch]. It
    reports means over all replicas and steps: `critic_loss`, with the penalty if there is one,
    `generator_loss`, and `wasserstein_estimate`, mean D(real) - mean D(fake).

    The latents of a step, the noise, orders and weights of its variants are functions of `seed`,
    the critic's step count and the place in the global batch, and of nothing else: a resumed
    training draws what an unbroken one would, two replicas draw what one would.

    Args:
        generator: a `GeneratorNetwork`.
        critic: a `CriticNetwork` of the same frame shape and classes. A generated clip is given the
            class of the real one in its place. A critic of fewer frames than the generator's sees
            a window of them, as long as its own clips: in each update another one, the same for
            all real clips, and another for all generated ones.
        seed: what everything is drawn by, from 0 to 2^63 - 1.

    Raises:
        InputError: generator and critic are of different frame shapes or classes, the critic takes
            more frames than the generator makes, or the seed is no such integer.

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
        """Sets how the two are trained.

        Args:
            generator_optimizer: updates the generator. The reference's is `rmsprop(5e-5)`. With
                Keras's `use_ema` the averages are what `averaged_generator` has.
            critic_optimizer: updates the critic; the critic's constraints go by its
                step count. Under the `mixed_float16` policy both are wrapped in a
                `LossScaleOptimizer`.
            objective: a name in `tgan_tf.objectives.OBJECTIVES`, or an `Objective`.
            n_critic: updates of the critic for one of the generator, each on clips and latents
                of its own. The reference's is 1.
            penalty: what is added to the critic's loss, such as a
                `tgan_tf.lipschitz.GradientPenalty`.
            shuffle_frames: probability that the frames of a step's clips are put in a random order,
                one for all generated and another for all real clips (the reference's
                `shuffle_time_order`, which is the probability that they are not).
            **kwargs: as of `keras.Model.compile`, but no optimizer, loss or metrics.

        Raises:
            InputError: the objective is unknown, n_critic is not an integer ≥ 1, shuffle_frames is
                out of range, penalty is no function, or the two optimisers are one object.
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
        # Keras 3 would take XLA by itself, whose 3-D convolutions are 20 times slower on a CPU.
        super().compile(**{"jit_compile": False, **kwargs})
        self.n_critic = n_critic
        self.penalty = penalty
        self.shuffle_frames = shuffle_frames
        self.generator_optimizer = with_loss_scale(generator_optimizer)
        self.critic_optimizer = with_loss_scale(critic_optimizer)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)
        # Of an optimiser that has trained already the averages go on.
        if not self.step:
            moving_average.begin(self.generator, self.generator_optimizer)
        follow_optimizer(self.critic, self.critic_optimizer)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        # Keras 3 would have a `loss` among them, which is nothing here.
        return [self.critic_loss, self.generator_loss, self.wasserstein_estimate]

    @property
    def means(self) -> dict[str, list[float]]:
        """Of each metric the sum and the count so far, which are the same on all replicas."""
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
        """Training steps made: the generator's updates."""
        return int(self.generator_optimizer.iterations.numpy())

    def averaged_generator(self) -> GeneratorNetwork:
        """The generator to be shown and judged: `tgan_tf.moving_average.averaged` of it."""
        return moving_average.averaged(self.generator, self.generator_optimizer)

    @tf.autograph.experimental.do_not_convert  # as of `Network`
    def train_step(self, data: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of the generator, `n_critic` of the critic, the last from one forward pass."""
        num_classes = self.generator.num_classes
        clips, labels = data if num_classes else (data, None)

        def part(i: int) -> tuple[tf.Tensor, tf.Tensor | None]:
            # Every n-th clip, not the n-th part: so the parts are the same for any number of
            # replicas.
            own = slice(i, None, self.n_critic)
            return clips[own], None if labels is None else tf.one_hot(labels[own], num_classes)

        parts = [part(i) for i in range(self.n_critic)]
        for real, labels in parts[:-1]:
            self._update_critic(real, labels)
        self._update_both(*parts[-1])
        return {metric.name: stack.step_result(metric.result()) for metric in self.metrics}

    def _update_critic(self, real: tf.Tensor, labels: tf.Tensor | None) -> None:
        # Outside the tape: nothing of the generator's forward pass is kept or differentiated.
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
        """One forward pass, and an update of each (network, optimizer), the critic first."""
        real = self._shuffled(self._window(real, Draw.WINDOW_OF_REAL), Draw.ORDER_OF_REAL)
        with tf.GradientTape(persistent=not self.objective.zero_sum) as tape:
            # The fake clips go first, as in the reference: the running averages keep the order.
            fake = self._shuffled(make_fake(), Draw.ORDER_OF_FAKE)
            fake_scores = self._scores(fake, labels, Pass.FAKE)
            real_scores = self._scores(real, labels, Pass.REAL)
            critic_loss = self.objective.critic_loss(real_scores, fake_scores)
            generator_loss = self.objective.generator_loss(fake_scores)
            if self.penalty is not None:
                # Of the critic alone, so that the game stays zero-sum where it was.
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
            # What the critic gains by the fake clips the generator loses.
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
        """The critic's scores of clips in training; each pass of a step has noise of its own."""
        noise_seed = None
        if self.critic.noise:
            parts = (self.seed, self.critic_optimizer.iterations, int(number_of_pass))
            noise_seed = tf.stack([tf.cast(part, tf.int64) for part in parts])
        inputs = clips if labels is None else [clips, labels]
        return self.critic(inputs, training=True, noise_seed=noise_seed)

    def _fake(self, latents: tf.Tensor) -> tf.Tensor:
        """What the critic sees of the generated clips; no other frames are rendered."""
        generator = self.generator
        if self.critic.frames < generator.frames and generator.has_frame_latents:
            frame_latents = generator.frame_latents(latents, training=True)
            window = self._window(frame_latents, Draw.WINDOW_OF_FAKE)
            return generator.render(latents, window, training=True)
        return self._window(generator(latents, training=True), Draw.WINDOW_OF_FAKE)

    def _window(self, values: tf.Tensor, draw: Draw) -> tf.Tensor:
        """As many successive frames of [batch, frames, ...] as the critic takes."""
        frames = self.critic.frames
        left_out = values.shape[1] - frames
        if not left_out:
            return values
        start = tf.random.stateless_uniform(
            [], self._seed(draw), 0, left_out + 1, tf.int32, alg=draws.ALGORITHM
        )
        return tf.gather(values, start + tf.range(frames), axis=1)

    def _shuffled(self, clips: tf.Tensor, order_draw: Draw) -> tf.Tensor:
        """The clips with their frames in a random order, in a part of the steps."""
        if not self.shuffle_frames:
            return clips
        frames = clips.shape[1]
        uniform = functools.partial(tf.random.stateless_uniform, alg=draws.ALGORITHM)
        order = tf.argsort(uniform([frames], self._seed(order_draw)))
        # Of both real and generated clips, or of neither.
        in_this_step = uniform([], self._seed(Draw.WHETHER_TO_SHUFFLE)) < self.shuffle_frames
        return tf.gather(clips, tf.where(in_this_step, order, tf.range(frames)), axis=1)

    def _latents(self, real: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """This replica's part of the step's latents, one for each real clip and of its class."""
        draw = tf.random.stateless_normal
        if self.generator.latent_distribution == "uniform":
            draw = functools.partial(tf.random.stateless_uniform, minval=-1.0, maxval=1.0)
        z0 = self._of_global_batch(draw, real, [self.generator.z0_dim], Draw.LATENTS)
        return z0 if labels is None else tf.concat([z0, labels], axis=-1)

    def _of_global_batch(
        self, function: Callable[..., tf.Tensor], real: tf.Tensor, shape: Sequence[int], draw: Draw
    ) -> tf.Tensor:
        """Random values [batch, *shape], this replica's rows of those of the global batch."""
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
    """This replica's part of the gradients of a loss, for each (network, optimizer) a list."""
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


def with_loss_scale(
    optimizer: keras.optimizers.Optimizer, dtype_policy: str | None = None
) -> keras.optimizers.Optimizer:
    """The optimiser as a `TGAN` has it: wrapped where float16 gradients need a scale.

    A shared backward pass is scaled by the scales of both optimisers, and each lowers its own when
    its gradients overflow, so each starts with the root of the usual 2^15.

    Args:
        optimizer: of any kind.
        dtype_policy: name of a Keras policy; None for the process's.
    """
    needs_scale = (dtype_policy or keras.mixed_precision.global_policy().name) == "mixed_float16"
    if needs_scale and not isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=2**8)
    return optimizer
