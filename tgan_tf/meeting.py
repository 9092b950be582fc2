"""How the workers of a cluster meet: each has one connection to the chief when all are there.

The chief listens at its port of TF_CONFIG before TensorFlow does, so that no other port need be
open. A worker says which task it is and of which cluster; the chief refuses a task of another
cluster, one that is there already, and another version of this package. What else comes to the port
is left alone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from tgan_tf import __version__
from tgan_tf.cluster import Cluster, listening, parsed
from tgan_tf.errors import InputError

START = 300.0
"""Seconds that a worker waits for the others to come."""
_ASK = 10.0  # seconds after which it is told whom a worker waits for
_LONGEST = 2**24  # bytes of a message


class Link:
    """A connection to another worker, of lines of JSON."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None at the end.

        Raises:
            socket.timeout: none came in so many seconds.
            ValueError: it is no message.
        """
        self._connection.settimeout(seconds)
        line = self._lines.readline(_LONGEST)
        if not line:
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("no message")
        return message

    def close(self) -> None:
        self._lines.close()
        self._connection.close()


def meet(cluster: Cluster) -> dict[int, Link]:
    """The connections of a task, when all are there: the chief's to each other, else to the chief.

    Raises:
        InputError: the port is in use, the tasks are of other clusters or have other versions of
            this package, two say that they are the same, or not all come within `START` seconds.
    """
    return _meet_workers(cluster) if cluster.index == 0 else {0: _meet_chief(cluster)}


def _meet_workers(cluster: Cluster) -> dict[int, Link]:
    """The chief's connections, when all are there."""
    links: dict[int, Link] = {}
    end, told = time.monotonic() + START, False
    with listening(cluster.addresses[0]) as server:
        while len(links) < cluster.size - 1:
            missing = [cluster.name(i) for i in range(1, cluster.size) if i not in links]
            if time.monotonic() > end:
                _refuse(links, f"{missing[0]} has not come within {START:.0f} s: start all workers")
            server.settimeout(_ASK)
            try:
                connection, _ = server.accept()
            except socket.timeout:
                if not told:
                    print(f"waiting for {', '.join(missing)}", flush=True)
                told = True
                continue
            link = Link(connection)
            try:
                hello = link.receive(5) or {}
                index = hello["index"]
            except (OSError, ValueError, KeyError):
                link.close()  # Not one of ours.
                continue
            differs = _differs(cluster, hello)
            if index in links:
                differs = f"two tasks say that they are {cluster.name(index)}"
            if differs is not None:
                _refuse({**links, -1: link}, f"{differs}: give each its own task of one TF_CONFIG")
            links[index] = link
    for link in links.values():
        link.send({"welcome": True})
    return links


def _refuse(links: Mapping[int, Link], why: str) -> None:
    for link in links.values():
        with contextlib.suppress(OSError):
            link.send({"failed": why})
    raise InputError(why)


def _hello(cluster: Cluster) -> dict[str, Any]:
    return {"index": cluster.index, "addresses": cluster.addresses, "version": __version__}


def _differs(cluster: Cluster, hello: Mapping[str, Any]) -> str | None:
    """How a task that has come is not one of the cluster."""
    if hello["index"] not in range(1, cluster.size):
        return f"a task came with the number {hello['index']}"
    name, chief = cluster.name(hello["index"]), cluster.name(0)
    if hello["addresses"] != list(cluster.addresses):
        other = ", ".join(map(str, hello["addresses"]))
        return f"TF_CONFIG: {chief} has {', '.join(cluster.addresses)}, {name} has {other}"
    if hello["version"] != __version__:
        return f"tgan_tf: {chief} has {__version__}, {name} has {hello['version']}"
    return None


def _meet_chief(cluster: Cluster) -> Link:
    """A worker's connection, when all are there."""
    listening(cluster.addresses[cluster.index]).close()
    begun, told = time.monotonic(), False
    while time.monotonic() < begun + START:
        if not told and time.monotonic() > begun + _ASK:
            print(f"waiting for {cluster.name(0)}", flush=True)
            told = True
        try:
            link = Link(socket.create_connection(parsed(cluster.addresses[0]), 5))
        except OSError:
            time.sleep(0.2)
            continue
        try:
            link.send(_hello(cluster))
            answer = link.receive(max(1.0, begun + START - time.monotonic())) or {}
            if "failed" in answer:
                raise InputError(str(answer["failed"]))
            if "welcome" in answer:
                return link
        except InputError:
            raise
        except (OSError, ValueError):
            pass  # It may be of a training that is still to end there.
        link.close()
        time.sleep(0.2)
    raise InputError(
        f"{cluster.name(0)} has not answered within {START:.0f} s: start all workers, and see that "
        "its address can be reached"
    )
