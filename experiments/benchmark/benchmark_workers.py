"""Measures training and serving of a network, each precision in a separate process.

The peak memory is therefore that of training in one precision only. Compared parts are measured in
turns, and the fastest repeat counts, since other work on the machine only adds time.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import program_flags  # noqa: F401  (first, as in the programs)

import keras
import numpy as np
import tensorflow as tf

from benchmark_network import CLIPPING_INTERVAL, TwoPhaseTGAN, configuration
from tgan_tf import export
from tgan_tf.configuration import build
from tgan_tf.data import MovingMNIST, batches
from tgan_tf.errors import InputError
from tgan_tf.serving.messages import PredictionLog
from tgan_tf.tgan import TGAN

# Methods of `Measurements`. Training comes first and alone, to measure its memory; then it is
# measured again, in turns with the parts it is compared with.
ALONE = ("product", "step", "product")
BESIDE = (
    "one_pass_step",
    "two_phase_step",
    "product",
    "clipping",
    "input_batch",
    "serving_1",
    "serving_32",
    "first_and_tenth_request",
)
# These load and warm up a model each time.
WITHOUT_WARM_UP = ("first_and_tenth_request",)


def measure(
    network: dict[str, int],
    precisions: Sequence[str],
    bfloat16_arithmetic: bool,
    repeats: int,
    max_minutes: float | None,
    product_size: int,
) -> dict[str, dict]:
    """Measures precisions in turns.

    A processor without bfloat16 arithmetic takes minutes for a single clip. A step then has one
    clip and one repeat, enough for a ratio, and no other part is measured.

    Returns:
        For each precision `batch_size`, `steps` per repeat, `seconds` of each part, and
        `peak_memory_bytes` of training unless the arithmetic is emulated.
    """
    deadline = time.monotonic() + 60.0 * (max_minutes or math.inf)
    results, workers = {}, {}
    for precision in precisions:
        emulated = precision == "mixed_bfloat16" and not bfloat16_arithmetic
        batch_size, steps = (1, 1) if emulated else (network["batch_size"], CLIPPING_INTERVAL)
        results[precision] = {
            "emulated": emulated,
            "batch_size": batch_size,
            "steps": steps,
            "seconds": {},
        }
        workers[precision] = Worker(
            Measurements,
            {**network, "batch_size": batch_size},
            precision,
            steps,
            product_size,
        )
    for worker in workers.values():
        worker.answer()
    for parts in (ALONE, BESIDE):
        for repeat in range(repeats):
            if repeat and time.monotonic() > deadline:
                break
            for precision, worker in workers.items():
                if results[precision]["emulated"] and (repeat or parts is BESIDE):
                    continue
                seconds = results[precision]["seconds"]
                for part in parts:
                    if part not in seconds:
                        if part not in WITHOUT_WARM_UP:
                            timed(worker, part, f"{precision}, warm-up")
                        seconds[part] = []
                    label = f"{precision}, repeat {repeat + 1} of {repeats}"
                    seconds[part] += timed(worker, part, label)
        if parts is ALONE:
            for precision, worker in workers.items():
                if not results[precision]["emulated"]:
                    results[precision]["peak_memory_bytes"] = worker.ask("peak_memory_bytes")
    return results


def timed(worker: Worker, part: str, label: str):
    """Measures a part and prints progress; returns a list of seconds, or a mapping to lists."""
    print(f"{label}: {part}", file=sys.stderr, flush=True)
    seconds = worker.ask(part)
    if isinstance(seconds, list):
        print(f"    {min(seconds):.4f} s", file=sys.stderr, flush=True)
    return seconds


class Worker:
    """A separate process that measures, for example with `Measurements`.

    The first answer is None and comes when the process is ready.

    Args:
        kind: the measuring class.
        *arguments: arguments of its constructor.
    """

    def __init__(self, kind: type, *arguments):
        # Not forked: a fork would lack TensorFlow's threads and would count this process's memory.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, kind, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, name: str):
        """Returns the result of the method of that name; raises as `answer` does."""
        self.connection.send(name)
        return self.answer()

    def end(self) -> None:
        """Ends the process and frees its memory for others."""
        self.connection.close()
        self.process.join()

    def answer(self):
        """Waits for an answer.

        Raises:
            InputError: the process raised it or has ended.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise InputError(
                f"the measuring process ended with exit code {self.process.exitcode}; -9 means out "
                "of memory: give a smaller batch_size"
            ) from error
        if isinstance(answer, InputError):
            raise answer
        return answer


def serve(connection, kind: type, *arguments) -> None:
    """Runs a `Worker`'s process: measures on request until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        measurements = kind(*arguments)
        connection.send(None)
        while True:
            connection.send(getattr(measurements, connection.recv())())
    except InputError as error:
        connection.send(error)
    except (EOFError, ConnectionError):
        pass


class Measurements:
    """The measured parts, each a method that returns a list of seconds.

    Args:
        network: sizes, by the keys of `benchmark_network.PAPER`.
        precision: Keras policy for the whole process.
        steps: training steps that are timed together.
        product_size: rows of the matrices of `product`.
    """

    def __init__(self, network: dict[str, int], precision: str, steps: int, product_size: int):
        keras.mixed_precision.set_global_policy(precision)
        self.network = network
        self.steps = steps
        self.product_size = product_size
        self.tgan = build(configuration(network))
        size = network["size"]
        source = MovingMNIST(network["frames"], size, digit_size=min(28, size))
        self.dataset = batches(source, network["batch_size"])

    # Made on first use: nothing else may take memory while training is measured alone.
    @functools.cached_property
    def two_phase_tgan(self) -> TwoPhaseTGAN:
        return build(configuration(self.network), TwoPhaseTGAN)

    @functools.cached_property
    def exported(self) -> Path:
        """The generator as export.py writes it."""
        # The directory is kept until the process ends.
        self.directory = tempfile.TemporaryDirectory()
        return export.export_generator(self.tgan.generator, Path(self.directory.name, "model"))

    @functools.cached_property
    def generate(self) -> Callable:
        return self._load()

    def _load(self) -> Callable:
        """Loads and warms up the model as TensorFlow Serving does; returns a function of seeds."""
        version = self.exported
        with tf.Graph().as_default() as graph:
            session = tf.compat.v1.Session(graph=graph)
            model = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(version))
        calls = {
            name: session.make_callable(
                [info.name for info in signature.outputs.values()],
                [info.name for _, info in sorted(signature.inputs.items())],
            )
            for name, signature in model.signature_def.items()
            if signature.inputs
        }
        warm_up = version / "assets.extra" / "tf_serving_warmup_requests"
        for record in tf.data.TFRecordDataset(str(warm_up)).as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            inputs = [tf.make_ndarray(value) for _, value in sorted(request.inputs.items())]
            calls[request.model_spec.signature_name](*inputs)
        return calls["generate"]

    @functools.cached_property
    def clip(self) -> Callable:
        constrained = [
            variable
            for variable in self.tgan.critic.trainable_variables
            if variable.constraint is not None
        ]

        @tf.function
        def clip():
            for variable in constrained:
                variable.assign(variable.constraint.constrain(variable))

        return clip

    def product(self) -> list[float]:
        matrix = tf.random.uniform([self.product_size, self.product_size])
        return [seconds_of(lambda: tf.matmul(matrix, matrix)) for _ in range(3)]

    def step(self) -> list[float]:
        return [self._train(self.tgan)]

    one_pass_step = step

    def two_phase_step(self) -> list[float]:
        return [self._train(self.two_phase_tgan)]

    def _train(self, tgan: TGAN) -> float:
        call = functools.partial(tgan.fit, self.dataset, steps_per_epoch=self.steps, verbose=0)
        return seconds_of(call) / self.steps

    def clipping(self) -> list[float]:
        return [seconds_of(self.clip) for _ in range(3)]

    def input_batch(self) -> list[float]:
        iterator = iter(self.dataset)
        next(iterator)
        return [seconds_of(lambda: next(iterator), 20)]

    def serving_1(self) -> list[float]:
        return self._serving(videos=1, calls=10)

    def serving_32(self) -> list[float]:
        return self._serving(videos=32, calls=1)

    def _serving(self, videos: int, calls: int) -> list[float]:
        seeds = np.arange(videos, dtype=np.int64)
        return [seconds_of(lambda: self.generate(seeds), calls) for _ in range(3)]

    def first_and_tenth_request(self) -> list[float]:
        """Seconds of the first and the tenth request after a load."""
        request = functools.partial(self._load(), np.array([0]))
        times = [seconds_of(request) for _ in range(10)]
        return [times[0], times[9]]

    def peak_memory_bytes(self) -> int:
        """The peak memory of this process so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def seconds_of(call: Callable, calls: int = 1) -> float:
    """Wall-clock seconds per call."""
    tf.test.experimental.sync_devices()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    tf.test.experimental.sync_devices()
    return (time.perf_counter() - start) / calls
