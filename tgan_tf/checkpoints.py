"""Checkpoints of a training run: `checkpoints/step-N/`, whole or not there.

A checkpoint holds the variables of both networks and of both optimisers, which are all that the
next steps follow from, and beside them, in `means.json`, the sums of the means that the next report
is about. One that was damaged after it was written is passed over when training resumes or networks
are loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from tgan_tf import file_locks, stack
from tgan_tf.data import storage
from tgan_tf.errors import InputError, reason, remedy
from tgan_tf.workers import Alone, Workers

_PREFIX = "tgan"
_MEANS = "means.json"
_PARTS = ("generator", "critic", "generator_optimizer", "critic_optimizer")


def steps(directory: str | Path) -> list[int]:
    """The training steps of which `directory` holds a checkpoint, in rising order."""
    names = (re.fullmatch(r"step-(\d+)", path.name) for path in Path(directory).glob("step-*"))
    return sorted(int(name[1]) for name in names if name)


def save(tgan: tf.Module, directory: str | Path, step: int, keep: int = 3) -> Path:
    """Writes the checkpoint of a step and deletes all but the newest `keep`.

    Args:
        tgan: a compiled `TGAN`.
        directory: where the run's checkpoints are; made if missing.
        step: the training step that the checkpoint is named for.
        keep: how many checkpoints are left, at least 1.

    Returns:
        The checkpoint's path.

    Raises:
        InputError: it could not be written, as on a full disk. The earlier ones are untouched.
    """
    path = Path(directory) / f"step-{step}"
    try:
        with file_locks.new_directory(path) as partial:
            _tree(**{name: getattr(tgan, name) for name in _PARTS}).write(str(partial / _PREFIX))
            (partial / _MEANS).write_text(json.dumps(tgan.means))
            # Only a damaged checkpoint of this step can be there: a sound one was resumed from.
            shutil.rmtree(path, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: the checkpoint could not be written ({reason(error)}): {remedy(error)}; then "
            "the same command goes on"
        ) from error
    prune(directory, keep)
    return path


def prune(directory: str | Path, keep: int, newest: int | None = None) -> None:
    """Deletes old checkpoints.

    Args:
        directory: where the run's checkpoints are.
        keep: how many are left, at least 1.
        newest: of those up to this step; later ones, which may be damaged, do not count and stay.
    """
    found = [step for step in steps(directory) if newest is None or step <= newest]
    for old in found[:-keep]:
        shutil.rmtree(Path(directory) / f"step-{old}", ignore_errors=True)


def restore(tgan: tf.Module, directory: str | Path, step: int | None = None) -> int | None:
    """Loads the newest sound checkpoint, with a warning for each newer one that is damaged.

    Args:
        tgan: a compiled `TGAN` of the same networks and optimisers.
        directory: where the run's checkpoints are.
        step: the checkpoint to load; None for the newest sound one.

    Returns:
        The step of the checkpoint; None if there is none at all, and none was asked for.

    Raises:
        InputError: there are checkpoints but none is sound, one is of other networks or optimisers,
            or the one that was asked for is not there or not sound.
    """
    if step is None and not steps(directory):
        return None
    step = _restore(_tree(**{name: getattr(tgan, name) for name in _PARTS}), directory, step)
    path = Path(directory) / f"step-{step}" / _MEANS
    # Checkpoints of the first version have none.
    tgan.means = json.loads(path.read_text()) if path.exists() else {}
    return step


def restore_together(tgan: tf.Module, directory: str | Path, peers: Alone | Workers) -> int | None:
    """Loads the newest sound checkpoint on the chief, and on the other workers the same.

    Args:
        tgan: as of `restore`.
        directory: as of `restore`, on storage that all workers see.
        peers: the workers that train together.

    Returns:
        As `restore`, on all workers the same.

    Raises:
        InputError: as `restore`; this worker does not see the checkpoint that the chief has loaded.
        workers.Lost: another worker is gone, perhaps because it does not.
    """
    own = restore(tgan, directory) if peers.is_chief else None
    step = peers.gather(own)[0]
    if step is not None and not peers.is_chief:
        restore(tgan, directory, step)
    peers.gather(step)
    return step


def digest(tgan: tf.Module) -> str:
    """A number of what a checkpoint would hold, as of this worker's first replica."""
    found = hashlib.sha256()
    for part in (getattr(tgan, name) for name in _PARTS):
        for variable in part.variables:
            found.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return found.hexdigest()[:12]


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
        InputError: there is no checkpoint, not the one asked for, none is sound, or it is of other
            networks.
    """
    if not steps(directory):
        raise InputError(f"{directory}: no checkpoint there: train the run first (train.py)")
    return _restore(_tree(**networks), directory, step)


def _tree(**parts: tf.Module) -> tf.train.Checkpoint:
    """What is in a checkpoint, under the names that it has there."""
    trees = {name: stack.checkpoint_tree(part) for name, part in parts.items()}
    return tf.train.Checkpoint(tgan=tf.train.Checkpoint(**trees))


def _restore(tree: tf.train.Checkpoint, directory: str | Path, step: int | None = None) -> int:
    """Loads the newest sound checkpoint, or that of a step."""
    damaged: dict[int, _Damaged] = {}
    while True:
        found = steps(directory)
        if step is not None and step not in found:
            raise InputError(f"{directory}: no checkpoint of step {step}: there are {found}")
        left = [one for one in found if one not in damaged and step in (None, one)]
        if not left:
            why = list(damaged.values())[-1] if damaged else "they are gone"
            raise InputError(
                f"{directory}: none of its checkpoints can be read ({why}): restore one from a copy"
            )
        path = Path(directory) / f"step-{left[-1]}"
        try:
            _read(tree, path)
            return left[-1]
        except _Damaged as error:
            # Or its training has deleted it in the meantime, and newer ones are there.
            if path.exists():
                damaged[left[-1]] = error
                warnings.warn(f"{path}: damaged checkpoint passed over ({error})", stacklevel=3)


class _Damaged(Exception):
    """A checkpoint that is not what was written."""


def _read(tree: tf.train.Checkpoint, path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            json.loads((path / _MEANS).read_text())
        with storage.literal(path) as directory:
            status = tree.read(f"{directory}/{_PREFIX}")
        # Before what follows can raise: else TensorFlow complains of each variable.
        status.expect_partial()
        status.assert_existing_objects_matched()
    except (OSError, tf.errors.PermissionDeniedError, tf.errors.ResourceExhaustedError) as error:
        if isinstance(error, FileNotFoundError):
            raise _Damaged(reason(error)) from error
        raise InputError(f"{path}: cannot be read ({reason(error)}): make it readable") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _Damaged(f"{_MEANS}: {error}") from error
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"{path}: is of other networks or optimisers ({reason(error)}): open it with those "
            "that the run was trained with, see its configuration.json"
        ) from error
    except Exception as error:  # TensorFlow's reader raises many kinds, IndexError for one
        raise _Damaged(reason(error)) from error
