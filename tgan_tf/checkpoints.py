"""Checkpoints of a training run, `checkpoints/step-N/`, each complete or absent.

A checkpoint holds the variables of both networks and of both optimisers, which determine the next
steps. `means.json` beside them holds the running means for the next report. A checkpoint that was
damaged after it was written is skipped when training resumes or networks are loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tgan_tf import file_locks, stack
from tgan_tf.data import storage
from tgan_tf.errors import InputError, reason, remedy
from tgan_tf.workers import Alone, Workers

MEANS = "means.json"
"""The name of the file with a checkpoint's means."""
_PREFIX = "tgan"
_PARTS = ("generator", "critic", "generator_optimizer", "critic_optimizer")


def steps(directory: str | Path) -> list[int]:
    """The training steps of the checkpoints in `directory`, ascending."""
    names = (re.fullmatch(r"step-(\d+)", path.name) for path in Path(directory).glob("step-*"))
    return sorted(int(name[1]) for name in names if name)


def save(tgan: tf.Module, directory: str | Path, step: int, keep: int = 3) -> Path:
    """Writes the checkpoint of a step and deletes all but the newest `keep`.

    Args:
        tgan: a compiled `TGAN`.
        directory: directory of the run's checkpoints, made if missing.
        step: the training step, for the checkpoint's name.
        keep: number of checkpoints to keep, at least 1.

    Returns:
        The checkpoint's path.

    Raises:
        InputError: it cannot be written, for example on a full disk. Earlier checkpoints are
            untouched.
    """
    path = Path(directory) / f"step-{step}"
    try:
        with file_locks.new_directory(path) as partial:
            _tree(**{name: getattr(tgan, name) for name in _PARTS}).write(str(partial / _PREFIX))
            (partial / MEANS).write_text(json.dumps(tgan.means))
            # An existing checkpoint of this step is damaged: training would have resumed from an
            # intact one.
            shutil.rmtree(path, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: the checkpoint could not be written ({reason(error)}): {remedy(error)}; then "
            "run the same command again to resume"
        ) from error
    prune(directory, keep)
    return path


def prune(directory: str | Path, keep: int, newest: int | None = None) -> None:
    """Deletes old checkpoints.

    Args:
        directory: directory of the run's checkpoints.
        keep: number of checkpoints to keep, at least 1.
        newest: consider only checkpoints up to this step; later ones, which may be damaged, stay.
    """
    found = [step for step in steps(directory) if newest is None or step <= newest]
    for old in found[:-keep]:
        shutil.rmtree(Path(directory) / f"step-{old}", ignore_errors=True)


def restore(tgan: tf.Module, directory: str | Path, step: int | None = None) -> int | None:
    """Loads the newest intact checkpoint, with a warning for each newer one that is damaged.

    Args:
        tgan: a compiled `TGAN` with the same networks and optimisers.
        directory: directory of the run's checkpoints.
        step: the checkpoint to load; None for the newest intact one.

    Returns:
        The step of the checkpoint; None if there are no checkpoints and none was asked for.

    Raises:
        InputError: there are checkpoints but none is intact, one belongs to other networks or
            optimisers, or the one asked for is missing or damaged.
    """
    if step is None and not steps(directory):
        return None
    step = _restore(_tree(**{name: getattr(tgan, name) for name in _PARTS}), directory, step)
    path = Path(directory) / f"step-{step}" / MEANS
    # Checkpoints of the first version have none.
    tgan.means = json.loads(path.read_text()) if path.exists() else {}
    return step


def restore_together(
    tgan: tf.Module,
    directory: str | Path,
    peers: Alone | Workers,
    fetch: Callable[[int], None] = lambda step: None,
) -> int | None:
    """Loads the newest intact checkpoint on the chief, and the same one on the other workers.

    Args:
        tgan: see `restore`.
        directory: see `restore`. All workers must see it, or `fetch` must fill it.
        peers: the workers that train together.
        fetch: called on the other workers with the chief's step, before they load it.

    Returns:
        The step of the checkpoint, the same on all workers; None if there are no checkpoints.

    Raises:
        InputError: see `restore`; or this worker does not see the checkpoint that the chief loaded.
        workers.Lost: another worker has ended, perhaps because it does not see the checkpoint.
    """
    own = restore(tgan, directory) if peers.is_chief else None
    step = peers.gather(own)[0]
    if step is not None and not peers.is_chief:
        fetch(step)
        restore(tgan, directory, step)
    peers.gather(step)
    return step


def digest(tgan: tf.Module) -> str:
    """A hash of the variables that a checkpoint would hold, 12 hexadecimal digits.

    Variables that differ between replicas count with their value on this worker's first replica.
    """
    found = hashlib.sha256()
    for part in (getattr(tgan, name) for name in _PARTS):
        for variable in part.variables:
            found.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return found.hexdigest()[:12]


def restore_networks(directory: str | Path, step: int | None = None, **networks: tf.Module) -> int:
    """Loads some of a run's parts.

    Args:
        directory: directory of the run's checkpoints.
        step: the checkpoint to load; None for the newest intact one.
        **networks: parts built from the run's configuration, under the names of a `TGAN`'s
            attributes: `generator`, `critic`, `generator_optimizer`, or some of them.

    Returns:
        The step of the checkpoint.

    Raises:
        InputError: there is no checkpoint, or not the requested one, or none is intact, or it
            belongs to other networks.
    """
    if not steps(directory):
        raise InputError(f"{directory}: no checkpoint there: train the run first (train.py)")
    return _restore(_tree(**networks), directory, step)


def _tree(**parts: tf.Module) -> tf.train.Checkpoint:
    """The contents of a checkpoint, under the names used there."""
    trees = {name: stack.checkpoint_tree(part) for name, part in parts.items()}
    return tf.train.Checkpoint(tgan=tf.train.Checkpoint(**trees))


def _restore(tree: tf.train.Checkpoint, directory: str | Path, step: int | None = None) -> int:
    """Loads the newest intact checkpoint, or the one of a step."""
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
            # If it is gone, its training has just deleted it, and there are newer ones.
            if path.exists():
                damaged[left[-1]] = error
                warnings.warn(f"{path}: damaged checkpoint skipped ({error})", stacklevel=3)


class _Damaged(Exception):
    """A checkpoint is damaged."""


def _read(tree: tf.train.Checkpoint, path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            json.loads((path / MEANS).read_text())
        with storage.literal(path) as directory:
            status = tree.read(f"{directory}/{_PREFIX}")
        # Before the next line, which can raise: otherwise TensorFlow warns about each variable.
        status.expect_partial()
        status.assert_existing_objects_matched()
    except (OSError, tf.errors.PermissionDeniedError, tf.errors.ResourceExhaustedError) as error:
        if isinstance(error, FileNotFoundError):
            raise _Damaged(reason(error)) from error
        raise InputError(f"{path}: cannot be read ({reason(error)}): make it readable") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _Damaged(f"{MEANS}: {error}") from error
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"{path}: belongs to other networks or optimisers ({reason(error)}): use those of the "
            "run, see its configuration.json"
        ) from error
    except Exception as error:  # TensorFlow's reader may raise anything, such as IndexError
        raise _Damaged(reason(error)) from error
