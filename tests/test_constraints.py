from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import tgan_tf
from tgan_tf.constraints import (
    BatchNormScaleClipping,
    SingularValueClipping,
    WeightClipping,
    follow_optimizer,
)
from tgan_tf.errors import InputError


@pytest.fixture(autouse=True)
def seeded():
    """Initial weights and orders of clips that no test before has a part in."""
    keras.utils.set_random_seed(0)


def largest(kernel, output_axis=-1):
    """The largest singular value of (outputs x everything else), by NumPy in float64."""
    kernel = np.moveaxis(np.asarray(kernel, np.float64), output_axis, -1)
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def exact_projection(matrix):
    left, values, right = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
    return left * np.minimum(values, 1.0) @ right


def dense_model(constraint, size=3):
    return keras.Sequential(
        [keras.Input((size,)), keras.layers.Dense(size, kernel_constraint=constraint)]
    )


def apply_zero_gradients(optimizer, model):
    """A step that moves nothing: what it changes, the constraints have changed."""
    variables = model.trainable_variables
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])


def steps_that_clip(model, layer, count, compiled):
    """Sets a kernel to 5 I before each step, and lists the steps after which it is I."""
    fives = 5 * np.eye(*layer.kernel.shape, dtype=np.float32)
    step = tf.function(apply_zero_gradients) if compiled else apply_zero_gradients
    model.optimizer.build(model.trainable_variables)
    clipped = []
    for _ in range(count):
        layer.kernel.assign(fives)
        step(model.optimizer, model)
        kernel = layer.kernel.numpy()
        if np.allclose(kernel, fives / 5, atol=1e-6):
            clipped.append(int(model.optimizer.iterations))
        else:
            np.testing.assert_array_equal(kernel, fives)
    return clipped


# Of each kind of layer: the layer, the shape of its input, the axis of its kernel's outputs.
LAYERS = {
    "Dense": (keras.layers.Dense, (5,), -1),
    "Conv1D": (keras.layers.Conv1D, (6, 5), -1),
    "Conv2D": (keras.layers.Conv2D, (6, 6, 5), -1),
    "Conv3D": (keras.layers.Conv3D, (6, 6, 6, 5), -1),
    "Conv1DTranspose": (keras.layers.Conv1DTranspose, (6, 5), -2),
    "Conv2DTranspose": (keras.layers.Conv2DTranspose, (6, 6, 5), -2),
    "Conv3DTranspose": (keras.layers.Conv3DTranspose, (6, 6, 6, 5), -2),
}


# The transposed ones also with a name that tells nothing, others with one that tells wrongly.
DEFAULT_NAMED = [(kind, None) for kind in LAYERS]
OWN_NAMED = [
    (kind, f"up_{kind[4]}" if "Transpose" in kind else f"after_transpose_{kind[4]}")
    for kind in LAYERS
    if "Conv" in kind
]


@pytest.fixture(scope="module")
def fitted_layers():
    """All of these layers after one step of one common fit, and their kernels before it."""
    keras.utils.set_random_seed(0)
    layers, inputs, outputs = {}, [], []
    for kind, name in DEFAULT_NAMED + OWN_NAMED:
        layer_class, shape, _ = LAYERS[kind]
        arguments = [8] if kind == "Dense" else [8, 3]
        layer = layer_class(*arguments, name=name, kernel_constraint=SingularValueClipping())
        inputs.append(keras.Input(shape))
        outputs.append(keras.layers.Flatten()(layer(inputs[-1])))
        layers[kind, name] = layer
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    model.compile(keras.optimizers.SGD(1000.0), loss="mse")
    random = np.random.default_rng(0)
    x = [random.standard_normal((4, *x.shape[1:])).astype(np.float32) for x in inputs]
    y = random.standard_normal((4, model.output_shape[-1])).astype(np.float32)
    before = {key: layer.kernel.numpy() for key, layer in layers.items()}
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    return layers, before


@pytest.mark.parametrize("kind, name", DEFAULT_NAMED + OWN_NAMED)
def test_one_fit_step_leaves_a_constrained_layer_no_singular_value_above_1(
    fitted_layers, kind, name
):
    layers, before = fitted_layers
    kernel = layers[kind, name].kernel.numpy()
    assert np.all(np.isfinite(kernel)) and np.all(kernel != before[kind, name])
    # With so large a rate the step itself ends outside the ball: the constraint has acted.
    assert 1 - 1e-5 <= largest(kernel, LAYERS[kind][2]) <= 1 + 1e-5


@pytest.mark.parametrize("output_axis", (-1, -2, 0))
def test_an_output_axis_that_is_given_is_the_one(output_axis):
    kernel = np.random.default_rng(0).standard_normal((3, 3, 8, 5)).astype(np.float32)
    clipped = SingularValueClipping(output_axis=output_axis)(tf.Variable(kernel))
    assert 1 - 1e-5 <= largest(clipped, output_axis) <= 1 + 1e-5


def test_a_layer_of_a_subclassed_model_is_clipped_whatever_the_model_s_name():
    class TransposeCritic(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(
                8, 3, kernel_initializer="ones", kernel_constraint=SingularValueClipping()
            )

        def call(self, x):
            return self.convolution(x)

    model = TransposeCritic()
    model(tf.zeros([1, 4, 4, 2]))
    model.convolution.kernel.assign(tf.random.stateless_normal([3, 3, 2, 8], seed=(0, 0)))
    matrix = model.convolution.kernel.numpy().reshape(-1, 8)
    apply_zero_gradients(keras.optimizers.SGD(), model)
    clipped = model.convolution.kernel.numpy().reshape(-1, 8)
    np.testing.assert_allclose(clipped, exact_projection(matrix), rtol=0, atol=2e-6)


def test_a_variable_of_rank_1_cannot_be_clipped_and_is_named():
    with pytest.raises(InputError, match=r"dense/bias:0 of shape \(3,\).*2 axes or more"):
        SingularValueClipping()(tf.Variable([1.0, 2.0, 3.0], name="dense/bias"))
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        SingularValueClipping()(tf.constant([1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match=r"shape \(3,\).*2 axes or more"):
        SingularValueClipping(output_axis=-1)(tf.constant([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("compiled", (False, True), ids=("eager", "tf.function"))
def test_an_interval_clips_at_the_multiples_of_the_optimiser_s_step_count(compiled):
    model = dense_model(SingularValueClipping(interval=3))
    model.compile(keras.optimizers.SGD(), loss="mse")
    follow_optimizer(model, model.optimizer)
    assert steps_that_clip(model, model.layers[0], 7, compiled) == [3, 6]


def test_an_interval_clips_at_the_multiples_of_the_step_count_in_fit():
    class Kernels(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.largest = []

        def on_train_batch_begin(self, batch, logs=None):
            self.model.layers[0].kernel.assign(5 * tf.eye(3))

        def on_train_batch_end(self, batch, logs=None):
            self.largest.append(largest(self.model.layers[0].kernel))

    model = dense_model(SingularValueClipping(interval=3))
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    follow_optimizer(model, model.optimizer)
    kernels = Kernels()
    x = np.zeros((7, 3), np.float32)
    model.fit(x, x, batch_size=1, verbose=0, callbacks=[kernels])
    np.testing.assert_allclose(kernels.largest, [5, 5, 1, 5, 5, 1, 5], atol=1e-5)


@pytest.mark.parametrize("restored_first", (True, False))
def test_an_interval_goes_on_from_a_restored_step_count(restored_first):
    model = dense_model(SingularValueClipping(interval=5))
    model.compile(keras.optimizers.SGD(), loss="mse")
    if restored_first:
        model.optimizer.iterations.assign(3)
    follow_optimizer(model, model.optimizer)
    model.optimizer.iterations.assign(3)
    assert steps_that_clip(model, model.layers[0], 8, compiled=True) == [5, 10]


def test_an_interval_goes_on_from_a_checkpoint(tmp_path):
    saved = keras.optimizers.SGD()
    saved.iterations.assign(3)
    path = tf.train.Checkpoint(optimizer=saved).save(tmp_path / "checkpoint")
    model = dense_model(SingularValueClipping(interval=5))
    model.compile(keras.optimizers.SGD(), loss="mse")
    follow_optimizer(model, model.optimizer)
    tf.train.Checkpoint(optimizer=model.optimizer).read(path).expect_partial()
    assert steps_that_clip(model, model.layers[0], 3, compiled=False) == [5]


def norms_after_steps(model, count=4):
    """The kernel's norm after each of some steps, where it is 5 before each."""
    norms = []
    for _ in range(count):
        model.layers[0].kernel.assign(5 * tf.eye(3))
        # Not `fit`, at whose end an optimiser with `use_ema` replaces the weights by averages.
        model.train_on_batch(np.zeros((1, 3)), np.zeros((1, 3)))
        norms.append(round(largest(model.layers[0].kernel), 4))
    return norms


def recompiled(model):
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    return model


def with_its_optimizer_replaced(model):
    model.optimizer = keras.optimizers.SGD(0.0)
    model.train_function = None
    return model


def with_a_scaled_loss_and_averages(model):
    optimizer = keras.optimizers.Adam(0.0, use_ema=True)
    model.compile(keras.mixed_precision.LossScaleOptimizer(optimizer), loss="mse")
    return model


def with_a_legacy_optimizer(model):
    model.compile(keras.optimizers.legacy.SGD(0.0), loss="mse")
    return model


def copied(model):
    return recompiled(copy.deepcopy(model))


def cloned(model):
    return recompiled(keras.models.clone_model(model))


@pytest.mark.parametrize(
    "changed, expected",
    (
        (recompiled, [5, 1, 5, 1]),
        (with_its_optimizer_replaced, [5, 1, 5, 1]),
        (with_a_scaled_loss_and_averages, [5, 1, 5, 1]),
        # It counts the step after the constraints.
        (with_a_legacy_optimizer, [1, 5, 1, 5]),
        (copied, [5, 1, 5, 1]),
        (cloned, [5, 1, 5, 1]),
    ),
)
def test_an_interval_goes_by_the_optimiser_that_trains_now(changed, expected):
    model = recompiled(dense_model(SingularValueClipping(interval=2)))
    follow_optimizer(model, model.optimizer)
    # The count of the optimiser that is left behind stays odd: by it no step would clip again.
    assert norms_after_steps(model, 3) == [5, 1, 5]
    assert norms_after_steps(changed(model)) == expected


def test_an_interval_goes_on_in_a_loaded_model(tmp_path):
    model = recompiled(dense_model(SingularValueClipping(interval=2)))
    assert norms_after_steps(model, 3) == [5, 1, 5]
    model.save(tmp_path / "model.keras")
    assert norms_after_steps(keras.models.load_model(tmp_path / "model.keras")) == [1, 5, 1, 5]


def test_a_constraint_that_two_models_share_goes_by_the_optimiser_of_each():
    shared = SingularValueClipping(interval=2)
    first, second = (recompiled(dense_model(shared)) for _ in range(2))
    for model in (first, second):
        follow_optimizer(model, model.optimizer)
    assert norms_after_steps(first, 3) == [5, 1, 5]
    assert norms_after_steps(second, 2) == [5, 1]
    assert norms_after_steps(first, 2) == [1, 5]


@pytest.mark.parametrize("compiled", (False, True), ids=("eager", "tf.function"))
def test_an_interval_needs_nothing_else_in_a_loop_of_one_s_own(compiled):
    model = dense_model(SingularValueClipping(interval=3))
    for _ in range(2):
        model.optimizer = keras.optimizers.SGD()
        assert steps_that_clip(model, model.layers[0], 4, compiled) == [3]


def test_an_interval_that_is_called_by_hand_goes_by_the_followed_optimiser_or_names_it():
    model = dense_model(SingularValueClipping(interval=5))
    (layer,) = model.layers
    with pytest.raises(InputError, match=r"interval=5.*follow_optimizer\(model, optimizer\)"):
        layer.kernel_constraint(layer.kernel)
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    layer.kernel.assign(5 * tf.eye(3))
    for step, expected in ((4, 5), (5, 1)):
        optimizer.iterations.assign(step)
        assert largest(layer.kernel_constraint(layer.kernel)) == pytest.approx(expected, abs=1e-5)


class Block(keras.layers.Layer):
    """A layer of a user's own that holds layers in its attributes."""

    def __init__(self, layer, holder):
        super().__init__()
        self.held = {"attribute": layer, "list": [layer], "nested": {"a": [layer]}}[holder]
        self.layer_of = (lambda: self.held) if holder == "attribute" else lambda: layer

    def call(self, x):
        return self.layer_of()(x)


class Outer(keras.Model):
    """A subclassed model around another model."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


WAYS_TO_NEST = {
    "functional model": lambda layer: keras.Sequential([keras.Input((3,)), layer]),
    "model in model in model": lambda layer: Outer(
        keras.Sequential([keras.Input((3,)), keras.Sequential([keras.Input((3,)), layer])])
    ),
    "attribute of a layer": lambda layer: Block(layer, "attribute"),
    "list of a layer": lambda layer: Block(layer, "list"),
    "nested structure of a layer": lambda layer: Block(layer, "nested"),
    "layer in a model": lambda layer: Outer(Block(layer, "attribute")),
    "wrapper": lambda layer: keras.Sequential(
        [keras.Input((2, 3)), keras.layers.TimeDistributed(layer)]
    ),
}


@pytest.mark.parametrize("way", WAYS_TO_NEST)
def test_layers_are_followed_however_deep_they_are(way):
    layer = keras.layers.Dense(3, kernel_constraint=SingularValueClipping(interval=2))
    model = WAYS_TO_NEST[way](layer)
    model(tf.zeros([1, 2, 3] if way == "wrapper" else [1, 3]))
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    layer.kernel.assign(5 * tf.eye(3))
    apply_zero_gradients(optimizer, model)
    np.testing.assert_array_equal(layer.kernel, 5 * np.eye(3))
    apply_zero_gradients(optimizer, model)
    np.testing.assert_allclose(layer.kernel, np.eye(3), atol=1e-6)


def test_following_ends_where_a_layer_holds_the_model_it_is_part_of():
    layer = keras.layers.Dense(3, kernel_constraint=SingularValueClipping(interval=2))
    model = keras.Sequential([keras.Input((3,)), layer])
    object.__setattr__(layer, "parent", model)
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    assert layer.kernel_constraint.step is optimizer.iterations


def test_one_singular_value_clipping_serves_many_layers():
    constraint = SingularValueClipping(interval=2)
    layers = [keras.layers.Dense(n, kernel_constraint=constraint) for n in (3, 4, 2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    kernels = []
    for seed, layer in enumerate(layers):
        kernels.append(3 * np.random.default_rng(seed).standard_normal(layer.kernel.shape))
        layer.kernel.assign(kernels[-1])
    for _ in range(2):
        apply_zero_gradients(optimizer, model)
    for layer, kernel in zip(layers, kernels):
        np.testing.assert_allclose(layer.kernel, exact_projection(kernel), rtol=0, atol=2e-6)


def batch_norm(variance, interval=1, constraint=None):
    """A built batch normalisation with a given running variance."""
    layer = keras.layers.BatchNormalization(
        gamma_constraint=constraint or BatchNormScaleClipping(interval)
    )
    layer.build((None, len(variance)))
    layer.moving_variance.assign(variance)
    return layer


def test_batch_norm_scale_is_clipped_between_a_hundredth_and_the_whole_running_deviation():
    layer = batch_norm([4.0, 0.25, 1.0, 1.0, 9.0, 0.0])
    follow_optimizer(layer, keras.optimizers.SGD())
    lowest, highest = layer.gamma_constraint.bounds()
    np.testing.assert_allclose(highest, [2.0, 0.5, 1.0, 1.0, 3.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(lowest, [0.02, 0.005, 0.01, 0.01, 0.03, 0.0], rtol=1e-6)
    gamma = tf.constant([3.0, 0.3, 0.001, -1.0, 3.0, 1.0])
    expected = [2.0, 0.3, 0.01, 0.01, 3.0, 0.0]
    np.testing.assert_allclose(layer.gamma_constraint(gamma), expected, rtol=1e-6)


def test_batch_norm_scale_is_clipped_by_the_running_variance_of_the_moment():
    layer = batch_norm([4.0])
    model = keras.Sequential([keras.Input((1,)), layer])
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    optimizer.build(model.trainable_variables)
    step = tf.function(lambda: apply_zero_gradients(optimizer, model))
    for variance, expected in ((4.0, 2.0), (1.0, 1.0), (9.0, 3.0)):
        layer.moving_variance.assign([variance])
        layer.gamma.assign([10.0])
        step()
        np.testing.assert_allclose(layer.gamma, [expected], rtol=1e-6)


def test_each_batch_norm_scale_is_clipped_by_its_own_layer():
    layers = [batch_norm([variance]) for variance in (4.0, 0.25, 9.0)]
    model = keras.Sequential([keras.Input((1,)), keras.Sequential(layers[:2]), layers[2]])
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    for layer in layers:
        layer.gamma.assign([10.0])
    apply_zero_gradients(optimizer, model)
    for layer, expected in zip(layers, (2.0, 0.5, 3.0)):
        np.testing.assert_allclose(layer.gamma, [expected], rtol=1e-6)


def test_a_batch_norm_scale_clipping_that_two_layers_share_is_refused():
    shared = BatchNormScaleClipping()
    layers = [batch_norm([variance], constraint=shared) for variance in (4.0, 0.25)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    with pytest.raises(InputError, match=f"{layers[0].name}.*{layers[1].name}.*one of its own"):
        optimizer = keras.optimizers.SGD()
        follow_optimizer(model, optimizer)
        apply_zero_gradients(optimizer, model)


def test_a_batch_norm_scale_clipping_that_its_block_keeps_too_follows_the_batch_norm():
    class Normalised(keras.Model):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer
            self.gamma_constraint = layer.gamma_constraint

    layer = batch_norm([4.0])
    follow_optimizer(Normalised(layer), keras.optimizers.SGD())
    np.testing.assert_allclose(layer.gamma_constraint(tf.constant([5.0])), [2.0], rtol=1e-6)


def test_a_batch_norm_that_is_built_after_it_was_followed_is_clipped():
    layer = keras.layers.BatchNormalization(gamma_constraint=BatchNormScaleClipping())
    follow_optimizer(layer, keras.optimizers.SGD())
    layer.build((None, 1))
    layer.moving_variance.assign([4.0])
    np.testing.assert_allclose(layer.gamma_constraint(tf.constant([5.0])), [2.0], rtol=1e-6)


def test_a_batch_norm_scale_clipping_without_a_layer_names_the_remedy():
    with pytest.raises(InputError, match=r"follow_optimizer\(model, optimizer\)"):
        BatchNormScaleClipping()(tf.constant([1.0]))


def test_kernel_and_batch_norm_scale_are_clipped_at_the_same_steps():
    dense = keras.layers.Dense(2, kernel_constraint=SingularValueClipping(interval=2))
    norm = batch_norm([4.0, 4.0], interval=2)
    model = keras.Sequential([keras.Input((2,)), dense, norm])
    optimizer = keras.optimizers.SGD()
    follow_optimizer(model, optimizer)
    clipped = []
    for _ in range(5):
        dense.kernel.assign(5 * tf.eye(2))
        norm.gamma.assign([5.0, 5.0])
        apply_zero_gradients(optimizer, model)
        clipped.append((largest(dense.kernel), float(norm.gamma[0])))
    np.testing.assert_allclose(clipped, [(5, 5), (1, 2), (5, 5), (1, 2), (5, 5)], atol=1e-5)


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


def test_a_model_with_constraints_is_saved_loaded_and_trained_further(tmp_path):
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


def test_mixed_precision_kernels_are_clipped_to_float32_accuracy(mixed_precision):
    dense = keras.layers.Dense(8, kernel_constraint=SingularValueClipping())
    transposed = keras.layers.Conv2DTranspose(8, 2, kernel_constraint=SingularValueClipping())
    transposed(dense(keras.Input((2, 2, 6))))
    random = np.random.default_rng(0)
    optimizer = keras.optimizers.SGD(0.5)
    if mixed_precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(
            optimizer, dynamic=False, initial_scale=1
        )
    expected, gradients = [], []
    for layer, shape in ((dense, (6, 8)), (transposed, (2, 2, 8, 8))):
        kernel, gradient = random.standard_normal((2, *shape)).astype(np.float32)
        layer.kernel.assign(kernel)
        gradients.append((tf.constant(gradient), layer.kernel))
        expected.append(kernel.astype(np.float64) - 0.5 * gradient)
    expected[0] = exact_projection(expected[0])
    moved = np.moveaxis(expected[1], -2, -1)
    moved = exact_projection(moved.reshape(-1, 8)).reshape(moved.shape)
    expected[1] = np.moveaxis(moved, -1, -2)

    optimizer.apply_gradients(gradients)
    for layer, kernel in zip((dense, transposed), expected):
        assert layer.compute_dtype == mixed_precision.removeprefix("mixed_")
        assert layer.kernel.dtype == tf.float32
        np.testing.assert_allclose(layer.kernel.numpy(), kernel, rtol=0, atol=2e-6)


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
                name: [replica.numpy().tolist() for replica in variable.values]
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


def test_a_batch_norm_scale_is_not_clipped_by_a_running_variance_of_each_replica(two_replicas):
    _, refusal = two_replicas
    assert "2 replicas" in refusal and "synchronized=True" in refusal


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


class TestOperatorNorm:
    """SingularValueClipping(norm="operator")."""

    @staticmethod
    def trained(layer, shape, interval=1):
        """The layer after one step of a model that stretches its input by far too much."""
        model = keras.Sequential([keras.Input(shape), layer, keras.layers.Flatten()])
        optimizer = keras.optimizers.SGD(1e-3)
        model.compile(optimizer, "mse", run_eagerly=False)
        follow_optimizer(model, optimizer)
        layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape))
        before = layer.kernel.numpy()
        x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
        model.train_on_batch(x, np.zeros(model(x).shape))
        return model, before

    @staticmethod
    def matrix(layer, shape):
        """What the layer does without its bias, as a matrix: its outputs of each unit input."""
        units = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
        outputs = layer(units) - layer(np.zeros_like(units))
        return np.reshape(outputs, (len(units), -1))

    @pytest.mark.parametrize(
        ("make", "shape"),
        [
            (lambda c: keras.layers.Conv1D(3, 4, 2, "same", kernel_constraint=c), (8, 2)),
            (lambda c: keras.layers.Conv2D(3, 3, 1, "valid", kernel_constraint=c), (5, 6, 2)),
            (lambda c: keras.layers.Conv3D(2, 4, 2, "same", kernel_constraint=c), (4, 4, 4, 1)),
            (
                lambda c: keras.layers.Conv2DTranspose(3, 4, 2, "same", kernel_constraint=c),
                (3,) * 3,
            ),
            (lambda c: keras.layers.Dense(3, kernel_constraint=c), (6,)),
        ],
    )
    def test_leaves_the_layer_no_norm_above_the_maximum(self, make, shape):
        layer = make(SingularValueClipping(0.7, norm="operator"))
        _, before = self.trained(layer, shape)
        norm = np.linalg.norm(self.matrix(layer, shape), 2)
        # Power iteration is a little short of the norm, and so the kernel of the maximum.
        assert 0.7 * (1 - 1e-4) <= norm <= 0.7 * 1.03
        # The direction is kept, but for the step of the training.
        after = layer.kernel.numpy()
        cosine = (after * before).sum() / np.linalg.norm(after) / np.linalg.norm(before)
        assert cosine > 0.99

    def test_leaves_a_kernel_below_the_maximum_as_it_is(self):
        layer = keras.layers.Conv1D(
            2, 4, 2, "same", kernel_constraint=SingularValueClipping(1e3, norm="operator")
        )
        self.trained(layer, (8, 1))
        kernel = layer.kernel.numpy()
        np.testing.assert_array_equal(layer.kernel_constraint(layer.kernel), kernel)

    def test_without_its_layer_names_the_remedy(self):
        with pytest.raises(InputError, match="no Keras layer .* give norm='matrix'"):
            SingularValueClipping(norm="operator")(tf.ones([4, 1, 1]))

    def test_that_two_layers_share_goes_by_the_sizes_of_each(self):
        shared = SingularValueClipping(norm="operator")
        layers = [keras.layers.Conv1D(2, 4, 2, "same", kernel_constraint=shared) for _ in "ab"]
        keras.Sequential([keras.Input((16, 2)), *layers])
        for layer, shape in zip(layers, ((16, 2), (8, 2))):
            layer.kernel.assign(3 * np.random.default_rng(0).normal(size=layer.kernel.shape))
            layer.kernel.assign(shared(layer.kernel))
            assert np.linalg.norm(self.matrix(layer, shape), 2) == pytest.approx(1, abs=0.03)

    @pytest.mark.parametrize(
        "layer",
        (
            keras.layers.Conv2D(4, 3, groups=2, name="groups"),
            keras.layers.Conv2D(4, 3, dilation_rate=2, name="dilated"),
            keras.layers.Conv1D(4, 3, padding="causal", name="causal_1d"),
            keras.layers.LocallyConnected1D(4, 3, name="local_1d"),
            keras.layers.EinsumDense("abcd,de->abce", (None, None, 3), name="einsum"),
        ),
        ids=lambda layer: layer.name,
    )
    def test_of_another_layer_than_a_plain_convolution_is_refused(self, layer):
        layer.kernel_constraint = SingularValueClipping(norm="operator")
        layer(keras.Input((8, 2) if layer.name.endswith("1d") else (8, 8, 2)))
        with pytest.raises(InputError, match=f"{layer.name}: .*give norm='matrix'"):
            layer.kernel_constraint(layer.kernel)

    def test_of_an_input_without_a_fixed_size_is_refused(self):
        layer = keras.layers.Conv1D(
            2, 4, kernel_constraint=SingularValueClipping(norm="operator"), name="any_length"
        )
        model = keras.Sequential([keras.Input((None, 1)), layer])
        follow_optimizer(model, keras.optimizers.SGD())
        with pytest.raises(InputError, match="any_length: its input has no fixed size"):
            layer.kernel_constraint(layer.kernel)

    def test_unknown_norm_is_refused(self):
        with pytest.raises(InputError, match="norm='largest': must be one of matrix, operator"):
            SingularValueClipping(norm="largest")
