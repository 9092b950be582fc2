"""The networks that benchmarks train: the paper's for Moving MNIST, or one of other sizes."""

from __future__ import annotations

import keras
import tensorflow as tf

from tgan_tf.configuration import Configuration
from tgan_tf.tgan import TGAN

PAPER = {
    "frames": 16,
    "size": 64,
    "temporal_filters": 512,
    "image_filters": 512,
    "critic_filters": 64,
    "batch_size": 32,
}
CLIPPING_INTERVAL = 5


def configuration(network: dict[str, int], channels: int = 1) -> Configuration:
    """The paper's training on Moving MNIST, with networks of these sizes by the keys of `PAPER`."""
    return Configuration(
        frames=network["frames"],
        size=network["size"],
        channels=channels,
        generator={
            "name": "tgan",
            "temporal_filters": network["temporal_filters"],
            "image_filters": network["image_filters"],
            "temporal_initializer": "uniform",
            "image_initializer": "uniform",
        },
        critic={
            "name": "tgan",
            "filters": network["critic_filters"],
            "kernel_initializer": "uniform",
        },
        lipschitz={"name": "singular_value_clipping", "interval": CLIPPING_INTERVAL},
        dtype_policy=keras.mixed_precision.global_policy().name,
    )


class TwoPhaseTGAN(TGAN):
    """The usual step of a GAN, for comparison: each player has separate passes."""

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
