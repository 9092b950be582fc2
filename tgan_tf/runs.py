"""A training run's directory: its configuration, its trained networks, and clips from seeds.

    tgan = load_tgan("runs/moving_mnist")                      # compiled, to resume with `fit`
    generator, step = load_generator("runs/moving_mnist")
    z0 = generator_latents(generator, seed=0, count=12)             # float32 [12, 100]
    for clips in generate(generator, z0):                      # float32 [8, 16, 64, 64, C], then
        ...                                                    # float32 [4, 16, 64, 64, C]

On one machine clip i of a seed is bit-identical, however many clips are made with it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf import __version__, checkpoints, file_locks, model_json, moving_average
from tgan_tf.capacity import check_memory
from tgan_tf.configuration import (
    Configuration,
    build,
    build_critic,
    build_generator,
    build_generator_optimizer,
    from_json,
    to_json,
)
from tgan_tf.data import storage
from tgan_tf.errors import Argument, InputError, remedy
from tgan_tf.interpolation import interpolate, num_frames
from tgan_tf.latents import LatentRows
from tgan_tf.models.network import CriticNetwork, GeneratorNetwork
from tgan_tf.optimizers import with_loss_scale
from tgan_tf.tgan import TGAN

FLAGS_FILE = "flags.cfg"
"""The name of a run's flagfile for train.py."""

CONFIGURATION = "configuration.json"
"""The name of the file with a run's configuration and the flags of its training."""

BATCH_SIZE = 8
"""Clips made at once. On a CPU larger batches are not faster."""


@contextlib.contextmanager
def exclusive(run_dir: str | Path) -> Iterator[None]:
    """Locks a run directory for the training that writes to it.

    Unfinished files of killed trainings are removed.

    Args:
        run_dir: the directory, made if missing, and removed again if nothing was written.

    Raises:
        InputError: another process holds it (the message names it), or it cannot be written to.
    """
    run_dir = Path(run_dir)
    with file_locks.exclusive(run_dir, "is being trained"):
        for directory in ("", "checkpoints", "samples", "evaluation", "evaluation/real"):
            file_locks.sweep(run_dir / directory)
        # The first version wrote unfinished checkpoints under such names.
        for path in (run_dir / "checkpoints").glob(".step-*-????????"):
            shutil.rmtree(path, ignore_errors=True)
        yield


class Run(NamedTuple):
    """The record of a training in its run directory.

    Attributes:
        configuration: the model's configuration; for a run of version 1 only its networks and its
            generator's optimiser are those of the training.
        flags: the flags of train.py that the training used, by name, whatever happened to its
            flagfile since; None for a run of version 1.
        version: the version of tgan_tf that wrote it.
        flag_lines: for a run of version 1, the lines of the training's flagfile, if they were kept.
    """

    configuration: Configuration
    flags: dict[str, Any] | None
    version: str
    flag_lines: list[str] | None = None


def write(
    run_dir: str | Path, configuration: Configuration, flags: Mapping[str, Any], flagfile: str
) -> None:
    """Writes a run's flagfile and its configuration.json, each whole or not at all.

    Args:
        run_dir: the directory, made if missing.
        configuration: the model's configuration, with which its checkpoints are loaded.
        flags: flags of the training program, by name, in JSON types.
        flagfile: text of a flagfile with these flags, which makes the run again.

    Raises:
        InputError: the directory cannot be written.
    """
    run_dir = Path(run_dir)
    entries = {
        "tgan_tf": __version__,
        "configuration": to_json(configuration),
        # The flags of its checkpoints, whatever happens to the flagfile.
        "flags": dict(flags),
    }
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        for name, text in (
            (FLAGS_FILE, flagfile),
            (CONFIGURATION, json.dumps(entries, indent=2) + "\n"),
        ):
            with file_locks.replacing(run_dir / name) as temporary:
                temporary.write_text(text)
    except OSError as error:
        raise InputError(
            Argument("run_dir", str(run_dir)),
            f": cannot be written ({error.strerror}): {remedy(error)}",
        ) from error


def exists(run_dir: str | Path) -> bool:
    """Whether a directory holds a run, of this version or of version 1."""
    return any((Path(run_dir) / name).exists() for name in (CONFIGURATION, model_json.FILE))


def read(run_dir: str | Path) -> Run:
    """Reads the record of a training from its run directory.

    Raises:
        InputError: it is not a run directory, or its configuration is damaged or was written by a
            version that this one cannot read.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        reason = "not a directory" if run_dir.exists() else "no such directory"
        raise InputError(f"{run_dir}: {reason}: give the directory of a training")
    if not exists(run_dir):
        raise InputError(
            f"{run_dir}: has no {CONFIGURATION}, so it is not a run directory: give the directory "
            "of a training"
        )
    path = run_dir / CONFIGURATION
    of_version_1 = not path.exists()
    if of_version_1:
        path = run_dir / model_json.FILE
    version = __version__
    try:
        if of_version_1:
            kept = model_json.parse(path.read_text())
            return Run(kept.configuration, None, kept.version, kept.flag_lines)
        entries = json.loads(path.read_text())
        version = str(entries["tgan_tf"])
        found = Run(from_json(entries["configuration"]), entries["flags"], version)
        if not isinstance(found.flags, dict):
            raise TypeError(f"flags are a {type(found.flags).__name__}")
        return found
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): make it readable") from error
    except Exception as error:  # not JSON, or damaged
        if version == __version__:
            raise _damaged(path, error) from error
        raise InputError(
            f"{path}: was written by tgan_tf {version}, and tgan_tf {__version__} cannot read it "
            f"({type(error).__name__}: {error}): install tgan_tf {version}"
        ) from error


def load_generator(run_dir: str | Path, step: int | None = None) -> tuple[GeneratorNetwork, int]:
    """Loads the generator of a run with the weights of one of its checkpoints.

    If the run keeps a moving average of the weights, the generator has the averages. It computes in
    the process's policy, float32 unless another was set, not in the training's.

    Args:
        run_dir: the directory of the training.
        step: the checkpoint to load; None for the newest intact one.

    Returns:
        The generator, and the training step of its weights.

    Raises:
        InputError: `run_dir` is not a run directory, its configuration is damaged, or it has no
            intact checkpoint (of that step).
    """
    networks, step = _load(run_dir, step, generator=build_generator)
    return networks["generator"], step


def load_networks(
    run_dir: str | Path, step: int | None = None
) -> tuple[GeneratorNetwork, CriticNetwork, int]:
    """Loads the generator and the critic of a run with the weights of one of its checkpoints.

    Call the critic only with `training=False`: its constraints may need an optimiser, which it
    lacks.

    Args:
        run_dir: see `load_generator`.
        step: see `load_generator`.

    Returns:
        The generator, the critic, and the training step of their weights.

    Raises:
        InputError: see `load_generator`.
    """
    networks, step = _load(run_dir, step, generator=build_generator, critic=build_critic)
    return networks["generator"], networks["critic"], step


def load_tgan(run_dir: str | Path) -> TGAN:
    """Loads the compiled model of a run from its newest intact checkpoint.

    `fit` resumes the training with the given callbacks and data; `tgan.step` is the step it resumes
    at. Keras's policy is set to the run's for the whole process.

    Raises:
        InputError: see `load_generator`; or the run is of version 1, which kept no configuration of
            its game.
    """
    run = read(run_dir)
    if run.flags is None:
        raise InputError(
            f"{run_dir}: is a run of version {run.version}, which kept no configuration: resume it "
            "once by train.py with ",
            Argument("flagfile", str(Path(run_dir) / FLAGS_FILE)),
            ", which writes one",
        )
    tgan = build(run.configuration)
    if checkpoints.restore(tgan, Path(run_dir) / "checkpoints") is None:
        raise InputError(f"{run_dir}: has no checkpoint: train the run first")
    return tgan


def flag_lines(run_dir: str | Path) -> list[str]:
    """The lines of a run's flagfile, which makes the run again.

    Raises:
        InputError: it cannot be read or is not text.
    """
    remedy = "restore it from a copy: it records what the run was trained on"
    return storage.read_text(Path(run_dir) / FLAGS_FILE, remedy).splitlines()


def generate(
    generator: GeneratorNetwork, z0: np.ndarray | LatentRows, factor: int = 1
) -> Iterator[np.ndarray]:
    """Makes clips batch by batch, with the running averages of batch normalisation.

    Args:
        generator: a trained generator.
        z0: its inputs, float32 [n, latent_dim], see `latents.generator_latents`; or rows that are
            drawn on demand.
        factor: above 1, frame interpolation: `factor` - 1 more frames between each two, with
            latents on the line between theirs. See `tgan_tf.interpolation`.

    Returns:
        An iterator of arrays float32 [batch, frames, size, size, channels] in [-1, 1], in the order
        of `z0`; the last may be smaller.

    Raises:
        InputError: `factor` is below 1, the generator has no frame latents to interpolate, or a
            clip exceeds the free memory.
    """
    make, batch_size = clip_maker(generator, factor)
    return in_batches(make, z0, batch_size)


# Traced once for all calls of the same generator.
@functools.lru_cache(maxsize=1)
def clip_maker(
    generator: GeneratorNetwork, factor: int = 1
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """The function with which `generate` makes a batch, see `in_batches`, and the batch size.

    Raises:
        InputError: see `generate`.
    """
    if factor < 1:
        raise InputError(Argument("factor", factor), ": must be an integer ≥ 1")
    if factor > 1 and not generator.has_frame_latents:
        raise InputError(
            Argument("factor", factor),
            f": a {type(generator).__name__} has no frame latents to interpolate: must be 1",
        )

    # No more frames at once than without interpolation.
    batch_size = max(BATCH_SIZE // factor, 1)
    signature = [tf.TensorSpec([batch_size, generator.latent_dim], tf.float32)]
    if factor == 1:
        whole = tf.function(
            lambda z0: generator(z0, training=False), input_signature=signature, autograph=False
        )
        return lambda z0: whole(z0).numpy(), batch_size

    frames = num_frames(generator.frames, factor)
    _, *frame_shape = generator.clip_shape
    check_memory(
        # A clip's rendered pieces and their concatenation, and its frame latents.
        4 * frames * (2 * math.prod(frame_shape) + 4 * generator.z1_dim),
        [Argument("factor", factor), f": a clip of {frames:,} frames"],
        "give a lower factor",
    )
    at_once = BATCH_SIZE * generator.frames // batch_size
    factors = tf.fill([batch_size], tf.constant(factor, tf.int64))
    path_of = tf.function(
        lambda z0: interpolate(generator.frame_latents(z0), factors),
        input_signature=signature,
        autograph=False,
    )
    render = tf.function(generator.render, autograph=False)

    def make(z0: np.ndarray) -> np.ndarray:
        z0 = tf.constant(z0)
        path = path_of(z0)
        pieces = range(0, frames, at_once)
        return np.concatenate([render(z0, path[:, i : i + at_once]).numpy() for i in pieces], 1)

    return make, batch_size


def weights_sha256(generator: GeneratorNetwork) -> str:
    """The hexadecimal SHA-256 of a generator's weights and other state."""
    digest = hashlib.sha256()
    for array in generator.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def in_batches(
    make: Callable[[np.ndarray], np.ndarray],
    z0: np.ndarray | LatentRows,
    batch_size: int = BATCH_SIZE,
) -> Iterator[np.ndarray]:
    """Applies `make` to latents batch by batch.

    Args:
        make: float32 [batch_size, latent_dim] → an array of as many clips.
        z0: float32 [n, latent_dim].
        batch_size: number of clips at a time.

    Yields:
        Arrays of `batch_size` clips in the order of `z0`; the last may be smaller.
    """
    # Batches always have the same shape, the last padded with zeros: an operation may add in
    # another order in a batch of another size, and a clip must not depend on how many are made.
    for first in range(0, len(z0), batch_size):
        part = z0[first : first + batch_size]
        missing = batch_size - len(part)
        yield make(np.pad(part, [(0, missing), (0, 0)]))[: len(part)]


def _load(
    run_dir: str | Path, step: int | None, **builders: Callable[[Configuration], tf.Module]
) -> tuple[dict[str, Any], int]:
    """Loads networks of a run, given their builders by name; returns them and the training step."""
    run = read(run_dir)
    try:
        networks = {name: make(run.configuration) for name, make in builders.items()}
    except InputError as error:
        raise _damaged(Path(run_dir) / CONFIGURATION, error) from error
    parts, generator = dict(networks), networks["generator"]
    keeps_average = run.configuration.generator_optimizer["ema_momentum"] is not None
    if keeps_average:
        optimizer = with_loss_scale(
            build_generator_optimizer(run.configuration), run.configuration.dtype_policy
        )
        optimizer.build(generator.trainable_variables)
        parts["generator_optimizer"] = optimizer
    step = checkpoints.restore_networks(Path(run_dir) / "checkpoints", step, **parts)
    if keeps_average:
        networks["generator"] = moving_average.averaged(generator, optimizer)
    return networks, step


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: is damaged ({type(error).__name__}: {error}): restore it from a copy, or move it "
        "away and write it again by train.py with ",
        Argument("flagfile", str(path.parent / FLAGS_FILE)),
    )
