"""The workers of a training on this machine, each a process with its own cores, for measuring."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from program_flags import strategy_flags

import tensorflow as tf

from benchmark_network import configuration
from benchmark_workers import Worker
from tgan_tf.configuration import build
from tgan_tf.data import MovingMNIST, batches

ALL_REDUCES = 5
"""How many are timed together."""


class Share:
    """One worker's part of a training; all have to be asked for the same at the same time.

    Args:
        network: sizes, by the keys of `benchmark_network.PAPER`, with the global batch.
        steps: that are timed together.
        tasks: addresses of the workers; a training by itself if there is but one.
        index: of this worker.
        cores: that this process may use.
    """

    def __init__(
        self, network: dict[str, int], steps: int, tasks: list[str], index: int, cores: list[int]
    ):
        # Before TensorFlow makes its threads, as many as there are cores.
        os.sched_setaffinity(0, cores)
        self.steps = steps
        if len(tasks) == 1:
            strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        else:
            task = {"type": "worker", "index": index}
            os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": tasks}, "task": task})
            strategy = strategy_flags.multi_worker_strategy("ring")
        with strategy.scope():
            self.tgan = build(configuration(network))
        size = network["size"]
        source = MovingMNIST(network["frames"], size, digit_size=min(28, size))
        dataset = strategy.distribute_datasets_from_function(
            lambda context: batches(source, network["batch_size"], input_context=context)
        )
        # Not by `fit`, which ends only when tf.data has ended too, up to a minute later.
        self._iterator = iter(dataset)
        self._train = self.tgan.make_train_function()
        gradients = [
            tf.zeros(variable.shape)
            for player in (self.tgan.generator, self.tgan.critic)
            for variable in player.trainable_variables
        ]

        def sums():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

        self._sums = tf.function(lambda: strategy.run(sums), autograph=False)

    def step(self) -> list[float]:
        start = time.perf_counter()
        for _ in range(self.steps):
            losses = self._train(self._iterator)
        for loss in losses.values():  # They may be on their way still.
            float(loss)
        return [(time.perf_counter() - start) / self.steps]

    def all_reduce(self) -> list[float]:
        """Of the gradients, without the computation."""
        start = time.perf_counter()
        for _ in range(ALL_REDUCES):
            sums = self._sums()
        for part in sums:  # They may be on their way still.
            part.numpy()
        return [(time.perf_counter() - start) / ALL_REDUCES]


class Cluster:
    """So many workers, asked together.

    Args:
        count: how many workers.
        network: see `Share`.
        steps: see `Share`.
    """

    def __init__(self, count: int, network: dict[str, int], steps: int):
        cores = sorted(os.sched_getaffinity(0))
        tasks = _addresses(count)
        # As many cores together as one process has; of more workers than cores some share one.
        own = [cores[index::count] or [cores[index % len(cores)]] for index in range(count)]
        self.workers = [
            Worker(Share, network, steps, tasks, index, own[index]) for index in range(count)
        ]
        self._answers()

    def ask(self, name: str) -> tuple[float, int]:
        """Seconds of the slowest worker, and the bytes that went over the loopback meanwhile."""
        before = _loopback_bytes()
        for worker in self.workers:
            worker.connection.send(name)
        seconds = max(min(answer) for answer in self._answers())
        return seconds, _loopback_bytes() - before

    def _answers(self) -> list:
        return [worker.answer() for worker in self.workers]


def _loopback_bytes() -> int:
    """Bytes that have gone over the loopback interface so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    return 0


def _addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found
