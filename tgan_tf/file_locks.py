"""One writer per directory, and files and directories that appear whole or not at all.

    with exclusive("runs/mine", "is being trained"):     # a second one is refused
        with new_directory("runs/mine/checkpoints/step-3") as partial:
            ...                                          # partial/ becomes step-3/ at the end
        with replacing("runs/mine/flags.cfg") as temporary:
            temporary.write_text(...)                    # becomes flags.cfg at the end

Unfinished output lies in a hidden directory beside its final place, `.NAME.unfinished-…`, which the
writing process holds locked. The locks are the operating system's (`flock`) and are released when
the process ends, however it ends. This distinguishes the leftovers of a killed process from
another's current output; the next process that writes in the same directory removes them.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tgan_tf.errors import InputError, remedy

LOCK = ".lock"
"""The name of a directory's lock file."""

_MARK = ".unfinished-"


@contextlib.contextmanager
def exclusive(directory: str | Path, doing: str) -> Iterator[None]:
    """Locks a directory for this process alone; readers need no lock.

    Args:
        directory: the directory, made if missing, with its parents; directories made here are
            removed at the end if they are still empty.
        doing: what the holder does, for the message to others: "is being trained".

    Raises:
        InputError: another process holds it (the message names it), or it cannot be written to.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: is not a directory: give one")
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = _lock_file(directory, doing)
    except OSError as error:
        _remove_empty(missing)
        raise InputError(
            f"{directory}: cannot be written to ({error.strerror}): {remedy(error)}"
        ) from error
    try:
        yield
    finally:
        # Removed while locked, so that a waiting process opens a new one.
        (directory / LOCK).unlink(missing_ok=True)
        os.close(file)
        _remove_empty(missing)


def _lock_file(directory: Path, doing: str) -> int:
    """Locks the directory's lock file, writes this process's name and returns its descriptor."""
    path = directory / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(file):
                holder = os.read(file, 1000).decode(errors="replace").strip()
                raise InputError(
                    f"{directory}: {doing} by {holder or 'another process'}: wait until it has "
                    "ended, stop it, or give another directory"
                )
            if _is_still(path, file):
                os.ftruncate(file, 0)
                os.write(file, f"{this_process()}\n".encode())
                return file
        except BaseException:
            os.close(file)
            raise
        # The holder has just removed the file: try again.
        os.close(file)


def this_process() -> str:
    """This process as the holder of a lock, for messages: program, process ID, host and time."""
    program, since = Path(sys.argv[0]).name or "python", time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{program}, process {os.getpid()} of {socket.gethostname()}, since {since}"


def written(directory: str | Path) -> str | None:
    """What the holder of a directory's lock has written into the lock file; None without a lock."""
    path = Path(directory) / LOCK
    return path.read_text() if path.is_file() else None


@contextlib.contextmanager
def unfinished(path: str | Path) -> Iterator[Path]:
    """Makes a hidden directory beside a path, for output that is then renamed to the path.

    Args:
        path: the final path. Its parents are made if missing, and removed at the end if they are
            still empty.

    Yields:
        The directory, which is removed at the end with its contents.

    Raises:
        OSError: it cannot be made.
    """
    parent = Path(path).parent
    missing = [place for place in (parent, *parent.parents) if not place.exists()]
    # If it is a file, the next error, "not a directory", is clearer.
    with contextlib.suppress(FileExistsError):
        parent.mkdir(parents=True)
    try:
        with _beside(Path(path)) as place:
            yield place
    finally:
        _remove_empty(missing)


@contextlib.contextmanager
def new_directory(path: str | Path) -> Iterator[Path]:
    """Makes an empty directory to fill, which then becomes `path`.

    Args:
        path: the final path, which must not exist or be an empty directory. Its parent is made if
            missing.

    Yields:
        The directory, under another name.

    Raises:
        OSError: it cannot be made, or `path` exists at the end.
    """
    path = Path(path)
    with unfinished(path) as place:
        partial = place / path.name
        partial.mkdir()
        yield partial
        partial.rename(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a name to write a file to, which then replaces `path`.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    with _beside(path) as place:
        temporary = place / path.name
        yield temporary
        temporary.replace(path)


def sweep(directory: str | Path) -> None:
    """Removes the unfinished output of killed processes from a directory.

    Args:
        directory: the directory, which need not exist; not its subdirectories.
    """
    directory = Path(directory)
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if not re.fullmatch(rf"\..+{re.escape(_MARK)}[a-z0-9_]{{8}}", path.name, re.DOTALL):
            continue
        # An error means that another process has just removed it, or that it is another user's.
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(file)


# Once per directory: a program may write thousands of files into it.
_sweep_once = functools.cache(sweep)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A locked hidden directory beside a path, removed at the end."""
    _sweep_once(path.parent.absolute())
    while True:
        place = Path(tempfile.mkdtemp(prefix=f".{path.name}{_MARK}", dir=path.parent))
        try:
            file = os.open(place, os.O_RDONLY)
        except FileNotFoundError:
            continue
        # Another process may have swept it before it was locked.
        if _lock(file) and _is_still(place, file):
            break
        os.close(file)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(file)


def _lock(file: int) -> bool:
    """Locks an open file or directory; returns False if another process holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks; nothing is swept there either.
        pass
    return True


def _is_still(path: Path, file: int) -> bool:
    """Whether a path still refers to an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _remove_empty(directories: list[Path]) -> None:
    """Removes empty directories, innermost first."""
    with contextlib.suppress(OSError):
        for directory in directories:
            directory.rmdir()
