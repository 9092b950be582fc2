"""TGAN: the game of a video generator and a critic, as a Keras model.

A step of the reference (`updaters/tgan_updater_wgan.py` of pfnet-research/tgan) updates critic and
generator once each, both from the same forward pass:

    z0 ~ Uniform(-1, 1)      fake = G(z0)
    critic minimises         mean D(fake) - mean D(real)
    generator minimises      -mean D(fake)

The generator's gradient is the critic's with the sign turned, so one backward pass over the
variables of both gives the two gradients. Objectives that are not zero-sum share the forward pass
and take two backward passes.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tgan_tf import objectives
from tgan_tf.constraints import follow_optimizer
from tgan_tf.errors import InputError
from tgan_tf.models import Critic, VideoGenerator


@keras.saving.register_keras_serializable(package="tgan_tf")
class TGAN(keras.Model):
    """Trains a video generator against a critic.

    Called on latents [batch, z0_dim] it gives the generator's clips; so does `predict`. `fit` takes
    a dataset of clips, float32 [n_critic * batch, frames, size, size, channels] in [-1, 1], and
    reports means over all replicas and steps: `critic_loss`, `generator_loss` and
    `wasserstein_estimate`, mean D(real) - mean D(fake).

    The latents of a step are a function of `seed`, the critic's step count and the place in the
    global batch, and of nothing else: a resumed training draws what an unbroken one would, two
    replicas draw what one would.

    Args:
        generator: a `VideoGenerator`.
        critic: a `Critic` of the same clip shape.
        seed: whole number that the latents are drawn by.

    Raises:
        InputError: generator and critic are of different clip shapes.

    Example:
        >>> tgan = TGAN(VideoGenerator(channels=1), Critic(channels=1))
        >>> tgan.compile(rmsprop(5e-5), rmsprop(5e-5))
        >>> tgan.fit(clips)
    """

    def __init__(self, generator: VideoGenerator, critic: Critic, seed: int = 0, **kwargs):
        if generator.clip_shape != critic.clip_shape:
            raise InputError(
                f"the generator makes clips of {generator.clip_shape}, the critic takes "
                f"{critic.clip_shape}: give both the same frames, size and channels"
            )
        super().__init__(**kwargs)
        self.generator = generator
        self.critic = critic
        self.seed = seed
        self.critic_loss = keras.metrics.Mean(name="critic_loss")
        self.generator_loss = keras.metrics.Mean(name="generator_loss")
        self.wasserstein_estimate = keras.metrics.Mean(name="wasserstein_estimate")
        self(keras.Input((generator.z0_dim,)))

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        critic_optimizer: keras.optimizers.Optimizer,
        objective: str = "wasserstein",
        n_critic: int = 1,
        **kwargs,
    ) -> None:
        """Sets how the two are trained.

        Args:
            generator_optimizer: updates the generator. The reference's is `rmsprop(5e-5)`.
            critic_optimizer: updates the critic; its step count is the beat of the critic's
                constraints. Under the `mixed_float16` policy both are wrapped in a
                `LossScaleOptimizer`.
            objective: a name in `tgan_tf.objectives.OBJECTIVES`.
            n_critic: updates of the critic for one of the generator, each on clips and latents
                of its own. The reference's is 1.
            **kwargs: as of `keras.Model.compile`, but no optimizer, loss or metrics.

        Raises:
            InputError: the objective is unknown, n_critic is not a whole number of at least 1,
                or the two optimisers are one object.
        """
        self.objective_name = objective
        self.objective = objectives.get(objective)
        if isinstance(n_critic, bool) or not isinstance(n_critic, int) or n_critic < 1:
            raise InputError(f"n_critic={n_critic!r}: give a whole number of at least 1")
        if generator_optimizer is critic_optimizer:
            raise InputError(
                "generator_optimizer and critic_optimizer are the same object: give each its own"
            )
        super().compile(**kwargs)
        self.n_critic = n_critic
        self.generator_optimizer = _with_loss_scale(generator_optimizer)
        self.critic_optimizer = _with_loss_scale(critic_optimizer)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)
        follow_optimizer(self.critic, self.critic_optimizer)

    @property
    def step(self) -> int:
        """Training steps made: the generator's updates."""
        return int(self.generator_optimizer.iterations.numpy())

    def train_step(self, data):
        """One update of the generator, `n_critic` of the critic, the last from one forward pass."""
        # Every n-th clip, not the n-th part: so the parts are the same for any number of replicas.
        clips = [data[i :: self.n_critic] for i in range(self.n_critic)]
        for real in clips[:-1]:
            self._update_critic(real)
        self._update_both(clips[-1])
        return {metric.name: metric.result() for metric in self.metrics}

    def _update_critic(self, real):
        # Outside the tape: nothing of the generator's forward pass is kept or differentiated.
        fake = self.generator(self._latents(real), training=True)
        self._play(lambda: fake, real, [(self.critic, self.critic_optimizer)])

    def _update_both(self, real):
        z0 = self._latents(real)
        self._play(
            lambda: self.generator(z0, training=True),
            real,
            [
                (self.critic, self.critic_optimizer),
                (self.generator, self.generator_optimizer),
            ],
        )

    def _play(self, make_fake, real, players):
        """One forward pass, and an update of each (network, optimizer), the critic first."""
        with tf.GradientTape(persistent=not self.objective.zero_sum) as tape:
            # The fake clips go first, as in the reference: the running averages keep the order.
            fake_scores = self.critic(make_fake(), training=True)
            real_scores = self.critic(real, training=True)
            critic_loss = self.objective.critic_loss(real_scores, fake_scores)
            generator_loss = self.objective.generator_loss(fake_scores)
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
        self.critic_loss.update_state(critic_loss)
        self.generator_loss.update_state(generator_loss)
        self.wasserstein_estimate.update_state(
            tf.reduce_mean(real_scores) - tf.reduce_mean(fake_scores)
        )

    def _latents(self, real):
        """This replica's part of the step's latents, one for each real clip."""
        replica = tf.distribute.get_replica_context()
        batch = tf.shape(real)[0]
        z0 = tf.random.stateless_uniform(
            [batch * replica.num_replicas_in_sync, self.generator.z0_dim],
            seed=[self.seed, tf.cast(self.critic_optimizer.iterations, tf.int32)],
            minval=-1.0,
            maxval=1.0,
        )
        first = batch * tf.cast(replica.replica_id_in_sync_group, tf.int32)
        return z0[first : first + batch]

    def get_config(self):
        return {
            "name": self.name,
            "generator": keras.saving.serialize_keras_object(self.generator),
            "critic": keras.saving.serialize_keras_object(self.critic),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        networks = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("generator", "critic")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self):
        return {
            "generator_optimizer": keras.saving.serialize_keras_object(self.generator_optimizer),
            "critic_optimizer": keras.saving.serialize_keras_object(self.critic_optimizer),
            "objective": self.objective_name,
            "n_critic": self.n_critic,
        }

    def compile_from_config(self, config):
        optimizers = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("generator_optimizer", "critic_optimizer")
        }
        self.compile(**{**config, **optimizers})


def rmsprop(learning_rate: float = 5e-5) -> keras.optimizers.Optimizer:
    """The reference's RMSprop: decay 0.99 and epsilon 1e-8 outside the root.

    Keras has epsilon inside the root, so 1e-16 is the same; its default of 1e-7 would damp the
    tiny gradients of this model about tenfold.
    """
    return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16)


def _gradients(tape, loss, players):
    """This replica's part of the gradients of a loss, for each (network, optimizer) a list."""
    scale = tf.constant(1.0 / tf.distribute.get_strategy().num_replicas_in_sync)
    scaled = [
        optimizer
        for _, optimizer in players
        if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    ]
    for optimizer in scaled:
        scale = optimizer.get_scaled_loss(scale)
    variables = [network.trainable_variables for network, _ in players]
    gradients = tape.gradient(loss, variables, output_gradients=scale)
    for optimizer in scaled:
        gradients = [optimizer.get_unscaled_gradients(own) for own in gradients]
    return gradients


def _with_loss_scale(optimizer):
    """Wraps the optimiser where float16 gradients need it.

    A shared backward pass is scaled by the scales of both optimisers, and each lowers its own when
    its gradients overflow, so each starts with the root of the usual 2^15.
    """
    needs_scale = keras.mixed_precision.global_policy().name == "mixed_float16"
    if needs_scale and not isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=2**8)
    return optimizer
