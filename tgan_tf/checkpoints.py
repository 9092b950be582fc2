"""Checkpoints of a training run: `checkpoints/step-N/`, whole or not there.

A checkpoint is written into a hidden directory beside the others, which is then renamed. One that
was damaged afterwards is passed over when training resumes or networks are loaded.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from pathlib import Path

import tensorflow as tf

from tgan_tf.errors import InputError, reason

_PREFIX = "tgan"


def steps(directory: str | Path) -> list[int]:
    """The training steps of which `directory` holds a checkpoint, in rising order."""
    names = (re.fullmatch(r"step-(\d+)", path.name) for path in Path(directory).glob("step-*"))
    return sorted(int(name[1]) for name in names if name)


def save(tgan: tf.Module, directory: str | Path, step: int, keep: int = 3) -> Path:
    """Writes the checkpoint of a step and deletes all but the newest `keep`.

    Args:
        tgan: a compiled `TGAN`: networks, optimisers and step counts are kept.
        directory: where the run's checkpoints are; made if missing.
        step: the training step that the checkpoint is named for.
        keep: how many checkpoints are left, at least 1.

    Returns:
        The checkpoint's path.

    Raises:
        InputError: it could not be written, as on a full disk. The earlier ones are untouched.
    """
    directory = Path(directory)
    path = directory / f"step-{step}"
    partial = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".step-{step}-", dir=directory))
        tf.train.Checkpoint(tgan=tgan).write(str(partial / _PREFIX))
        partial.chmod(0o755)
        # Only a damaged checkpoint of this step can be there: a sound one was resumed from.
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    except (OSError, tf.errors.OpError) as error:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        raise InputError(
            f"{path}: the checkpoint could not be written ({reason(error)}): free some disk "
            "space or make the directory writable, then run the same command again"
        ) from error
    for old in steps(directory)[:-keep]:
        shutil.rmtree(directory / f"step-{old}", ignore_errors=True)
    return path


def restore(tgan: tf.Module, directory: str | Path) -> int | None:
    """Loads the newest sound checkpoint, with a warning for each newer one that is damaged.

    Args:
        tgan: a compiled `TGAN` of the same networks and optimisers.
        directory: where the run's checkpoints are.

    Returns:
        The step of the checkpoint; None if there is none at all.

    Raises:
        InputError: there are checkpoints but none is sound.
    """
    return _restore(tf.train.Checkpoint(tgan=tgan), directory, steps(directory))


def restore_networks(directory: str | Path, step: int | None = None, **networks: tf.Module) -> int:
    """Loads some of a run's parts.

    Args:
        directory: where the run's checkpoints are.
        step: the checkpoint to load; None for the newest sound one.
        **networks: of the run's configuration, by the names of a `TGAN`'s attributes: `generator`,
            `critic`, `generator_optimizer`, or some of them.

    Returns:
        The step of the checkpoint.

    Raises:
        InputError: there is no checkpoint, not the one asked for, or none is sound.
    """
    found = steps(directory)
    if not found:
        raise InputError(f"{directory}: no checkpoint there: train the run first (train.py)")
    if step is not None and step not in found:
        raise InputError(f"{directory}: no checkpoint of step {step}: there are {found}")
    checkpoint = tf.train.Checkpoint(tgan=tf.train.Checkpoint(**networks))
    return _restore(checkpoint, directory, found if step is None else [step])


def _restore(checkpoint, directory, candidates):
    for step in reversed(candidates):
        path = Path(directory) / f"step-{step}"
        try:
            status = checkpoint.read(str(path / _PREFIX))
            status.assert_existing_objects_matched()
            status.expect_partial()
            return step
        except Exception as error:  # TensorFlow's reader raises many kinds, IndexError for one
            why = reason(error)
            warnings.warn(f"{path}: damaged checkpoint passed over ({why})", stacklevel=3)
    if candidates:
        raise InputError(
            f"{directory}: none of its checkpoints can be read ({why}): restore one from a "
            "copy, or move the run directory away to train anew"
        )
    return None
