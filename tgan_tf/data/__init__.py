"""What clips are made of, and the pipeline that they share."""

from __future__ import annotations

from tgan_tf.data.corpus import open_corpus
from tgan_tf.data.moving_mnist import MovingMNIST
from tgan_tf.data.pipeline import batches
from tgan_tf.data.windows import Windows

__all__ = ["MovingMNIST", "Windows", "batches", "open_corpus"]
