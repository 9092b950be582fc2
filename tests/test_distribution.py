"""Two replicas give what one gives on the same global batch. Runs itself in a second process.

Logical CPUs have to be set before TensorFlow touches a device.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

STEPS = 3


def compare():
    """Trains with one replica and with two; prints the largest differences as JSON."""
    import keras
    import tensorflow as tf
    from tiny_tgan import make_tgan, real_clips

    from tgan_tf import stack
    from tgan_tf.models.batch_normalization import BatchNormalization

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.OneDeviceStrategy("CPU:0")

    def run(strategy, steps, **compile_arguments):
        with strategy.scope():
            optimizers = {
                key: make() for key, make in compile_arguments.pop("optimizers", {}).items()
            }
            tgan = make_tgan(**optimizers, **compile_arguments)
        dataset = tf.data.Dataset.from_tensors(real_clips(8)).repeat()
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        start = [v.numpy() for v in tgan.variables]
        history = tgan.fit(dataset.with_options(options), steps_per_epoch=steps, verbose=0).history
        return tgan, start, history

    def difference(a, b):
        return float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-3))

    def sgd():
        return keras.optimizers.SGD(1.0)

    def play(strategy):
        """Videos and scores of a training-mode forward pass, on the same weights."""
        with strategy.scope():
            tgan = make_tgan()
        z0 = np.random.default_rng(0).uniform(-1, 1, (8, 6)).astype("f")

        def forward():
            replica = tf.distribute.get_replica_context()
            part = tf.split(z0, strategy.num_replicas_in_sync)
            videos = tgan.generator(
                tf.gather(part, replica.replica_id_in_sync_group), training=True
            )
            return videos, tgan.critic(videos, training=True)

        results = strategy.run(tf.function(forward))
        return [
            np.concatenate([part.numpy() for part in strategy.experimental_local_results(result)])
            for result in results
        ]

    def normalize():
        """Second derivatives through batch normalisation, and those of its equation in float64."""
        draw = np.random.default_rng(1).normal
        # The halves, one of each replica, have other moments.
        x, weights = draw(3, 2, (8, 5, 4)) + np.repeat([[[0]], [[2]]], 4, 0), draw(size=(8, 5, 4))
        start = np.array([1.0, 2.0, 0.5, -1.0])
        with two.scope():
            layer = BatchNormalization(center=False)
            layer.build([None, None, 4])
        layer.gamma.assign(start)

        def penalty(function, x, weights, gamma):
            with tf.GradientTape() as outer:
                outer.watch([x, gamma])
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = tf.reduce_sum(weights * tf.tanh(function(x, gamma)))
                value = tf.reduce_sum(inner.gradient(y, x) ** 2)
            return outer.gradient(value, [x, gamma])

        def equation(x, gamma):
            mean, variance = tf.nn.moments(x, [0, 1])
            return gamma * (x - mean) / tf.sqrt(variance + layer.epsilon)

        def of_replica():
            replica = tf.distribute.get_replica_context()
            part = slice(4 * replica.replica_id_in_sync_group, None)
            of_part = [tf.constant(values, tf.float32)[part][:4] for values in (x, weights)]
            gamma = stack.tensorflow_variable(layer.gamma)
            return penalty(lambda x, _: layer(x, training=True), *of_part, gamma)

        by_x, by_gamma = map(two.experimental_local_results, two.run(tf.function(of_replica)))
        ours = np.concatenate(by_x), sum(by_gamma).numpy()
        return list(zip(ours, penalty(equation, *map(tf.constant, (x, weights, start)))))

    report = {"second": [difference(*pair) for pair in normalize()]}
    for name, ours, expected in zip(("videos", "scores"), play(two), play(one)):
        assert ours.shape == expected.shape
        report[name] = difference(ours, expected)
    # The change of a step of plain gradient descent is the gradient.
    optimizers = {"generator_optimizer": sgd, "critic_optimizer": sgd}
    (first, start, history), (second, _, other) = (
        run(strategy, 1, interval=1000, optimizers=optimizers) for strategy in (one, two)
    )
    report["gradients"] = {
        stack.variable_path(a): difference(b.numpy() - old, a.numpy() - old)
        for a, b, old in zip(first.variables, second.variables, start)
        if a.trainable
    }
    report["losses"] = max(difference(np.array(other[k]), np.array(history[k])) for k in history)
    report["moments"] = {
        stack.variable_path(a): difference(b.numpy(), a.numpy())
        for a, b in zip(first.variables, second.variables)
        if "moving" in stack.variable_path(a)
    }

    (first, _, history), (second, _, other) = (
        run(s, STEPS, n_critic=2, eager=False) for s in (one, two)
    )
    report["losses_after"] = max(
        difference(np.array(other[k]), np.array(history[k])) for k in history
    )
    report["weights"] = {
        stack.variable_path(a): difference(b.numpy(), a.numpy())
        for a, b in zip(
            first.generator.variables + first.critic.variables,
            second.generator.variables + second.critic.variables,
        )
    }
    report["replicas"] = []
    report["top"] = []
    for variable in second.critic.trainable_variables:
        values = [
            value.numpy()
            for value in two.experimental_local_results(stack.tensorflow_variable(variable))
        ]
        report["replicas"].append(len(values))
        if "kernel" in stack.variable_path(variable):
            for value in values:
                matrix = value.reshape(-1, value.shape[-1])
                report["top"].append(float(np.linalg.svd(matrix, compute_uv=False)[0]))
            assert (values[0] == values[1]).all()
    print(json.dumps(report))


@pytest.fixture(scope="module")
def report():
    result = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


def before_normalization(name):
    """A bias whose exact gradient is zero, or the running mean that follows it.

    Such a bias does a random walk on rounding noise, and changes nothing the network computes.
    """
    *_, network, layer, variable = name.split("/")
    layers = {"temporal_generator": ("0", "1"), "critic": ("1",)}
    numbers = layers.get(network.rstrip("_0123456789"), ())
    return layer[-1] in numbers and variable in ("bias", "moving_mean")


def test_gradients_are_the_same(report):
    worst = {k: v for k, v in report["gradients"].items() if not before_normalization(k)}
    assert len(worst) > 20
    assert max(worst.values()) <= 1e-5, worst


def test_losses_are_means_over_all_replicas(report):
    assert report["losses"] <= 1e-5
    assert report["losses_after"] <= 1e-5


def test_running_averages_are_those_of_the_global_batch(report):
    assert max(report["moments"].values()) <= 1e-5, report["moments"]


def test_second_derivatives_through_batch_normalisation_are_those_of_the_global_batch(report):
    assert max(report["second"]) <= 1e-5


def test_weights_are_the_same_after_three_steps(report):
    worst = {k: v for k, v in report["weights"].items() if not before_normalization(k)}
    assert max(worst.values()) <= 1e-5, worst


def test_videos_and_scores_are_the_same(report):
    assert report["videos"] <= 1e-5
    assert report["scores"] <= 1e-5


def test_every_replica_holds_the_clipped_kernels(report):
    assert set(report["replicas"]) == {2}
    assert max(report["top"]) <= 1 + 1e-5


if __name__ == "__main__":
    compare()
