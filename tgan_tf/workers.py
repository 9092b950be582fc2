"""What the workers of a training exchange besides gradients.

TensorFlow's `MultiWorkerMirroredStrategy` sums what the workers compute. It does not check that
they were started alike, it waits a long time for a worker that has ended, and it does not tell the
others when one is asked to stop. So each worker keeps a connection to the chief; a message is one
line of JSON:

    with workers.join(cluster, lost) as peers:          # waits for all workers
        peers.agree({"batch_size": "32"})               # `InputError` if one differs
        values = peers.gather(mine)                     # all values, in the order of the cluster
        if peers.stop(step, signal, wanted): ...        # all stop after the same step

However a process ends, its connection closes, so the others know at once. A process that hangs
entirely, or whose machine is cut off, counts as lost after `SILENCE` seconds without a message.

An ordinary step needs no message. No worker can end a step that the chief has not begun. So the
chief announces the last step before it begins that step itself, and waits for each answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from tgan_tf import file_locks
from tgan_tf.cluster import Cluster, listening
from tgan_tf.errors import Argument, InputError, one_line
from tgan_tf.meeting import Link, meet

SILENCE = 20.0
"""Seconds of silence after which a worker counts as lost."""
EXIT_CODE = 138
"""Exit code of a process that ends because another worker is lost. Kubeflow's Training Operator
restarts a process with this code, and treats codes up to 127 as permanent errors."""
_BEAT = 2.0  # seconds between messages
_GRACE = 3.0  # seconds for the main thread to end by itself after a worker is lost
_FAREWELL = 10.0  # seconds for the other processes to end after the last step

Value = TypeVar("Value")


class Lost(Exception):
    """Another worker is lost. The message is one line that names it and the remedy."""


class Alone:
    """The only process of a training, with the methods of `Workers`."""

    size = 1
    is_chief = True

    def agree(self, facts: Mapping[str, str]) -> None:
        """Does nothing: there is nobody to differ from."""

    def gather(self, value: Value) -> list[Value]:
        """Returns a list of the one value."""
        return [value]

    def stop(self, step: int, signal: int, wanted: bool) -> int | None:
        """See `Workers.stop`; this step is the last if a stop is asked for."""
        return signal if signal or wanted else None


ALONE = Alone()


class Workers:
    """One of several connected workers, made by `join`.

    Attributes:
        size: number of workers.
        is_chief: whether this worker is the one that writes.
    """

    def __init__(self, cluster: Cluster, links: Mapping[int, Link], on_loss: Callable[[str], None]):
        self.cluster = cluster
        self.size = cluster.size
        self.is_chief = cluster.index == 0
        self._links = links
        self._on_loss = on_loss
        self._changed = threading.Condition()
        self._lost: str | None = None
        self._left = threading.Event()
        self._number = 0
        self._values: dict[int, dict[int, Any]] = {}
        self._answers: dict[int, list[Any]] = {}
        self._wanted = self._signal = 0
        self._told_chief = False
        self._last_step: int | None = None
        self._acknowledged: set[int] = set()
        self._finished: set[int] = set()
        self._readers = [
            threading.Thread(target=self._read, args=(index,), daemon=True) for index in links
        ]
        for thread in (*self._readers, threading.Thread(target=self._beat, daemon=True)):
            thread.start()

    def gather(self, value: Value) -> list[Value]:
        """Returns the values of all workers, in the order of the cluster, the chief's first.

        All workers must call it the same number of times.

        Args:
            value: a value of a JSON type.

        Raises:
            Lost: another worker is lost.
        """
        self._number += 1
        number = self._number
        if not self.is_chief:
            self._send({"value": value, "number": number})
            return self._wait(lambda: self._answers.pop(number, None))
        with self._changed:
            of_all = self._values.setdefault(number, {})
        of_all[0] = value
        self._wait(lambda: len(of_all) == self.size or None)
        del self._values[number]
        answer = [of_all[index] for index in range(self.size)]
        self._send({"values": answer, "number": number})
        return answer

    def agree(self, facts: Mapping[str, str]) -> None:
        """Compares facts that must be the same on all workers.

        Args:
            facts: name, as in a message ("--batch_size", "TensorFlow") → value.

        Raises:
            InputError: a fact differs. Every worker raises it, with the same message.
            Lost: another worker is lost.
        """
        first, *others = self.gather(dict(facts))
        for index, other in enumerate(others, start=1):
            for name in {**first, **other}:
                mine, theirs = first.get(name, "nothing"), other.get(name, "nothing")
                if mine != theirs:
                    raise InputError(
                        f"{name}: {self.cluster.name(0)} has {mine}, {self.cluster.name(index)} "
                        f"has {theirs}: start all workers with the same"
                    )

    def stop(self, step: int, signal: int, wanted: bool) -> int | None:
        """Decides whether this step is the last. Every worker must call it after each step.

        Args:
            step: the step just made.
            signal: number of the signal that asks this worker to stop; 0 if there was none.
            wanted: on the chief, whether to stop for another reason.

        Returns:
            None to go on. To stop: the number of the signal, or 0 for another reason.

        Raises:
            Lost: another worker is lost.
        """
        if not self.is_chief:
            if signal and not self._told_chief:
                self._told_chief = True
                self._send({"stop": signal})
        elif self._last_step is None:
            signal = signal or self._wanted
            if wanted or signal:
                self._last_step, self._signal = step + 1, signal
                self._send({"last_step": step + 1, "signal": signal})
                self._wait(lambda: len(self._acknowledged) == self.size - 1 or None)
        reached = self._last_step is not None and step >= self._last_step
        return self._signal if reached else None

    def finish(self) -> None:
        """Waits until all workers are done. The chief, to whom the others connect, ends last."""
        self.gather("finished")
        self._left.set()
        self._send({"finished": True})
        if self.is_chief:
            end = time.monotonic() + _FAREWELL
            for thread in self._readers:
                thread.join(max(0.0, end - time.monotonic()))

    def fail(self, message: str) -> None:
        """Tells the other workers that this one is ending, and why."""
        self._left.set()
        if self._lost is None:
            self._send({"failed": message})

    def loss(self, seconds: float) -> Lost | None:
        """Waits up to `seconds` for another worker to be lost; returns that `Lost`, or None."""
        with self._changed:
            self._changed.wait_for(lambda: self._lost is not None, seconds)
        return None if self._lost is None else Lost(self._lost)

    def _wait(self, found: Callable[[], Value | None]) -> Value:
        with self._changed:
            while True:
                value = found()
                if value is not None:
                    return value
                if self._lost is not None:
                    raise Lost(self._lost)
                self._changed.wait()

    def _send(self, message: Mapping[str, Any]) -> None:
        for link in self._links.values():
            # The thread that reads from this connection notices and reports it.
            with contextlib.suppress(OSError):
                link.send(message)

    def _beat(self) -> None:
        while True:
            self._send({})
            time.sleep(_BEAT)

    def _read(self, index: int) -> None:
        why = "has ended without a word, as if it was killed"
        try:
            while True:
                message = self._links[index].receive(SILENCE)
                if message is None:
                    break
                with self._changed:
                    self._take(index, message)
                    self._changed.notify_all()
        except socket.timeout:
            why = f"has said nothing for {SILENCE:.0f} s, so it hangs or is cut off"
        except (OSError, ValueError):
            pass
        if index in self._finished:
            return
        self._lose(
            f"{self.cluster.name(index)} {why}: the same command on every worker resumes at the "
            "last checkpoint"
        )

    def _take(self, index: int, message: Mapping[str, Any]) -> None:
        if "value" in message:
            self._values.setdefault(message["number"], {})[index] = message["value"]
        elif "values" in message:
            self._answers[message["number"]] = message["values"]
        elif "stop" in message:
            self._wanted = message["stop"]
        elif "last_step" in message:
            self._last_step, self._signal = message["last_step"], message["signal"]
            self._send({"acknowledged": self._last_step})
        elif "acknowledged" in message:
            self._acknowledged.add(index)
        elif "finished" in message:
            self._finished.add(index)
        elif "failed" in message:
            self._lose(f"{self.cluster.name(index)} has ended: {message['failed']}")
        elif "lost" in message:
            self._lose(message["lost"])

    def _lose(self, why: str) -> None:
        with self._changed:
            if self._lost is not None or self._left.is_set():
                return
            self._lost = one_line(why)
            self._changed.notify_all()
        if self.is_chief:
            self._send({"lost": self._lost})
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        # The main thread may be in a TensorFlow operation that waits for the lost worker.
        if not self._left.wait(_GRACE):
            self._on_loss(self._lost or "")


@contextlib.contextmanager
def join(cluster: Cluster, on_loss: Callable[[str], None]) -> Iterator[Alone | Workers]:
    """Waits until all workers have started, and connects this one with the others.

    Call it before making TensorFlow's strategy, which takes the port.

    Args:
        cluster: the cluster, the same on all workers.
        on_loss: called in another thread, with a line about the lost worker, if the main thread
            does not raise `Lost` in time because it is in an operation that never returns. It must
            end the process.

    Yields:
        The connected workers; `Alone` for a cluster of one task.

    Raises:
        InputError: see `meeting.meet`.
        Lost: another worker has ended or hangs.
    """
    if cluster.size == 1:
        listening(cluster.addresses[0]).close()
        yield Alone()
        return
    peers = Workers(cluster, meet(cluster), on_loss)
    try:
        yield peers
        peers.finish()
    except tf.errors.OpError as error:
        # The connection to the lost worker says more than the error of a collective operation.
        lost = peers.loss(SILENCE + _BEAT)
        peers.fail(f"{type(error).__name__}: {error}")
        if lost is None:
            raise
        raise lost from error
    except BaseException as error:
        peers.fail(str(error) or type(error).__name__)
        raise


def check_shared(
    run_dir: str | Path, peers: Alone | Workers, seen: Callable[[], str | None]
) -> None:
    """Checks that this worker sees the run directory that the chief has locked.

    Args:
        run_dir: the directory that the chief has locked, see `remote_runs.opened`.
        peers: the workers that train together.
        seen: returns what this worker sees of the chief's lock; None if it sees no lock.

    Raises:
        InputError: this worker sees another directory, or none.
        Lost: another worker has ended, perhaps because it sees another directory.
    """
    if peers.size == 1:
        return
    written = peers.gather(seen() if peers.is_chief else None)[0]
    # A network file system may take some seconds to show what another machine has written.
    end = time.monotonic() + 10
    while seen() != written:
        if time.monotonic() > end:
            raise InputError(
                Argument("run_dir", str(run_dir)),
                f": does not show here what the chief has written there, {file_locks.LOCK}: give a "
                "directory on storage that all workers see",
            )
        time.sleep(0.1)
    peers.gather(None)
