"""Files on disk and in object stores: all that the package does with them it does here.

A path is a local one or a URL such as `gs://bucket/data` or `s3://bucket/data`. TensorFlow knows
`gs://`. The other schemes come with tensorflow-io on TensorFlow 2.15, and with fsspec on today's.
The object store's own environment variables (AWS_ACCESS_KEY_ID, AWS_REGION, S3_ENDPOINT, ...) say
on both how it is reached.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

import tensorflow as tf

from tgan_tf import file_locks, stack
from tgan_tf.data.object_store import ObjectStore
from tgan_tf.errors import InputError, reason


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL."""
    return re.match(r"[a-z][a-z0-9+.-]*://", os.fspath(path)) is not None


def register(path: str | os.PathLike[str]) -> str:
    """Makes the file system of a path known to TensorFlow, where TensorFlow can know it.

    Returns:
        The path as a string.

    Raises:
        InputError: nobody knows its scheme, the package that does is not installed, or it is not
            UTF-8, which TensorFlow and the flags of a run cannot hold.
    """
    path = os.fspath(path)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: is not UTF-8: rename it, or what it lies in") from error
    file_system(path)
    return path


def file_system(path: str) -> Any:
    """What has the functions of `tf.io.gfile` for a path: that module, or an `ObjectStore`.

    Raises:
        InputError: as `register`.
    """
    if not is_remote(path):
        return tf.io.gfile
    # A connection is of no use in a fork.
    key = path.split("://")[0], os.getpid()
    if key not in _file_systems:
        _file_systems[key] = _find_file_system(path)
    return _file_systems[key]


_file_systems: dict[tuple[str, int], Any] = {}


def _find_file_system(path: str) -> Any:
    scheme = path.split("://")[0]
    if scheme in tf.io.gfile.get_registered_schemes():
        return tf.io.gfile
    if stack.KERAS_3:
        return ObjectStore(path)
    try:
        import tensorflow_io  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{path}: {scheme}:// is read by tensorflow-io, which is missing: "
            "pip install tensorflow-io==0.36.0"
        ) from error
    if scheme not in tf.io.gfile.get_registered_schemes():
        raise InputError(
            f"{path}: {scheme}:// is no file system of TensorFlow or tensorflow-io: give a "
            "local path, gs:// or s3://"
        )
    return tf.io.gfile


def is_in_tensorflow(path: str) -> bool:
    """Whether TensorFlow's operations can read a path."""
    return not isinstance(file_system(path), ObjectStore)


def exists(path: str) -> bool:
    """Whether there is a file or a directory; raises an `InputError` where that cannot be said."""
    with _listing(path):
        return file_system(path).exists(path)


def is_directory(path: str) -> bool:
    """Whether there is a directory; raises an `InputError` where that cannot be said."""
    with _listing(path):
        return file_system(path).isdir(path)


def size(path: str) -> int:
    """The bytes of a file. Raises, as all below does, OSError or tf.errors.OpError."""
    if not is_remote(path):
        return os.path.getsize(path)
    return file_system(path).stat(path).length


def open_file(path: str) -> Any:
    """Opens a file to be read, as `open(path, "rb")` does."""
    # A local one by Python: it is three times faster, and its name may be of any bytes.
    return file_system(path).GFile(path, "rb") if is_remote(path) else open(path, "rb")


def read(path: str, start: int | None = None, stop: int | None = None) -> bytes:
    """The bytes of a file, or those from `start` to before `stop`."""
    store = file_system(path)
    if isinstance(store, ObjectStore):
        return store.read(path, start, stop)
    with open_file(path) as file:
        file.seek(start or 0)
        return file.read() if stop is None else file.read(stop - (start or 0))


def remove(path: str) -> None:
    """Removes a file."""
    file_system(path).remove(path)


def remove_tree(directory: str) -> None:
    """Removes a directory, if it is there, with all that is in it."""
    if exists(directory):
        file_system(directory).rmtree(directory)


def make_directories(path: str) -> None:
    """Makes a directory, and those above it, where they are missing."""
    file_system(path).makedirs(path)


def files(directory: str) -> list[str]:
    """All files under a directory, as paths relative to it, sorted.

    Names in a local directory may be of any bytes: those that are not UTF-8 are surrogates, as
    everywhere in Python.

    Raises:
        InputError: the directory cannot be read, or a name in an object store is not UTF-8.
    """
    found = []
    with _listing(directory):
        if is_remote(directory):
            walk = file_system(directory).walk(directory, onerror=_raise)
        else:
            walk = os.walk(directory, onerror=_raise, followlinks=True)
        for folder, _, names in walk:
            relative = folder[len(directory) :].strip("/")
            found += [f"{relative}/{name}" if relative else name for name in names]
    return sorted(found)


def names(directory: str) -> set[str]:
    """Names of the files and directories in a directory; none if it is not there.

    Raises:
        InputError: as `files`.
    """
    with _listing(directory):
        try:
            if not is_remote(directory):
                return set(os.listdir(directory))
            # Object stores mark directories.
            return {name.rstrip("/") for name in file_system(directory).listdir(directory)}
        except (FileNotFoundError, tf.errors.NotFoundError):
            return set()


@contextlib.contextmanager
def _listing(directory: str) -> Iterator[None]:
    """Raises what fails inside as an `InputError`."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise InputError(f"{directory}: cannot be read ({reason(error)})") from error
    except UnicodeDecodeError as error:
        name = error.object.decode(errors="surrogateescape")
        raise InputError(
            f"{directory}: the name {name} under it is not UTF-8: rename it"
        ) from error


def read_text(path: str | os.PathLike[str], remedy: str) -> str:
    """The text of a file that a user gives, local or in an object store.

    All such files are read here: in UTF-8 whatever the system's own encoding is, with or without a
    byte order mark at the beginning, as some editors write it.

    Args:
        path: of the file.
        remedy: the end of the message if it cannot be read: what the user can do.

    Raises:
        InputError: the file cannot be read, or is no text in UTF-8: names the first byte that is
            none. A byte of zero is none either: a disk that was full leaves them.
    """
    path = os.fspath(path)
    try:
        data = read(path)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}): {remedy}") from error
    try:
        text, place = data.decode(), data.find(b"\0")
    except UnicodeDecodeError as error:
        place = error.start
    if place >= 0:
        raise InputError(
            f"{path}: is no text in UTF-8 (byte {place} is 0x{data[place]:02x}): save it as "
            f"UTF-8, or {remedy}"
        )
    return text.removeprefix("\ufeff")


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """A name to write a file to, which then becomes `path`: it appears whole or not at all.

    TensorFlow can write to the name: where it has no such file system, that of a local file.

    Raises:
        OSError or tf.errors.OpError: it cannot be made or renamed.
    """
    if not is_remote(path):
        with file_locks.replacing(path) as partial:
            yield str(partial)
        return
    store = file_system(path)
    if isinstance(store, ObjectStore):
        with tempfile.TemporaryDirectory() as directory:
            local = os.path.join(directory, "file")
            yield local
            store.upload(path, local)
        return
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        store.rename(temporary, path, overwrite=True)
    except BaseException:
        if store.exists(temporary):
            store.remove(temporary)
        raise


@contextlib.contextmanager
def literal(path: str | os.PathLike[str]) -> Iterator[str]:
    """A path for functions of TensorFlow that take theirs for a pattern.

    `tf.train.Checkpoint.read` and `tf.saved_model.load` do not find what lies at a path with a
    bracket or a backslash in it, and a star or a question mark may lead them to another.

    Yields:
        The path itself, or a symbolic link to it, which exists as long as the context.
    """
    path = os.fspath(path)
    if is_remote(path) or not re.search(r"[\[\]{}*?\\]", path):
        yield path
        return
    with tempfile.TemporaryDirectory() as directory:
        link = os.path.join(directory, "link")
        os.symlink(os.path.abspath(path), link)
        yield link


def sweep(directory: str) -> None:
    """Removes what a killed process was writing in a directory with `replacing`.

    In an object store, which knows no locks, that is also what a running process is writing.
    """
    if not is_remote(directory):
        file_locks.sweep(directory)
    # Local ones too were of this form once.
    for name in names(directory):
        if re.fullmatch(r"\..+\.[0-9a-f]{32}", name):
            remove(os.path.join(directory, name))


def write(path: str, data: bytes) -> None:
    """Writes a file, replacing one of that name; it appears whole or not at all.

    Raises:
        OSError or tf.errors.OpError: it cannot be written.
    """
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(data)


def _raise(error: Exception) -> NoReturn:
    raise error
