"""A training run's directory opened: its trained networks, and the clips that it makes of a seed.

    generator, step = load_generator("runs/moving_mnist")
    z0 = latents(seed=0, count=12, z0_dim=generator.z0_dim)    # float32 [12, 100]
    for clips in generate(generator, z0):                      # float32 [8, 16, 64, 64, C], then
        ...                                                    # float32 [4, 16, 64, 64, C]

Clip i of a seed is the same, to the bit on one machine, however many are made with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import keras
import numpy as np
import tensorflow as tf

# The constraints are registered by being imported: a critic's configuration names them.
from tgan_tf import checkpoints, constraints  # noqa: F401
from tgan_tf.errors import InputError
from tgan_tf.models import Critic, VideoGenerator

BATCH_SIZE = 8
"""Clips that are made at once. On a CPU larger batches are no faster, only larger."""


def load_generator(run_dir: str | Path, step: int | None = None) -> tuple[VideoGenerator, int]:
    """The generator of a run, with the weights of one of its checkpoints.

    It computes in the process's policy, float32 unless one was set, not in that of the training.

    Args:
        run_dir: the --run_dir of the training.
        step: the checkpoint to load; None for the newest sound one.

    Returns:
        The generator, and the training step of its weights.

    Raises:
        InputError: `run_dir` is no run directory, its model.json is damaged, or it has no sound
            checkpoint (of that step).
    """
    networks, step = _load(run_dir, step, generator=VideoGenerator)
    return networks["generator"], step


def load_networks(
    run_dir: str | Path, step: int | None = None
) -> tuple[VideoGenerator, Critic, int]:
    """The generator and the critic of a run, with the weights of one of its checkpoints.

    The critic is there to be called, with `training=False`: its constraints may follow an
    optimiser, and it has none.

    Args:
        run_dir: as of `load_generator`.
        step: as of `load_generator`.

    Returns:
        The generator, the critic, and the training step of their weights.

    Raises:
        InputError: as `load_generator`.
    """
    networks, step = _load(run_dir, step, generator=VideoGenerator, critic=Critic)
    return networks["generator"], networks["critic"], step


def flag_lines(run_dir: str | Path) -> list[str]:
    """The flagfile that a run keeps, which makes the run again, as its lines.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(run_dir) / "flags.cfg"
    try:
        return path.read_text().splitlines()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): restore it from a copy, it says what the "
            "run was trained on"
        ) from error


def latents(seed: int, count: int, z0_dim: int) -> np.ndarray:
    """Latents z0 ~ Uniform(-1, 1), row i a function of the seed and i alone.

    Row i is the stream of the counter-based generator Philox with the key (seed, i): the same in
    every version of NumPy and TensorFlow and on every machine.

    Args:
        seed: from 0 to 2^64 - 1.
        count: rows, at least 1.
        z0_dim: columns.

    Returns:
        float32 [count, z0_dim] in [-1, 1), multiples of 2^-23.

    Raises:
        InputError: `seed` or `count` is out of range.
    """
    if not 0 <= seed < 2**64:
        raise InputError(f"seed={seed}: give a whole number from 0 to 2^64 - 1")
    if count < 1:
        raise InputError(f"num_videos={count}: give a whole number of at least 1")
    keys = (np.array([seed, i], np.uint64) for i in range(count))
    # The generators' raw streams are what NumPy guarantees; its distributions may change.
    words = np.stack([np.random.Philox(key=key).random_raw(z0_dim) for key in keys])
    return ((words >> np.uint64(40)) * 2.0**-23 - 1.0).astype(np.float32)


def generate(generator: VideoGenerator, z0: np.ndarray) -> Iterator[np.ndarray]:
    """Makes clips, a batch at a time, with the running averages of batch normalisation.

    Args:
        generator: a trained generator.
        z0: float32 [n, z0_dim].

    Returns:
        Of arrays float32 [`BATCH_SIZE`, frames, size, size, channels] in [-1, 1], in the order of
        `z0`, the last one of what is left.
    """
    signature = [tf.TensorSpec([BATCH_SIZE, generator.z0_dim], tf.float32)]
    make = tf.function(lambda z0: generator(z0, training=False), input_signature=signature)
    return in_batches(lambda z0: make(z0).numpy(), z0)


def in_batches(make: Callable[[np.ndarray], np.ndarray], z0: np.ndarray) -> Iterator[np.ndarray]:
    """What `make` makes of latents, a batch at a time.

    Args:
        make: float32 [`BATCH_SIZE`, z0_dim] to an array of as many clips.
        z0: float32 [n, z0_dim].

    Yields:
        Arrays of `BATCH_SIZE` clips in the order of `z0`, the last one of what is left.
    """
    # Always of the same shape, the last batch filled up with zeros: an operation may add in another
    # order in a batch of another size, and a clip must not depend on how many are made.
    for first in range(0, len(z0), BATCH_SIZE):
        part = z0[first : first + BATCH_SIZE]
        missing = BATCH_SIZE - len(part)
        yield make(np.pad(part, [(0, missing), (0, 0)]))[: len(part)]


def _load(
    run_dir: str | Path, step: int | None, **classes: type[keras.Model]
) -> tuple[dict[str, keras.Model], int]:
    """Networks of a run by their names, given their classes, and the training step."""
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        reason = "not a directory" if run_dir.exists() else "no such directory"
        raise InputError(f"{run_dir}: {reason}: give the --run_dir of a training")
    path = run_dir / "model.json"
    if not path.exists():
        raise InputError(
            f"{run_dir}: no run directory, it has no model.json: give the --run_dir of a training"
        )
    networks = {name: _network(path, name, kind) for name, kind in classes.items()}
    return networks, checkpoints.restore_networks(run_dir / "checkpoints", step, **networks)


def _network(path: Path, name: str, kind: type[keras.Model]) -> keras.Model:
    """A network of a run's model.json, untrained."""
    try:
        network = keras.saving.deserialize_keras_object(json.loads(path.read_text())[name])
        if not isinstance(network, kind):
            raise TypeError(f"a {type(network).__name__} instead of a {kind.__name__}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): make it readable") from error
    except Exception as error:  # Whatever Keras raises for a configuration that makes no sense.
        # The last line, since Keras begins with the whole configuration and ends with the cause.
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
        raise InputError(
            f"{path}: damaged, it describes no {name} ({reason}): restore it from a copy, or "
            f"write it anew by train.py --flagfile={path.parent / 'flags.cfg'}"
        ) from error
    return network
