"""Runs the trainings and evaluations of a comparison, each as a program, several in parallel.

    stopped_by = make_runs(every, num_jobs=2)
    records = kept_records(every[0])

Finished work is not repeated. A signal ends the running programs, which save first, and prevents
new ones.
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
        variant: name of the variant.
        seed: seed of the training.
        directory: run directory.
        log: file for the output of the programs.
        train: Python's arguments for training.
        evaluate: Python's arguments for evaluating all checkpoints.
        floor: whether the evaluation includes real clips.
        metrics: names of the metrics, without the frames.
        steps: steps of the compared checkpoints.
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
    """The running programs, and the signal that ended them.

    Attributes:
        stopped_by: the signal, or None.
    """

    def __init__(self):
        self.stopped_by: signal.Signals | None = None
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()

    def run(self, arguments: list[str], log: Path) -> int | None:
        """Runs Python and returns its exit code; None if it was stopped or not started."""
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
        """Ends the running programs and prevents new ones; also a signal handler."""
        with self._lock:
            self.stopped_by = signal.Signals(number)
            for child in self._running:
                child.send_signal(signal.SIGTERM)


def make_runs(every: Sequence[Run], num_jobs: int) -> signal.Signals | None:
    """Trains and evaluates the runs that are not finished yet, and prints progress.

    Args:
        every: the runs, in starting order.
        num_jobs: number of parallel runs, each on its own share of the cores.

    Returns:
        The signal that ended the programs; None if all runs are done.

    Raises:
        InputError: a program failed; the others are then stopped.
    """
    children = Children()
    handlers = {
        number: signal.signal(number, children.stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    shares = queue.SimpleQueue()
    for job in range(num_jobs):
        shares.put(cores()[job::num_jobs] or cores())

    def pin():
        # Programs inherit the cores of the thread that starts them; a small model uses one core
        # more efficiently than two.
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
    """The records that evaluate.py has written for a run's metrics and steps."""
    file = run.directory / "evaluation" / records.FILE
    kept = records.read(file) if file.exists() else []
    return [
        record
        for record in kept
        # A full name ends with the frames.
        if record["metric"].rsplit("_", 1)[0] in run.metrics
        and (record["of"] == "real" or record.get("step") in run.steps)
    ]


def _make(run: Run, children: Children) -> str:
    """Trains and evaluates a run unless that is done; returns a line about it."""
    name = run.directory.name
    if _is_evaluated(run):
        return f"{name}: is already done"
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
    """Whether all records of a run exist."""
    found = {
        (one["metric"].rsplit("_", 1)[0], one.get("step"), one["of"]) for one in kept_records(run)
    }
    wanted = {(*one, "checkpoint") for one in itertools.product(run.metrics, run.steps)}
    # Not each metric has a value for real clips; what there are, evaluate.py writes at once.
    has_floor = any(of == "real" for *_, of in found)
    return found >= wanted and (has_floor or not run.floor)
