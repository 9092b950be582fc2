"""Abandons work at a deadline, whatever the work waits for.

urllib3 limits each wait for the network but not their sum: a server that sends a byte now and then,
or a name that resolves slowly, can take any time.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from concurrent import futures
from typing import Any, Callable

import requests


class LeftThread(threading.Thread):
    """A thread for work that is abandoned after its deadline.

    Attributes:
        left: an event that is set once nobody waits for the result any more.
        connection: the connection it reads from; None before the first.
    """

    def __init__(self, work: Callable[[LeftThread], bytes]) -> None:
        super().__init__(daemon=True)
        self.left = threading.Event()
        self.connection: Any = None
        self._work = work
        self._future: futures.Future[bytes] = futures.Future()
        self.start()

    def run(self) -> None:
        try:
            self._future.set_result(self._work(self))
        except BaseException as error:
            self._future.set_exception(error)

    def result(self, seconds: float) -> bytes:
        try:
            return self._future.result(seconds)
        finally:
            self.left.set()
            sock = getattr(self.connection, "sock", None)
            if sock and not self._future.done():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class Adapter(requests.adapters.HTTPAdapter):
    """Tells a `LeftThread` which connection it reads from."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _told(type(pool).ConnectionCls)
        return pool


@functools.cache
def _told(connection_class: type) -> type:
    class Told(connection_class):
        def getresponse(self, *args: Any, **kwargs: Any) -> Any:
            thread = threading.current_thread()
            if isinstance(thread, LeftThread):
                thread.connection = self
                if thread.left.is_set():
                    raise socket.timeout("left")
            return super().getresponse(*args, **kwargs)

    return Told
