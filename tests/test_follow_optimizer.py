"""Which steps clip with an interval, and whose count of steps it is."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from clipping import apply_zero_gradients, dense_model, largest

from tgan_tf import stack
from tgan_tf.constraints import SingularValueClipping, follow_optimizer
from tgan_tf.errors import InputError


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


@pytest.mark.slow
@pytest.mark.parametrize("compiled", (False, True), ids=("eager", "tf.function"))
def test_an_interval_clips_at_the_multiples_of_the_optimiser_s_step_count(compiled):
    model = dense_model(SingularValueClipping(interval=3))
    model.compile(keras.optimizers.SGD(), loss="mse")
    follow_optimizer(model, model.optimizer)
    assert steps_that_clip(model, model.layers[0], 7, compiled) == [3, 6]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed, expected",
    (
        (recompiled, [5, 1, 5, 1]),
        (with_its_optimizer_replaced, [5, 1, 5, 1]),
        (with_a_scaled_loss_and_averages, [5, 1, 5, 1]),
        # It counts the step after the constraints.
        pytest.param(
            with_a_legacy_optimizer,
            [1, 5, 1, 5],
            marks=pytest.mark.skipif(stack.KERAS_3, reason="Keras 3 has no legacy optimizers"),
        ),
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


@pytest.mark.slow
def test_an_interval_goes_on_in_a_loaded_model(tmp_path):
    model = recompiled(dense_model(SingularValueClipping(interval=2)))
    assert norms_after_steps(model, 3) == [5, 1, 5]
    model.save(tmp_path / "model.keras")
    assert norms_after_steps(keras.models.load_model(tmp_path / "model.keras")) == [1, 5, 1, 5]


@pytest.mark.slow
def test_a_constraint_that_two_models_share_goes_by_the_optimiser_of_each():
    shared = SingularValueClipping(interval=2)
    first, second = (recompiled(dense_model(shared)) for _ in range(2))
    for model in (first, second):
        follow_optimizer(model, model.optimizer)
    assert norms_after_steps(first, 3) == [5, 1, 5]
    assert norms_after_steps(second, 2) == [5, 1]
    assert norms_after_steps(first, 2) == [1, 5]


@pytest.mark.slow
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
