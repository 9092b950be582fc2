"""A training that begins with the weights of another one.

So the critic can see few frames of many clips first, while the generator learns shapes, and whole
clips after that: see docs/learning.md.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import moving_average, runs, stack
from tgan_tf.errors import InputError
from tgan_tf.tgan import TGAN


def warm_start(tgan: TGAN, run_dir: str | Path) -> int:
    """Gives a new model the weights of a run's newest sound checkpoint.

    The generator gets the moving averages of its weights if the run keeps them. The critic's
    kernels may be longer in time than the run's: they are inflated, repeated in time and divided by
    how often, as in Carreira and Zisserman 2017 (arXiv 1705.07750, section 2.4), so that they give
    the same for a clip that stands still, away from its ends. The optimisers begin anew.

    Args:
        tgan: compiled, not trained yet.
        run_dir: the directory of the other training, as of `tgan_tf.runs.load_networks`.

    Returns:
        The training step of the weights.

    Raises:
        InputError: `run_dir` has no weights to load, or they are of other networks.
    """
    generator, critic, step = runs.load_networks(run_dir)
    # Of both before anything is assigned.
    values = [
        *_values(generator, tgan.generator, "generator", run_dir),
        *_values(critic, tgan.critic, "critic", run_dir),
    ]
    for weight, value in values:
        weight.assign(value)
    moving_average.begin(tgan.generator, tgan.generator_optimizer)
    return step


def _values(
    source: keras.Model, target: keras.Model, name: str, run_dir: str | Path
) -> list[tuple[tf.Variable, np.ndarray]]:
    """The weights of the new network, each with what it becomes."""
    values = [weight.numpy() for weight in source.weights]
    if len(values) != len(target.weights):
        raise InputError(
            f"{run_dir}: its {name} has {len(values)} weights, the new one {len(target.weights)}: "
            "give both the same kind of network"
        )
    found = []
    for weight, value in zip(target.weights, values):
        shape = tuple(weight.shape)
        times = _times_longer(value.shape, shape)
        if not times or (times > 1 and name != "critic"):
            raise InputError(
                f"{run_dir}: its {name} has a {stack.variable_path(weight)} of {value.shape}, the "
                f"new one of {shape}: give both the same sizes; only the critic may see more "
                "frames than before"
            )
        found.append((weight, np.repeat(value, times, axis=0) / times if times > 1 else value))
    return found


def _times_longer(shape: tuple[int, ...], new_shape: tuple[int, ...]) -> int:
    """How much longer in time a kernel becomes; 0 if the two do not fit."""
    if shape == new_shape:
        return 1
    is_kernel = len(shape) == len(new_shape) == 5 and shape[1:] == new_shape[1:]
    return new_shape[0] // shape[0] if is_kernel and new_shape[0] % shape[0] == 0 else 0
