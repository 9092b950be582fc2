"""What `SingularValueClipping` leaves of the kernels of each layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from clipping import apply_zero_gradients, exact_projection, largest

from tgan_tf import stack
from tgan_tf.constraints import SingularValueClipping, follow_optimizer
from tgan_tf.errors import InputError

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


@pytest.mark.slow
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


@pytest.mark.slow
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
    layer = keras.layers.Dense(3, name="dense")
    keras.Sequential([keras.Input((2,)), layer])
    with pytest.raises(InputError, match=r"dense/bias of shape \(3,\).*2 axes or more"):
        SingularValueClipping()(layer.bias)
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        SingularValueClipping()(tf.constant([1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match=r"shape \(3,\).*2 axes or more"):
        SingularValueClipping(output_axis=-1)(tf.constant([1.0, 2.0, 3.0]))


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

    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_leaves_a_kernel_below_the_maximum_as_it_is(self):
        layer = keras.layers.Conv1D(
            2, 4, 2, "same", kernel_constraint=SingularValueClipping(1e3, norm="operator")
        )
        self.trained(layer, (8, 1))
        kernel = layer.kernel.numpy()
        np.testing.assert_array_equal(layer.kernel_constraint(layer.kernel), kernel)

    def test_without_its_layer_names_the_remedy(self):
        with pytest.raises(InputError, match="not in a Keras layer .* give norm='matrix'"):
            SingularValueClipping(norm="operator")(tf.ones([4, 1, 1]))

    @pytest.mark.slow
    def test_that_two_layers_share_goes_by_the_sizes_of_each(self):
        shared = SingularValueClipping(norm="operator")
        layers = [keras.layers.Conv1D(2, 4, 2, "same", kernel_constraint=shared) for _ in "ab"]
        keras.Sequential([keras.Input((16, 2)), *layers])
        for layer, shape in zip(layers, ((16, 2), (8, 2))):
            layer.kernel.assign(3 * np.random.default_rng(0).normal(size=layer.kernel.shape))
            layer.kernel.assign(shared(layer.kernel))
            assert np.linalg.norm(self.matrix(layer, shape), 2) == pytest.approx(1, abs=0.03)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "layer",
        (
            keras.layers.Conv2D(4, 3, groups=2, name="groups"),
            keras.layers.Conv2D(4, 3, dilation_rate=2, name="dilated"),
            keras.layers.Conv1D(4, 3, padding="causal", name="causal_1d"),
            *(layer(4, 3, name="local_1d") for layer in stack.LOCALLY_CONNECTED[:1]),
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
