"""The differences between the two stacks: TensorFlow 2.15 with Keras 2, and newer with Keras 3.

No other module checks which stack it runs on, or a version.
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
"""Whether this is the new stack, with Keras 3."""

ADDONS_AND_IO = not KERAS_3
"""Whether there are TensorFlow Addons and tensorflow-io, which ended with TensorFlow 2.15."""

UNCOUNTED = 1 if KERAS_3 else 0
"""The updates that an optimiser's `iterations` has not counted yet when it applies constraints:
Keras 3 applies them before it counts the update."""

if KERAS_3 and keras.backend.backend() != "tensorflow":
    # JAX and PyTorch trace or compile the step that includes a constraint, which then cannot use
    # TensorFlow operations.
    raise InputError(
        f"KERAS_BACKEND={keras.backend.backend()}: tgan_tf computes with TensorFlow, including the "
        "clipping: set KERAS_BACKEND=tensorflow"
    )

OPTIMIZERS: tuple[type, ...] = (
    (keras.optimizers.Optimizer,)
    if KERAS_3
    else (keras.optimizers.Optimizer, keras.optimizers.legacy.Optimizer)
)
"""The base classes of all optimisers."""

LOCALLY_CONNECTED: tuple[type[keras.layers.Layer], ...] = (
    () if KERAS_3 else (keras.layers.LocallyConnected1D, keras.layers.LocallyConnected2D)
)
"""Layers that Keras 3 no longer has."""


def is_variable(value: object) -> bool:
    """Whether a value is a Keras variable, which in Keras 2 is a TensorFlow variable."""
    return isinstance(value, keras.Variable if KERAS_3 else tf.Variable)


def variable_path(variable: tf.Variable) -> str:
    """A variable's name with its layer's, such as "critic/conv0/kernel"."""
    return variable.path if KERAS_3 else variable.name.split(":")[0]


def tensorflow_variable(variable: tf.Variable) -> tf.Variable:
    """The TensorFlow variable that a Keras variable is or holds."""
    return variable.value if KERAS_3 else variable


def replica_weight(
    layer: keras.layers.Layer, name: str, shape: Sequence[int | None], initializer: str
) -> tf.Variable:
    """Makes an untrained float32 weight of a layer, with a separate copy on each replica.

    Outside the replicas its value is that of this process's first replica.
    """
    if KERAS_3:
        # Its `add_weight` lacks synchronization. The layer tracks it once it is an attribute.
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
    """Returns a mean in the form in which a replica's train step must give it to `fit`.

    With several workers Keras 3 averages the results over their first axis, so they need one.

    Args:
        mean: a scalar that is the same on all replicas.

    Returns:
        The scalar; on Keras 3 with several workers a tensor [1].
    """
    if not KERAS_3:
        return mean
    strategy = tf.distribute.get_strategy()
    shared = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return tf.reshape(mean, [1]) if shared else mean


def outside_strategy(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function outside the strategy's scope and returns its result.

    Keras 2 runs callbacks in the scope of the model's strategy, where making a variable is an
    operation of all workers. A scope belongs to one thread, so the function runs in another.
    """
    if KERAS_3 or not tf.distribute.has_strategy():
        return function(*arguments)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def summary(
    network: keras.Model, inputs: keras.KerasTensor | list[keras.KerasTensor], **kwargs: Any
) -> None:
    """Prints one row per layer with its output shape.

    Args:
        network: a subclassed model.
        inputs: its symbolic inputs.
        **kwargs: see `keras.Model.summary`.
    """
    if KERAS_3:
        # A functional model does not allow TensorFlow operations between layers; the summary
        # shows the shapes of the last symbolic call.
        network(inputs)
        keras.Model.summary(network, **{"expand_nested": True, **kwargs})
    else:
        # A functional model knows the shapes.
        keras.Model(inputs, network.call(inputs), name=network.name).summary(**kwargs)


def spectral_normalization(layer: keras.layers.Layer, **kwargs: Any) -> keras.layers.Layer:
    """Wraps a layer to divide its kernel by the largest singular value (Miyato et al. 2018)."""
    if KERAS_3:
        return keras.layers.SpectralNormalization(layer, **kwargs)
    return addons().layers.SpectralNormalization(layer, **kwargs)


def addons() -> ModuleType:
    """TensorFlow Addons, on the old stack; imported only when used, since that takes seconds.

    Raises:
        InputError: it cannot be imported.
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
    """Unscales gradients of a scaled loss for an optimiser's `apply_gradients`.

    Args:
        gradients: the gradients for `optimizer`.
        optimizer: the optimiser that applies them; it need not be one of `scaled`.
        scaled: the optimisers that have scaled the loss, one after another.
    """
    for other in scaled:
        if not KERAS_3:
            gradients = other.get_unscaled_gradients(gradients)
        elif other is not optimizer:  # Keras 3 removes the optimiser's own scale.
            scale = other.scale_loss(tf.ones([]))
            gradients = [None if part is None else part / scale for part in gradients]
    return list(gradients)


def held_layers(model: object) -> list[keras.layers.Layer]:
    """A layer and all layers in it, at any depth, in attributes and containers."""
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
    """The variables of a network or an optimiser in a checkpoint, by their places.

    TensorFlow does not see the layers in a Keras 3 model's lists, so the tree is built here. Its
    names are those that TensorFlow gives to a Keras 2 model, so each stack reads the checkpoints of
    the other and of earlier versions.

        layers         by attribute, in a list by number
        variables      by attribute: conv/kernel, normalizations/0/moving_mean
        optimisers     _iterations, _learning_rate unless it is a schedule, _variables/1 and on;
                       for a loss scale, loss_scale/current_loss_scale and loss_scale/good_steps
    """
    if isinstance(part, OPTIMIZERS):
        return _tree_of_optimizer(part)
    return _tree_of_layer(part)


def _tree_of_layer(layer: keras.layers.Layer) -> tf.train.Checkpoint:
    children = {name: value for name, value in vars(layer).items() if not name.startswith("_")}
    tree = {name: node for name, value in children.items() if (node := _node(value)) is not None}
    # The variables of the layers in it are left out; a wrapper lists its layer's kernel too.
    own = {id(variable) for variable in layer.variables}
    for held in held_layers(layer)[1:]:
        own -= {id(variable) for variable in held.variables}
    for name, value in vars(layer).items():
        if id(value) in own:
            # Keras 3 keeps `kernel` as `_kernel`, and its name for the vector of a spectral
            # normalisation differs from TensorFlow Addons'.
            name = {"vector_u": "u"}.get(name, name.lstrip("_"))
            tree[name] = tensorflow_variable(value)
    return tf.train.Checkpoint(**tree)


def _node(value: object) -> tf.train.Checkpoint | None:
    """The node of a layer or of a container of layers; None for anything else."""
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
        # Keras 3 has the learning rate among the variables, Keras 2 beside them.
        del variables[1]
    tree["_iterations"] = variables[0]
    if _has_rate(optimizer):
        tree["_learning_rate"] = tensorflow_variable(optimizer.learning_rate)
    slots = {str(number): variable for number, variable in enumerate(variables)}
    return tf.train.Checkpoint(**tree, _variables=tf.train.Checkpoint(**slots))


def _has_rate(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimiser's learning rate is a variable, not computed by a schedule."""
    rate = optimizer.get_config()["learning_rate"]
    return not isinstance(rate, (dict, keras.optimizers.schedules.LearningRateSchedule))


def loss_scale_variables(optimizer: keras.optimizers.Optimizer) -> tuple[tf.Variable, tf.Variable]:
    """The scale of a `LossScaleOptimizer`, and the number of steps since it last changed."""
    if KERAS_3:
        return tuple(map(tensorflow_variable, (optimizer.dynamic_scale, optimizer.step_counter)))
    # Its public property is not a variable.
    state = optimizer._loss_scale
    return state.current_loss_scale, state.counter
