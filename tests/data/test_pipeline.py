"""Order, batches and scale of the clips."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.data.moving_mnist_file import MovingMNISTFile
from tgan_tf.data.pipeline import batches, normalise
from tgan_tf.data.windows import Windows
from tgan_tf.errors import InputError


class Numbered:
    """A source whose clip n has n, modulo 256, in every pixel."""

    clip_shape = (2, 3, 5, 1)

    def __init__(self, num_clips: int | None = None):
        self.num_clips = num_clips

    def clip(self, number: tf.Tensor) -> tf.Tensor:
        return tf.fill(self.clip_shape, tf.cast(number, tf.uint8))


def _numbers(dataset: tf.data.Dataset, count: int) -> list[int]:
    """The numbers of the first `count` clips of a dataset made from `Numbered`."""
    numbers = []
    for batch in dataset:
        numbers += np.rint(batch[:, 0, 0, 0, 0] * 128 + 128).astype(int).tolist()
        if len(numbers) >= count:
            return numbers[:count]


class TestNormalise:
    def test_maps_128_to_0_and_the_range_of_a_byte_to_that_of_tanh(self):
        values = normalise(tf.constant([0, 64, 128, 192, 255], tf.uint8))
        assert values.dtype == tf.float32
        np.testing.assert_array_equal(values, [-1.0, -0.5, 0.0, 0.5, 0.9921875])


class TestBatches:
    @pytest.mark.slow
    def test_are_float32_of_a_shape_known_in_advance(self):
        dataset = batches(Numbered(), batch_size=4)
        assert dataset.element_spec == tf.TensorSpec([4, 2, 3, 5, 1], tf.float32)
        assert next(iter(dataset)).shape == (4, 2, 3, 5, 1)

    def test_larger_than_the_memory_is_refused_with_its_size(self):
        with pytest.raises(InputError, match="batch_size=1000000000000: clips of .* would take"):
            batches(Numbered(), batch_size=10**12)

    def test_hold_the_clips_of_the_source_normalised(self):
        batch = next(iter(batches(Numbered(), batch_size=3, start=255)))
        np.testing.assert_array_equal(batch[:, 1, 2, 4, 0], [127 / 128, -1.0, -127 / 128])

    def test_have_no_end_that_keras_could_see(self):
        for source in (Numbered(), Numbered(num_clips=3)):
            assert batches(source, batch_size=4).cardinality() == tf.data.INFINITE_CARDINALITY

    def test_follow_the_numbers_of_an_endless_source(self):
        assert _numbers(batches(Numbered(), batch_size=4), 40) == list(range(40))

    @pytest.mark.parametrize("num_clips", [None, 7])
    @pytest.mark.parametrize("start", [0, 4, 20, 33])
    def test_go_on_from_any_place_as_if_never_stopped(self, num_clips, start):
        source = Numbered(num_clips)
        unbroken = _numbers(batches(source, batch_size=4), 50)
        assert _numbers(batches(source, batch_size=4, start=start), 12) == unbroken[start:][:12]

    @pytest.mark.slow
    def test_go_on_through_the_same_windows_of_a_file(self, tmp_path):
        frames = np.random.default_rng(0).integers(0, 256, (20, 27, 4, 4), np.uint8)
        np.save(tmp_path / "seq.npy", frames)
        source = Windows(MovingMNISTFile(tmp_path / "seq.npy"), size=4)
        unbroken = list(batches(source, batch_size=4).take(6))
        resumed = list(batches(source, batch_size=4, start=3 * 4).take(3))
        np.testing.assert_array_equal(resumed, unbroken[3:])

    def test_are_made_in_any_order_only_when_asked(self):
        assert batches(Numbered(), batch_size=4).options().deterministic is True
        loose = batches(Numbered(), batch_size=4, deterministic=False)
        assert loose.options().deterministic is False


class TestShuffle:
    @pytest.mark.parametrize("num_clips", [1, 2, 3, 7, 16, 50])
    def test_shows_every_clip_once_an_epoch(self, num_clips):
        numbers = np.array(_numbers(batches(Numbered(num_clips), batch_size=4), 5 * num_clips))
        for epoch in range(5):
            shown = np.sort(numbers[epoch * num_clips : (epoch + 1) * num_clips])
            np.testing.assert_array_equal(shown, epoch * num_clips + np.arange(num_clips))

    def test_gives_every_epoch_another_order(self):
        numbers = np.array(_numbers(batches(Numbered(20), batch_size=4), 60)).reshape(3, 20) % 20
        for one, other in itertools.combinations([range(20), *numbers], 2):
            assert list(one) != list(other)

    def test_is_the_same_for_the_same_seed(self):
        orders = [_numbers(batches(Numbered(20), batch_size=4, seed=3), 40) for _ in range(2)]
        assert orders[0] == orders[1]

    def test_differs_by_seed(self):
        orders = [_numbers(batches(Numbered(20), batch_size=4, seed=seed), 20) for seed in (0, 1)]
        assert orders[0] != orders[1]

    def test_takes_every_clip_to_every_place_alike(self):
        numbers = _numbers(batches(Numbered(4), batch_size=8), 400)
        orders = (np.array(numbers) - np.repeat(np.arange(100) * 4, 4) % 256) % 256
        visits = np.stack([np.bincount(place, minlength=4) for place in orders.reshape(100, 4).T])
        # 25 expected, give or take 4.
        assert visits.min() > 10


class TestDistribution:
    @pytest.mark.slow
    def test_splits_a_batch_over_the_replicas_in_order(self, processes):
        assert processes["two replicas"] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "place"),
        [({"batch_size": 0}, "batch_size=0"), ({"batch_size": 4, "start": -1}, "start=-1")],
    )
    def test_is_refused_in_one_line_that_names_it(self, arguments, place):
        with pytest.raises(InputError) as error:
            batches(Numbered(), **arguments)
        assert place in str(error.value)
        assert "\n" not in str(error.value)


class TestWorkers:
    @pytest.mark.slow
    @pytest.mark.parametrize("workers, replicas_each", [(1, 2), (2, 1), (2, 2), (4, 1)])
    def test_share_the_batches_of_one_worker_in_order(self, workers, replicas_each):
        one = np.array(_numbers(batches(Numbered(50), 8, start=16), 80)).reshape(10, 8)
        parts = []
        for worker in range(workers):
            context = tf.distribute.InputContext(workers, worker, workers * replicas_each)
            dataset = batches(Numbered(50), 8, start=16, input_context=context)
            assert dataset.element_spec.shape[0] == 8 // workers // replicas_each
            parts.append(np.array(_numbers(dataset, 80 // workers)).reshape(10, 8 // workers))
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), one)

    def test_of_a_batch_that_does_not_divide_are_refused(self):
        with pytest.raises(InputError, match="batch_size=7: must be a multiple of the 2 replicas"):
            batches(Numbered(), 7, input_context=tf.distribute.InputContext(2, 0, 2))

    @pytest.mark.slow
    def test_of_two_processes_make_each_its_own_half(self, processes):
        seen = [processes[f"worker {number}"] for number in range(2)]
        one = _numbers(batches(Numbered(50), 4), 12)
        for worker, half in enumerate(np.array(one).reshape(3, 2, 2).transpose(1, 0, 2)):
            assert seen[worker]["given"] == half.tolist()
            assert not set(seen[worker]["made"]) & (set(one) - set(half.flatten()))


# TensorFlow is loaded once; each program runs in a fork, since the devices and the cluster of a
# process are fixed once TensorFlow has started.
FORKS = """
import json, os, sys
import tgan_tf
import tensorflow as tf
from tgan_tf.data.pipeline import batches

children = []
for output, environment, program in json.load(sys.stdin):
    children.append(os.fork())
    if not children[-1]:
        os.environ.update(environment)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
        exec(program)
        sys.stdout.flush()
        # Without the minutes in which workers wait for each other's end.
        os._exit(0)
assert not any(os.waitpid(child, 0)[1] for child in children)
"""

TWO_REPLICAS = """
class Numbered:
    clip_shape = (1, 1, 1, 1)
    num_clips = None

    def clip(self, number):
        return tf.fill(self.clip_shape, tf.cast(number, tf.uint8))

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
distributed = iter(strategy.experimental_distribute_dataset(batches(Numbered(), batch_size=4)))
given = []
for _ in range(2):
    parts = strategy.experimental_local_results(next(distributed))
    given.append([[int(x * 128 + 128) for x in tf.reshape(part, [-1])] for part in parts])
print(json.dumps(given))
"""

WORKER = """
strategy = tf.distribute.MultiWorkerMirroredStrategy()
made = []

class Numbered:
    clip_shape = (2, 3, 5, 1)
    num_clips = 50

    def clip(self, number):
        # Not modulo 50: read ahead into the next epoch, a clip of the other worker is one's own.
        number = tf.numpy_function(lambda n: made.append(int(n)) or n, [number], tf.int64)
        return tf.fill(self.clip_shape, tf.cast(tf.ensure_shape(number, []), tf.uint8))

dataset = strategy.distribute_datasets_from_function(
    lambda context: batches(Numbered(), 4, input_context=context)
)
given = []
iterator = iter(dataset)
for _ in range(3):
    batch, = strategy.experimental_local_results(next(iterator))
    given.append((batch[:, 0, 0, 0, 0].numpy() * 128 + 128).round().astype(int).tolist())
print(json.dumps({"given": given, "made": made}))
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What programs print that need processes of their own."""
    directory = tmp_path_factory.mktemp("processes")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            ports.append(free.getsockname()[1])
    programs = {"two replicas": ({}, TWO_REPLICAS)}
    for worker in range(2):
        cluster = {
            "cluster": {"worker": [f"localhost:{port}" for port in ports]},
            "task": {"type": "worker", "index": worker},
        }
        programs[f"worker {worker}"] = ({"TF_CONFIG": json.dumps(cluster)}, WORKER)
    given = [(str(directory / name), *program) for name, program in programs.items()]
    forks = subprocess.run(
        [sys.executable, "-c", FORKS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert forks.returncode == 0, forks.stderr
    return {name: json.loads((directory / name).read_text()) for name in programs}
