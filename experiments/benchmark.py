"""Measures the speed and the memory of training and serving on this machine.

    python experiments/benchmark.py --output=benchmark.json

prints a Markdown table and keeps every time it was made from in a JSON file. The network is the
paper's for Moving MNIST unless flags say otherwise; the floors are for that on an idle machine with
2 cores.

Each precision is measured in a process of its own, so that its peak memory is that of training in
it and of nothing else. What is compared is measured in turns, and the fastest repeat counts: what
else goes on in a machine only ever adds time.
"""

from __future__ import annotations

import functools
import json
import math
import multiprocessing
import os
import platform
import re
import resource
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

import checked_flags
import command_line
import keras
import numpy as np
import tensorflow as tf
from absl import flags
from tensorflow_serving.apis import prediction_log_pb2

from tgan_tf import __version__, export
from tgan_tf.capacity import check_memory
from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping
from tgan_tf.data import MovingMNIST, batches
from tgan_tf.errors import InputError
from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.models.sizes import BASE_SIZE
from tgan_tf.tgan import TGAN, rmsprop

FLAGS = flags.FLAGS

PAPER = {
    "frames": 16,
    "size": 64,
    "temporal_filters": 512,
    "image_filters": 512,
    "critic_filters": 64,
    "batch_size": 32,
}
PRECISIONS = ("float32", "mixed_bfloat16")
CLIPPING_INTERVAL = 5

for size, about in {
    "frames": "Frames of a clip, a power of two (paper: 16).",
    "size": "Rows and columns of a frame (paper: 64).",
    "temporal_filters": "Temporal generator's widest layer (paper: 512).",
    "image_filters": "Image generator's widest layer (paper: 512).",
    "critic_filters": "Critic's first layer, doubled by each (paper: 64).",
    "batch_size": "Clips in a step (paper: 32).",
}.items():
    checked_flags.integer(size, PAPER[size], about, at_least=1, at_most=65536)
checked_flags.names(
    "precisions", list(PRECISIONS), "Keras policies to measure, with commas.", PRECISIONS
)
checked_flags.integer("repeats", 3, "How often each part is measured, after a warm-up.", at_least=1)
checked_flags.number(
    "max_minutes",
    None,
    "Begin no second repeat of a part after this, if given.",
    above=0,
    at_most=1e6,
)
checked_flags.integer(
    "product_size", 4096, "Rows of the square matrices whose product is the peak.", 1, 65536
)
checked_flags.new_file("output", "benchmark.json", "JSON file of the results; must not exist yet.")


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        label: what the table calls it.
        measure: its key in the JSON file.
        form: format of its values.
        floor: what is promised of it, ("≥", lowest) or ("≤", highest), if anything.
        precision: the only precision for which that is promised; None for all.
    """

    label: str
    measure: str
    form: str
    floor: tuple[str, float] | None = None
    precision: str | None = None


ROWS = (
    Row("Training, steps a second", "steps_per_second", "{:.3f}"),
    Row("Training, clips a second", "clips_per_second", "{:.2f}"),
    Row("Training, GFLOP/s", "gflop_per_second", "{:.1f}"),
    Row("Peak: a float32 matrix product, GFLOP/s", "peak_gflop_per_second", "{:.1f}"),
    Row("Training, share of the peak", "share_of_peak", "{:.1%}", ("≥", 0.6), "float32"),
    Row(
        "Training, times as fast as in float32",
        "speedup_over_float32",
        "{:.3g}",
        ("≥", 1.3),
        "mixed_bfloat16",
    ),
    Row("Step, times as fast as in two phases", "speedup_over_two_phase", "{:.3g}", ("≥", 1.15)),
    Row("Clipping, share of the step", "clipping_share", "{:.2%}", ("≤", 0.015)),
    Row("Input pipeline alone, clips a second", "input_clips_per_second", "{:.0f}"),
    Row("Input pipeline, times what the step eats", "input_speedup", "{:.1f}", ("≥", 5.0)),
    Row("Served, 1 video of a seed, ms", "serving_1_ms", "{:.1f}"),
    Row("Served, 32 videos of seeds, ms", "serving_32_ms", "{:.0f}"),
    # 60 ms and 0.5 s where the peak is 453 GFLOP/s.
    Row("Served, 1 video, share of the peak", "serving_1_share", "{:.1%}", ("≥", 0.142), "float32"),
    Row("Served, 32, share of the peak", "serving_32_share", "{:.1%}", ("≥", 0.544), "float32"),
    # As fast as the tenth, but for the noise of the machine.
    Row(
        "Served, first request, times the tenth", "first_request", "{:.2f}", ("≤", 1.25), "float32"
    ),
    Row("Peak memory of training, GB", "peak_memory_gb", "{:.2f}", ("≤", 4.0)),
)

# Methods of `Measurements`. Training comes first and alone, since memory is to be its own; then
# it is measured again, in turns with what it is compared to.
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


def main(_) -> None:
    check_memory(8 * FLAGS.product_size**2, f"--product_size={FLAGS.product_size}", "give less")
    network = {name: FLAGS[name].value for name in PAPER}
    tgan = make_tgan(TGAN, network)
    results = {
        "tgan_tf": __version__,
        "machine": machine(),
        "network": network,
        "clipping_interval": CLIPPING_INTERVAL,
        "step_gflop": step_flops(tgan, network["batch_size"]) / 1e9,
        "video_gflop": sum(generator_flops(tgan.generator)) / 1e9,
        "product_size": FLAGS.product_size,
    }
    results["precisions"] = measure(network, results["machine"]["bfloat16_arithmetic"])
    evaluate(results)
    print(table(results))
    command_line.write_new_file("output", json.dumps(results, indent=2) + "\n")
    print(f"{FLAGS.output}: written", file=sys.stderr)


def measure(network: dict[str, int], bfloat16_arithmetic: bool) -> dict[str, dict]:
    """Measures the precisions in turns.

    A processor without bfloat16 arithmetic takes minutes for a single clip: there a step has one
    clip and one repeat, enough for a ratio, and nothing else is measured.

    Returns:
        For each precision `batch_size`, `steps` a repeat, `seconds` of each part, and
        `peak_memory_bytes` of training unless the arithmetic is emulated.
    """
    deadline = time.monotonic() + 60.0 * (FLAGS.max_minutes or math.inf)
    results, workers = {}, {}
    for precision in FLAGS.precisions:
        emulated = precision == "mixed_bfloat16" and not bfloat16_arithmetic
        batch_size, steps = (1, 1) if emulated else (network["batch_size"], CLIPPING_INTERVAL)
        results[precision] = {
            "emulated": emulated,
            "batch_size": batch_size,
            "steps": steps,
            "seconds": {},
        }
        workers[precision] = Worker(
            {**network, "batch_size": batch_size}, precision, steps, FLAGS.product_size
        )
    for worker in workers.values():
        worker.answer()
    for parts in (ALONE, BESIDE):
        for repeat in range(FLAGS.repeats):
            if repeat and time.monotonic() > deadline:
                break
            for precision, worker in workers.items():
                if results[precision]["emulated"] and (repeat or parts is BESIDE):
                    continue
                seconds = results[precision]["seconds"]
                for part in parts:
                    if part not in seconds:
                        timed(worker, part, f"{precision}, warm-up")
                        seconds[part] = []
                    label = f"{precision}, repeat {repeat + 1} of {FLAGS.repeats}"
                    seconds[part] += timed(worker, part, label)
        if parts is ALONE:
            for precision, worker in workers.items():
                if not results[precision]["emulated"]:
                    results[precision]["peak_memory_bytes"] = worker.ask("peak_memory_bytes")
    return results


def timed(worker: Worker, part: str, label: str) -> list[float]:
    """The seconds of a part, with lines of progress."""
    print(f"{label}: {part}", file=sys.stderr, flush=True)
    seconds = worker.ask(part)
    print(f"    {min(seconds):.4f} s", file=sys.stderr, flush=True)
    return seconds


class Worker:
    """A process with `Measurements` of its own, whose arguments these are.

    Its first answer, None, comes when it is ready.
    """

    def __init__(self, *arguments):
        # Not forked: TensorFlow's threads would be missing, and this process's memory counted.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, name: str):
        """What the method of that name returns; raises as `answer`."""
        self.connection.send(name)
        return self.answer()

    def answer(self):
        """Waits for an answer.

        Raises:
            InputError: the process raised it, or has ended.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise InputError(
                f"the process that measures ended with exit code {self.process.exitcode}; -9 is "
                "lack of memory: give a smaller --batch_size"
            ) from error
        if isinstance(answer, InputError):
            raise answer
        return answer


def serve(connection, *arguments) -> None:
    """What a `Worker`'s process does: measures what it is asked for until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        measurements = Measurements(*arguments)
        connection.send(None)
        while True:
            connection.send(getattr(measurements, connection.recv())())
    except InputError as error:
        connection.send(error)
    except (EOFError, ConnectionError):
        pass


class Measurements:
    """The parts that are measured, each a method that returns seconds, one for each time.

    Args:
        network: sizes, by the keys of `PAPER`.
        precision: Keras policy, set for the whole process.
        steps: training steps that are timed together.
        product_size: rows of the matrices of `product`.
    """

    def __init__(self, network: dict[str, int], precision: str, steps: int, product_size: int):
        keras.mixed_precision.set_global_policy(precision)
        self.network = network
        self.steps = steps
        self.product_size = product_size
        self.tgan = make_tgan(TGAN, network)
        size = network["size"]
        source = MovingMNIST(network["frames"], size, digit_size=min(28, size))
        self.dataset = batches(source, network["batch_size"])

    # Made when first asked for: while training is measured alone, nothing else may take memory.
    @functools.cached_property
    def two_phase_tgan(self) -> TwoPhaseTGAN:
        return make_tgan(TwoPhaseTGAN, self.network)

    @functools.cached_property
    def exported(self) -> Path:
        """The generator as export.py writes it."""
        # Kept until the process ends.
        self.directory = tempfile.TemporaryDirectory()
        return export.export_generator(self.tgan.generator, Path(self.directory.name, "model"))

    @functools.cached_property
    def generate(self) -> Callable:
        return self._load()

    def _load(self) -> Callable:
        """The model loaded and warmed up as TensorFlow Serving does; a function of seeds."""
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
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
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
        return [seconds(lambda: tf.matmul(matrix, matrix)) for _ in range(3)]

    def step(self) -> list[float]:
        return [self._train(self.tgan)]

    one_pass_step = step

    def two_phase_step(self) -> list[float]:
        return [self._train(self.two_phase_tgan)]

    def _train(self, tgan: TGAN) -> float:
        call = functools.partial(tgan.fit, self.dataset, steps_per_epoch=self.steps, verbose=0)
        return seconds(call) / self.steps

    def clipping(self) -> list[float]:
        return [seconds(self.clip) for _ in range(3)]

    def input_batch(self) -> list[float]:
        iterator = iter(self.dataset)
        next(iterator)
        return [seconds(lambda: next(iterator), 20)]

    def serving_1(self) -> list[float]:
        return self._serving(videos=1, calls=10)

    def serving_32(self) -> list[float]:
        return self._serving(videos=32, calls=1)

    def _serving(self, videos: int, calls: int) -> list[float]:
        seeds = np.arange(videos, dtype=np.int64)
        return [seconds(lambda: self.generate(seeds), calls) for _ in range(3)]

    def first_and_tenth_request(self) -> list[float]:
        """The first request after a load and the tenth, of three loads."""
        found = []
        for _ in range(3):
            request = functools.partial(self._load(), np.array([0]))
            times = [seconds(request) for _ in range(10)]
            found += [times[0], times[9]]
        return found

    def peak_memory_bytes(self) -> int:
        """The most memory this process has held so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def seconds(call: Callable, calls: int = 1) -> float:
    """Seconds of wall clock a call."""
    tf.test.experimental.sync_devices()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    tf.test.experimental.sync_devices()
    return (time.perf_counter() - start) / calls


class TwoPhaseTGAN(TGAN):
    """The usual step of a GAN, as a yardstick: each player has passes of its own."""

    def train_step(self, data):
        fake = self.generator(self._draw(data), training=True)
        with tf.GradientTape() as tape:
            fake_scores = self.critic(fake, training=True)
            real_scores = self.critic(data, training=True)
            critic_loss = self.objective.critic_loss(real_scores, fake_scores)
        variables = self.critic.trainable_variables
        self.critic_optimizer.apply_gradients(zip(tape.gradient(critic_loss, variables), variables))

        with tf.GradientTape() as tape:
            fake = self.generator(self._draw(data), training=True)
            generator_loss = self.objective.generator_loss(self.critic(fake, training=True))
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply_gradients(
            zip(tape.gradient(generator_loss, variables), variables)
        )
        self.critic_loss.update_state(critic_loss)
        self.generator_loss.update_state(generator_loss)
        return {metric.name: metric.result() for metric in self.metrics}

    def _draw(self, data):
        return tf.random.uniform([tf.shape(data)[0], self.generator.z0_dim], -1.0, 1.0)


def make_tgan(kind: type[TGAN], network: dict[str, int], channels: int = 1) -> TGAN:
    """The paper's training on Moving MNIST with networks of these sizes."""
    uniform = keras.initializers.RandomUniform(-0.01, 0.01)
    generator = VideoGenerator(
        network["frames"],
        network["size"],
        channels,
        temporal_filters=network["temporal_filters"],
        image_filters=network["image_filters"],
        temporal_initializer=uniform,
        image_initializer=uniform,
    )
    critic = Critic(
        network["frames"],
        network["size"],
        channels,
        filters=network["critic_filters"],
        kernel_initializer=uniform,
        kernel_constraint=SingularValueClipping(interval=CLIPPING_INTERVAL),
        gamma_constraint=BatchNormScaleClipping(CLIPPING_INTERVAL),
    )
    tgan = kind(generator, critic)
    tgan.compile(rmsprop(), rmsprop())
    return tgan


def step_flops(tgan: TGAN, batch_size: int) -> int:
    """Floating-point operations of the convolutions and dense layers in a training step.

    A layer's gradient by its kernel and the one by its input take as many as the layer itself.
    All kernels' gradients are needed, and the gradients by the inputs but for inputs that no
    variable has made: z0, which the first layer of each generator sees, and the real clips.
    Products with the zeros of a padding count, as is usual.
    """
    generator = generator_flops(tgan.generator)
    critic = chain_flops(
        [*tgan.critic.convolutions, tgan.critic.score], (None, *tgan.critic.clip_shape)
    )
    # The first layer of each generator.
    by_z0 = generator[0] + generator[len(tgan.generator.temporal_generator.deconvolutions)]
    a_video = 3 * sum(generator) - by_z0 + 2 * 3 * sum(critic) - critic[0]
    return batch_size * a_video


def generator_flops(generator: VideoGenerator) -> list[int]:
    """Operations of the layers that make a video: those of G0, those of G1's z0, of each frame."""
    temporal_generator, image_generator = generator.temporal_generator, generator.image_generator
    maps = (None, BASE_SIZE, BASE_SIZE, image_generator.filters // 2)
    a_frame = [
        *chain_flops([image_generator.z1_dense], (None, image_generator.z1_dim)),
        *chain_flops([*image_generator.deconvolutions, image_generator.to_frame], maps),
    ]
    return [
        *chain_flops(temporal_generator.deconvolutions, (None, 1, temporal_generator.z0_dim)),
        *chain_flops([image_generator.z0_dense], (None, image_generator.z0_dim)),
        *chain_flops([image_generator.z0_deconvolution], maps),
        *a_frame * generator.frames,
    ]


def chain_flops(layers: list[keras.layers.Layer], shape: tuple) -> list[int]:
    """Operations of one forward pass through each layer of a chain, for one sample.

    Args:
        layers: dense layers, convolutions and transposed convolutions.
        shape: of the first layer's input, with the batch axis.
    """
    transposed = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose)
    flops = []
    for layer in layers:
        output_shape = layer.compute_output_shape(shape)
        # The kernel meets each position of the output, or, transposed, of the input.
        positions = math.prod((shape if isinstance(layer, transposed) else output_shape)[1:-1])
        flops.append(2 * positions * math.prod(layer.kernel.shape))
        shape = output_shape
    return flops


def evaluate(results: dict) -> None:
    """Adds to each precision the measures that follow from its seconds, and to all the floors."""
    clip_gflop = results["step_gflop"] / results["network"]["batch_size"]
    for measured in results["precisions"].values():
        batch_size = measured["batch_size"]
        best = {part: min(times) for part, times in measured["seconds"].items()}
        speed = batch_size * clip_gflop / best["step"]
        peak = 2e-9 * results["product_size"] ** 3 / best["product"]
        measured["measures"] = {
            "clips_per_second": batch_size / best["step"],
            "gflop_per_second": speed,
            "peak_gflop_per_second": peak,
            "share_of_peak": speed / peak,
        }
        if not measured["emulated"]:
            clipping = best["clipping"] / results["clipping_interval"]
            requests = measured["seconds"]["first_and_tenth_request"]
            measured["measures"] |= {
                "steps_per_second": 1.0 / best["step"],
                "speedup_over_two_phase": best["two_phase_step"] / best["one_pass_step"],
                "clipping_share": clipping / best["step"],
                "input_clips_per_second": batch_size / best["input_batch"],
                "input_speedup": best["step"] / best["input_batch"],
                "serving_1_ms": 1e3 * best["serving_1"],
                "serving_32_ms": 1e3 * best["serving_32"],
                "serving_1_share": results["video_gflop"] / best["serving_1"] / peak,
                "serving_32_share": 32 * results["video_gflop"] / best["serving_32"] / peak,
                "first_request": statistics.median(requests[::2])
                / statistics.median(requests[1::2]),
                "peak_memory_gb": measured["peak_memory_bytes"] / 1e9,
            }
    measures = {name: found["measures"] for name, found in results["precisions"].items()}
    if len(measures) == 2:
        measures["mixed_bfloat16"]["speedup_over_float32"] = (
            measures["mixed_bfloat16"]["clips_per_second"] / measures["float32"]["clips_per_second"]
        )
    results["floors"] = [
        judge(row, precision, values[row.measure], results)
        for row in ROWS
        for precision, values in measures.items()
        if row.floor and row.precision in (None, precision) and row.measure in values
    ]


def judge(row: Row, precision: str, value: float, results: dict) -> dict:
    """Whether a value meets the floor of its row: `met` is None where no floor is meant."""
    sign, bound = row.floor
    met, reason = (value >= bound if sign == "≥" else value <= bound), None
    if results["network"] != PAPER:
        met, reason = None, "another network"
    elif results["precisions"][precision]["emulated"]:
        met, reason = None, "the processor has no bfloat16 arithmetic"
    return {
        "measure": row.measure,
        "precision": precision,
        "value": value,
        "floor": f"{sign} {bound}",
        "met": met,
        "not_judged_because": reason,
    }


def table(results: dict) -> str:
    """The results in Markdown: the machine, a table, how it was measured."""
    precisions = results["precisions"]
    names = [
        f"{name} (emulated, 1 clip a step)" if measured["emulated"] else name
        for name, measured in precisions.items()
    ]
    lines = [
        machine_line(results["machine"]),
        "",
        f"| | {' | '.join(names)} | Floor | Met |",
        f"| --- |{' ---: |' * len(names)} --- | --- |",
    ]
    for row in ROWS:
        values = [measured["measures"].get(row.measure) for measured in precisions.values()]
        cells = ["" if value is None else row.form.format(value) for value in values]
        if any(cells):
            judged = [floor for floor in results["floors"] if floor["measure"] == row.measure]
            lines.append(f"| {' | '.join([row.label, *cells, *floor_cells(row, judged)])} |")
    network = ", ".join(f"{name} {value}" for name, value in results["network"].items())
    repeats = max(len(measured["seconds"]["step"]) for measured in precisions.values())
    lines += [
        "",
        f"{'The paper’s' if results['network'] == PAPER else 'Another'} network: {network}. A step "
        f"is {results['step_gflop']:.4g} GFLOP, with clipping every {results['clipping_interval']} "
        f"steps. Fastest of {repeats} repeats; the peak is of {results['product_size']}² "
        "matrices in the same run. In two phases, critic and generator each have a forward and a "
        f"backward pass of their own. A video is {results['video_gflop']:.3g} GFLOP, when served "
        "made by the exported model in a session as TensorFlow Serving runs it, after its warm-up.",
    ]
    return "\n".join(lines)


def floor_cells(row: Row, judged: list[dict]) -> tuple[str, str]:
    """The floor of a row and whether it is met, as the table shows them."""
    if row.floor is None:
        return "", ""
    sign, bound = row.floor
    floor = f"{sign} {row.form.format(bound)}" + (f" in {row.precision}" if row.precision else "")
    missed = [entry["precision"] for entry in judged if entry["met"] is False]
    if missed:
        return floor, f"**missed** in {', '.join(missed)}"
    reasons = {entry["not_judged_because"] for entry in judged if entry["met"] is None}
    if reasons:
        return floor, f"not judged: {', '.join(sorted(reasons))}"
    return floor, "yes" if judged else "not measured"


def machine() -> dict:
    """The machine and the software, as far as the times depend on them."""
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        processor = ""
    model = re.search(r"^model name\s*: (.*)$", processor, re.MULTILINE)
    flags_line = re.search(r"^(?:flags|Features)\s*:(.*)$", processor, re.MULTILINE)
    features = set(flags_line[1].split()) if flags_line else set()
    affinity = getattr(os, "sched_getaffinity", None)
    gpus = len(tf.config.list_physical_devices("GPU"))
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        # The names of x86 and of Arm; GPUs are taken to have it.
        "bfloat16_arithmetic": bool(features & {"avx512_bf16", "amx_bf16", "bf16"} or gpus),
        "gpus": gpus,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"] != "0",
    }


def machine_line(machine: dict) -> str:
    """The machine in one line."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['gpus']} GPUs, "
        f"{'with' if machine['bfloat16_arithmetic'] else 'without'} bfloat16 arithmetic, load "
        f"{machine['load_before']:.1f} before the run; TensorFlow {machine['tensorflow']}, oneDNN "
        f"{'on' if machine['onednn'] else 'off'}."
    )


if __name__ == "__main__":
    command_line.run(main)
