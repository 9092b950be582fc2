"""The trainings and evaluations of a comparison, each a program, several at a time.

    stopped_by = make_runs(every, num_jobs=2)
    records = kept_records(every[0])

What is done is not done again. A signal ends the programs under way, which save first, and keeps
more from being begun.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tgan_tf.errors import InputError
from tgan_tf.evaluation import records


class Run(NamedTuple):
    """A training and its evaluation.

    Attributes:
        variant: the name of what is trained.
        seed: of the training.
        directory: its run directory.
        log: the file of what its programs print.
        train: the arguments of Python that train it.
        evaluate: those that evaluate all its checkpoints.
        floor: whether it judges real clips as well.
        metrics: names of what is measured, without the frames.
        steps: of the checkpoints that are compared.
    """

    variant: str
    seed: int
    directory: Path
    log: Path
    train: list[str]
    evaluate: list[str]
    floor: bool
    metrics: list[str]
    steps: list[int]


class Children:
    """The programs under way, and the signal that has ended them.

    Attributes:
        stopped_by: the signal, or None.
    """

    def __init__(self):
        self.stopped_by: signal.Signals | None = None
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()

    def run(self, arguments: list[str], log: Path) -> int | None:
        """Runs Python to its end and gives its code; None if it is stopped, or was not begun."""
        with log.open("a") as file:
            print("$", shlex.join(["python", *arguments]), file=file, flush=True)
            with self._lock:
                if self.stopped_by is not None:
                    return None
                child = subprocess.Popen(
                    [sys.executable, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
                self._running.add(child)
            code = child.wait()
        with self._lock:
            self._running.remove(child)
            return code if self.stopped_by is None else None

    def stop(self, number: int, frame: types.FrameType | None = None) -> None:
        """Ends all that runs and keeps more from being begun; a signal's handler, too."""
        with self._lock:
            self.stopped_by = signal.Signals(number)
            for child in self._running:
                child.send_signal(signal.SIGTERM)


def make_runs(every: Sequence[Run], num_jobs: int) -> signal.Signals | None:
    """Trains and evaluates what is not there yet, and says so.

    Args:
        every: the runs, in the order in which they are begun.
        num_jobs: runs at a time, each on its own share of the cores.

    Returns:
        The signal that ended it; None if all is done.

    Raises:
        InputError: a program has failed; the others are stopped then.
    """
    children = Children()
    handlers = {
        number: signal.signal(number, children.stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    shares = queue.SimpleQueue()
    for job in range(num_jobs):
        shares.put(cores()[job::num_jobs] or cores())

    def pin():
        # A thread's cores are those of the programs that it starts, too; a small model on one core
        # makes more of it than on two.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, shares.get())

    with concurrent.futures.ThreadPoolExecutor(num_jobs, initializer=pin) as pool:
        futures = [pool.submit(_make, run, children) for run in every]
        try:
            for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                done = future.result()
                if children.stopped_by is None:
                    print(f"[{number}/{len(every)}] {done}", flush=True)
        except BaseException:
            children.stop(signal.SIGTERM)
            raise
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return children.stopped_by


def cores() -> list[int]:
    """The cores that this program may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def kept_records(run: Run) -> list[dict]:
    """What evaluate.py has written of a run's metrics and steps."""
    file = run.directory / "evaluation" / records.FILE
    kept = records.read(file) if file.exists() else []
    return [
        record
        for record in kept
        # Without the frames that end a full name.
        if record["metric"].rsplit("_", 1)[0] in run.metrics
        and (record["of"] == "real" or record.get("step") in run.steps)
    ]


def _make(run: Run, children: Children) -> str:
    """Trains and evaluates a run, if that is not done yet; says so."""
    name = run.directory.name
    if _is_evaluated(run):
        return f"{name}: is there already"
    for doing, arguments in (("training", run.train), ("evaluating", run.evaluate)):
        if children.stopped_by is not None:
            break
        print(f"{name}: {doing}, see {run.log}", flush=True)
        start = time.monotonic()
        code = children.run(arguments, run.log)
        minutes = (time.monotonic() - start) / 60
        if children.stopped_by is None:
            if code:
                lines = run.log.read_text(errors="replace").strip().splitlines()
                raise InputError(f"{name}: {doing} failed ({code}), see {run.log}: {lines[-1]}")
            print(f"{name}: {doing} took {minutes:.1f} min", flush=True)
    return f"{name}: done"


def _is_evaluated(run: Run) -> bool:
    """Whether all records of a run are there."""
    kept = kept_records(run)
    found = {(one["metric"].rsplit("_", 1)[0], one.get("step")) for one in kept}
    steps = [*run.steps, *([None] if run.floor else [])]
    return found >= set(itertools.product(run.metrics, steps))
