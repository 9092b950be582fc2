"""Object stores through fsspec, where TensorFlow has no file system: `s3://` on the new stack.

The methods are those functions of `tf.io.gfile` that `tgan_tf.data.storage` uses.
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

_BUFFER = 1 << 20  # bytes: the smallest request when a file is read piece by piece

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _raising_os_errors(method: _Method) -> _Method:
    """Makes a method raise an `OSError`, with number and path, for any error of its library."""

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
            # fsspec gives only the name of the missing file.
            raise OSError(number, os.strerror(number) if why in path else why, path) from error

    return called  # type: ignore[return-value]  # takes what `method` does


class ObjectStore:
    """The files whose URLs have one scheme.

    Every method raises an `OSError` if the store or the connection to it fails.

    Args:
        path: a URL of the scheme.

    Raises:
        InputError: fsspec or the package that it needs for the scheme is missing, the scheme is
            unknown, or its settings are inconsistent.
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
                f"{path}: {scheme}:// is not a file system of TensorFlow or fsspec: give a local "
                "path, gs:// or s3://"
            ) from error
        except ImportError as error:
            raise InputError(
                f"{path}: {scheme}:// needs a package that is not installed: {error}; or give "
                "gs:// or s3://"
            ) from error
        try:
            options = _s3_options() if scheme == "s3" else {}
            # Other processes write there too, so listings are not cached.
            self._files = of_scheme(use_listings_cache=False, skip_instance_cache=True, **options)
        except Exception as error:  # of botocore, such as for a missing profile
            raise InputError(
                f"{path}: cannot be reached ({reason(error)}): correct the environment variables "
                f"of {scheme}://"
            ) from error

    @_raising_os_errors
    def exists(self, path: str) -> bool:
        # fsspec's `exists` reports a bucket that cannot be reached as missing.
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
        return [name for name in names if name]  # the marker of the directory itself has none

    @_raising_os_errors
    def walk(self, path: str, onerror: object = None) -> Iterator[tuple[str, list[str], list[str]]]:
        """All files under a directory as if in one folder: a store lists them in one request."""
        found = self._files.find(path)
        if not found:
            raise FileNotFoundError(path)
        # Some stores have markers of directories, such as "videos/".
        names = [_below(path, name) for name in found if not name.endswith("/")]
        return iter([(path, [], names)])

    @_raising_os_errors
    def read(self, path: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Reads a file, or a part of it in one request."""
        return self._files.cat_file(path, start=start, end=stop)

    def GFile(self, path: str, mode: str) -> io.BufferedReader:
        """Opens a file for reading, mode "rb"."""
        return io.BufferedReader(_Reader(self, path), _BUFFER)

    @_raising_os_errors
    def upload(self, path: str, local: str) -> None:
        """Uploads a local file, which appears whole or not at all."""
        self._files.put_file(local, path)

    @_raising_os_errors
    def download(self, path: str, local: str) -> None:
        """Downloads a file to a local path."""
        self._files.get_file(path, local)

    @_raising_os_errors
    def remove(self, path: str) -> None:
        self._files.rm_file(path)

    @_raising_os_errors
    def rmtree(self, path: str) -> None:
        # One by one: fsspec treats names as patterns when it removes several files together.
        for name in self._files.find(path):
            self._files.rm_file(name)

    def makedirs(self, path: str) -> None:
        """Does nothing: directories exist where files do, and fsspec would make a bucket."""


class _Reader(io.RawIOBase):
    """A file in a store; each part read is a request."""

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
    """Fsspec's name of a file, which has no scheme, as a path relative to a directory's URL."""
    return name.strip("/")[len(directory.split("://")[1].strip("/")) :].lstrip("/")


def _s3_options() -> dict[str, Any]:
    """Settings that tensorflow-io reads from the environment, but s3fs and botocore do not."""
    import botocore.session

    secure = not os.environ.get("S3_USE_HTTPS", "1").startswith("0")
    endpoint = os.environ.get("S3_ENDPOINT") or None
    if endpoint is not None and "://" not in endpoint:
        endpoint = f"{'https' if secure else 'http'}://{endpoint}"
    return {
        # Without keys public data can still be read.
        "anon": botocore.session.get_session().get_credentials() is None,
        "endpoint_url": endpoint,
        "use_ssl": secure,
        "client_kwargs": {"region_name": os.environ.get("AWS_REGION") or None},
        # Stores other than Amazon's may not have a host per bucket.
        "config_kwargs": {"s3": {"addressing_style": "path"}} if endpoint else {},
    }
