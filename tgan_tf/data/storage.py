"""Access to files on disk and in object stores.

A path is local or a URL such as `gs://bucket/data` or `s3://bucket/data`. TensorFlow knows `gs://`.
The other schemes come from tensorflow-io on the old stack and from fsspec on the new one. On both,
the object store's own environment variables (AWS_ACCESS_KEY_ID, AWS_REGION, S3_ENDPOINT, ...)
configure the access.
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
from tgan_tf.errors import InputError, is_disk_full, reason, remedy


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL."""
    return re.match(r"[a-z][a-z0-9+.-]*://", os.fspath(path)) is not None


def register(path: str | os.PathLike[str]) -> str:
    """Registers the file system of a path with TensorFlow, if TensorFlow can use it.

    Returns:
        The path as a string.

    Raises:
        InputError: its scheme is unknown, the package for the scheme is not installed, or the path
            is not UTF-8, as TensorFlow and a run's flagfile require.
    """
    path = os.fspath(path)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: is not UTF-8: rename it or its folder") from error
    file_system(path)
    return path


def file_system(path: str) -> Any:
    """The functions of `tf.io.gfile` for a path: that module, or an `ObjectStore`.

    Raises:
        InputError: see `register`.
    """
    if not is_remote(path):
        return tf.io.gfile
    # A forked process cannot use the connection.
    key = path.split("://")[0], os.getpid()
    if key not in _file_systems:
        _file_systems[key] = _find_file_system(path)
    return _file_systems[key]


_file_systems: dict[tuple[str, int], Any] = {}


def _find_file_system(path: str) -> Any:
    scheme = path.split("://")[0]
    if scheme in tf.io.gfile.get_registered_schemes():
        return tf.io.gfile
    if not stack.ADDONS_AND_IO:
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
            f"{path}: {scheme}:// is not a file system of TensorFlow or tensorflow-io: give a "
            "local path, gs:// or s3://"
        )
    return tf.io.gfile


def is_in_tensorflow(path: str) -> bool:
    """Whether TensorFlow's operations can read a path."""
    return not isinstance(file_system(path), ObjectStore)


def exists(path: str) -> bool:
    """Whether a file or a directory exists; raises an `InputError` if that cannot be determined."""
    with _listing(path):
        return file_system(path).exists(path)


def is_directory(path: str) -> bool:
    """Whether a directory exists; raises an `InputError` if that cannot be determined."""
    with _listing(path):
        return file_system(path).isdir(path)


def size(path: str) -> int:
    """The size of a file in bytes.

    Raises:
        OSError or tf.errors.OpError: the file cannot be read. The functions below raise the same,
            unless they say otherwise.
    """
    if not is_remote(path):
        return os.path.getsize(path)
    return file_system(path).stat(path).length


def open_file(path: str) -> Any:
    """Opens a file for reading, as `open(path, "rb")` does."""
    # Python opens local files: it is three times faster and allows any bytes in a name.
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
    """Removes a directory and its contents, if it exists; may also raise what `exists` raises."""
    if exists(directory):
        file_system(directory).rmtree(directory)


def make_directories(path: str) -> None:
    """Makes a directory and its parents if they are missing."""
    file_system(path).makedirs(path)


def files(directory: str) -> list[str]:
    """All files under a directory, as paths relative to it, sorted.

    Names in a local directory may hold any bytes: those that are not UTF-8 become surrogates, as
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
    """Names of the files and directories in a directory; empty if it does not exist.

    Raises:
        InputError: see `files`.
    """
    with _listing(directory):
        try:
            if not is_remote(directory):
                return set(os.listdir(directory))
            # Object stores mark directories with a slash.
            return {name.rstrip("/") for name in file_system(directory).listdir(directory)}
        except (FileNotFoundError, tf.errors.NotFoundError):
            return set()


@contextlib.contextmanager
def _listing(directory: str) -> Iterator[None]:
    """Raises failures inside as an `InputError`."""
    try:
        with reported(directory, "cannot be read"):
            yield
    except UnicodeDecodeError as error:
        name = error.object.decode(errors="surrogateescape")
        raise InputError(f"{directory}: the name {name} in it is not UTF-8: rename it") from error


def read_text(path: str | os.PathLike[str], remedy: str) -> str:
    """The text of a file that the user gives, local or in an object store.

    All such files are read here: as UTF-8 whatever the system's encoding, with or without the byte
    order mark that some editors write.

    Args:
        path: the file.
        remedy: what the user can do if it cannot be read: the end of the message.

    Raises:
        InputError: the file cannot be read or is not UTF-8 text; the message names the first wrong
            byte. A zero byte is wrong too: a full disk leaves such bytes.
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
            f"{path}: is not UTF-8 text (byte {place} is 0x{data[place]:02x}): save it as UTF-8, "
            f"or {remedy}"
        )
    return text.removeprefix("\ufeff")


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a name to write to, then renames it to `path`: the file appears whole or not at all.

    TensorFlow can write to the name; for a file system it does not have, the name is local.

    Raises:
        OSError or tf.errors.OpError: the file cannot be made or renamed.
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
    """A path for TensorFlow's functions that treat paths as patterns.

    `tf.train.Checkpoint.read` and `tf.saved_model.load` do not find a path with a bracket or a
    backslash in it, and with a star or a question mark they may find another.

    Yields:
        The path itself, or a symbolic link to it that exists as long as the context.
    """
    path = os.fspath(path)
    if is_remote(path) or not re.search(r"[\[\]{}*?\\]", path):
        yield path
        return
    with tempfile.TemporaryDirectory() as directory:
        link = os.path.join(directory, "link")
        os.symlink(os.path.abspath(path), link)
        yield link


def upload(local: str, path: str) -> None:
    """Copies a local file to a path, replacing what is there.

    In an object store it appears whole or not at all.
    """
    store = file_system(path)
    if isinstance(store, ObjectStore):
        store.upload(path, local)
        return
    try:
        store.copy(local, path, overwrite=True)
    except tf.errors.NotFoundError:
        # Not of an object store: a file system in which directories must be made.
        store.makedirs(os.path.dirname(path))
        store.copy(local, path, overwrite=True)


def download(path: str, local: str) -> None:
    """Copies a file to a local path, replacing what is there."""
    store = file_system(path)
    if isinstance(store, ObjectStore):
        store.download(path, local)
    else:
        store.copy(path, local, overwrite=True)


@contextlib.contextmanager
def reported(place: str, what: str) -> Iterator[None]:
    """Raises failures inside as an `InputError`: PLACE: WHAT (the reason): the remedy."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = remedy(error) if is_disk_full(error) else ""
        raise InputError(
            f"{place}: {what} ({reason(error)}): "
            f"{full or 'give a place that exists, that you may use and that can be reached'}"
        ) from error


def sweep(directory: str) -> None:
    """Removes the partial files that a killed process left in a directory by `replacing`.

    Object stores have no locks, so there it also removes what a running process is writing.
    """
    if not is_remote(directory):
        file_locks.sweep(directory)
    # Earlier versions used this form for local files too.
    for name in names(directory):
        if re.fullmatch(r"\..+\.[0-9a-f]{32}", name):
            remove(os.path.join(directory, name))


def write(path: str, data: bytes) -> None:
    """Writes a file, replacing an existing one; it appears whole or not at all.

    Raises:
        OSError or tf.errors.OpError: it cannot be written.
    """
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(data)


def _raise(error: Exception) -> NoReturn:
    raise error
