"""A generator with the averages of its weights over the training."""

import keras
import numpy as np
import pytest
from tiny_tgan import make_tgan, real_clips

from tgan_tf import stack
from tgan_tf.latents import generator_latents
from tgan_tf.moving_average import averaged, averaging

MOMENTUM = 0.75


@pytest.fixture(scope="module")
def trained():
    """A generator, its optimiser, and its weights at first and after each of three updates."""
    generator = make_tgan().generator
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=MOMENTUM)
    optimizer.build(generator.trainable_variables)
    history = [[v.numpy() for v in generator.trainable_variables]]
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = [rng.normal(0, 0.1, v.shape).astype("f") for v in generator.trainable_variables]
        optimizer.apply_gradients(zip(gradients, generator.trainable_variables))
        history.append([v.numpy() for v in generator.trainable_variables])
    return generator, optimizer, history


@pytest.mark.slow
def test_has_the_averages_of_the_weights(trained):
    generator, optimizer, history = trained
    copy = averaged(generator, optimizer)
    # Keras 3 begins with the weights after the first update, Keras 2 with those before.
    first, *others = history[1:] if stack.KERAS_3 else history
    expected = first
    for weights in others:
        expected = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in zip(expected, weights)]
    for variable, average in zip(copy.trainable_variables, expected):
        np.testing.assert_allclose(variable.numpy(), average, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_goes_on_where_a_model_is_compiled_again_with_the_same_optimizer():
    tgan = make_tgan(generator_optimizer=keras.optimizers.SGD(1.0, use_ema=True))
    tgan.fit(real_clips(4), batch_size=2, verbose=0)
    before = [weight.numpy() for weight in tgan.averaged_generator().trainable_variables]
    tgan.compile(tgan.generator_optimizer, tgan.critic_optimizer)
    for weight, expected in zip(tgan.averaged_generator().trainable_variables, before):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.slow
def test_leaves_the_generator_as_it_is(trained):
    generator, optimizer, history = trained
    before = generator.get_weights()
    averaged(generator, optimizer)
    for weight, old in zip(generator.get_weights(), before):
        np.testing.assert_array_equal(weight, old)
    for variable, last in zip(generator.trainable_variables, history[-1]):
        np.testing.assert_array_equal(variable.numpy(), last)


@pytest.mark.slow
def test_has_the_moments_of_its_own_activations(trained):
    generator, optimizer, _ = trained
    copy = averaged(generator, optimizer)
    # The first layer's, which are those of a matrix product of the latents.
    z0 = generator_latents(copy, 0, 256).astype(np.float64)
    layer = copy.image_generator.z0_dense
    values = (z0 @ layer.kernel.numpy().astype(np.float64)).reshape(8, 32, -1)
    normalization = copy.image_generator.z0_normalization
    np.testing.assert_allclose(
        normalization.moving_mean.numpy(), values.mean(axis=(0, 1)), rtol=1e-4, atol=1e-5
    )
    # Of each batch the unbiased variance, of 32 videos with as many equal rows as frames.
    rows = 32 * copy.frames
    variance = values.var(axis=1).mean(axis=0) * rows / (rows - 1)
    np.testing.assert_allclose(normalization.moving_variance.numpy(), variance, rtol=1e-4)
    assert normalization.momentum == 0.9


@pytest.mark.slow
def test_brings_one_copy_up_to_date():
    generator = make_tgan().generator
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=MOMENTUM)
    optimizer.build(generator.trainable_variables)
    up_to_date = averaging(generator, optimizer)
    before = up_to_date()
    optimizer.apply_gradients((v + 0.1, v) for v in generator.trainable_variables)
    after = up_to_date()
    assert after is before
    for weight, expected in zip(after.get_weights(), averaged(generator, optimizer).get_weights()):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.slow
def test_is_the_generator_itself_without_averages(trained):
    generator, _, _ = trained
    assert averaged(generator, keras.optimizers.SGD(1.0)) is generator
