"""Latents of a seed: Philox's streams, and what a generator is called on."""

import numpy as np
import pytest
from scipy import stats
from tiny_tgan import CLIP_SHAPE, Z0_DIM

from tgan_tf.errors import InputError
from tgan_tf.latents import LatentRows, generator_latents, latents
from tgan_tf.models import Conv3DGenerator


def philox(seed: int, number: int, count: int) -> list[int]:
    """The first words of Philox 4x64-10 (Salmon et al. 2011) with the key (seed, number)."""
    mask = 2**64 - 1
    words = []
    for block in range(1, 2 + count // 4):
        counter, key = [block, 0, 0, 0], [seed, number]
        for _ in range(10):
            low, high = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
            counter = [
                high >> 64 ^ counter[1] ^ key[0],
                high & mask,
                low >> 64 ^ counter[3] ^ key[1],
                low & mask,
            ]
            key = [(key[0] + 0x9E3779B97F4A7C15) & mask, (key[1] + 0xBB67AE8584CAA73B) & mask]
        words += counter
    return words[:count]


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_are_the_leading_bits_of_philox(seed):
    z0 = latents(seed, count=3, z0_dim=7)
    expected = [[(w >> 40) / 2**23 - 1 for w in philox(seed, i, 7)] for i in range(3)]
    np.testing.assert_array_equal(z0, np.array(expected, np.float32))
    assert z0.dtype == np.float32


def test_do_not_depend_on_how_many_are_drawn():
    np.testing.assert_array_equal(latents(3, 4, 100), latents(3, 16, 100)[:4])


def test_are_uniform_and_uncorrelated():
    z0 = latents(0, 1000, 100).astype(np.float64)
    assert z0.min() >= -1 and z0.max() < 1
    counts, _ = np.histogram(z0, bins=20, range=(-1, 1))
    # Chi-squared of 19 degrees of freedom: beyond 50 once in 7,000 seeds.
    assert ((counts - 5000) ** 2 / 5000).sum() < 50
    correlations = np.corrcoef(z0.T)[np.triu_indices(100, 1)] * np.sqrt(1000)
    assert abs(correlations).max() < 5
    assert abs(correlations.std() - 1) < 0.05


def test_differ_by_seed_and_by_number():
    z0 = np.concatenate([latents(seed, 4, 5) for seed in range(4)])
    assert len(np.unique(z0, axis=0)) == 16


def test_rows_are_drawn_as_they_are_asked_for():
    rows = LatentRows(10**12, lambda first, count: latents(3, count, 7, first=first))
    assert len(rows) == 10**12
    np.testing.assert_array_equal(rows[5:9], latents(3, 9, 7)[5:])
    assert rows[10**12 - 2 : 10**12 + 5].shape == (2, 7)


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"seed": -1, "count": 1}, "seed=-1"),
        ({"seed": 2**64, "count": 1}, f"seed={2**64}"),
        ({"seed": 0, "count": 0}, "count=0: must be an integer ≥ 1"),
        ({"seed": 0, "count": 10**12}, "count=1000000000000: latents: would take 96 TB"),
    ],
)
def test_of_bad_arguments_are_refused(arguments, place):
    with pytest.raises(InputError, match=place):
        latents(z0_dim=3, **arguments)


def test_normal_ones_are_the_uniform_ones_through_the_normal_distribution():
    uniform = latents(3, 50, 40).astype(np.float64)
    normal = latents(3, 50, 40, "normal")
    assert normal.dtype == np.float32 and np.isfinite(normal).all()
    # Half a step of the uniform ones up, so that none is minus infinity.
    expected = stats.norm.ppf((uniform + 2.0**-24 + 1) / 2)
    np.testing.assert_allclose(normal, expected, rtol=1e-5, atol=1e-6)


def conditional(num_classes):
    return Conv3DGenerator(*CLIP_SHAPE[:2], 1, Z0_DIM, filters=8, num_classes=num_classes)


@pytest.mark.slow
def test_a_conditional_generators_have_the_classes_in_turn():
    z0 = generator_latents(conditional(3), 5, 7)
    np.testing.assert_array_equal(z0[:, :Z0_DIM], latents(5, 7, Z0_DIM))
    np.testing.assert_array_equal(np.argmax(z0[:, Z0_DIM:], axis=1), [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(z0[:, Z0_DIM:].sum(axis=1), np.ones(7))
    np.testing.assert_array_equal(generator_latents(conditional(3), 5, 3, first=4), z0[4:])


def test_a_conditional_generators_have_the_classes_asked_for():
    z0 = generator_latents(conditional(3), 5, 2, [2, 2])
    np.testing.assert_array_equal(z0[:, Z0_DIM:], [[0, 0, 1], [0, 0, 1]])
