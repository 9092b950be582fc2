"""Connects each worker of a cluster to the chief, once all have started.

The chief listens at its port in TF_CONFIG before TensorFlow takes that port, so no other port needs
to be open. A worker sends its task, its cluster and its version of this package. The chief refuses
a task of another cluster, a task that is already connected, and another version. It ignores
anything else that connects to the port.
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
"""Seconds that a worker waits for the others to start."""
_ASK = 10.0  # seconds after which a worker prints which tasks it waits for
_LONGEST = 2**24  # bytes of a message


class Link:
    """A connection to another worker. A message is one line of JSON, an object."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """Returns the next message; None if the connection is closed.

        Raises:
            socket.timeout: no message came within `seconds`.
            OSError: the connection failed.
            ValueError: what came is not a message.
        """
        self._connection.settimeout(seconds)
        line = self._lines.readline(_LONGEST)
        if not line:
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("not a message")
        return message

    def close(self) -> None:
        self._lines.close()
        self._connection.close()


def meet(cluster: Cluster) -> dict[int, Link]:
    """Waits for all tasks and returns this task's connections, by the index of the other task.

    The chief has a connection to each other task; each other task has one to the chief.

    Raises:
        InputError: the port is in use, the tasks have different clusters or different versions of
            this package, two claim the same index, or one has not connected within `START` seconds.
    """
    return _meet_workers(cluster) if cluster.index == 0 else {0: _meet_chief(cluster)}


def _meet_workers(cluster: Cluster) -> dict[int, Link]:
    """Returns the chief's connections."""
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
                link.close()  # Something else has connected.
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
    """Why a task that has connected is not one of the cluster; None if it is."""
    if hello["index"] not in range(1, cluster.size):
        return f"a task has the index {hello['index']}, and the cluster {cluster.size} tasks"
    name, chief = cluster.name(hello["index"]), cluster.name(0)
    if hello["addresses"] != list(cluster.addresses):
        other = ", ".join(map(str, hello["addresses"]))
        return f"TF_CONFIG: {chief} has {', '.join(cluster.addresses)}, {name} has {other}"
    if hello["version"] != __version__:
        return f"tgan_tf: {chief} has {__version__}, {name} has {hello['version']}"
    return None


def _meet_chief(cluster: Cluster) -> Link:
    """Returns a worker's connection to the chief."""
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
            pass  # An earlier training may still be ending there.
        link.close()
        time.sleep(0.2)
    raise InputError(
        f"{cluster.name(0)} has not answered within {START:.0f} s: start all workers, and check "
        "that its address can be reached"
    )
