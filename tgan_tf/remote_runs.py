"""Runs in object stores. Programs work on a local copy of such a run.

    with opened("s3://bucket/runs/mine", peers) as run:    # a folder is opened as it is
        ...                                # reads and writes in run.directory, a local folder
        run.upload()                       # after each checkpoint; at the end it is done anyway

    with copied("s3://bucket/runs/mine") as directory:     # for what only reads a run
        ...

The copy has what a training resumes from: the configuration, the flags, the checkpoints, the
evaluations, and the samples of those checkpoints. All other files in the store stay as they are.

A checkpoint in the store is complete if its `means.json` is there: that file is written last and
removed first. The other files of a run are uploaded before a checkpoint, and old checkpoints are
removed after it. So a training that is killed at any moment can resume from what is in the store.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import tensorflow as tf

from tgan_tf import checkpoints, file_locks, model_json, runs, store_locks, workers
from tgan_tf.data import storage
from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.store_locks import Lock
from tgan_tf.workers import Alone, Workers

PATIENCE = 60.0
"""Seconds for which a failed upload is retried."""
_PAUSE = 5.0  # seconds before the next try
_LISTINGS = 3  # tries to read a run whose training removes what was just listed

_OF_CHECKPOINT = re.compile(r"checkpoints/step-(\d+)/(?!\.)[^/]+")
_OF_SAMPLES = re.compile(r"samples/step-(\d+)\.(gif|png)")
_OF_RUN = re.compile(
    rf"{re.escape(runs.CONFIGURATION)}|{re.escape(runs.FLAGS_FILE)}"
    r"|evaluation/(real/)?(?!\.|events\.)[^/]+"
)


class OpenRun:
    """A run that a training works on, in a folder: what it writes there is already in place.

    Attributes:
        place: path or URL of the run.
        directory: the local folder in which to read and write it.
    """

    def __init__(self, place: str, directory: Path):
        self.place = place
        self.directory = directory

    def fetch(self, step: int) -> None:
        """Copies the checkpoint of a step to the local folder, if the run is not there already."""

    def upload(self) -> None:
        """Copies new and changed files to the run, and removes checkpoints gone from the folder."""


class _Copy(OpenRun):
    """A run in an object store.

    Args:
        place: its URL.
        directory: an empty local folder.
        lock: the training's lock; None on a worker that writes nothing.
    """

    def __init__(self, place: str, directory: Path, lock: Lock | None = None):
        super().__init__(place, directory)
        self._lock = lock
        self._sent: dict[str, tuple[int, int]] = {}
        self._there: set[str] = set()
        self._failed = False

    def download(self) -> None:
        """Downloads everything that a training resumes from.

        Raises:
            InputError: the run cannot be read, or is of version 1.
        """
        names = storage.files(self.place)
        if file_locks.LOCK not in names:
            # tensorflow-io lists nothing if a server does not answer.
            raise InputError(f"{self.place}: cannot be read: see that it can be reached")
        self._there = {name for name in names if _OF_CHECKPOINT.fullmatch(name)}
        _download(self.place, self.directory, _of_steps(self.place, names, _complete(names)))
        self._sent = self._files()

    def fetch(self, step: int) -> None:
        names = [
            f"checkpoints/step-{step}/{name}"
            for name in storage.names(f"{self.place}/checkpoints/step-{step}")
        ]
        with storage.reported(self.place, f"its checkpoint of step {step} cannot be read"):
            _download(self.place, self.directory, names)

    def upload(self, patience: float = PATIENCE) -> None:
        """See `OpenRun.upload`; does nothing on a worker without the lock, or after a failure.

        Args:
            patience: seconds for which a failed upload is retried.

        Raises:
            InputError: another process has taken the lock over, or the store fails.
        """
        if self._lock is None or self._failed:
            return
        self._failed, end = True, time.monotonic() + patience
        while True:
            try:
                self._upload(self._lock)
                break
            except (OSError, tf.errors.OpError) as error:
                if time.monotonic() + _PAUSE < end:
                    time.sleep(_PAUSE)
                    continue
                newest = max(_complete(self._there), default=None)
                left = "no checkpoint" if newest is None else f"the checkpoint of step {newest}"
                raise InputError(
                    f"{self.place}: could not be written to for {patience:.0f} s "
                    f"({reason(error)}): see that it can be reached and written to; then run the "
                    f"same command again, which finds {left} there"
                ) from error
        self._failed = False

    def _upload(self, lock: Lock) -> None:
        files = self._files()
        changed = {name for name, state in files.items() if self._sent.get(name) != state}
        for name in sorted(changed, key=_order):
            # The checkpoint is incomplete until all of its files are new.
            means = f"{Path(name).parent}/{checkpoints.MEANS}"
            if _step(name) is not None and means in changed & self._there:
                self._remove(lock, means)
            lock.check()
            storage.upload(str(self.directory / name), f"{self.place}/{name}")
            self._sent[name] = files[name]
            if _step(name) is not None:
                self._there.add(name)
        for name in sorted(self._there - files.keys(), key=_order, reverse=True):
            self._remove(lock, name)

    def _remove(self, lock: Lock, name: str) -> None:
        lock.check()
        with contextlib.suppress(FileNotFoundError, tf.errors.NotFoundError):
            storage.remove(f"{self.place}/{name}")
        self._there.discard(name)

    def _files(self) -> dict[str, tuple[int, int]]:
        """The files in the folder except hidden ones, each with its time of change and its size."""
        found = {}
        for name in storage.files(str(self.directory)):
            if not any(part.startswith(".") for part in Path(name).parts):
                state = (self.directory / name).stat()
                found[name] = (state.st_mtime_ns, state.st_size)
        return found


@contextlib.contextmanager
def opened(place: str, peers: Alone | Workers) -> Iterator[OpenRun]:
    """Opens a run for the training that writes to it, on each of its workers.

    The chief holds the run's lock. If the run is in an object store, the chief works on the copy,
    and the other workers have empty folders of their own.

    Args:
        place: path or URL of the run, made if missing.
        peers: the workers that train together.

    Raises:
        InputError: another training holds the run (the message names it), a worker does not see
            what the chief sees, or the run cannot be read or written to.
        workers.Lost: another worker has ended or hangs.
    """
    if not storage.is_remote(place):
        with runs.exclusive(place) if peers.is_chief else contextlib.nullcontext():
            workers.check_shared(place, peers, functools.partial(file_locks.written, place))
            yield OpenRun(str(Path(place)), Path(place))
        return
    place = place.rstrip("/")
    token = functools.partial(store_locks.token, place)
    with _temporary(place) as directory:
        if not peers.is_chief:
            workers.check_shared(place, peers, token)
            yield _Copy(place, directory)
            return
        cluster = peers.cluster if isinstance(peers, Workers) else None
        with store_locks.exclusive(place, "is being trained", cluster) as lock:
            workers.check_shared(place, peers, token)
            run = _Copy(place, directory, lock)
            run.download()
            try:
                yield run
            except BaseException:
                # The first error is more useful than one of the store that follows it.
                with contextlib.suppress(InputError):
                    run.upload(patience=0)
                raise
            run.upload()


@contextlib.contextmanager
def copied(place: str, step: int | None = None, every_step: bool = False) -> Iterator[Path]:
    """Yields the folder of a run to read: its own, or a temporary copy of one in an object store.

    A copy has one checkpoint and its samples, the configuration, the flags and the evaluations,
    except the measurements of real clips. In an `InputError` raised inside, the copy's path becomes
    that of the run.

    Args:
        place: path or URL of the run.
        step: the checkpoint to copy; None for the newest complete one. A local run is not checked.
        every_step: whether to copy all checkpoints.

    Raises:
        InputError: a run in a store cannot be read, lacks this checkpoint, or is of version 1.
    """
    if not storage.is_remote(place):
        yield Path(place)
        return
    place = place.rstrip("/")
    with _temporary(place) as directory:
        for left in reversed(range(_LISTINGS)):
            if not storage.exists(place):
                raise InputError(
                    f"{place}: no such directory, or it cannot be reached: give the directory of a "
                    "training"
                )
            # Only a training needs the measurements of real clips, which may be large.
            names = [n for n in storage.files(place) if not n.startswith("evaluation/real/")]
            steps = sorted(_complete(names))
            if step is not None and step not in steps:
                raise InputError(f"{place}: no checkpoint of step {step}: there are {steps}")
            if not every_step:
                steps = steps[-1:] if step is None else [step]
            try:
                _download(place, directory, _of_steps(place, names, steps))
                break
            except InputError as error:
                # Its training may have removed a checkpoint since.
                gone = isinstance(error.__cause__, (FileNotFoundError, tf.errors.NotFoundError))
                if not (left and gone):
                    raise
                shutil.rmtree(directory)
        yield directory


@contextlib.contextmanager
def _temporary(place: str) -> Iterator[Path]:
    """An empty temporary folder with a run's name; an `InputError` then has the run's URL."""
    if re.fullmatch(r"[^/]+//[^/]*/.*[^/]", place) is None:
        raise InputError(
            Argument("run_dir", place), ": must be a directory in a bucket, s3://bucket/runs/mine"
        )
    # If this process is killed, the next one removes the folder.
    hidden = Path(tempfile.gettempdir(), "tgan_tf-run")
    with file_locks.unfinished(hidden) as temporary:
        directory = temporary / place.rsplit("/", 1)[-1]
        directory.mkdir()
        try:
            yield directory
        except InputError as error:
            local = str(directory)
            error.parts = tuple(
                part.replace(local, place)
                if isinstance(part, str)
                else part._replace(value=part.value.replace(local, place))
                if isinstance(part.value, str)
                else part
                for part in error.parts
            )
            raise


def _download(place: str, directory: Path, names: Collection[str]) -> None:
    for name in names:
        local = directory / name
        local.parent.mkdir(parents=True, exist_ok=True)
        with storage.reported(f"{place}/{name}", f"cannot be copied to {tempfile.gettempdir()}"):
            storage.download(f"{place}/{name}", str(local))


def _of_steps(place: str, names: Collection[str], steps: Collection[int]) -> list[str]:
    """The files of a run to copy, with the checkpoints of those steps."""
    if model_json.FILE in names and runs.CONFIGURATION not in names:
        raise InputError(
            f"{place}: is a run of version 1: copy it to a folder and resume it there once"
        )
    found = []
    for name in names:
        match = _OF_CHECKPOINT.fullmatch(name) or _OF_SAMPLES.fullmatch(name)
        if int(match[1]) in steps if match else _OF_RUN.fullmatch(name):
            found.append(name)
    return found


def _complete(names: Collection[str]) -> set[int]:
    """The steps of the complete checkpoints among a run's files."""
    found = (
        _OF_CHECKPOINT.fullmatch(name) for name in names if Path(name).name == checkpoints.MEANS
    )
    return {int(match[1]) for match in found if match}


def _step(name: str) -> int | None:
    """The step of the checkpoint that a file belongs to; None if it belongs to none."""
    match = _OF_CHECKPOINT.fullmatch(name)
    return match and int(match[1])


def _order(name: str) -> tuple[int, bool, str]:
    """The order of uploads: checkpoints last, and `means.json` last in each."""
    step = _step(name)
    return (-1 if step is None else step, Path(name).name == checkpoints.MEANS, name)
