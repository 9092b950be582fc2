"""Measures the layers of a training's networks, its step, and the same step in PyTorch.

Ours and PyTorch's are measured in turns, in separate processes, so that the threads of one never
wait for the other's. Each layer runs alone, on random values with the shapes of a step; its share
of the step follows from how often the step runs it.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmark_workers import Worker, seconds_of, timed
from tgan_tf import objectives, stack
from tgan_tf.configuration import Configuration, build, to_json
from tgan_tf.errors import Argument, InputError
from tgan_tf.models.flops import PlacedLayer, critic_layers, generator_layers, step_flops
from tgan_tf.tgan import TGAN

KNOWN: dict[str, tuple[Any, ...]] = {
    "generator.name": ("tgan",),
    "generator.gru_layers": (0,),
    "generator.latent_distribution": ("uniform",),
    "critic.name": ("tgan",),
    "critic.head": ("convolution",),
    "critic.noise": (0.0,),
    "lipschitz.name": ("singular_value_clipping",),
    "lipschitz.norm": ("matrix",),
    "objective": ("wasserstein", "hinge"),
    "learning_rate_decay_steps": (None,),
    "n_critic": (1,),
    "shuffle_frames": (0.0,),
    "dtype_policy": ("float32",),
}
"""Entries of a configuration and the values they may have: those that the step
in PyTorch supports and whose operations `tgan_tf.models.flops` counts."""

CONVOLUTIONS = (
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
)
_LEAST_SECONDS = 0.05  # per measurement, by as many calls as needed
_STEPS = 5  # timed together, or the steps from one clipping to the next if these are more


class Training(NamedTuple):
    """A training to measure: a configuration that passes `check_known`, and the clips per step."""

    configuration: Configuration
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps that are timed together, a multiple of the clipping interval."""
        interval = self.configuration.lipschitz["interval"]
        return interval * max(1, _STEPS // interval)

    def clips(self) -> np.ndarray:
        """Returns clips of noise, float32 [batch, frames, size, size, channels] in [-1, 1]."""
        size = self.configuration.size
        shape = (self.configuration.frames, size, size, self.configuration.channels)
        values = np.random.default_rng(0).uniform(-1, 1, (self.batch_size, *shape))
        return values.astype(np.float32)


def check_known(configuration: Configuration) -> None:
    """Raises an `InputError` that names the first entry whose value is not in `KNOWN`."""
    for entry, known in KNOWN.items():
        section, _, name = entry.rpartition(".")
        part = getattr(configuration, section) if section else vars(configuration)
        if part[name] not in known:
            choice = " or ".join(map(str, known))
            raise InputError(
                Argument(entry, part[name]), f": cannot be measured by layers, only {choice} can"
            )


def measure_layers(
    trainings: Mapping[str, Training],
    repeats: int,
    max_minutes: float | None,
    product_size: int,
) -> dict[str, dict]:
    """Measures trainings one after another.

    Returns:
        For each training its configuration, the entries of `LayerMeasurements.described`, the
        `seconds` of each part, and PyTorch's version or the reason why its step was left out.
    """
    deadline = time.monotonic() + 60.0 * (max_minutes or math.inf)
    results = {}
    for network, training in trainings.items():
        ours = Worker(LayerMeasurements, training, product_size)
        ours.answer()
        workers = {"convolutions": ours, "normalizations": ours, "product": ours, "step": ours}
        results[network] = {
            "configuration": to_json(training.configuration),
            "batch_size": training.batch_size,
            "steps": training.steps,
            **ours.ask("described"),
            "seconds": {},
        }
        theirs = Worker(PyTorchMeasurements, training)
        try:
            theirs.answer()
            results[network]["pytorch"] = theirs.ask("version")
            workers |= {"pytorch_step": theirs, "pytorch_clipping": theirs}
        except InputError as error:
            results[network]["pytorch_left_out"] = str(error)
        seconds: dict[str, list] = {part: [] for part in workers}
        for repeat in range(repeats):
            if repeat and time.monotonic() > deadline:
                break
            for part, worker in workers.items():
                if not repeat:
                    timed(worker, part, f"{network}, warm-up")
                label = f"{network}, repeat {repeat + 1} of {repeats}"
                seconds[part].append(timed(worker, part, label))
        results[network]["seconds"] = {part: _joined(found) for part, found in seconds.items()}
        ours.end()
        theirs.end()
    return results


def _joined(repeats: list) -> Any:
    """Joins the results of a part's repeats, which are lists of seconds or mappings to them."""
    if isinstance(repeats[0], dict):
        return {name: _joined([found[name] for found in repeats]) for name in repeats[0]}
    return [seconds for found in repeats for seconds in found]


class Use(NamedTuple):
    """A layer as it is used in a step.

    Attributes:
        layer: a convolution or a batch normalisation.
        input_shape: shape of the input, with the batch axis.
        output_shape: shape of the output, with the batch axis.
        flops: operations of one pass; 0 for a batch normalisation.
        times: how often a step runs each pass, by name.
    """

    layer: keras.layers.Layer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    flops: int
    times: dict[str, int]


class LayerMeasurements:
    """The parts of our step, each a method that returns seconds.

    Args:
        training: the training to measure.
        product_size: rows of the matrices of `product`.
    """

    def __init__(self, training: Training, product_size: int):
        self.training = training
        self.product_size = product_size
        self.tgan = build(training.configuration)
        zero_sum = objectives.get(training.configuration.objective).zero_sum
        self.convolution_uses, self.normalization_uses = uses(
            self.tgan, training.batch_size, zero_sum
        )
        # The gradient of the generator's loss goes through the critic a second time.
        again = 0 if zero_sum else sum(layer.flops for layer in critic_layers(self.tgan.critic)[1:])
        self.step_flops = training.batch_size * again + step_flops(
            self.tgan.generator, self.tgan.critic, training.batch_size
        )

    def described(self) -> dict:
        """The operations of a step, and each layer's shapes and number of runs."""
        return {
            "step_gflop": self.step_flops / 1e9,
            "convolutions": {
                name: {
                    "input_shape": use.input_shape,
                    "output_shape": use.output_shape,
                    "gflop": use.flops / 1e9,
                    "times": use.times,
                }
                for name, use in self.convolution_uses.items()
            },
            "normalizations": {
                name: {"input_shape": use.input_shape, "times": use.times}
                for name, use in self.normalization_uses.items()
            },
        }

    def product(self) -> list[float]:
        matrix = tf.random.uniform([self.product_size, self.product_size])
        return [seconds_of(lambda: tf.matmul(matrix, matrix)) for _ in range(3)]

    def step(self) -> list[float]:
        call = functools.partial(
            self.tgan.fit, self.dataset, steps_per_epoch=self.training.steps, verbose=0
        )
        return [seconds_of(call) / self.training.steps]

    @functools.cached_property
    def dataset(self) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(self.training.clips()).repeat()

    def convolutions(self) -> dict[str, dict[str, list[float]]]:
        return self._passes(self.convolution_uses)

    def normalizations(self) -> dict[str, dict[str, list[float]]]:
        return self._passes(self.normalization_uses)

    def _passes(self, layers: dict[str, Use]) -> dict[str, dict[str, list[float]]]:
        return {name: _seconds_of_passes(use, self.functions[name]) for name, use in layers.items()}

    @functools.cached_property
    def functions(self) -> dict[str, dict[str, Callable]]:
        """The passes of each layer, compiled when they are first run."""
        return {
            **{name: _convolution(use.layer) for name, use in self.convolution_uses.items()},
            **{name: _normalization(use.layer) for name, use in self.normalization_uses.items()},
        }


def uses(tgan: TGAN, batch_size: int, zero_sum: bool) -> tuple[dict[str, Use], dict[str, Use]]:
    """The convolutions and the batch normalisations of a step, by network and name.

    Args:
        tgan: a TGAN of the paper's networks.
        batch_size: clips per step.
        zero_sum: whether a single backward pass gives both gradients.
    """
    frames = tgan.critic.frames
    temporal, image = tgan.generator.temporal_generator, tgan.generator.image_generator
    once, each_frame = generator_layers(tgan.generator)
    of_critic = critic_layers(tgan.critic)
    normalized = {
        **_by_layer(temporal.deconvolutions, temporal.normalizations),
        **_by_layer(image.deconvolutions, image.normalizations),
        **_by_layer(
            [image.z0_dense, image.z1_dense], [image.z0_normalization, image.z1_normalization]
        ),
        **dict((id(layer), normalization) for layer, normalization in tgan.critic.stages),
    }
    convolutions, normalizations = {}, {}

    def add(part: str, placed: PlacedLayer, batch: int, times: dict[str, int]) -> None:
        shapes = (batch, *placed.input_shape), (batch, *placed.output_shape)
        if isinstance(placed.layer, CONVOLUTIONS):
            name = f"{part} {placed.layer.name}"
            convolutions[name] = Use(placed.layer, *shapes, batch * placed.flops, times)
        normalization = normalized.get(id(placed.layer))
        if normalization is not None:
            # The rows of z0 are repeated for each frame.
            rows = (batch, frames) if placed.layer is image.z0_dense else (batch,)
            shape = (*rows, *placed.output_shape)
            passes = {"forward": times["forward"], "backward": times["by_kernel"]}
            if part == "critic" and not zero_sum:
                passes["backward"] += 1
            normalizations[f"{part} {normalization.name}"] = Use(
                normalization, shape, shape, 0, passes
            )

    def once_each(by_input: int = 1) -> dict[str, int]:
        return {"forward": 1, "by_input": by_input, "by_kernel": 1}

    for placed in once:
        part = "temporal" if placed.layer in temporal.deconvolutions else "image"
        # The gradient by z0 is not computed.
        first = placed.layer is temporal.deconvolutions[0]
        add(part, placed, batch_size, once_each(0 if first else 1))
    for placed in each_frame:
        add("image", placed, batch_size * frames, once_each())
    for i, placed in enumerate(of_critic):
        # Fake and real clips; the gradient by the real ones is not computed.
        by_input = 1 if not i else 2 if zero_sum else 3
        times = {"forward": 2, "by_input": by_input, "by_kernel": 2}
        add("critic", placed, batch_size, times)
    return convolutions, normalizations


def _by_layer(layers: list, normalizations: list) -> dict[int, Any]:
    return {id(layer): normalization for layer, normalization in zip(layers, normalizations)}


def _convolution(layer: keras.layers.Layer) -> dict[str, Callable]:
    """A convolution's passes, as functions of its inputs and the gradient by its outputs.

    TensorFlow prunes whatever a function's result does not need, here the forward pass from the two
    gradients.
    """
    kernel = stack.tensorflow_variable(layer.kernel)

    @tf.function(autograph=False)
    def forward(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        return layer(inputs)

    @tf.function(autograph=False)
    def by_input(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        return tape.gradient(outputs, inputs, upstream)

    @tf.function(autograph=False)
    def by_kernel(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = layer(inputs)
        return tape.gradient(outputs, kernel, upstream)

    return {"forward": forward, "by_input": by_input, "by_kernel": by_kernel}


def _normalization(layer: keras.layers.Layer) -> dict[str, Callable]:
    """A batch normalisation's passes; the backward one needs the results of the forward one."""
    gamma = stack.tensorflow_variable(layer.gamma)

    @tf.function(autograph=False)
    def forward(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        return layer(inputs, training=True)

    @tf.function(autograph=False)
    def both(inputs: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        return outputs, *tape.gradient(outputs, [inputs, gamma], upstream)

    return {"forward": forward, "both": both}


def _seconds_of_passes(use: Use, functions: dict[str, Callable]) -> dict[str, list[float]]:
    inputs = tf.random.normal(use.input_shape)
    upstream = tf.random.normal(use.output_shape)
    found = {}
    for name, function in functions.items():
        call = functools.partial(function, inputs, upstream)
        seconds = seconds_of(call)
        found[name] = [seconds]
        if seconds < _LEAST_SECONDS:
            found[name] = [seconds_of(call, math.ceil(_LEAST_SECONDS / seconds))]
    return found


class PyTorchMeasurements:
    """The same training in PyTorch.

    Raises:
        InputError: PyTorch is not installed.
    """

    def __init__(self, training: Training):
        # Not in the process where TensorFlow measures, since each has its own threads.
        import benchmark_pytorch

        self.torch = benchmark_pytorch.torch
        self.training = training
        tgan = build(training.configuration)
        self.tgan = benchmark_pytorch.PyTorchTGAN(tgan, training.configuration)
        self.real = benchmark_pytorch.channels_first(training.clips())
        self.z0_dim = tgan.generator.z0_dim

    def version(self) -> str:
        return str(self.torch.__version__)

    def pytorch_step(self) -> list[float]:
        """Seconds per step, with the clippings of all timed steps."""
        return [seconds_of(self._step, self.training.steps)]

    def pytorch_clipping(self) -> list[float]:
        largest = self.training.configuration.lipschitz["max_singular_value"]
        return [seconds_of(lambda: self.tgan.critic.clip(largest))]

    def _step(self) -> None:
        self.tgan.step(self.real, 2 * self.torch.rand(self.training.batch_size, self.z0_dim) - 1)
