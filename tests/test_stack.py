"""What both stacks must have in common."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import configuration

from tgan_tf import stack
from tgan_tf.configuration import build
from tgan_tf.models import CRITICS, GENERATORS


def leaves(tree):
    """The variables of a checkpoint's tree."""
    found = []
    for child in tree._trackable_children().values():
        found += [child] if isinstance(child, tf.Variable) else leaves(child)
    return found


def ids(variables):
    return {id(stack.tensorflow_variable(variable)) for variable in variables}


NETWORKS = {
    "a recurrent generator and a critic with spectral normalization": {
        "generator": {"name": "tgan", "gru_layers": 2},
        "lipschitz": {"name": "spectral_normalization", "interval": 1},
    },
    **{name: {"generator": {"name": name}} for name in GENERATORS},
    **{f"critic {name}": {"critic": {"name": name}} for name in CRITICS},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_has_every_variable_of_a_network(name):
    tgan = build(configuration(**NETWORKS[name]))
    for network in (tgan.generator, tgan.critic):
        found = leaves(stack.checkpoint_tree(network))
        assert {id(variable) for variable in found} == ids(network.weights)
        assert len(found) == len(network.weights)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_checkpoint_has_every_variable_of_an_optimizer(optimizer, policy):
    before = keras.mixed_precision.global_policy()
    try:
        settings = {"name": optimizer, "learning_rate": 1e-3, "ema_momentum": 0.9}
        tgan = build(configuration(generator_optimizer=settings, dtype_policy=policy))
    finally:
        keras.mixed_precision.set_global_policy(before)
    trained = tgan.generator_optimizer
    inner = getattr(trained, "inner_optimizer", trained)
    expected = ids(inner.variables) | {id(stack.tensorflow_variable(inner.learning_rate))}
    if policy == "mixed_float16":
        expected |= {id(variable) for variable in stack.loss_scale_variables(trained)}
    found = {id(variable) for variable in leaves(stack.checkpoint_tree(trained))}
    assert found == expected
    # The step count, a rate, and of each weight an average and one or two moments.
    kinds = 2 if optimizer == "rmsprop" else 3
    assert len(found) == 2 + kinds * len(tgan.generator.trainable_variables) + (
        2 if policy == "mixed_float16" else 0
    )


@pytest.mark.skipif(not stack.KERAS_3, reason="Keras 2 has TensorFlow alone")
def test_another_backend_is_refused_in_one_line():
    # As Keras says where KERAS_BACKEND is set, without the packages that it would need.
    code = "import keras; keras.backend.backend = lambda: 'jax'; import tgan_tf.constraints"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.splitlines()[-1] == (
        "tgan_tf.errors.InputError: KERAS_BACKEND=jax: tgan_tf computes with TensorFlow, "
        "including the clipping: set KERAS_BACKEND=tensorflow"
    )


@pytest.mark.slow
def test_spectral_normalization_is_a_power_iteration_a_step():
    layer = stack.spectral_normalization(keras.layers.Dense(4), dtype="float32")
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    layer(x)
    kernel = layer.layer.kernel
    kernel.assign(np.random.default_rng(1).normal(size=(6, 4)))
    u = {v.shape[0]: v for v in layer.non_trainable_variables}[1].numpy().astype(np.float64)
    w = kernel.numpy().astype(np.float64)
    v = u @ w.T / np.linalg.norm(u @ w.T)
    u = v @ w / np.linalg.norm(v @ w)
    layer(x, training=True)
    np.testing.assert_allclose(kernel.numpy(), w / (v @ w @ u.T), rtol=0, atol=1e-6)
