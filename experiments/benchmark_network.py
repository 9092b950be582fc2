"""What the benchmarks train: the paper's network for Moving MNIST, or one of other sizes."""

from __future__ import annotations

import keras
import tensorflow as tf

from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping
from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.tgan import TGAN, rmsprop

PAPER = {
    "frames": 16,
    "size": 64,
    "temporal_filters": 512,
    "image_filters": 512,
    "critic_filters": 64,
    "batch_size": 32,
}
CLIPPING_INTERVAL = 5


def make_tgan(kind: type[TGAN], network: dict[str, int], channels: int = 1) -> TGAN:
    """The paper's training on Moving MNIST with networks of these sizes."""
    uniform = keras.initializers.RandomUniform(-0.01, 0.01)
    generator = VideoGenerator(
        network["frames"],
        network["size"],
        channels,
        temporal_filters=network["temporal_filters"],
        image_filters=network["image_filters"],
        temporal_initializer=uniform,
        image_initializer=uniform,
    )
    critic = Critic(
        network["frames"],
        network["size"],
        channels,
        filters=network["critic_filters"],
        kernel_initializer=uniform,
        kernel_constraint=SingularValueClipping(interval=CLIPPING_INTERVAL),
        gamma_constraint=BatchNormScaleClipping(CLIPPING_INTERVAL),
    )
    tgan = kind(generator, critic)
    tgan.compile(rmsprop(), rmsprop())
    return tgan


class TwoPhaseTGAN(TGAN):
    """The usual step of a GAN, as a yardstick: each player has passes of its own."""

    def train_step(self, data):
        fake = self.generator(self._draw(data), training=True)
        with tf.GradientTape() as tape:
            fake_scores = self.critic(fake, training=True)
            real_scores = self.critic(data, training=True)
            critic_loss = self.objective.critic_loss(real_scores, fake_scores)
        variables = self.critic.trainable_variables
        self.critic_optimizer.apply_gradients(zip(tape.gradient(critic_loss, variables), variables))

        with tf.GradientTape() as tape:
            fake = self.generator(self._draw(data), training=True)
            generator_loss = self.objective.generator_loss(self.critic(fake, training=True))
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply_gradients(
            zip(tape.gradient(generator_loss, variables), variables)
        )
        self.critic_loss.update_state(critic_loss)
        self.generator_loss.update_state(generator_loss)
        return {metric.name: metric.result() for metric in self.metrics}

    def _draw(self, data):
        return tf.random.uniform([tf.shape(data)[0], self.generator.z0_dim], -1.0, 1.0)
