"""What holds of all constraints: arguments, saving, mixed precision, replicas; weight clipping."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from clipping import dense_model, exact_projection, largest

import tgan_tf
from tgan_tf.constraints import (
    BatchNormScaleClipping,
    SingularValueClipping,
    WeightClipping,
    follow_optimizer,
)
from tgan_tf.errors import InputError


def test_weight_clipping_clips_every_entry():
    w = tf.constant([[0.5, -0.5], [0.01, -0.01], [0.009, 0.0]])
    expected = [[0.01, -0.01], [0.01, -0.01], [0.009, 0.0]]
    np.testing.assert_allclose(WeightClipping()(w), expected, rtol=1e-6)
    expected = [[0.25, -0.25], [0.01, -0.01], [0.009, 0.0]]
    np.testing.assert_allclose(WeightClipping(limit=0.25)(w), expected, rtol=1e-6)
    clipped = WeightClipping()(tf.Variable([0.02, -3.0], dtype=tf.bfloat16))
    assert clipped.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(clipped, tf.float32), [0.01, -0.01], rtol=2**-8)


@pytest.mark.parametrize(
    "constraint",
    (
        SingularValueClipping(),
        SingularValueClipping(max_singular_value=0.5, interval=5, output_axis=-2),
        SingularValueClipping(norm="operator"),
        BatchNormScaleClipping(),
        BatchNormScaleClipping(interval=5),
        WeightClipping(),
        WeightClipping(limit=0.5),
    ),
)
def test_a_constraint_survives_its_configuration(constraint):
    config = json.loads(json.dumps(constraint.get_config()))
    arguments = {
        name: value
        for name, value in vars(constraint).items()
        if name not in ("step", "layers", "_found")
    }
    assert config == arguments
    for restored in (
        type(constraint).from_config(config),
        keras.constraints.get(keras.constraints.serialize(constraint)),
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(constraint)),
    ):
        assert type(restored) is type(constraint) and restored is not constraint
        assert restored.get_config() == constraint.get_config()


@pytest.mark.slow
def test_a_model_with_constraints_is_saved_loaded_and_trained_further(tmp_path):
    keras.utils.set_random_seed(0)
    clipping = SingularValueClipping
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, kernel_constraint=clipping(max_singular_value=0.5)),
            keras.layers.BatchNormalization(gamma_constraint=BatchNormScaleClipping()),
            keras.layers.Conv2DTranspose(3, 3, name="up", kernel_constraint=clipping(1, 1, -2)),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_constraint=WeightClipping()),
        ]
    )
    model.compile(keras.optimizers.RMSprop(0.5), loss="mse")
    follow_optimizer(model, model.optimizer)
    random = np.random.default_rng(0)
    x = random.standard_normal((8, 6, 6, 2)).astype(np.float32)
    y = random.standard_normal((8, 1)).astype(np.float32)
    model.fit(x, y, batch_size=4, verbose=0)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for saved, restored in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(restored, saved)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))

    follow_optimizer(loaded, loaded.optimizer)
    loaded.fit(x, y, batch_size=4, verbose=0)
    assert int(loaded.optimizer.iterations) == 4
    convolution, norm, up, _, dense = loaded.layers
    assert np.any(convolution.kernel.numpy() != model.layers[0].kernel.numpy())
    assert 0.5 - 1e-5 <= largest(convolution.kernel) <= 0.5 + 1e-5
    assert 1 - 1e-5 <= largest(up.kernel, -2) <= 1 + 1e-5
    assert np.abs(dense.kernel).max() <= np.float32(0.01)
    # The update of γ comes before the clipping, that of the running variance before both.
    deviation = np.sqrt(norm.moving_variance.numpy())
    assert np.all(norm.gamma <= deviation * (1 + 1e-6))
    assert np.all(norm.gamma >= 0.01 * deviation * (1 - 1e-6))


@pytest.mark.parametrize("interval", (0, -5, 2.5, 5.0, True, "5", None))
def test_an_interval_that_is_no_whole_number_of_at_least_1_is_refused(interval):
    for constraint in (SingularValueClipping, BatchNormScaleClipping):
        with pytest.raises(InputError, match=f"interval={interval!r}"):
            constraint(interval=interval)


@pytest.mark.parametrize("value", (0, -1, 0.0, float("nan"), float("inf"), float("-inf")))
def test_a_maximum_or_limit_that_is_not_positive_and_finite_is_refused(value):
    with pytest.raises(InputError, match=f"max_singular_value={value!r}"):
        SingularValueClipping(max_singular_value=value)
    with pytest.raises(InputError, match=f"limit={value!r}"):
        WeightClipping(limit=value)


@pytest.fixture(params=("mixed_float16", "mixed_bfloat16"))
def mixed_precision(request):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    keras.mixed_precision.set_global_policy(before)


@pytest.mark.slow
def test_mixed_precision_kernels_are_clipped_to_float32_accuracy(mixed_precision):
    dense = keras.layers.Dense(8, kernel_constraint=SingularValueClipping())
    transposed = keras.layers.Conv2DTranspose(8, 2, kernel_constraint=SingularValueClipping())
    transposed(dense(keras.Input((2, 2, 6))))
    random = np.random.default_rng(0)
    optimizer = keras.optimizers.SGD(0.5)
    if mixed_precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=1)
    expected, gradients = [], []
    for layer, shape in ((dense, (6, 8)), (transposed, (2, 2, 8, 8))):
        kernel, gradient = random.standard_normal((2, *shape)).astype(np.float32)
        layer.kernel.assign(kernel)
        gradients.append((tf.constant(gradient), layer.kernel))
        expected.append(kernel.astype(np.float64) - 0.5 * gradient)
    expected[0] = exact_projection(expected[0])
    expected[1] = exact_projection(expected[1], output_axis=-2)

    optimizer.apply_gradients(gradients)
    for layer, kernel in zip((dense, transposed), expected):
        assert layer.compute_dtype == mixed_precision.removeprefix("mixed_")
        assert tf.as_dtype(layer.kernel.dtype) == tf.float32
        np.testing.assert_allclose(layer.kernel.numpy(), kernel, rtol=0, atol=2e-6)


@pytest.mark.slow
def test_a_mixed_precision_fit_keeps_the_interval(mixed_precision):
    model = dense_model(SingularValueClipping(interval=2))
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    follow_optimizer(model, model.optimizer)
    kernels = []
    for _ in range(4):
        model.layers[0].kernel.assign(5 * tf.eye(3))
        model.train_on_batch(np.zeros((1, 3)), np.zeros((1, 3)))
        kernels.append(largest(model.layers[0].kernel))
    np.testing.assert_allclose(kernels, [5, 1, 5, 1], atol=1e-5)


TWO_REPLICAS = """
    import json
    import keras
    import numpy as np
    import tensorflow as tf
    from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping, follow_optimizer
    from tgan_tf.errors import InputError
    from tgan_tf.stack import tensorflow_variable

    keras.utils.set_random_seed(0)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        clipped = keras.layers.Conv2DTranspose(8, 3, kernel_constraint=SingularValueClipping())
        norm = keras.layers.BatchNormalization(
            synchronized=True, gamma_initializer=keras.initializers.Constant(5.0),
            gamma_constraint=BatchNormScaleClipping(interval=3))
        third = keras.layers.Dense(8, kernel_constraint=SingularValueClipping(interval=3))
        model = keras.Sequential([keras.Input((4, 4, 2)), clipped, norm, third])
        model.compile(keras.optimizers.RMSprop(0.5), loss="mse")
        # The others find their layers and the optimiser by themselves.
        follow_optimizer(norm, model.optimizer)

        unsynchronized = keras.layers.BatchNormalization(gamma_constraint=BatchNormScaleClipping())
        unsynchronized.build((None, 8))
        follow_optimizer(unsynchronized, model.optimizer)
        try:
            unsynchronized.gamma_constraint.bounds()
            refusal = None
        except InputError as error:
            refusal = str(error)

    random = np.random.default_rng(0)
    x = random.standard_normal((12, 4, 4, 2)).astype(np.float32)
    y = random.standard_normal((12, 6, 6, 8)).astype(np.float32)
    steps = []

    class Replicas(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append({
                name: [
                    replica.numpy().tolist() for replica in tensorflow_variable(variable).values
                ]
                for name, variable in (
                    ("clipped", clipped.kernel), ("gamma", norm.gamma), ("third", third.kernel),
                    ("variance", norm.moving_variance))
            })

    model.fit(x, y, batch_size=4, verbose=0, callbacks=[Replicas()])
    print(json.dumps([steps, refusal]))
"""


@pytest.fixture(scope="module")
def two_replicas():
    """After each of 3 steps of fit the variables of both replicas; and what bounds() raised."""
    # A process of its own: logical devices are made before TensorFlow touches any.
    root = os.path.dirname(os.path.dirname(os.path.abspath(tgan_tf.__file__)))
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_REPLICAS)],
        env={**os.environ, "PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_batch_norm_scale_is_not_clipped_by_a_running_variance_of_each_replica(two_replicas):
    _, refusal = two_replicas
    assert "2 replicas" in refusal and "synchronized=True" in refusal


@pytest.mark.slow
def test_every_replica_of_a_distributed_model_is_clipped_and_the_same(two_replicas):
    steps, _ = two_replicas
    assert len(steps) == 3
    for step, kernels in enumerate(steps, 1):
        for replicas in kernels.values():
            assert len(replicas) == 2 and replicas[0] == replicas[1]
        assert 1 - 1e-5 <= largest(kernels["clipped"][0], -2) <= 1 + 1e-5
        deviation = np.sqrt(kernels["variance"][0])
        gamma = np.array(kernels["gamma"][0])
        if step == 3:
            assert 1 - 1e-5 <= largest(kernels["third"][0]) <= 1 + 1e-5
            assert np.all(gamma <= deviation * (1 + 1e-6))
            assert np.all(gamma >= 0.01 * deviation * (1 - 1e-6))
        else:
            assert largest(kernels["third"][0]) > 1.1
            assert np.all(gamma > deviation)
