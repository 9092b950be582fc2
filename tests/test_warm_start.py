"""A training that begins with another one's weights."""

import numpy as np
import pytest
from tiny_tgan import configuration, real_clips, save_run

from tgan_tf import checkpoints, runs, stack
from tgan_tf.configuration import build
from tgan_tf.errors import InputError
from tgan_tf.latents import generator_latents
from tgan_tf.warm_start import warm_start

AVERAGED = {"name": "rmsprop", "learning_rate": 1e-3, "ema_momentum": 0.5}


@pytest.fixture(scope="module")
def windowed_run(tmp_path_factory):
    """A run whose critic sees two of four frames; its averages are not its last weights."""
    run_dir = tmp_path_factory.mktemp("run") / "windowed"
    settings = configuration(seed=3, critic_frames=2, generator_optimizer=AVERAGED)
    tgan = build(settings)
    tgan.fit(real_clips(2), batch_size=2, verbose=0)
    checkpoints.save(tgan, run_dir / "checkpoints", 7)
    runs.write(run_dir, settings, {}, "")
    return run_dir


@pytest.fixture(scope="module")
def warm(windowed_run):
    tgan = build(configuration(generator_optimizer=AVERAGED))
    assert warm_start(tgan, windowed_run) == 7
    return tgan


@pytest.mark.slow
def test_the_generator_makes_the_videos_of_the_run(warm, windowed_run):
    generator, _ = runs.load_generator(windowed_run)
    z0 = generator_latents(generator, 1, 3)
    np.testing.assert_allclose(warm.generator(z0), generator(z0), atol=1e-6)


@pytest.mark.slow
def test_the_averages_begin_at_the_weights(warm):
    averaged = warm.averaged_generator()
    assert averaged is not warm.generator
    for ours, its in zip(averaged.trainable_variables, warm.generator.trainable_variables):
        np.testing.assert_array_equal(ours, its)


@pytest.mark.slow
def test_a_kernel_longer_in_time_is_repeated_and_divided(warm, windowed_run):
    _, critic, _ = runs.load_networks(windowed_run)
    names = [stack.variable_path(weight).split("/", 1)[1] for weight in critic.weights]
    longer = []
    for name, before, ours in zip(names, critic.get_weights(), warm.critic.get_weights()):
        if before.shape == ours.shape:
            np.testing.assert_array_equal(ours, before)
            continue
        longer.append(name)
        assert (before.shape[0], ours.shape[0]) == (1, 4)
        for tap in ours:
            np.testing.assert_allclose(tap, before[0] / 4, rtol=1e-6)
    assert longer == ["conv1/kernel"]


@pytest.mark.slow
def test_the_optimisers_begin_anew_and_train_the_new_weights(warm):
    assert warm.step == 0
    before = warm.generator.get_weights()
    warm.fit(real_clips(2), batch_size=2, verbose=0)
    assert warm.step == 1
    assert any((a != b).any() for a, b in zip(before, warm.generator.get_weights()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "entries, message",
    [
        (
            {"critic": {"name": "tgan", "filters": 5}},
            r"its critic has a critic.*conv0/kernel of \(4, 4, 4, 1, 3\), the new one of "
            r"\(4, 4, 4, 1, 5\): give both the same sizes",
        ),
        (
            {"critic": {"name": "tgan", "filters": 3, "normalization": "none"}},
            r"its critic has 9 weights, the new one 6: give both the same kind of network",
        ),
    ],
)
def test_other_networks_are_refused_before_anything_is_assigned(windowed_run, entries, message):
    tgan = build(configuration(**entries))
    before = tgan.generator.get_weights()
    with pytest.raises(InputError, match=message):
        warm_start(tgan, windowed_run)
    for weight, first in zip(tgan.generator.get_weights(), before):
        np.testing.assert_array_equal(weight, first)


@pytest.mark.slow
def test_a_critic_of_fewer_frames_than_before_is_refused(tmp_path):
    save_run(tmp_path / "run")
    with pytest.raises(InputError, match="only the critic may see more frames than before"):
        warm_start(build(configuration(critic_frames=2)), tmp_path / "run")
