"""Configurations of Keras models: plain layers pass, whatever could run code does not."""

from __future__ import annotations

import json

import keras
import pytest
import tensorflow as tf

from tgan_tf import keras_config, stack
from tgan_tf.constraints import WeightClipping
from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.tgan import rmsprop


def _layer(name="Dense", config=None, **entries):
    return {"module": "keras.layers", "class_name": name, "config": config or {}, **entries}


def _dense(**config):
    return _layer(config={"units": 2, **config})


LAMBDA = _layer("Lambda", {"function": ["4wAA", None, None], "function_type": "lambda"})
HOSTILE = {
    "a Lambda layer": LAMBDA,
    "one in a wrapper": _layer("TimeDistributed", {"layer": LAMBDA}),
    "one in a bidirectional layer": _layer("Bidirectional", {"backward_layer": LAMBDA}),
    "one in a model in a model": _layer(
        "Sequential", {"layers": [_layer("Functional", {"layers": [_dense(), LAMBDA]})]}
    ),
    "one without its module": {"class_name": "Lambda", "config": {}},
    "a lambda": _dense(activation={"class_name": "__lambda__", "config": {"value": "4wAA"}}),
    "a class of another module": _dense(
        kernel_initializer={"module": "os", "class_name": "_Environ", "config": {}}
    ),
    "a known name of another module": _layer(module="sitecustomize"),
    "a module of that name under Keras": _layer(module="keras.src.utils"),
    "a function of another module": _dense(
        activation={"module": "os", "class_name": "function", "config": "system"}
    ),
    "a built-in function": _dense(
        activation={
            "module": "builtins",
            "class_name": "function",
            "config": "eval",
            "registered_name": "function",
        }
    ),
    "a function by its other name": _dense(
        activation={
            "module": "keras.activations",
            "class_name": "function",
            "config": "relu",
            "registered_name": "deserialize",
        }
    ),
    "a function by its name alone": _dense(kernel_constraint="os.system"),
    "a function of Keras's by its name alone": _dense(activation="deserialize_keras_object"),
    "a constraint that is a Lambda layer": _dense(kernel_constraint="Lambda"),
    "a class by its registered name": _layer(registered_name="Lambda"),
    "a registered class with another's name": _layer(
        "tgan_tf>WeightClipping", registered_name="Lambda"
    ),
    "a name registered for another class": _layer(
        "Lambda", registered_name="tgan_tf>WeightClipping"
    ),
    "a cell with a function": _layer("RNN", {"cell": _layer("ResidualWrapper", {})}),
    "a table read from a file": _layer("StringLookup", {"vocabulary": "/etc/hosts"}),
    "a SavedModel": _layer("TFSMLayer", {"filepath": "/tmp"}),
    "a function of TensorFlow that writes": {
        "class_name": "TFOpLambda",
        "config": {"function": "io.write_file"},
    },
    "one by way of a harmless prefix": {
        "class_name": "TFOpLambda",
        "config": {"function": "math.io.write_file"},
    },
    "a type": _dense(spec={"class_name": "TypeSpec", "type_spec": "x", "serialized": []}),
    "an array of objects": _dense(
        x={"class_name": "__numpy__", "config": {"value": 1, "dtype": "O"}}
    ),
    "a class that is no text": _layer(["Lambda"]),
    "an argument of a call": _layer(inbound_nodes=[[["x", 0, 0, {"training": LAMBDA}]]]),
    "what it is built with": _layer(build_config={"input_shape": LAMBDA}),
    "a string that is a configuration": _layer(
        inbound_nodes=[["_CONSTANT_VALUE", -1, ["_COMPOSITE_TYPE", json.dumps(LAMBDA)]]]
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses(name):
    with pytest.raises(ValueError, match="code|configuration"):
        keras_config.checked(json.dumps({"class_name": "Sequential", "config": [HOSTILE[name]]}))


def test_refuses_a_name_in_escapes():
    text = json.dumps(LAMBDA).replace("Lambda", "\\u004cambda")
    assert "Lambda" not in text
    with pytest.raises(ValueError, match="it holds 'Lambda'"):
        keras_config.checked(text)


def test_refuses_a_key_that_stands_twice():
    with pytest.raises(ValueError, match="the key 'class_name' twice"):
        keras_config.checked('{"class_name": "Dense", "class_name": "Dense"}')


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '"Lambda"', b"\xff", "[" * 10**5),
        '{"class_name": "TFOpLambda", "config": {}}',
        '{"class_name": "__numpy__"}',
    ],
)
def test_refuses_what_is_no_object(text):
    with pytest.raises(ValueError):
        keras_config.checked(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: VideoGenerator(frames=4, size=8, channels=1),
        lambda: Critic(frames=4, size=8, channels=1, kernel_constraint=WeightClipping()),
        lambda: rmsprop(keras.optimizers.schedules.PolynomialDecay(1e-3, 10)),
        lambda: keras.mixed_precision.LossScaleOptimizer(rmsprop()),
    ],
)
def test_takes_what_a_run_is_made_of(make):
    text = json.dumps(keras.saving.serialize_keras_object(make()))
    expected = json.loads(text)
    expected.pop("compile_config", None)
    assert keras_config.checked(text) == expected


@pytest.mark.slow
def test_takes_plain_networks_in_both_formats():
    inputs = keras.Input((4, 8, 8, 1))
    if stack.KERAS_3:
        initializer = keras.initializers.Constant(0.5)
        h = keras.ops.cast(keras.ops.mean(inputs, axis=1)[:, ::2] * 2.0, "float32")
    else:
        initializer = tf.constant_initializer(0.5)
        h = tf.cast(tf.reduce_mean(inputs, axis=1)[:, ::2] * 2.0, tf.float32)
    h = keras.layers.Reshape((8, 4))(h)
    h = keras.layers.Bidirectional(keras.layers.LSTM(3, kernel_regularizer="l2"))(h)
    h = keras.layers.Dense(3, bias_initializer=initializer)(h)
    inner = keras.Sequential([keras.layers.Dense(2, activation=keras.layers.LeakyReLU(0.1))])
    inner.compile("adam", "mse")
    h = keras.layers.Activation(keras.activations.swish)(inner(h))
    model = keras.Model(inputs, h)
    assert keras_config.checked(model.to_json())
    serialized = keras.saving.serialize_keras_object(model)
    assert "compile_config" in json.dumps(serialized)
    assert "compile_config" not in json.dumps(keras_config.checked(json.dumps(serialized)))
