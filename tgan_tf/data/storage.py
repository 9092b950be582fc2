"""Files on disk and in object stores: what `tf.io.gfile` leaves to do.

A path is a local one or a URL such as `gs://bucket/data` or `s3://bucket/data`. TensorFlow knows
`gs://`; the other schemes come with tensorflow-io, and the object store's own environment variables
(AWS_ACCESS_KEY_ID, AWS_REGION, S3_ENDPOINT, ...) say how it is reached.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from typing import NoReturn

import tensorflow as tf

from tgan_tf import file_locks
from tgan_tf.errors import InputError, reason


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL."""
    return re.match(r"[a-z][a-z0-9+.-]*://", os.fspath(path)) is not None


def register(path: str | os.PathLike[str]) -> str:
    """Makes the file system of a path known to TensorFlow.

    Returns:
        The path as a string.

    Raises:
        InputError: nobody knows its scheme, tensorflow-io is not installed, or it is not UTF-8,
            which TensorFlow and the flags of a run cannot hold.
    """
    path = os.fspath(path)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: is not UTF-8: rename it, or what it lies in") from error
    if not is_remote(path):
        return path
    try:
        tf.io.gfile.exists(path)
    except tf.errors.UnimplementedError:
        scheme = path.split("://")[0]
        try:
            import tensorflow_io  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"{path}: {scheme}:// is read by tensorflow-io, which is missing: "
                "pip install tensorflow-io==0.36.0"
            ) from error
        try:
            tf.io.gfile.exists(path)
        except tf.errors.UnimplementedError as error:
            raise InputError(
                f"{path}: {scheme}:// is no file system of TensorFlow or tensorflow-io: give a "
                "local path, gs:// or s3://"
            ) from error
        except tf.errors.OpError:
            pass
    except tf.errors.OpError:
        pass
    return path


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
            walk = tf.io.gfile.walk(directory, onerror=_raise)
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
            return {name.rstrip("/") for name in tf.io.gfile.listdir(directory)}
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
        with tf.io.gfile.GFile(path, "rb") if is_remote(path) else open(path, "rb") as file:
            data = file.read()
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

    Raises:
        OSError or tf.errors.OpError: it cannot be made or renamed.
    """
    if not is_remote(path):
        with file_locks.replacing(path) as partial:
            yield str(partial)
        return
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
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
            tf.io.gfile.remove(os.path.join(directory, name))


def write(path: str, data: bytes) -> None:
    """Writes a file, replacing one of that name; it appears whole or not at all.

    Raises:
        OSError or tf.errors.OpError: it cannot be written.
    """
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(data)


def _raise(error: Exception) -> NoReturn:
    raise error
