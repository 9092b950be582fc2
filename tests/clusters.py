"""Clusters of real processes on this machine, as TF_CONFIG describes them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from programs import Started, start


def addresses(count: int) -> list[str]:
    """Addresses of this machine whose ports are free."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


def tf_config(tasks: list[str], index: int) -> str:
    """What a scheduler sets for one of the workers."""
    return json.dumps({"cluster": {"worker": tasks}, "task": {"type": "worker", "index": index}})


def start_workers(
    count: int,
    arguments: list[str] | list[list[str]],
    directory: Path,
    name: str,
    tasks: list[str] | None = None,
) -> list[Started]:
    """Starts train.py on so many workers side by side.

    Args:
        count: how many.
        arguments: of all of them, or a list for each.
        directory: where they run; what they print goes to files there.
        name: of the files.
        tasks: their addresses; default: free ones.
    """
    tasks = tasks or addresses(count)
    each = arguments if isinstance(arguments[0], list) else [arguments] * count
    return [
        start(
            "train.py",
            ["--distribution_strategy=multi_worker_mirrored", *each[index]],
            directory,
            directory / f"{name}-{index}.log",
            {"TF_CONFIG": tf_config(tasks, index)},
        )
        for index in range(count)
    ]
