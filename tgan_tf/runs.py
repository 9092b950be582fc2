"""A training run's directory opened: its trained networks, and the clips that it makes of a seed.

    generator, step = load_generator("runs/moving_mnist")
    z0 = of_generator(generator, seed=0, count=12)             # float32 [12, 100]
    for clips in generate(generator, z0):                      # float32 [8, 16, 64, 64, C], then
        ...                                                    # float32 [4, 16, 64, 64, C]

Clip i of a seed is the same, to the bit on one machine, however many are made with it.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import keras
import numpy as np
import tensorflow as tf

# What a configuration names is registered by being imported: networks and constraints.
from tgan_tf import (  # noqa: F401
    __version__,
    checkpoints,
    constraints,
    file_locks,
    keras_config,
    models,
    moving_average,
)
from tgan_tf.capacity import check_memory
from tgan_tf.data import storage
from tgan_tf.errors import InputError, remedy
from tgan_tf.interpolation import interpolate, num_frames
from tgan_tf.latents import LatentRows
from tgan_tf.models.network import CriticNetwork, Generator
from tgan_tf.tgan import TGAN

FLAGS_FILE = "flags.cfg"
"""A run's flags, as a flagfile of train.py."""

MODEL = "model.json"
"""The configurations of a run's networks and of the generator's optimiser."""

BATCH_SIZE = 8
"""Clips that are made at once. On a CPU larger batches are no faster, only larger."""


@contextlib.contextmanager
def exclusive(run_dir: str | Path) -> Iterator[None]:
    """Holds a run directory for the training that writes in it, for as long as the context.

    What killed trainings have left unfinished there is removed.

    Args:
        run_dir: made if missing, and removed again if nothing was written.

    Raises:
        InputError: another process holds it, which the message names, or it cannot be written to.
    """
    run_dir = Path(run_dir)
    with file_locks.exclusive(run_dir, "is being trained"):
        for directory in ("", "checkpoints", "samples", "evaluation", "evaluation/real"):
            file_locks.sweep(run_dir / directory)
        # The first version wrote checkpoints under such names.
        for path in (run_dir / "checkpoints").glob(".step-*-????????"):
            shutil.rmtree(path, ignore_errors=True)
        yield


def write(run_dir: str | Path, flags_text: str, tgan: TGAN) -> None:
    """Writes a run's flagfile and its model.json, each whole or not at all.

    Args:
        run_dir: made if missing.
        flags_text: the flagfile that makes the run again.
        tgan: a compiled `TGAN`; its networks' and the generator's optimiser's configurations are
            what the other functions load its checkpoints by.

    Raises:
        InputError: the directory cannot be written.
    """
    run_dir = Path(run_dir)
    model = {
        "tgan_tf": __version__,
        # What its checkpoints were made by, whatever becomes of the flagfile.
        "flags": flags_text.splitlines(),
        "generator": keras.saving.serialize_keras_object(tgan.generator),
        "critic": keras.saving.serialize_keras_object(tgan.critic),
        "generator_optimizer": keras.saving.serialize_keras_object(tgan.generator_optimizer),
    }
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        for name, text in ((FLAGS_FILE, flags_text), (MODEL, json.dumps(model, indent=2))):
            with file_locks.replacing(run_dir / name) as temporary:
                temporary.write_text(text)
    except OSError as error:
        raise InputError(
            f"--run_dir={run_dir}: cannot be written ({error.strerror}): {remedy(error)}"
        ) from error


def load_generator(run_dir: str | Path, step: int | None = None) -> tuple[Generator, int]:
    """The generator of a run, with the weights of one of its checkpoints.

    If the run keeps a moving average of the weights, it is with these. It computes in the process's
    policy, float32 unless one was set, not in that of the training.

    Args:
        run_dir: the --run_dir of the training.
        step: the checkpoint to load; None for the newest sound one.

    Returns:
        The generator, and the training step of its weights.

    Raises:
        InputError: `run_dir` is no run directory, its model.json is damaged, or it has no sound
            checkpoint (of that step).
    """
    networks, step = _load(run_dir, step, generator=Generator)
    return networks["generator"], step


def load_networks(
    run_dir: str | Path, step: int | None = None
) -> tuple[Generator, CriticNetwork, int]:
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
    networks, step = _load(run_dir, step, generator=Generator, critic=CriticNetwork)
    return networks["generator"], networks["critic"], step


def flag_lines(run_dir: str | Path) -> list[str]:
    """The flagfile that a run keeps, which makes the run again, as its lines.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    remedy = "restore it from a copy, it says what the run was trained on"
    return storage.read_text(Path(run_dir) / FLAGS_FILE, remedy).splitlines()


def trained_flag_lines(run_dir: str | Path) -> list[str] | None:
    """The flagfile that a run was trained by, though its flags.cfg may have been edited since.

    Returns:
        Its lines; None if there is no run yet.

    Raises:
        InputError: a file of the run cannot be read or is damaged.
    """
    run_dir = Path(run_dir)
    if (run_dir / MODEL).exists():
        lines = _model(run_dir / MODEL).get("flags")
        if lines is not None:
            return lines
    # A run of an earlier version, or one that was stopped before it had begun.
    return flag_lines(run_dir) if (run_dir / FLAGS_FILE).exists() else None


def generate(
    generator: Generator, z0: np.ndarray | LatentRows, factor: int = 1
) -> Iterator[np.ndarray]:
    """Makes clips, a batch at a time, with the running averages of batch normalisation.

    Args:
        generator: a trained generator.
        z0: what it is called on, float32 [n, latent_dim], as of `latents.of_generator`, or such
            rows that are drawn as they are used.
        factor: above 1, frame interpolation: `factor` - 1 frames more between each two, whose
            latents lie on the line between theirs. See `tgan_tf.interpolation`.

    Returns:
        Of arrays float32 [batch, frames, size, size, channels] in [-1, 1], in the order of `z0`,
        the last one of what is left.

    Raises:
        InputError: `factor` is below 1, the generator has no frame latents to interpolate, or a
            clip is larger than the memory that is free.
    """
    if factor < 1:
        raise InputError(f"factor={factor}: give a whole number of at least 1")
    if factor > 1 and not hasattr(generator, "frame_latents"):
        raise InputError(
            f"factor={factor}: a {type(generator).__name__} has no frame latents to interpolate: "
            "give factor 1"
        )

    # No more frames at once than without interpolation.
    batch_size = max(BATCH_SIZE // factor, 1)
    signature = [tf.TensorSpec([batch_size, generator.latent_dim], tf.float32)]
    if factor == 1:
        whole = tf.function(lambda z0: generator(z0, training=False), input_signature=signature)
        return in_batches(lambda z0: whole(z0).numpy(), z0, batch_size)

    frames = num_frames(generator.frames, factor)
    _, *frame_shape = generator.clip_shape
    check_memory(
        # What is rendered of a clip, and once more as a whole; where its frames are on the path.
        4 * frames * (2 * math.prod(frame_shape) + 4 * generator.z1_dim),
        f"factor={factor}: a clip of {frames:,} frames",
        "give a lower factor",
    )
    at_once = BATCH_SIZE * generator.frames // batch_size
    factors = tf.fill([batch_size], tf.constant(factor, tf.int64))
    path_of = tf.function(
        lambda z0: interpolate(generator.frame_latents(z0), factors), input_signature=signature
    )
    render = tf.function(generator.render)

    def make(z0):
        z0 = tf.constant(z0)
        path = path_of(z0)
        pieces = range(0, frames, at_once)
        return np.concatenate([render(z0, path[:, i : i + at_once]).numpy() for i in pieces], 1)

    return in_batches(make, z0, batch_size)


def in_batches(
    make: Callable[[np.ndarray], np.ndarray],
    z0: np.ndarray | LatentRows,
    batch_size: int = BATCH_SIZE,
) -> Iterator[np.ndarray]:
    """What `make` makes of latents, a batch at a time.

    Args:
        make: float32 [batch_size, latent_dim] to an array of as many clips.
        z0: float32 [n, latent_dim].
        batch_size: how many at a time.

    Yields:
        Arrays of `batch_size` clips in the order of `z0`, the last one of what is left.
    """
    # Always of the same shape, the last batch filled up with zeros: an operation may add in another
    # order in a batch of another size, and a clip must not depend on how many are made.
    for first in range(0, len(z0), batch_size):
        part = z0[first : first + batch_size]
        missing = batch_size - len(part)
        yield make(np.pad(part, [(0, missing), (0, 0)]))[: len(part)]


def _load(
    run_dir: str | Path, step: int | None, **classes: type[keras.Model]
) -> tuple[dict[str, keras.Model], int]:
    """Networks of a run by their names, given their classes, and the training step."""
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        reason = "not a directory" if run_dir.exists() else "no such directory"
        raise InputError(f"{run_dir}: {reason}: give the --run_dir of a training")
    path = run_dir / MODEL
    if not path.exists():
        raise InputError(
            f"{run_dir}: no run directory, it has no {MODEL}: give the --run_dir of a training"
        )
    model = _model(path)
    networks = {name: _part(path, model, name, kind) for name, kind in classes.items()}
    parts, generator = dict(networks), networks["generator"]
    # A run of an earlier version has none.
    if "generator_optimizer" in model:
        optimizer = _part(path, model, "generator_optimizer", keras.optimizers.Optimizer)
        optimizer.build(generator.trainable_variables)
        parts["generator_optimizer"] = optimizer
    step = checkpoints.restore_networks(run_dir / "checkpoints", step, **parts)
    if "generator_optimizer" in parts:
        networks["generator"] = moving_average.averaged(generator, optimizer)
    return networks, step


def _model(path: Path) -> dict:
    """What a model.json holds."""
    try:
        return keras_config.checked(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): make it readable") from error
    except Exception as error:  # No JSON, or one that names what is not known.
        raise _damaged(path, "describes no networks", error) from error


def _part(
    path: Path, model: dict, name: str, kind: type
) -> keras.Model | keras.optimizers.Optimizer:
    """A network or an optimiser of a run's model.json, untrained."""
    try:
        part = keras.saving.deserialize_keras_object(model[name])
        if not isinstance(part, kind):
            raise TypeError(f"a {type(part).__name__} instead of a {kind.__name__}")
    except Exception as error:  # Whatever Keras raises for a configuration that makes no sense.
        raise _damaged(path, f"describes no {name}", error) from error
    return part


def _damaged(path: Path, what: str, error: Exception) -> InputError:
    # The last line, since Keras begins with the whole configuration and ends with the cause.
    why = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
    return InputError(
        f"{path}: damaged, it {what} ({why}): restore it from a copy, or move it away and write it "
        f"anew by train.py --flagfile={path.parent / FLAGS_FILE}"
    )
