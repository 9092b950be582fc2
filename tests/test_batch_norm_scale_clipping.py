"""γ of batch normalisation between a hundredth and the whole of the running deviation."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from clipping import apply_zero_gradients, largest

from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping, follow_optimizer
from tgan_tf.errors import InputError


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
    with pytest.raises(InputError, match=f"{layers[0].name}.*{layers[1].name}.*a separate one"):
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
