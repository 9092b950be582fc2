"""Clusters of real processes on this machine, as TF_CONFIG describes them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).parents[1] / "experiments/train.py"


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
    return json.dumps(
        {"cluster": {"worker": tasks}, "task": {"type": "worker", "index": index}}
    )


def start(arguments: list[str], config: str, directory: Path, name: str) -> subprocess.Popen:
    """Starts train.py as one task; what it prints goes to NAME.log in the directory."""
    return subprocess.Popen(
        [sys.executable, str(TRAIN), "--distribution_strategy=multi_worker_mirrored", *arguments],
        env={**os.environ, "TF_CONFIG": config},
        cwd=directory,
        stdout=(directory / f"{name}.log").open("w"),
        stderr=subprocess.STDOUT,
    )
