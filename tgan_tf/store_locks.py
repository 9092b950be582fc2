"""One writer per directory of an object store, which has no locks of its own.

    with exclusive("s3://bucket/runs/mine", "is being trained") as lock:
        lock.check()                     # before each write: an error if another holds it now

The lock is an object, `.lock`, with the holder's name and a random token. Its holder rewrites it
every `RENEWAL` seconds. A newcomer that finds a lock watches it. If the lock changes, the newcomer
is refused; if it does not change for `STALE` seconds, the newcomer takes it over. So nothing
depends on the clocks of two machines.

A process that writes the lock reads it back after a moment. If several write it, the last one has
it, and the others find out before they write anything else. Not every store can refuse a write that
comes too late: a holder that was stopped for longer than `STALE` seconds during a write can still
finish that write.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tgan_tf import file_locks
from tgan_tf.cluster import Cluster
from tgan_tf.data import storage
from tgan_tf.errors import InputError

RENEWAL = 5.0
"""Seconds from one renewal to the next."""
STALE = 30.0
"""Seconds without a renewal after which another process may take a lock over."""
_SETTLE = 1.0  # seconds after which a lock that was written is read back
_POLL = 1.0  # seconds from one look at another's lock to the next
_HALF_WRITTEN = 0.2  # seconds that the rest of a half-written lock may take
_LAST = 10.0  # seconds to wait at the end for a renewal in progress


class Lock:
    """A lock that this process holds; `exclusive` makes it.

    Args:
        directory: URL of the directory.
        doing: what its holder does, for the message to others.
        cluster: the cluster whose chief this process is, see `exclusive`.
    """

    def __init__(self, directory: str, doing: str, cluster: Cluster | None):
        self._directory = directory
        self._path = f"{directory}/{file_locks.LOCK}"
        self._doing = doing
        self._entries = {
            "holder": file_locks.this_process(),
            "token": uuid.uuid4().hex,
            "cluster": cluster and f"{socket.gethostname()} {' '.join(cluster.addresses)}",
        }
        self._left = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def take(self) -> None:
        """Takes the lock if it is free; otherwise waits until it is gone or stale, or is refused.

        Raises:
            InputError: another process holds the lock (the message names it), or the store fails.
        """
        with storage.reported(self._directory, "cannot be written to"):
            found = _read(self._path)
            if found is not None and not self._is_of_cluster(found):
                self._wait(found)
            self._write()
            time.sleep(_SETTLE)
            found = _read(self._path)
            if not self._is_own(found):
                raise self._refusal(found)
        self._renewing.start()

    def check(self) -> None:
        """Raises an error if this process no longer holds the lock.

        Raises:
            InputError: another process has taken it over.
            OSError or tf.errors.OpError: it is gone, or the store fails.
        """
        found = _read(self._path)
        if found is None:
            # tensorflow-io says the same of a server that does not answer.
            raise FileNotFoundError(errno.ENOENT, "its lock is gone, or it does not answer")
        if not self._is_own(found):
            raise InputError(
                f"{self._directory}: the lock was taken over by {_holder(found)}: nothing more is "
                "written there; start the same command again when no other has it"
            )

    def leave(self) -> None:
        """Removes the lock, if this process still holds it."""
        self._left.set()
        self._renewing.join(_LAST)
        # If the store fails, the lock becomes stale.
        with contextlib.suppress(OSError, tf.errors.OpError):
            if self._is_own(_read(self._path)):
                storage.remove(self._path)

    def _wait(self, found: bytes) -> None:
        """Waits until another process's lock is stale or gone; raises if it is renewed."""
        print(
            f"{self._directory}: {self._doing} by {_holder(found)}, as its lock says: taking it "
            f"over if it is not renewed within {STALE:.0f} s",
            flush=True,
        )
        end = time.monotonic() + STALE
        while time.monotonic() < end:
            time.sleep(_POLL)
            now = _read(self._path)
            if now is None:
                return
            if now != found:
                raise self._refusal(now)

    def _refusal(self, found: bytes | None) -> InputError:
        return InputError(
            f"{self._directory}: {self._doing} by {_holder(found)}: wait until it has ended, stop "
            "it, or give another directory"
        )

    def _renew(self) -> None:
        while not self._left.wait(RENEWAL):
            # If the store keeps failing, the next write reports it.
            with contextlib.suppress(OSError, tf.errors.OpError):
                found = _read(self._path)
                if self._is_own(found):
                    self._write()
                elif found is not None:
                    return

    def _write(self) -> None:
        entries = {**self._entries, "renewal": uuid.uuid4().hex}
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump(entries, file)
            file.flush()
            storage.upload(file.name, self._path)

    def _is_own(self, found: bytes | None) -> bool:
        return _entry(found, "token") == self._entries["token"]

    def _is_of_cluster(self, found: bytes) -> bool:
        cluster = self._entries["cluster"]
        return cluster is not None and _entry(found, "cluster") == cluster


@contextlib.contextmanager
def exclusive(directory: str, doing: str, cluster: Cluster | None = None) -> Iterator[Lock]:
    """Locks a directory of an object store for this process alone; readers need no lock.

    Args:
        directory: URL of the directory.
        doing: what the holder does, for the message to others: "is being trained".
        cluster: the cluster whose chief this process is; it must hold the chief's port. A lock left
            by the same cluster's chief on this machine is taken over at once: that process held the
            port, so it has ended.

    Raises:
        InputError: another process holds the lock (the message names it), or the store fails.
    """
    lock = Lock(directory, doing, cluster)
    lock.take()
    try:
        yield lock
    finally:
        lock.leave()


def token(directory: str) -> str | None:
    """The random token of the holder of a directory's lock; None if there is no lock.

    Raises:
        InputError: the store fails.
    """
    with storage.reported(directory, "cannot be read"):
        return _entry(_read(f"{directory}/{file_locks.LOCK}"), "token")


def _read(path: str) -> bytes | None:
    try:
        found = storage.read(path)
        if _entry(found, "token") is None:
            # Unlike an object store, a file system may show a file that is half written.
            time.sleep(_HALF_WRITTEN)
            found = storage.read(path)
        return found
    except (FileNotFoundError, tf.errors.NotFoundError):
        return None


def _entry(found: bytes | None, name: str) -> Any:
    """An entry of a lock; None if there is none."""
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(found or b"").get(name)
    return None


def _holder(found: bytes | None) -> str:
    """The holder's name, for messages."""
    return str(_entry(found, "holder") or "another process")
