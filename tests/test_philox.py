"""Latents of seeds in a graph, against NumPy's Philox."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf import philox
from tgan_tf.latents import latents

SEEDS = [0, 1, 7, 2**31, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1]


def graph_latents(seeds, z0_dim):
    seeds = np.array(seeds, np.uint64).astype(np.int64)
    return tf.function(philox.latents_of_seeds)(tf.constant(seeds), z0_dim).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("z0_dim", [1, 4, 6, 100])
def test_are_numpy_s_to_the_bit(z0_dim):
    expected = []
    for seed in SEEDS:
        words = np.random.Philox(key=np.array([seed, 0], np.uint64)).random_raw(z0_dim)
        expected.append([int(word >> np.uint64(40)) / 2**23 - 1 for word in words])
    latents = graph_latents(SEEDS, z0_dim)
    assert latents.dtype == np.float32
    np.testing.assert_array_equal(latents, np.array(expected))


@pytest.mark.slow
def test_are_the_first_of_a_run_s_latents():
    for seed in (0, 3):
        np.testing.assert_array_equal(
            graph_latents([seed], 100), latents(seed, count=2, z0_dim=100)[:1]
        )


@pytest.mark.slow
def test_of_no_seeds_are_an_empty_batch():
    assert graph_latents([], 6).shape == (0, 6)
