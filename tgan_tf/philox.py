"""Draws latents from seeds inside a TensorFlow graph, the same numbers as `latents.latents`.

A served generator takes a seed instead of a latent. Row i of the result depends on seed i alone, so
that the same seed makes the same video in every batch. TensorFlow's own stateless operations take
one seed for a whole batch, and their numbers may change between versions.

The generator is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011, section 3.3), counting from 1 as NumPy does, with the key (seed, 0).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_ROUNDS = 10
_WORDS = 4
_HALF = 0xFFFFFFFF
# The constants of the paper's table 2: two multipliers, and the key's increments per round.
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def latents_of_seeds(
    seeds: tf.Tensor, z0_dim: int, latent_distribution: str = "uniform"
) -> tf.Tensor:
    """Draws latents z0 from seeds.

    Args:
        seeds: int64 [n]; a negative seed stands for itself plus 2^64.
        z0_dim: entries of a latent.
        latent_distribution: "uniform" or "normal", see `tgan_tf.latents.latents`.

    Returns:
        float32 [n, z0_dim]: row i is row 0 of `latents.latents(seeds[i], ...)`, bit for bit if
        uniform, to rounding if normal.
    """
    blocks = -(-z0_dim // _WORDS)
    zeros = tf.zeros([tf.shape(seeds)[0], blocks], tf.uint64)
    counter = [zeros + np.arange(1, blocks + 1, dtype=np.uint64), zeros, zeros, zeros]
    seeds = tf.bitcast(seeds, tf.uint64)[:, tf.newaxis]

    # A TensorFlow loop, since ten copies of its body would be most of a small model's graph.
    def mix(
        i: tf.Tensor, word0: tf.Tensor, word1: tf.Tensor, word2: tf.Tensor, word3: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        high0, low0 = _multiply(_MULTIPLIERS[0], word0)
        high1, low1 = _multiply(_MULTIPLIERS[1], word2)
        key0, key1 = seeds + i * np.uint64(_WEYL[0]), i * np.uint64(_WEYL[1])
        xor = tf.bitwise.bitwise_xor
        return (
            i + np.uint64(1),
            xor(xor(high1, word1), key0),
            low1,
            xor(xor(high0, word3), key1),
            low0,
        )

    _, *counter = tf.while_loop(
        lambda i, *_: i < _ROUNDS, mix, (tf.constant(0, tf.uint64), *counter)
    )
    words = tf.reshape(tf.stack(counter, axis=-1), [-1, blocks * _WORDS])[:, :z0_dim]
    # 24 bits, which a float32 holds exactly.
    bits = _shift(words, 40)
    if latent_distribution == "uniform":
        return tf.cast(bits, tf.float32) * 2.0**-23 - 1.0
    uniform = tf.cast(bits, tf.float64) * 2.0**-23 - 1.0
    return tf.cast(2.0**0.5 * tf.math.erfinv(uniform + 2.0**-24), tf.float32)


def _multiply(factor: int, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The high and the low word of the products, by halves since no type holds 128 bits."""
    factor_high, factor_low = np.uint64(factor >> 32), np.uint64(factor & _HALF)
    high, low = _shift(words, 32), _low_half(words)
    middle0, middle1 = factor_low * high, factor_high * low
    carry = _shift(factor_low * low, 32) + _low_half(middle0) + _low_half(middle1)
    highest = factor_high * high + _shift(middle0, 32) + _shift(middle1, 32) + _shift(carry, 32)
    return highest, np.uint64(factor) * words


def _low_half(words: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_and(words, np.uint64(_HALF))


def _shift(words: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(words, np.uint64(bits))
