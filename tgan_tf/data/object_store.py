"""Object stores that TensorFlow has no file system for, by fsspec: on today's stack `s3://`.

`tgan_tf.data.storage` uses one as it uses `tf.io.gfile`, whose functions the methods are.
"""

from __future__ import annotations

import errno
import functools
import io
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, TypeVar

from tgan_tf.errors import InputError, reason
from tgan_tf.extras import extra

_BUFFER = 1 << 20  # bytes asked for at least, where a file is read bit by bit

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _raising_os_errors(method: _Method) -> _Method:
    """Has a method raise an `OSError`, with number and path, for whatever its library raises."""

    @functools.wraps(method)
    def called(self: Any, path: str, *arguments: Any, **kwargs: Any) -> Any:
        try:
            return method(self, path, *arguments, **kwargs)
        except Exception as error:
            number = getattr(error, "errno", None)
            if number is None:
                missing, forbidden = (
                    isinstance(error, each) for each in (FileNotFoundError, PermissionError)
                )
                number = errno.ENOENT if missing else errno.EACCES if forbidden else errno.EIO
            why = getattr(error, "strerror", None) or str(error)
            # fsspec says nothing but the name of what is missing.
            raise OSError(number, os.strerror(number) if why in path else why, path) from error

    return called  # type: ignore[return-value]  # takes what `method` does


class ObjectStore:
    """The files that URLs of one scheme name.

    Every method raises an `OSError` where the store, or the way to it, fails.

    Args:
        path: one of the URLs.

    Raises:
        InputError: fsspec, or the package that it needs for the scheme, is missing, or there is no
            such scheme, or its settings are not consistent.
    """

    def __init__(self, path: str):
        scheme = path.split("://")[0]
        with extra("storage", path):
            import fsspec

            if scheme == "s3":
                import s3fs  # noqa: F401
        try:
            of_scheme = fsspec.get_filesystem_class(scheme)
        except ValueError as error:
            raise InputError(
                f"{path}: {scheme}:// is no file system of TensorFlow or fsspec: give a local "
                "path, gs:// or s3://"
            ) from error
        except ImportError as error:
            raise InputError(
                f"{path}: {scheme}:// needs a package that is not installed: {error}, or give "
                "gs:// or s3://"
            ) from error
        try:
            options = _s3_options() if scheme == "s3" else {}
            # Other processes write there, too: what was listed once is not what is there now.
            self._files = of_scheme(use_listings_cache=False, skip_instance_cache=True, **options)
        except Exception as error:  # of botocore: a profile that is not there, for one
            raise InputError(
                f"{path}: cannot be reached ({reason(error)}): mend the environment variables of "
                f"{scheme}://"
            ) from error

    @_raising_os_errors
    def exists(self, path: str) -> bool:
        # Its own `exists` takes a bucket that cannot be asked for one that is not there.
        try:
            self._files.info(path)
        except FileNotFoundError:
            return False
        return True

    @_raising_os_errors
    def isdir(self, path: str) -> bool:
        return self._files.isdir(path)

    @_raising_os_errors
    def stat(self, path: str) -> SimpleNamespace:
        return SimpleNamespace(length=self._files.size(path))

    @_raising_os_errors
    def listdir(self, path: str) -> list[str]:
        names = (_below(path, name) for name in self._files.ls(path, detail=False))
        return [name for name in names if name]  # the directory's own mark has none

    @_raising_os_errors
    def walk(self, path: str, onerror: object = None) -> Iterator[tuple[str, list[str], list[str]]]:
        """All files under a directory as those of one folder: a store lists them in one go."""
        found = self._files.find(path)
        if not found:
            raise FileNotFoundError(path)
        # Some stores have marks of directories, as "videos/".
        names = [_below(path, name) for name in found if not name.endswith("/")]
        return iter([(path, [], names)])

    @_raising_os_errors
    def read(self, path: str, start: int | None = None, stop: int | None = None) -> bytes:
        """The bytes of a file, or a part of them in one request."""
        return self._files.cat_file(path, start=start, end=stop)

    def GFile(self, path: str, mode: str) -> io.BufferedReader:
        """A file to be read, mode "rb"."""
        return io.BufferedReader(_Reader(self, path), _BUFFER)

    @_raising_os_errors
    def upload(self, path: str, local: str) -> None:
        """Copies a local file there, where it appears whole or not at all."""
        self._files.put_file(local, path)

    @_raising_os_errors
    def remove(self, path: str) -> None:
        self._files.rm_file(path)

    @_raising_os_errors
    def rmtree(self, path: str) -> None:
        # One by one: where several are removed together fsspec takes their names for patterns.
        for name in self._files.find(path):
            self._files.rm_file(name)

    def makedirs(self, path: str) -> None:
        """Nothing: directories are where files are, and fsspec would make a bucket."""


class _Reader(io.RawIOBase):
    """A file in a store, each part of which is a request."""

    def __init__(self, store: ObjectStore, path: str):
        self._store = store
        self._path = path
        self._size = store.stat(path).length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._path)
        self._position = begin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        stop = min(self._position + len(buffer), self._size)
        if stop <= self._position:
            return 0
        data = self._store.read(self._path, self._position, stop)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _below(directory: str, name: str) -> str:
    """What fsspec calls a file, without a scheme, as a path relative to a directory's URL."""
    return name.strip("/")[len(directory.split("://")[1].strip("/")) :].lstrip("/")


def _s3_options() -> dict[str, Any]:
    """What tensorflow-io takes from the environment and s3fs does not; botocore takes the rest."""
    import botocore.session

    secure = not os.environ.get("S3_USE_HTTPS", "1").startswith("0")
    endpoint = os.environ.get("S3_ENDPOINT") or None
    if endpoint is not None and "://" not in endpoint:
        endpoint = f"{'https' if secure else 'http'}://{endpoint}"
    return {
        # Who has no keys can read what is public.
        "anon": botocore.session.get_session().get_credentials() is None,
        "endpoint_url": endpoint,
        "use_ssl": secure,
        "client_kwargs": {"region_name": os.environ.get("AWS_REGION") or None},
        # Other stores than Amazon's may have no host for each bucket.
        "config_kwargs": {"s3": {"addressing_style": "path"}} if endpoint else {},
    }
