"""Starts a training with the weights of another training.

The critic can then see a few frames of many clips first, while the generator learns shapes, and
whole clips afterwards; see docs/learning.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import moving_average, remote_runs, runs, stack
from tgan_tf.errors import InputError
from tgan_tf.tgan import TGAN


def warm_start(tgan: TGAN, run_dir: str | Path) -> int:
    """Gives a new model the weights of a run's newest intact checkpoint.

    The generator gets the moving averages of its weights if the run keeps them. The critic's
    kernels may be longer in time than the run's. They are then inflated as in Carreira and
    Zisserman 2017 (arXiv 1705.07750, section 2.4): repeated in time and divided by the number of
    repetitions, so that their output for a still clip is the same, except near its ends. The
    optimisers' state starts from zero.

    Args:
        tgan: a compiled, untrained `TGAN`.
        run_dir: path or URL of the other training, see `tgan_tf.runs.load_networks`.

    Returns:
        The training step of the weights.

    Raises:
        InputError: `run_dir` has no weights to load, or they belong to other networks.
    """
    with remote_runs.copied(os.fspath(run_dir)) as directory:
        generator, critic, step = runs.load_networks(directory)
    # Both are checked before anything is assigned.
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
    """Pairs of the new network's weights and their values."""
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
    """The factor by which a kernel grows in time; 0 if the shapes do not fit."""
    if shape == new_shape:
        return 1
    is_kernel = len(shape) == len(new_shape) == 5 and shape[1:] == new_shape[1:]
    return new_shape[0] // shape[0] if is_kernel and new_shape[0] % shape[0] == 0 else 0
