"""Work that is left at a deadline, whatever it waits for.

urllib3 bounds each wait for the network, not all of them: not a server that sends a byte now and
then, nor a name that is slow to resolve.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from concurrent import futures
from typing import Callable

import requests


class LeftThread(threading.Thread):
    """Work in a thread of its own, which nobody waits for after its deadline.

    Attributes:
        left: whether nobody waits for it any more.
        connection: the one it reads from.
    """

    def __init__(self, work: Callable[[LeftThread], bytes]):
        super().__init__(daemon=True)
        self.left, self.connection = threading.Event(), None
        self._work, self._future = work, futures.Future()
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

    def get_connection_with_tls_context(self, *args, **kwargs):
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _told(type(pool).ConnectionCls)
        return pool


@functools.cache
def _told(connection_class: type) -> type:
    class Told(connection_class):
        def getresponse(self, *args, **kwargs):
            thread = threading.current_thread()
            thread.connection = self
            if thread.left.is_set():
                raise socket.timeout("left")
            return super().getresponse(*args, **kwargs)

    return Told
