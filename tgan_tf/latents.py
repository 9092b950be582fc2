"""Latents from a seed, the generator's input. Row i depends on the seed and i alone.

    z0 = latents(seed=0, count=12, z0_dim=100)     # float32 [12, 100]
    z0 = generator_latents(generator, 0, 12)       # float32 [12, latent_dim], classes joined

Row i is the stream of the counter-based generator Philox with the key (seed, i), the same in every
version of NumPy and TensorFlow and on every machine. `tgan_tf.philox` draws the same in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np
from scipy import special

from tgan_tf.arguments import Integer, check
from tgan_tf.capacity import check_memory
from tgan_tf.errors import Argument
from tgan_tf.models.network import GeneratorNetwork


class LatentRows:
    """Latents that are drawn on demand, so that memory does not grow with their number.

    Like an array [count, columns] it has a length, and a slice of it is an array of rows.

    Args:
        count: number of rows.
        draw: (number of the first row, number of rows) → these rows.

    Example:
        >>> LatentRows(10**9, lambda first, count: latents(0, count, 100, first=first))[5:7].shape
        (2, 100)
    """

    def __init__(self, count: int, draw: Callable[[int, int], np.ndarray]):
        self._count = count
        self._draw = draw

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, stop, _ = rows.indices(self._count)
        return self._draw(first, stop - first)


def latents(
    seed: int, count: int, z0_dim: int, latent_distribution: str = "uniform", first: int = 0
) -> np.ndarray:
    """Draws latents z0; row i depends on the seed and i alone.

    Args:
        seed: the seed, from 0 to 2^64 - 1.
        count: number of rows, at least 1.
        z0_dim: number of columns.
        latent_distribution: "uniform" over [-1, 1), or "normal": the same values mapped by the
            inverse of the normal distribution function.
        first: number of the first row.

    Returns:
        float32 [count, z0_dim]; uniform ones are multiples of 2^-23.

    Raises:
        InputError: `seed` or `count` is out of range, or the latents exceed the memory.
    """
    check(Integer(0, 2**64 - 1), seed=seed)
    check(Integer(1), count=count)
    check_memory(
        32 * count * z0_dim,
        [Argument("count", count), ": latents"],
        "draw them in parts with LatentRows",
    )
    keys = (np.array([seed, i], np.uint64) for i in range(first, first + count))
    # NumPy guarantees the generators' raw streams; its distributions may change.
    words = np.stack([np.random.Philox(key=key).random_raw(z0_dim) for key in keys])
    uniform = (words >> np.uint64(40)) * 2.0**-23 - 1.0
    if latent_distribution == "uniform":
        return uniform.astype(np.float32)
    # Moved to the middle of its step, since -1 itself would map to minus infinity.
    return (2.0**0.5 * special.erfinv(uniform + 2.0**-24)).astype(np.float32)


def generator_latents(
    generator: GeneratorNetwork,
    seed: int,
    count: int,
    labels: Sequence[int] | np.ndarray | None = None,
    first: int = 0,
) -> np.ndarray:
    """Draws the inputs from which a generator makes the videos of a seed.

    Args:
        generator: the generator, which determines the length and distribution of the latents.
        seed: see `latents`.
        count: number of rows, at least 1.
        labels: class of each row, for a conditional generator; None gives row i class i modulo the
            number of classes.
        first: number of the first row.

    Returns:
        float32 [count, latent_dim].

    Raises:
        InputError: see `latents`.
    """
    z0 = latents(seed, count, generator.z0_dim, generator.latent_distribution, first)
    if not generator.num_classes:
        return z0
    in_turn = np.arange(first, first + count) % generator.num_classes
    classes = in_turn if labels is None else np.asarray(labels)
    one_hot = np.eye(generator.num_classes, dtype=np.float32)[classes]
    return np.concatenate([z0, one_hot], axis=1)
