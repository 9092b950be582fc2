"""Anything that yields clips: one source a file, and the one pipeline they share."""

from __future__ import annotations

from tgan_tf.data.moving_mnist import MovingMNIST
from tgan_tf.data.moving_mnist_file import MovingMNISTFile
from tgan_tf.data.pipeline import batches

__all__ = ["MovingMNIST", "MovingMNISTFile", "batches"]
