"""Batch normalisation against NumPy and against the reference's running averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tgan_tf import stack
from tgan_tf.constraints import WeightClipping
from tgan_tf.models.batch_normalization import BatchNormalization

X = np.random.default_rng(0).normal(3.0, 2.0, (6, 5, 4)).astype(np.float32)


@pytest.fixture(params=["CPU", "GPU"])
def device(request, monkeypatch):
    """What the layer is told that there is; the path of a GPU runs on this CPU too."""
    devices = [tf.config.LogicalDevice(f"/device:{request.param}:0", request.param)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: devices)


def test_training_normalises_with_the_moments_of_the_batch(device):
    y = BatchNormalization()(X, training=True)
    expected = (X - X.mean((0, 1))) / np.sqrt(X.var((0, 1)) + 2e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_running_averages_keep_nine_tenths_and_the_variance_is_unbiased(device):
    layer = BatchNormalization()
    layer(X, training=True)
    rows = X.reshape(-1, 4)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-5)


def test_inference_normalises_with_the_running_averages():
    layer = BatchNormalization()
    layer(X, training=True)
    expected = (X - layer.moving_mean) / np.sqrt(layer.moving_variance + 2e-5)
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)


def test_gradients_equal_finite_differences(device):
    layer = BatchNormalization()
    x = tf.constant(X[:2, :2, :2])
    layer(x)
    weights = tf.constant(np.random.default_rng(1).normal(size=x.shape), tf.float32)
    theoretical, numerical = tf.test.compute_gradient(
        lambda x: tf.reduce_sum(weights * layer(x, training=True)), [x], delta=1e-2
    )
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=2e-3)


@pytest.mark.slow
def test_moments_of_many_values_are_exact_to_float32():
    # Two million values, as of the paper's last layer: added up in turn they are 5e-4 off.
    x = np.random.default_rng(0).normal(0.5, 1.0, (64, 32, 32, 32, 2)).astype(np.float32)
    layer = BatchNormalization()
    y = layer(x, training=True)
    rows = x.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-6)
    expected = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 2e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.slow
def test_the_variance_of_values_far_from_zero_keeps_its_digits():
    # Each clip has another mean, and so has each of the parts in which a large tensor is read. The
    # mean square less the squared mean would be 1e-2 off.
    means = 300 + np.arange(32).reshape(32, 1, 1, 1)
    x = np.random.default_rng(0).normal(means, 1.0, (32, 128, 64, 4)).astype(np.float32)
    layer = BatchNormalization()
    tf.function(lambda inputs: layer(inputs, training=True))(tf.constant(x))
    variance = x.reshape(-1, 4).astype(np.float64).var(0, ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)


@pytest.mark.slow
def test_second_derivatives_are_those_of_its_equation():
    def equation(x, gamma):
        mean, variance = tf.nn.moments(x, [0, 1])
        return gamma * (x - mean) / tf.sqrt(variance + 2e-5)

    layer = BatchNormalization(center=False)
    layer.build([None, None, 4])
    layer.gamma.assign([1.0, 2.0, 0.5, -1.0])
    weights = np.random.default_rng(1).normal(size=X.shape)

    def penalty(function, dtype, gamma):
        x = tf.constant(X, dtype)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.constant(weights, dtype) * tf.tanh(function(x)))
            value = tf.reduce_sum(inner.gradient(y, x) ** 2)
        return outer.gradient(value, [x, gamma])

    gamma = tf.Variable(layer.gamma.numpy(), dtype=tf.float64)
    expected = penalty(lambda x: equation(x, gamma), tf.float64, gamma)
    for run in (penalty, tf.function(penalty)):
        gamma = stack.tensorflow_variable(layer.gamma)
        actual = run(lambda x: layer(x, training=True), tf.float32, gamma)
        for ours, theirs in zip(actual, expected):
            np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_without_center_there_is_no_offset():
    layer = BatchNormalization(center=False)
    layer.build([None, 4])
    assert [stack.variable_path(v).split("/")[-1] for v in layer.trainable_variables] == ["gamma"]


def test_epsilon_is_added_to_the_variance_on_both_paths():
    layer = BatchNormalization(epsilon=0.5)
    expected = (X - X.mean((0, 1))) / np.sqrt(X.var((0, 1)) + 0.5)
    np.testing.assert_allclose(layer(X, training=True), expected, atol=1e-5)
    expected = (X - layer.moving_mean) / np.sqrt(layer.moving_variance + 0.5)
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)


def test_an_update_applies_the_constraints_of_scale_and_offset():
    layer = BatchNormalization(
        gamma_constraint=WeightClipping(1.5), beta_constraint=WeightClipping(0.1)
    )
    layer.build([None, 4])
    step = tf.constant([-2.0, 2.0, 0.0, 0.05])
    keras.optimizers.SGD(1.0).apply_gradients([(step, layer.gamma), (step, layer.beta)])
    np.testing.assert_allclose(layer.gamma, [1.5, -1.0, 1.0, 0.95])
    np.testing.assert_allclose(layer.beta, [0.1, -0.1, 0.0, -0.05])


def test_constructor_arguments_come_back_in_the_configuration():
    layer = BatchNormalization(False, 0.5, 0.1, WeightClipping(1.5), WeightClipping(0.1), name="bn")
    copy = BatchNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.center, copy.momentum, copy.epsilon, copy.name) == (False, 0.5, 0.1, "bn")
    assert (copy.gamma_constraint.limit, copy.beta_constraint.limit) == (1.5, 0.1)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_inputs_keep_their_dtype_and_float32_variables(dtype):
    layer = BatchNormalization()
    for training in (True, False):
        assert layer(tf.cast(X, dtype), training=training).dtype == dtype
    assert {tf.as_dtype(v.dtype) for v in layer.variables} == {tf.float32}
