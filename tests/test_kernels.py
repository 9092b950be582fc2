"""What is clipped of each of Keras's layers, judged by what it makes of unit inputs.

Long, as it has a case for each layer, and all cases are clipped in one update.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from clipping import exact_projection

from tgan_tf import stack
from tgan_tf.constraints import SingularValueClipping, follow_optimizer
from tgan_tf.errors import InputError

DOCUMENT = Path(__file__).parents[1] / "docs" / "clipping.md"


def units(shape):
    return tf.reshape(tf.eye(int(np.prod(shape))), [-1, *shape])


def linear(function, shape):
    """What a function makes of each unit input, less what it makes of zeros: [inputs, ...]."""
    return (function(units(shape)) - function(tf.zeros([1, *shape]))).numpy()


def whole(shape):
    """The layer as one matrix; of a convolution whose input is one window the window's."""
    return lambda layer: linear(layer, shape).reshape(np.prod(shape), -1)


def middle(shape):
    """The matrix from a window, which is the whole input, to the output in its middle."""
    return lambda layer: linear(layer, shape)[(slice(None), *(size // 2 for size in shape[:-1]))]


def beside(attribute, value, probe):
    """A probe of a layer whose other kernel passes on what it is given."""

    def matrix(layer):
        kept = getattr(layer, attribute).numpy()
        getattr(layer, attribute).assign(np.broadcast_to(value, kept.shape))
        result = probe(layer)
        getattr(layer, attribute).assign(kept)
        return result

    return matrix


def gates(number, shape, of_state=None):
    """The matrix from a step's input, or from its state, to all gates before their activations."""

    def matrix(layer):
        cell = getattr(layer, "cell", layer)
        activations = {
            name: getattr(cell, name)
            for name in ("activation", "recurrent_activation")
            if hasattr(cell, name)
        }

        def values(unit):
            seen = []
            for name in activations:
                setattr(cell, name, lambda x: seen.append(x) or tf.ones_like(x))
            state = unit if of_state else tf.zeros([len(unit), *STATE[len(shape)]])
            inputs = tf.zeros([len(unit), *shape]) if of_state else unit
            cell(inputs, [state, tf.zeros_like(state)][: 1 + ("LSTM" in type(cell).__name__)])
            return tf.concat(seen[:number], axis=-1)

        result = linear(values, of_state or shape)
        for name, activation in activations.items():
            setattr(cell, name, activation)
        # A convolution's at the middle of its output.
        return result[(slice(None), *(size // 2 for size in result.shape[1:-1]))]

    return matrix


# Of a recurrent layer with 3 units, by the axes of a step's input: one position of a convolution.
STATE = {1: [3], 2: [1, 3], 3: [1, 1, 3], 4: [1, 1, 1, 3]}
# Passes on the first of the 2 or 2x2 taps of a depthwise kernel with multiplier 1.
TAP = {1: np.eye(2)[0].reshape(2, 1, 1), 2: np.eye(4)[0].reshape(2, 2, 1, 1)}

# The layer, what one constraint is given to, its input and a matrix of it.
CASES = [
    (keras.layers.Dense(4), "kernel", (6,), whole((6,))),
    (keras.layers.EinsumDense("ab,bcd->acd", (4, 8)), "kernel", (16,), whole((16,))),
    (keras.layers.EinsumDense("abc,bcd->ad", (6,)), "kernel", (3, 4), whole((3, 4))),
    # Each of 3 positions has a matrix of its own, each of 4 channels one number.
    (keras.layers.EinsumDense("abc,bcd->abd", (3, 6)), "kernel", (3, 4), whole((3, 4))),
    (
        keras.layers.EinsumDense("...bc,c->...bc", (3, 4), name="scales"),
        "kernel",
        (3, 4),
        whole((3, 4)),
    ),
    (keras.layers.Embedding(7, 4), "embeddings", (), lambda layer: np.asarray(layer(np.arange(7)))),
    *(
        (layer(7, 4), "embeddings", (), lambda layer: np.asarray(layer(np.arange(7))))
        # Of Keras 3 alone.
        for layer in [getattr(keras.layers, "ReversibleEmbedding", None)]
        if layer is not None
    ),
    (keras.layers.Conv1D(4, 3), "kernel", (3, 2), whole((3, 2))),
    (keras.layers.Conv2D(4, 3, name="after_transpose"), "kernel", (3, 3, 2), whole((3, 3, 2))),
    (keras.layers.Conv2D(6, 3, groups=2), "kernel", (3, 3, 4), whole((3, 3, 4))),
    (keras.layers.Conv3D(4, 2), "kernel", (2, 2, 2, 3), whole((2, 2, 2, 3))),
    (
        keras.layers.Conv1DTranspose(4, 3, padding="same", name="up1"),
        "kernel",
        (3, 2),
        middle((3, 2)),
    ),
    (
        keras.layers.Conv2DTranspose(4, 3, padding="same", name="up2"),
        "kernel",
        (3, 3, 2),
        middle((3, 3, 2)),
    ),
    (
        keras.layers.Conv3DTranspose(4, 3, padding="same", name="up3"),
        "kernel",
        (3, 3, 3, 2),
        middle((3, 3, 3, 2)),
    ),
    (keras.layers.DepthwiseConv1D(3, depth_multiplier=2), "depthwise", (3, 4), whole((3, 4))),
    (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), "depthwise", (3, 3, 4), whole((3, 3, 4))),
    (keras.layers.DepthwiseConv2D(3), "depthwise", (3, 3, 8), whole((3, 3, 8))),
    (
        keras.layers.SeparableConv1D(4, 2),
        "depthwise",
        (2, 4),
        beside("pointwise_kernel", np.eye(4), whole((2, 4))),
    ),
    (
        keras.layers.SeparableConv1D(5, 2),
        "pointwise",
        (2, 4),
        beside("depthwise_kernel", TAP[1], whole((2, 4))),
    ),
    (
        keras.layers.SeparableConv2D(4, 2),
        "depthwise",
        (2, 2, 4),
        beside("pointwise_kernel", np.eye(4), whole((2, 2, 4))),
    ),
    (
        keras.layers.SeparableConv2D(5, 2),
        "pointwise",
        (2, 2, 4),
        beside("depthwise_kernel", TAP[2], whole((2, 2, 4))),
    ),
    *(
        (layer(4, 3 - axes, strides=3 - axes), "kernel", shape, whole(shape))
        for axes, (layer, shape) in enumerate(zip(stack.LOCALLY_CONNECTED, ((6, 2), (4, 4, 2))))
    ),
    *(
        case
        for recurrent, cell, number in (
            (keras.layers.SimpleRNN, keras.layers.SimpleRNNCell, 1),
            (keras.layers.GRU, keras.layers.GRUCell, 3),
            (keras.layers.LSTM, keras.layers.LSTMCell, 4),
        )
        for case in (
            (recurrent(3), "kernel", (2, 5), gates(number, (5,))),
            (recurrent(3), "recurrent", (2, 5), gates(number, (5,), of_state=(3,))),
            (keras.layers.RNN(cell(3)), "kernel", (2, 5), gates(number, (5,))),
            (keras.layers.RNN(cell(3)), "recurrent", (2, 5), gates(number, (5,), of_state=(3,))),
        )
    ),
    *(
        case
        for axes, convolution in enumerate(
            (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D), 1
        )
        for case in (
            (convolution(3, 3), "kernel", (2, *[3] * axes, 2), gates(4, (*[3] * axes, 2))),
            (
                convolution(3, 3),
                "recurrent",
                (2, *[5] * axes, 2),
                gates(4, (*[5] * axes, 2), of_state=(*[3] * axes, 3)),
            ),
        )
    ),
    (
        keras.layers.TimeDistributed(keras.layers.DepthwiseConv2D(3, name="inner")),
        "depthwise",
        (2, 3, 3, 4),
        whole((2, 3, 3, 4)),
    ),
]


def owner(layer):
    """The layer that has the kernel and its constraint."""
    if isinstance(
        layer,
        (
            keras.layers.RNN,
            keras.layers.ConvLSTM1D,
            keras.layers.ConvLSTM2D,
            keras.layers.ConvLSTM3D,
        ),
    ):
        return layer.cell
    return getattr(layer, "layer", layer)


def case_name(case):
    layer, argument, *_ = case
    inner = (
        owner(layer)
        if isinstance(layer, keras.layers.TimeDistributed) or type(layer) is keras.layers.RNN
        else layer
    )
    return f"{type(inner).__name__}.{argument}"


ATTENTIONS = {
    "MultiHeadAttention": lambda clip: keras.layers.MultiHeadAttention(
        2, 3, value_dim=4, kernel_constraint=clip
    ),
}
if stack.KERAS_3:
    ATTENTIONS["GroupedQueryAttention"] = lambda clip: keras.layers.GroupQueryAttention(
        3, 2, 1, kernel_constraint=clip
    )
NAMES = [f"{case_name(case)}-{i}" for i, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def matrices():
    """By name each case's matrix before and after an update that only clips."""
    rng = np.random.default_rng(0)
    inputs, held = [], []
    for layer, argument, shape, _ in CASES:
        # Made again of its configuration, with a constraint.
        own = owner(layer)
        setattr(own, f"{argument}_constraint", SingularValueClipping())
        inputs.append(keras.Input(shape))
        layer(inputs[-1])
        for variable in layer.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))
        held.append(layer)
    before = [probe(layer) for layer, _, _, probe in CASES]
    optimizer = keras.optimizers.SGD()
    model = keras.Sequential()
    model.held = held
    follow_optimizer(model, optimizer)
    variables = [v for layer in held for v in layer.trainable_variables]
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    after = [probe(layer) for layer, _, _, probe in CASES]
    return dict(zip(NAMES, zip(before, after)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_clipped_as_the_matrix_that_it_applies(matrices, name):
    before, after = matrices[name]
    assert np.linalg.norm(before, 2) > 1.1
    np.testing.assert_allclose(after, exact_projection(before), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTENTIONS)
def test_each_dense_layer_of_an_attention_is_clipped(name):
    layer = ATTENTIONS[name](SingularValueClipping())
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    layer(x, x)
    parts = [
        part for part in stack.held_layers(layer) if isinstance(part, keras.layers.EinsumDense)
    ]
    assert len(parts) == 4
    for part in parts:
        part.kernel.assign(np.random.default_rng(1).normal(size=part.kernel.shape))
    probes = [whole((1, *part.get_build_config()["input_shape"][2:])) for part in parts]
    before = [probe(part) for probe, part in zip(probes, parts)]
    variables = layer.trainable_variables
    keras.optimizers.SGD().apply_gradients([(tf.zeros_like(v), v) for v in variables])
    for probe, part, matrix in zip(probes, parts, before):
        assert np.linalg.norm(matrix, 2) > 1.1
        np.testing.assert_allclose(probe(part), exact_projection(matrix), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (
            lambda clip: keras.layers.Bidirectional(keras.layers.GRU(3, kernel_constraint=clip)),
            (4, 5),
        ),
        (
            lambda clip: stack.spectral_normalization(
                keras.layers.Dense(3, kernel_constraint=clip)
            ),
            (5,),
        ),
        (
            lambda clip: keras.layers.TimeDistributed(
                keras.layers.Conv2DTranspose(3, 2, kernel_constraint=clip)
            ),
            (2, 4, 4, 5),
        ),
    ],
    ids=["Bidirectional", "SpectralNormalization", "TimeDistributed"],
)
def test_a_layer_in_a_wrapper_is_clipped_as_without(make, shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, make(SingularValueClipping())(inputs))
    kernels = [
        v for v in model.trainable_variables if stack.variable_path(v).split("/")[-1] == "kernel"
    ]
    before = [10.0 * kernel.numpy() for kernel in kernels]
    for kernel, value in zip(kernels, before):
        kernel.assign(value)
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.apply_gradients((tf.zeros_like(v), v) for v in model.trainable_variables)
    assert kernels
    for kernel, value in zip(kernels, before):
        # Outputs are before the inputs in a transposed convolution alone.
        axis = -2 if len(value.shape) == 4 else -1
        matrix = np.moveaxis(value, axis, -1).reshape(-1, value.shape[axis])
        clipped = np.moveaxis(kernel.numpy(), axis, -1).reshape(matrix.shape)
        np.testing.assert_allclose(clipped, exact_projection(matrix), atol=1e-5)


def constraint_arguments():
    """(class, argument) of each constraint that is not a bias's, of all of Keras's layers."""
    found = set()
    for name in dir(keras.layers):
        layer = getattr(keras.layers, name)
        if not (inspect.isclass(layer) and issubclass(layer, keras.layers.Layer)):
            continue
        for base in layer.__mro__[:-1]:
            # Also what a class passes on to its base.
            found |= {
                (layer.__name__, argument)
                for argument in inspect.signature(base.__init__).parameters
                if argument.endswith("_constraint") and argument != "bias_constraint"
            }
    return found


def documented():
    """Of each class and argument in the documentation's table how it is clipped."""
    rows = re.findall(
        r"^\| (`.*?) \| (`\w+_constraint`.*?) \| (.*?) \|$", DOCUMENT.read_text(), re.M
    )
    return {
        (layer, argument): how
        for layers, arguments, how in rows
        for layer in re.findall(r"`(\w+)`", layers)
        for argument in re.findall(r"`(\w+)`", arguments)
    }


@pytest.mark.slow
def test_the_documentation_has_every_layer_with_a_constraint():
    # It has those of both stacks.
    assert not constraint_arguments() - set(documented())
    clipped = {
        case for case, how in documented().items() if how != "refused"
    } & constraint_arguments()
    tested = {tuple(case_name(case).split(".")) for case in CASES}
    tested = {(layer, f"{argument}_constraint") for layer, argument in tested}
    assert clipped == tested | {(layer, "kernel_constraint") for layer in ATTENTIONS}


ARGUMENTS = {"PReLU": (), "DepthwiseConv1D": (3,), "DepthwiseConv2D": (3,)}
ARGUMENTS |= {"SeparableConv1D": (4, 3), "SeparableConv2D": (4, 3)}


@pytest.mark.parametrize(
    "make",
    [
        *(
            lambda name=name, argument=argument: getattr(keras.layers, name)(
                *ARGUMENTS.get(name, ()), name="mine", **{argument: SingularValueClipping()}
            )
            for (name, argument), how in documented().items()
            if how == "refused" and (name, argument) in constraint_arguments()
        ),
        lambda: keras.layers.Dense(3, name="mine", bias_constraint=SingularValueClipping()),
        *(
            lambda layer=layer: layer(
                3, 2, name="mine", implementation=2, kernel_constraint=SingularValueClipping()
            )
            for layer in stack.LOCALLY_CONNECTED
        ),
        # The sum over an axis that the kernel has not stretches more than the kernel does.
        lambda: keras.layers.EinsumDense(
            "abc,cd->ad", 3, name="mine", kernel_constraint=SingularValueClipping()
        ),
    ],
)
def test_what_is_no_known_kernel_is_refused_when_it_is_followed(make):
    with pytest.raises(InputError, match="SingularValueClipping on .* 'mine'.* not known: "):
        follow_optimizer(make(), keras.optimizers.SGD())


@pytest.mark.slow
def test_what_is_no_known_kernel_is_refused_in_the_first_step():
    model = keras.Sequential(
        [keras.layers.PReLU(alpha_constraint=SingularValueClipping(), name="mine")]
    )
    model.compile("sgd", "mse")
    # Of a compiled function TensorFlow may raise an exception of its own that quotes this one.
    with pytest.raises(Exception, match=r"PReLU 'mine'.* not known: "):
        model.fit(np.ones((1, 4, 3)), np.ones((1, 4, 3)), verbose=0)


class OfOnesOwn(keras.layers.Layer):
    """A linear layer of no class of Keras's, whose outputs are its kernel's first axis."""

    def __init__(self, shape, constraint):
        super().__init__(name="mine")
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer="ones", constraint=constraint
        )

    def call(self, x):
        return tf.tensordot(x, self.kernel, [[1], [len(self.kernel.shape) - 1]])


def clipped_kernel(constraint, shape):
    layer = OfOnesOwn(shape, constraint)
    layer.kernel.assign(np.random.default_rng(0).normal(size=shape))
    before = layer.kernel.numpy()
    keras.optimizers.SGD().apply_gradients([(tf.zeros_like(layer.kernel), layer.kernel)])
    return before, layer.kernel.numpy()


@pytest.mark.slow
def test_a_matrix_of_a_layer_of_one_s_own_is_clipped():
    before, after = clipped_kernel(SingularValueClipping(), (4, 6))
    np.testing.assert_allclose(after, exact_projection(before), rtol=0, atol=1e-5)


def test_a_layer_of_one_s_own_with_more_axes_is_clipped_by_the_axis_that_is_given():
    before, after = clipped_kernel(SingularValueClipping(output_axis=0), (4, 2, 3))
    expected = exact_projection(before.reshape(4, 6)).reshape(4, 2, 3)
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_layer_of_one_s_own_with_more_axes_is_refused_without():
    with pytest.raises(InputError, match="OfOnesOwn 'mine'.* not known: give output_axis"):
        clipped_kernel(SingularValueClipping(), (4, 2, 3))
