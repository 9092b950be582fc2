"""The workers that train a run together, as the environment variable TF_CONFIG describes them.

    TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                "task": {"type": "worker", "index": 0}}'

Kubeflow's Training Operator, Vertex AI and TensorFlow's own tools set it. The cluster is the same
for all processes; `task` says which of them this one is. The chief is the task of the job "chief",
otherwise worker 0.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import socket
from collections.abc import Mapping
from typing import Any

from tgan_tf.errors import InputError

_REMEDY = (
    'it must be like {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": '
    '"worker", "index": 0}}, see docs/several_machines.md'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The tasks that train together, and which of them this process is.

    Attributes:
        tasks: names such as "worker 0", the chief's first.
        addresses: HOST:PORT of each task, where its TensorFlow server listens.
        index: the index of this process's task; 0 is the chief.
    """

    tasks: tuple[str, ...]
    addresses: tuple[str, ...]
    index: int

    @property
    def size(self) -> int:
        """The number of tasks."""
        return len(self.tasks)

    def name(self, index: int) -> str:
        """A task's name and address, for messages."""
        return f"{self.tasks[index]} ({self.addresses[index]})"


def from_tf_config(text: str) -> Cluster | None:
    """Parses TF_CONFIG.

    Args:
        text: the value of the variable; empty if it is not set.

    Returns:
        The cluster; None if `text` is empty or no task of the cluster trains.

    Raises:
        InputError: the value is malformed, it has a job other than chief, worker and evaluator,
            more than one chief or the same address twice, or this task is not in the cluster.
    """
    if not text:
        return None
    try:
        entries = json.loads(text)
        # A job without tasks does not count, and an evaluator does not train.
        jobs = {job: tasks for job, tasks in (entries.get("cluster") or {}).items() if tasks}
        task = entries.get("task") or {}
        jobs.pop("evaluator", None)
    except (AttributeError, TypeError, ValueError) as error:
        raise _malformed(text, f"does not describe a cluster ({error})") from error
    if not jobs:
        return None
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown:
        raise _malformed(text, f"has the job {unknown[0]!r}, and only chief and worker can train")
    addresses = {}
    for job in ("chief", "worker"):
        tasks = jobs.get(job, [])
        if not isinstance(tasks, list) or not all(isinstance(one, str) for one in tasks):
            raise _malformed(text, f"the tasks of {job} must be a list of HOST:PORT")
        addresses.update({f"{job} {number}": address for number, address in enumerate(tasks)})
    if "chief 1" in addresses:
        raise _malformed(text, "has more than one chief")
    for name, address in addresses.items():
        try:
            parsed(address)
        except ValueError as error:
            raise _malformed(text, f"the address of {name} is {error}") from error
    if len(set(addresses.values())) < len(addresses):
        twice = next(one for one in addresses.values() if [*addresses.values()].count(one) > 1)
        raise _malformed(text, f"two tasks have the address {twice}")
    return Cluster(
        tuple(addresses), tuple(addresses.values()), _own_index(text, task, list(addresses))
    )


def _own_index(text: str, task: Any, names: list[str]) -> int:
    if not isinstance(task, Mapping) or "type" not in task or "index" not in task:
        raise _malformed(text, "has no task with a type and an index")
    name = f"{task['type']} {task['index']}"
    if name not in names:
        raise _malformed(text, f"its task is {name}, and its cluster has {', '.join(names)}")
    return names.index(name)


def _malformed(text: str, why: str) -> InputError:
    return InputError(f"TF_CONFIG={text}: {why}: {_REMEDY}")


def parsed(address: str) -> tuple[str, int]:
    """Splits HOST:PORT.

    Raises:
        ValueError: the address has another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{address!r}, not HOST:PORT")
    return host.strip("[]"), int(port)


def listening(address: str) -> socket.socket:
    """Opens a socket that listens at an address's port on all interfaces of this machine.

    Raises:
        InputError: the port is in use, or this process may not use it.
    """
    _, port = parsed(address)
    try:
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256
                )
        return socket.create_server(("", port), backlog=256)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise InputError(
            f"TF_CONFIG: the port of this task, {address}, {reason}: end the process that uses it, "
            "or choose another port"
        ) from error
