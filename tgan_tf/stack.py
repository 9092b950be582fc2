"""What differs between the two stacks: TensorFlow 2.15 with Keras 2, and today's with Keras 3.

Nothing else in the package asks which of the two it runs on, or for a version.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

from tgan_tf.errors import InputError

KERAS_3 = int(keras.__version__.split(".")[0]) >= 3
"""Whether it is today's stack, for which there are no TensorFlow Addons and no tensorflow-io."""

UNCOUNTED = 1 if KERAS_3 else 0
"""Updates that an optimiser's `iterations` lacks while it applies constraints: Keras 3 applies them
before it counts the update that they follow."""

if KERAS_3 and keras.backend.backend() != "tensorflow":
    # JAX and PyTorch trace or compile the step that a constraint is part of: no operation of
    # TensorFlow's can be in it.
    raise InputError(
        f"KERAS_BACKEND={keras.backend.backend()}: tgan_tf computes with TensorFlow, the clipping "
        "by tf.linalg.svd too: set KERAS_BACKEND=tensorflow"
    )

OPTIMIZERS: tuple[type, ...] = (
    (keras.optimizers.Optimizer,)
    if KERAS_3
    else (keras.optimizers.Optimizer, keras.optimizers.legacy.Optimizer)
)
"""The classes that every optimiser is of one of."""

LOCALLY_CONNECTED: tuple[type[keras.layers.Layer], ...] = (
    () if KERAS_3 else (keras.layers.LocallyConnected1D, keras.layers.LocallyConnected2D)
)
"""Layers that Keras 3 has no longer."""


def is_variable(value: object) -> bool:
    """Whether a value is a Keras variable, which in Keras 2 is one of TensorFlow's."""
    return isinstance(value, keras.Variable if KERAS_3 else tf.Variable)


def variable_path(variable: tf.Variable) -> str:
    """A variable's name after that of its layer, as "critic/conv0/kernel"."""
    return variable.path if KERAS_3 else variable.name.split(":")[0]


def tensorflow_variable(variable: tf.Variable) -> tf.Variable:
    """The variable of TensorFlow's that a Keras variable is or has."""
    return variable.value if KERAS_3 else variable


def replica_weight(
    layer: keras.layers.Layer, name: str, shape: Sequence[int | None], initializer: str
) -> tf.Variable:
    """A float32 weight of a layer, not trained, of which each replica keeps its own.

    Read outside the replicas it is that of the first one here.
    """
    if KERAS_3:
        # `add_weight` knows no synchronization there. The layer has it once it is an attribute.
        return keras.Variable(
            keras.initializers.get(initializer),
            shape=tuple(shape),
            dtype="float32",
            trainable=False,
            aggregation="only_first_replica",
            synchronization="on_read",
            name=name,
        )
    return layer.add_weight(
        name=name,
        shape=shape,
        initializer=initializer,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def step_result(mean: tf.Tensor) -> tf.Tensor:
    """What a replica's train step gives `fit` of a mean, a scalar that is the same on all replicas.

    Of several workers Keras 3 takes the mean over the results' first axis, so there has to be one.
    """
    if not KERAS_3:
        return mean
    strategy = tf.distribute.get_strategy()
    shared = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return tf.reshape(mean, [1]) if shared else mean


def outside_strategy(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that is called outside the strategy in whose scope a callback is.

    Keras 2 runs callbacks in the scope of the model's strategy, where to make a variable is an
    operation of all workers. A scope is that of a thread.
    """
    if KERAS_3 or not tf.distribute.has_strategy():
        return function(*arguments)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def spectral_normalization(layer: keras.layers.Layer, **kwargs: Any) -> keras.layers.Layer:
    """A layer whose kernel is divided by its largest singular value (Miyato et al. 2018)."""
    if KERAS_3:
        return keras.layers.SpectralNormalization(layer, **kwargs)
    return addons().layers.SpectralNormalization(layer, **kwargs)


def addons() -> ModuleType:
    """TensorFlow Addons, of the old stack; imported where it is used, since that takes seconds.

    Raises:
        InputError: there are none.
    """
    try:
        import tensorflow_addons
    except ImportError as error:
        raise InputError(
            f"TensorFlow Addons cannot be imported ({error}): install the locked requirements, on "
            "Python 3.9 to 3.11"
        ) from error
    return tensorflow_addons


def scaled_loss(loss: tf.Tensor, optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
    """A loss times the scale of a `LossScaleOptimizer`."""
    return optimizer.scale_loss(loss) if KERAS_3 else optimizer.get_scaled_loss(loss)


def unscaled_gradients(
    gradients: Sequence[tf.Tensor | None],
    optimizer: keras.optimizers.Optimizer,
    scaled: Sequence[keras.optimizers.Optimizer],
) -> list[tf.Tensor | None]:
    """Gradients of a loss that was scaled, as an optimiser's `apply_gradients` takes them.

    Args:
        gradients: for `optimizer`.
        optimizer: what applies them, itself one of `scaled` or not.
        scaled: the optimisers that the loss was scaled by, one after the other.
    """
    for other in scaled:
        if not KERAS_3:
            gradients = other.get_unscaled_gradients(gradients)
        elif other is not optimizer:  # Its own scale Keras 3 takes off by itself.
            scale = other.scale_loss(tf.ones([]))
            gradients = [None if part is None else part / scale for part in gradients]
    return list(gradients)


def held_layers(model: object) -> list[keras.layers.Layer]:
    """A layer and all that it holds, at any depth, in attributes or in containers there."""
    found: dict[int, keras.layers.Layer] = {}
    _collect(model, found)
    return list(found.values())


def _collect(value: object, found: dict[int, keras.layers.Layer]) -> None:
    if isinstance(value, keras.layers.Layer):
        if id(value) not in found:
            found[id(value)] = value
            for attribute in vars(value).values():
                _collect(attribute, found)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)


def checkpoint_tree(
    part: keras.layers.Layer | keras.optimizers.Optimizer,
) -> tf.train.Checkpoint:
    """What a checkpoint holds of a network or an optimiser: each variable, under its place there.

    TensorFlow does not see the layers that a Keras 3 model keeps in lists, so the tree is made
    here. It has the names that TensorFlow gives a Keras 2 model by itself, so that each stack reads
    what the other has written, and what versions before this one have.

        layers         by their attributes, in a list by their numbers in it
        variables      by their attributes: conv/kernel, normalizations/0/moving_mean
        optimisers     _iterations, _learning_rate if it is no schedule, _variables/1 and on;
                       of a loss scale loss_scale/current_loss_scale and loss_scale/good_steps
    """
    if isinstance(part, OPTIMIZERS):
        return _tree_of_optimizer(part)
    return _tree_of_layer(part)


def _tree_of_layer(layer: keras.layers.Layer) -> tf.train.Checkpoint:
    children = {name: value for name, value in vars(layer).items() if not name.startswith("_")}
    tree = {name: node for name, value in children.items() if (node := _node(value)) is not None}
    # Not what its layers have, of which a wrapper has the kernel too.
    own = {id(variable) for variable in layer.variables}
    for held in held_layers(layer)[1:]:
        own -= {id(variable) for variable in held.variables}
    for name, value in vars(layer).items():
        if id(value) in own:
            # Keras 3 keeps `kernel` as `_kernel`, and calls the vector of a spectral normalisation
            # otherwise than TensorFlow Addons.
            name = {"vector_u": "u"}.get(name, name.lstrip("_"))
            tree[name] = tensorflow_variable(value)
    return tf.train.Checkpoint(**tree)


def _node(value: object) -> tf.train.Checkpoint | None:
    """A layer's node, or that of a list of layers; None of anything else."""
    if isinstance(value, keras.layers.Layer):
        return _tree_of_layer(value)
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, dict):
        items = iter(value.items())
    nodes = {str(key): node for key, item in items if (node := _node(item)) is not None}
    return tf.train.Checkpoint(**nodes) if nodes else None


def _tree_of_optimizer(optimizer: keras.optimizers.Optimizer) -> tf.train.Checkpoint:
    tree = {}
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        scale, good_steps = loss_scale_variables(optimizer)
        tree["loss_scale"] = tf.train.Checkpoint(current_loss_scale=scale, good_steps=good_steps)
        optimizer = optimizer.inner_optimizer
    variables = [tensorflow_variable(variable) for variable in optimizer.variables]
    if KERAS_3 and _has_rate(optimizer):
        # Among the variables there, beside them in Keras 2.
        del variables[1]
    tree["_iterations"] = variables[0]
    if _has_rate(optimizer):
        tree["_learning_rate"] = tensorflow_variable(optimizer.learning_rate)
    slots = {str(number): variable for number, variable in enumerate(variables)}
    return tf.train.Checkpoint(**tree, _variables=tf.train.Checkpoint(**slots))


def _has_rate(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimiser's rate is a variable, which it is not if a schedule computes it."""
    rate = optimizer.get_config()["learning_rate"]
    return not isinstance(rate, (dict, keras.optimizers.schedules.LearningRateSchedule))


def loss_scale_variables(optimizer: keras.optimizers.Optimizer) -> tuple[tf.Variable, tf.Variable]:
    """The scale of a `LossScaleOptimizer`, and how many steps it has held."""
    if KERAS_3:
        return tuple(map(tensorflow_variable, (optimizer.dynamic_scale, optimizer.step_counter)))
    # Its public property is no variable.
    state = optimizer._loss_scale
    return state.current_loss_scale, state.counter
