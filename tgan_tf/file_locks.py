"""One writer a directory, and files and directories that appear whole or not at all.

    with exclusive("runs/mine", "is being trained"):     # a second one is refused, by its holder
        with new_directory("runs/mine/checkpoints/step-3") as partial:
            ...                                          # partial/ becomes step-3/ at the end
        with replacing("runs/mine/flags.cfg") as temporary:
            temporary.write_text(...)                    # becomes flags.cfg at the end

What is being written lies in a hidden directory beside its place, `.NAME.unfinished-…`, which its
process holds locked. The locks are the operating system's (`flock`): when a process ends, however
it ends, they are free. So what a killed process has left can be told from what another one is
writing; the next process that writes in the same directory removes it.
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
"""The name of the file in a directory that its holder has locked."""

_MARK = ".unfinished-"


@contextlib.contextmanager
def exclusive(directory: str | Path, doing: str) -> Iterator[None]:
    """Holds a directory for this process alone; readers need not ask.

    Args:
        directory: made if missing, with its parents; what was made is removed again if it is still
            empty at the end.
        doing: what the holder does, for the message to the next one: "is being trained".

    Raises:
        InputError: another process holds it, which the message names, or it cannot be written to.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: is no directory: give one")
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
        # While it is locked: who waits for it opens a new one.
        (directory / LOCK).unlink(missing_ok=True)
        os.close(file)
        _remove_empty(missing)


def _lock_file(directory: Path, doing: str) -> int:
    """The descriptor of the directory's lock file, locked, with this process's name in it."""
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
                since = time.strftime("%Y-%m-%d %H:%M:%S")
                program = Path(sys.argv[0]).name or "python"
                os.write(
                    file,
                    f"{program}, process {os.getpid()} of {socket.gethostname()}, since {since}"
                    "\n".encode(),
                )
                return file
        except BaseException:
            os.close(file)
            raise
        # Its holder has removed it in the meantime.
        os.close(file)


@contextlib.contextmanager
def unfinished(path: str | Path) -> Iterator[Path]:
    """A hidden directory beside a path, to write in what is then renamed to it.

    Args:
        path: its parent is made if missing, with the directories above; what was made is removed
            again if it is still empty at the end.

    Yields:
        The directory, which is removed at the end with what is still in it.

    Raises:
        OSError: it cannot be made.
    """
    parent = Path(path).parent
    missing = [place for place in (parent, *parent.parents) if not place.exists()]
    # If it is a file, "not a directory" is clearer, which comes next.
    with contextlib.suppress(FileExistsError):
        parent.mkdir(parents=True)
    try:
        with _beside(Path(path)) as place:
            yield place
    finally:
        _remove_empty(missing)


@contextlib.contextmanager
def new_directory(path: str | Path) -> Iterator[Path]:
    """An empty directory to fill, which then becomes `path`.

    Args:
        path: nothing or an empty directory may be there. Its parent is made if missing.

    Yields:
        The directory, under another name.

    Raises:
        OSError: it cannot be made, or something is at `path` when it is finished.
    """
    path = Path(path)
    with unfinished(path) as place:
        partial = place / path.name
        partial.mkdir()
        yield partial
        partial.rename(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name to write a file to, which then becomes `path`, in place of one that is there.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    with _beside(path) as place:
        temporary = place / path.name
        yield temporary
        temporary.replace(path)


def sweep(directory: str | Path) -> None:
    """Removes what processes that were killed have left unfinished in a directory.

    Args:
        directory: need not exist. Directories in it are not looked into.
    """
    directory = Path(directory)
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if not re.fullmatch(rf"\..+{re.escape(_MARK)}[a-z0-9_]{{8}}", path.name, re.DOTALL):
            continue
        # Else another process has removed it in the meantime, or it is another user's.
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(file)


# Once only: a program may write thousands of files into a directory.
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
        # Before it was locked another process may have swept it.
        if _lock(file) and _is_still(place, file):
            break
        os.close(file)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(file)


def _lock(file: int) -> bool:
    """Locks an open file or directory; False if another process has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems know no locks. Then none is swept either.
        pass
    return True


def _is_still(path: Path, file: int) -> bool:
    """Whether a path is that of an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _remove_empty(directories: list[Path]) -> None:
    """Removes directories, the innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for directory in directories:
            directory.rmdir()
