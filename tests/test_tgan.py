"""The adversarial step: gradients, schedule, reports, precision, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import CLIP_SHAPE, Z0_DIM, configuration, make_tgan, real_clips, weights

from tgan_tf import stack
from tgan_tf.configuration import build
from tgan_tf.errors import InputError
from tgan_tf.lipschitz import GradientPenalty
from tgan_tf.models import Conv3DGenerator, Critic, VideoGenerator
from tgan_tf.models.network import CriticNetwork
from tgan_tf.tgan import TGAN, rmsprop


@pytest.fixture
def policy():
    """Sets a global precision policy, for the test only."""
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy("float32")


def sgd():
    return keras.optimizers.SGD(1.0)


def train(tgan, clips, steps=1):
    dataset = tf.data.Dataset.from_tensors(clips).repeat()
    return tgan.fit(dataset, steps_per_epoch=steps, verbose=0).history


def drawn_latents(tgan, batch, seed=0, step=0):
    """What the class promises: a function of seed, critic's step and place in the batch."""
    return tf.random.stateless_uniform(
        [batch, Z0_DIM], [seed, step + 5 * 2**40], -1.0, 1.0, alg="philox"
    )


def to(label, loss):
    """A loss of Keras's, to the same label for all scores."""
    return lambda scores: loss(label * tf.ones_like(scores), scores)


# Of real and of fake scores, which the critic minimises together, and of fake ones the generator.
CROSS_ENTROPY = keras.losses.BinaryCrossentropy(from_logits=True)
SQUARES = keras.losses.MeanSquaredError()
HINGE = keras.losses.Hinge()
LOSSES = {
    "wasserstein": (lambda s: -tf.reduce_mean(s), tf.reduce_mean, lambda s: -tf.reduce_mean(s)),
    "normal": (to(1.0, CROSS_ENTROPY), to(0.0, CROSS_ENTROPY), to(1.0, CROSS_ENTROPY)),
    "least_squares": (to(1.0, SQUARES), to(-1.0, SQUARES), to(0.0, SQUARES)),
    "hinge": (to(1.0, HINGE), to(-1.0, HINGE), lambda s: -tf.reduce_mean(s)),
}


def two_tape_gradients(tgan, z0, real, objective="wasserstein"):
    """The usual computation: a loss, a tape and a backward pass for each player."""
    of_real, of_fake, of_generated = LOSSES[objective]
    with tf.GradientTape() as tape:
        fake_scores = tgan.critic(tgan.generator(z0, training=True), training=True)
        generator_loss = of_generated(fake_scores)
    of_generator = tape.gradient(generator_loss, tgan.generator.trainable_variables)
    fake = tf.constant(tgan.generator(z0, training=True))
    with tf.GradientTape() as tape:
        critic_loss = of_fake(tgan.critic(fake, training=True)) + of_real(
            tgan.critic(real, training=True)
        )
    of_critic = tape.gradient(critic_loss, tgan.critic.trainable_variables)
    return of_generator, of_critic, float(generator_loss), float(critic_loss)


@pytest.mark.slow
@pytest.mark.parametrize("objective", LOSSES)
def test_one_forward_pass_gives_the_gradients_of_two_tapes(objective):
    # An interval that is never met: the weights' changes are the gradients alone.
    arguments = {"generator_optimizer": sgd(), "critic_optimizer": sgd(), "objective": objective}
    tgan = make_tgan(interval=1000, **arguments)
    real = real_clips(5)
    of_generator, of_critic, *_ = two_tape_gradients(
        make_tgan(interval=1000), drawn_latents(tgan, 5), real, objective
    )
    variables = tgan.generator.trainable_variables + tgan.critic.trainable_variables
    before = [v.numpy() for v in variables]
    train(tgan, real)
    for variable, old, gradient in zip(variables, before, of_generator + of_critic):
        change = old - variable.numpy()
        # The difference of two float32 weights rounds as the weights do.
        np.testing.assert_allclose(
            change,
            gradient,
            atol=1e-6 * max(1.0, np.abs(gradient).max()),
            err_msg=stack.variable_path(variable),
        )


def window(values, draw):
    """Two of four frames, from where the class promises: a function of seed, step and draw."""
    seed = [0, draw * 2**40]
    start = int(tf.random.stateless_uniform([], seed, 0, 3, tf.int32, alg="philox"))
    return values[:, start : start + 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tgan", "conv3d"])
def test_a_critic_of_fewer_frames_judges_a_window_of_the_clips(name):
    own = {"tgan": {"z1_dim": 5, "temporal_filters": 8, "image_filters": 8}}
    generator = {"name": name, "z0_dim": Z0_DIM, **own.get(name, {"filters": 8})}
    keras.utils.set_random_seed(0)
    tgan = build(configuration(interval=1000, generator=generator, critic_frames=2))
    tgan.compile(sgd(), sgd())
    copies = [type(part).from_config(part.get_config()) for part in (tgan.generator, tgan.critic)]
    for copy, part in zip(copies, (tgan.generator, tgan.critic)):
        copy.set_weights(part.get_weights())
    generator, critic = copies
    real, z0 = real_clips(5), drawn_latents(tgan, 5)
    with tf.GradientTape(persistent=True) as tape:
        if name == "tgan":
            latents = window(generator.frame_latents(z0, training=True), 6)
            fake = generator.render(z0, latents, training=True)
        else:
            fake = window(generator(z0, training=True), 6)
        fake_score = tf.reduce_mean(critic(fake, training=True))
        loss = fake_score - tf.reduce_mean(critic(window(real, 7), training=True))
        generator_loss = -fake_score
    expected = tape.gradient(generator_loss, generator.trainable_variables)
    expected += tape.gradient(loss, critic.trainable_variables)
    variables = tgan.generator.trainable_variables + tgan.critic.trainable_variables
    before = [v.numpy() for v in variables]
    history = train(tgan, real)
    assert history["critic_loss"][0] == pytest.approx(float(loss), abs=1e-6)
    for variable, old, gradient in zip(variables, before, expected):
        change = old - variable.numpy()
        np.testing.assert_allclose(
            change,
            gradient,
            atol=1e-6 * max(1.0, np.abs(gradient).max()),
            err_msg=stack.variable_path(variable),
        )


@pytest.mark.slow
def test_reported_losses_are_those_of_the_step():
    real = real_clips(4)
    *_, generator_loss, critic_loss = two_tape_gradients(make_tgan(), drawn_latents(None, 4), real)
    history = train(make_tgan(), real)
    assert history["generator_loss"][0] == pytest.approx(generator_loss, abs=1e-6)
    assert history["critic_loss"][0] == pytest.approx(critic_loss, abs=1e-6)
    assert history["wasserstein_estimate"][0] == pytest.approx(-critic_loss, abs=1e-6)


@pytest.mark.slow
def test_reported_losses_are_means_over_the_steps():
    tgan, other = make_tgan(), make_tgan()
    single = [train(tgan, real_clips(4))["critic_loss"][0] for _ in range(3)]
    together = train(other, real_clips(4), steps=3)["critic_loss"][0]
    assert together == pytest.approx(np.mean(single), abs=1e-6)


@pytest.mark.slow
def test_real_and_generated_clips_are_normalised_apart_the_generated_first():
    tgan, real = make_tgan(interval=1000), real_clips(4)
    fake = tgan.generator(drawn_latents(tgan, 4), training=True)
    copy = make_tgan(interval=1000)
    copy.critic(fake, training=True)
    copy.critic(real, training=True)
    tgan = make_tgan(interval=1000)
    train(tgan, real)
    for ours, expected in zip(
        tgan.critic.non_trainable_variables, copy.critic.non_trainable_variables
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, err_msg=stack.variable_path(ours))


@pytest.mark.slow
def test_latents_are_uniform_and_new_at_each_step():
    tgan = make_tgan()
    seen = []
    call = tgan.generator.call
    tgan.generator.call = lambda inputs, training=False: (
        seen.append(inputs.numpy()) or call(inputs, training)
    )
    tgan.compile(rmsprop(), rmsprop(), n_critic=2, run_eagerly=True)
    train(tgan, real_clips(64), steps=3)
    z0 = np.concatenate(seen)
    assert z0.shape == (3 * 2 * 32, Z0_DIM)
    assert len(np.unique(z0[:, 0])) == len(z0)
    assert z0.min() >= -1 and z0.max() < 1 and abs(z0.mean()) < 0.1
    assert z0.var() == pytest.approx(1 / 3, rel=0.1)


@pytest.mark.slow
def test_critic_is_updated_n_critic_times_and_the_generator_once():
    tgan = make_tgan(n_critic=3)
    train(tgan, real_clips(6), steps=2)
    assert int(tgan.critic_optimizer.iterations) == 6
    assert int(tgan.generator_optimizer.iterations) == tgan.step == 2


@pytest.mark.slow
def test_with_n_critic_the_generator_only_moves_with_the_last_update():
    clips = real_clips(6)
    tgan = make_tgan(interval=1000, n_critic=2, generator_optimizer=sgd(), critic_optimizer=sgd())
    # By hand: a critic's update on every other clip, then both on the rest, from one forward pass.
    by_hand = make_tgan(interval=1000)
    _, of_critic, *_ = two_tape_gradients(by_hand, drawn_latents(None, 3, step=0), clips[::2])
    for variable, gradient in zip(by_hand.critic.trainable_variables, of_critic):
        variable.assign_sub(gradient)
    of_generator, of_critic, *_ = two_tape_gradients(
        by_hand, drawn_latents(None, 3, step=1), clips[1::2]
    )
    variables = by_hand.generator.trainable_variables + by_hand.critic.trainable_variables
    for variable, gradient in zip(variables, of_generator + of_critic):
        variable.assign_sub(gradient)
    train(tgan, clips)
    ours = tgan.generator.trainable_variables + tgan.critic.trainable_variables
    for variable, expected in zip(ours, variables):
        np.testing.assert_allclose(
            variable, expected, atol=2e-5, err_msg=stack.variable_path(variable)
        )


@pytest.mark.slow
def test_n_critic_wastes_no_backward_pass_of_the_generator():
    def backward_operations(n_critic):
        tgan = make_tgan(n_critic=n_critic)
        step = tf.function(tgan.train_step).get_concrete_function(
            tf.TensorSpec([4 * n_critic, *CLIP_SHAPE])
        )
        names = [op.name for op in step.graph.get_operations() if "Conv2DBackpropFilter" in op.type]
        return len(names)

    # The kernels of the 2-D and 1-D transposed convolutions of the generator.
    kernels = sum(
        "deconv" in stack.variable_path(v) or "to_frame" in stack.variable_path(v)
        for v in make_tgan().generator.trainable_variables
        if "kernel" in v.name
    )
    assert backward_operations(1) == backward_operations(3) == kernels


@pytest.mark.slow
def test_singular_values_are_clipped_at_the_critics_steps():
    tgan = make_tgan(interval=2, critic_optimizer=keras.optimizers.SGD(1e-9))
    kernel = tgan.critic.convolutions[1].kernel
    kernel.assign(10.0 * kernel)
    top = np.linalg.svd(kernel.numpy().reshape(-1, 6), compute_uv=False)[0]
    assert top > 2
    train(tgan, real_clips(2))
    assert np.linalg.svd(kernel.numpy().reshape(-1, 6), compute_uv=False)[0] == pytest.approx(top)
    train(tgan, real_clips(2))
    assert np.linalg.svd(kernel.numpy().reshape(-1, 6), compute_uv=False)[0] <= 1 + 1e-5


def test_rmsprop_is_the_references_with_epsilon_outside_the_root():
    variable = tf.Variable([1.0, -2.0, 3.0])
    optimizer = rmsprop(0.01)
    expected, mean_square = variable.numpy().astype(np.float64), np.zeros(3)
    for scale in (1.0, 1e-6, 1e-3):
        gradient = scale * np.array([1.0, -3.0, 1e-3])
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
        mean_square = 0.99 * mean_square + 0.01 * gradient**2
        expected -= 0.01 * gradient / (np.sqrt(mean_square) + 1e-8)
    # A gradient of 1e-9 shows where epsilon is: inside the root Keras's 1e-7 would stop it.
    np.testing.assert_allclose(variable, expected, rtol=2e-3)


@pytest.mark.slow
def test_predict_gives_the_generators_clips_in_inference():
    tgan = make_tgan()
    train(tgan, real_clips(4), steps=2)
    z0 = drawn_latents(tgan, 5).numpy()
    np.testing.assert_allclose(tgan.predict(z0, verbose=0), tgan.generator(z0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_clips(policy, name):
    policy(name)
    tgan = make_tgan(interval=1, eager=False)
    before = weights(tgan.generator)
    history = train(tgan, real_clips(4), steps=12)
    assert np.isfinite(history["critic_loss"]).all()
    assert tgan.step > 0
    kernels = [v for v in tgan.critic.trainable_variables if "kernel" in stack.variable_path(v)]
    for variable in kernels:
        matrix = variable.numpy().reshape(-1, variable.shape[-1])
        assert tf.as_dtype(variable.dtype) == tf.float32
        assert np.linalg.svd(matrix, compute_uv=False)[0] <= 1 + 1e-5
    after = weights(tgan.generator)
    assert any(np.abs(after[key] - before[key]).max() > 1e-4 for key in before)
    assert tgan.predict(drawn_latents(tgan, 2).numpy(), verbose=0).dtype == np.float32


@pytest.mark.slow
def test_a_step_whose_float16_gradients_overflow_is_skipped_and_the_scale_halved(policy):
    policy("mixed_float16")
    scaled = keras.mixed_precision.LossScaleOptimizer(rmsprop(), initial_scale=2.0**60)
    tgan = make_tgan(critic_optimizer=scaled)
    variables = tgan.generator.trainable_variables + tgan.critic.trainable_variables
    before = [v.numpy() for v in variables]
    train(tgan, real_clips(4))
    assert stack.loss_scale_variables(scaled)[0].numpy() == 2.0**59
    for variable, old in zip(variables, before):
        np.testing.assert_array_equal(variable, old, err_msg=stack.variable_path(variable))


@pytest.mark.slow
def test_keras_file_brings_back_networks_optimisers_and_schedule(tmp_path):
    tgan = make_tgan(n_critic=2, eager=False)
    train(tgan, real_clips(8), steps=3)
    tgan.save(tmp_path / "tgan.keras")
    loaded = keras.saving.load_model(tmp_path / "tgan.keras")
    train(tgan, real_clips(8, seed=1), steps=3)
    train(loaded, real_clips(8, seed=1), steps=3)
    for ours, expected in zip(loaded.variables, tgan.variables):
        np.testing.assert_array_equal(ours, expected, err_msg=stack.variable_path(ours))
    assert int(loaded.critic_optimizer.iterations) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"objective": "nosuch"}, "objective='nosuch'"),
        ({"n_critic": 0}, "n_critic=0"),
        ({"n_critic": 1.5}, "n_critic=1.5"),
    ],
)
def test_bad_compile_argument_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        make_tgan(**arguments)


@pytest.mark.slow
def test_one_optimiser_for_both_is_refused():
    optimizer = rmsprop()
    with pytest.raises(InputError, match="its own"):
        make_tgan(generator_optimizer=optimizer, critic_optimizer=optimizer)


@pytest.mark.slow
def test_generator_and_critic_of_other_clips_are_refused():
    with pytest.raises(InputError, match=r"\(4, 8, 8, 1\).*\(4, 16, 16, 1\)"):
        TGAN(
            VideoGenerator(4, 8, 1, temporal_filters=4, image_filters=8),
            Critic(4, 16, 1, filters=1),
        )


class LinearCritic(CriticNetwork):
    """Scores of a linear function of all pixels; keeps what it was called on when run eagerly."""

    def __init__(self, **kwargs):
        super().__init__(*CLIP_SHAPE[:2], CLIP_SHAPE[-1], **kwargs)
        self.dense = keras.layers.Dense(1)
        self.seen = []
        self.build_layers()
        self.seen.clear()

    def call(self, inputs, training=False, noise_seed=None):
        clips, labels = inputs if self.num_classes else (inputs, None)
        if tf.executing_eagerly():
            self.seen.append((clips.numpy(), None if labels is None else labels.numpy()))
        return self.dense(tf.reshape(clips, [-1, int(np.prod(CLIP_SHAPE))]))


def play(num_classes=0, labels=None, **compile_arguments):
    """One step against a linear critic; gives the TGAN and the reports of the step."""
    keras.utils.set_random_seed(0)
    generator = Conv3DGenerator(*CLIP_SHAPE[:2], 1, Z0_DIM, filters=8, num_classes=num_classes)
    tgan = TGAN(generator, LinearCritic(num_classes=num_classes), seed=0)
    optimizers = {"generator_optimizer": sgd(), "critic_optimizer": sgd()}
    tgan.compile(run_eagerly=True, **optimizers, **compile_arguments)
    real = real_clips(6)
    data = tf.data.Dataset.from_tensors((real, labels) if num_classes else real)
    weight = tgan.critic.dense.kernel.numpy()
    return tgan, tgan.fit(data, verbose=0).history, real, weight


@pytest.mark.slow
def test_the_penalty_is_of_the_gradients_norm_over_all_pixels():
    _, history, _, weight = play(penalty=GradientPenalty(7.0))
    (loss,), (estimate,) = history["critic_loss"], history["wasserstein_estimate"]
    # A linear function has the same gradient everywhere: its weights.
    norm = np.linalg.norm(weight.astype(np.float64))
    assert loss + estimate == pytest.approx(7.0 * (norm - 1) ** 2, rel=1e-4)


@pytest.mark.slow
def test_the_penalty_is_taken_between_a_real_and_a_generated_clip():
    tgan, _, real, _ = play(penalty=GradientPenalty(7.0))
    (fake, _), (seen, _), (between, _) = tgan.critic.seen
    np.testing.assert_array_equal(seen, real)
    weights = ((between - fake) * (real - fake)).sum((1, 2, 3, 4))
    weights /= np.square(real - fake).sum((1, 2, 3, 4))
    assert len(np.unique(weights)) == 6 and 0 <= weights.min() and weights.max() <= 1
    weights = weights.reshape(-1, 1, 1, 1, 1)
    np.testing.assert_allclose(between, weights * real + (1 - weights) * fake, atol=1e-6)


@pytest.mark.slow
def test_frames_are_shuffled_the_same_in_a_batch_and_otherwise_for_generated_clips():
    _, _, real, _ = play()
    shuffled, *_ = play(shuffle_frames=1.0)
    plain, *_ = play()
    orders = []
    for (clips, _), (expected, _) in zip(shuffled.critic.seen, plain.critic.seen):
        order = [int(np.argmin(np.abs(expected[0] - frame).sum((1, 2, 3)))) for frame in clips[0]]
        assert sorted(order) == list(range(CLIP_SHAPE[0]))
        np.testing.assert_allclose(clips, expected[:, order], atol=1e-6)
        orders.append(order)
    assert orders[0] != orders[1]


@pytest.mark.slow
def test_whether_frames_are_shuffled_has_nothing_to_do_with_the_latents():
    tgan, _, real, _ = play(shuffle_frames=0.5)
    tgan.critic.seen.clear()
    steps = 40
    train(tgan, real, steps)
    shuffled = np.array([(clips != real).any() for clips, _ in tgan.critic.seen[1::2]])
    first_latents = np.array([drawn_latents(tgan, 6, step=1 + i)[0, 0] for i in range(steps)])
    assert 8 < shuffled.sum() < 32
    # Half of them, but for chance; the same number would make it all or none.
    assert 8 < (shuffled == (first_latents < 0)).sum() < 32


@pytest.mark.slow
def test_a_generated_clip_has_the_class_of_the_real_one_in_its_place():
    labels = np.array([2, 0, 1, 1, 2, 0])
    tgan, _, real, _ = play(num_classes=3, labels=labels)
    (fake, of_fake), (seen, of_real) = tgan.critic.seen
    one_hot = np.eye(3, dtype=np.float32)[labels]
    np.testing.assert_array_equal(of_fake, one_hot)
    np.testing.assert_array_equal(of_real, one_hot)
    np.testing.assert_array_equal(seen, real)
    keras.utils.set_random_seed(0)
    untrained = Conv3DGenerator(*CLIP_SHAPE[:2], 1, Z0_DIM, filters=8, num_classes=3)
    z0 = np.concatenate([drawn_latents(tgan, 6), one_hot], axis=1)
    np.testing.assert_allclose(fake, untrained(z0, training=True), atol=1e-5)


@pytest.mark.slow
def test_generator_and_critic_of_other_classes_are_refused():
    generator = Conv3DGenerator(*CLIP_SHAPE[:2], 1, Z0_DIM, filters=8, num_classes=3)
    with pytest.raises(InputError, match="num_classes=3, the critic 0"):
        TGAN(generator, LinearCritic())
