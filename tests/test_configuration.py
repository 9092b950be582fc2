"""Configurations: what is in them, as JSON, what they build, and what is refused."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from tiny_tgan import configuration

from tgan_tf import lipschitz, objectives, stack
from tgan_tf.configuration import Configuration, arguments_of, build, from_json, to_json
from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping, WeightClipping
from tgan_tf.errors import InputError
from tgan_tf.models import CRITICS, GENERATORS, Critic, TwoStreamGenerator, VideoGenerator
from tgan_tf.tgan import TGAN

UNLIKE_THE_DEFAULTS = {
    "frames": 4,
    "size": 16,
    "channels": 1,
    "critic_frames": 2,
    "num_classes": 3,
    "generator": {"name": "two_stream", "z0_dim": 7, "filters": 8, "kernel_initializer": "uniform"},
    "critic": {"name": "frames_as_channels", "filters": 2, "slope": 0.1, "noise": 0.2},
    "lipschitz": {"name": "gradient_penalty", "weight": 3.0},
    "objective": "hinge",
    "generator_optimizer": {"name": "adam", "learning_rate": 1e-3, "ema_momentum": 0.9},
    "critic_optimizer": {"name": "rmsprop", "learning_rate": 2e-3},
    "learning_rate_decay_steps": 10,
    "n_critic": 2,
    "shuffle_frames": 0.5,
    "dtype_policy": "float32",
    "seed": 9,
}


def test_goes_through_json_and_back():
    whole = Configuration(**UNLIKE_THE_DEFAULTS)
    text = json.dumps(to_json(whole))
    assert from_json(json.loads(text)) == whole
    for name, value in UNLIKE_THE_DEFAULTS.items():
        kept = json.loads(text)[name]
        assert kept == value or kept.items() >= value.items()


def test_json_is_of_our_own_arguments_alone():
    def leaves(value):
        values = value.values() if isinstance(value, dict) else [value]
        return [value] if not isinstance(value, dict) else sum(map(leaves, values), [])

    kept = to_json(Configuration(**UNLIKE_THE_DEFAULTS))
    assert all(isinstance(leaf, (int, float, str, type(None))) for leaf in leaves(kept))
    assert "class_name" not in json.dumps(kept)


def test_holds_every_argument_at_its_default_too():
    assert Configuration().critic == {
        "name": "tgan",
        "filters": 64,
        "kernel_initializer": "lecun_normal",
        "head": "convolution",
        "normalization": "batch",
        "center": False,
        "epsilon": 2e-5,
        "slope": 0.2,
        "noise": 0.0,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "name"),
    [
        *(("generator", name) for name in GENERATORS),
        *(("critic", name) for name in CRITICS),
        *(("lipschitz", name) for name in lipschitz.METHODS),
    ],
)
def test_every_name_of_the_tables_is_built(part, name):
    small = {"filters": 8, "temporal_filters": 8, "image_filters": 8}
    own = {key: value for key, value in small.items() if key in arguments_of(part, name)}
    tgan = build(configuration(objective="hinge", **{part: {"name": name, **own}}))
    assert tgan.generator.clip_shape == tgan.critic.clip_shape == (4, 16, 16, 1)


@pytest.mark.slow
def test_builds_what_the_entries_say():
    tgan = build(Configuration(**UNLIKE_THE_DEFAULTS))
    assert isinstance(tgan.generator, TwoStreamGenerator)
    assert (tgan.generator.z0_dim, tgan.generator.filters, tgan.generator.num_classes) == (7, 8, 3)
    assert tgan.generator.kernel_initializer.get_config()["maxval"] == 0.01
    assert (tgan.critic.filters, tgan.critic.slope, tgan.critic.noise) == (2, 0.1, 0.2)
    assert (tgan.generator.frames, tgan.critic.frames) == (4, 2)
    assert tgan.objective == objectives.OBJECTIVES["hinge"]
    assert tgan.penalty.weight == 3.0
    assert (tgan.n_critic, tgan.shuffle_frames, tgan.seed) == (2, 0.5, 9)
    assert isinstance(tgan.generator_optimizer, keras.optimizers.Adam)
    assert tgan.generator_optimizer.use_ema and tgan.generator_optimizer.ema_momentum == 0.9
    assert isinstance(tgan.critic_optimizer, keras.optimizers.RMSprop)
    assert not tgan.critic_optimizer.use_ema


@pytest.mark.slow
def test_adam_has_the_betas_of_the_entries():
    of = {"name": "adam", "beta_1": 0.0, "beta_2": 0.99}
    tgan = build(configuration(generator_optimizer=of, critic_optimizer={"name": "adam"}))
    betas = [
        (optimizer.beta_1, optimizer.beta_2)
        for optimizer in (tgan.generator_optimizer, tgan.critic_optimizer)
    ]
    assert betas == [(0.0, 0.99), (0.5, 0.9)]


@pytest.mark.slow
def test_the_rates_fall_to_zero_over_the_generators_updates():
    tgan = build(Configuration(**UNLIKE_THE_DEFAULTS))
    rates = {}
    for name, optimizer in (("G", tgan.generator_optimizer), ("D", tgan.critic_optimizer)):
        schedule = keras.optimizers.schedules.deserialize(optimizer.get_config()["learning_rate"])
        rates[name] = [float(schedule(step)) for step in (0, 5, 10, 20)]
    np.testing.assert_allclose(rates["G"], [1e-3, 5e-4, 0, 0], atol=1e-9)
    # The critic makes two updates for one of the generator.
    np.testing.assert_allclose(rates["D"], [2e-3, 1.5e-3, 1e-3, 0], atol=1e-9)


class TestLipschitzMethods:
    def test_singular_value_clipping_is_of_kernels_and_of_scales(self):
        method = lipschitz.singular_value_clipping(0.5, 3, "operator").critic_arguments
        kernel, gamma = method["kernel_constraint"], method["gamma_constraint"]
        assert isinstance(kernel, SingularValueClipping) and isinstance(
            gamma, BatchNormScaleClipping
        )
        assert (kernel.max_singular_value, kernel.interval, kernel.norm) == (0.5, 3, "operator")
        assert gamma.interval == 3

    def test_weight_clipping_is_of_every_parameter(self):
        method = lipschitz.weight_clipping(0.02).critic_arguments
        assert set(method) == {"kernel_constraint", "bias_constraint", "gamma_constraint"}
        assert all(isinstance(one, WeightClipping) and one.limit == 0.02 for one in method.values())

    def test_none_bounds_nothing(self):
        assert lipschitz.none() == lipschitz.LipschitzMethod({}, None, bounds=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"frames": 5}, r"^frames=5: must be a power of two"),
        ({"generator": {"name": "tgan", "image_filters": 9}}, r"^generator\.image_filters=9: "),
        ({"critic": {"name": "tgan", "filters": 0}}, r"^critic\.filters=0: must be an integer ≥ 1"),
        ({"critic": {"name": "tgan", "fliters": 3}}, r"^critic\.fliters=3: tgan has no such arg"),
        ({"critic": {"name": "tgan", "kernel_constraint": None}}, "^critic.kernel_constraint=None"),
        ({"critic": {"name": "nosuch"}}, r"^critic\.name='nosuch': must be one of tgan, "),
        ({"critic": {"filters": 3}}, "^critic=.*: must be a mapping with a name"),
        ({"lipschitz": "none"}, "^lipschitz='none': must be a mapping with a name"),
        ({"lipschitz": {"name": "weight_clipping", "limit": -1}}, r"^lipschitz\.limit=-1: "),
        ({"lipschitz": {"name": "none"}}, "^objective='wasserstein' with lipschitz='none'.*bound"),
        ({"objective": "nosuch"}, "^objective='nosuch'"),
        ({"generator": {"name": "tgan", "image_initializer": "he"}}, "image_initializer='he': "),
        ({"critic_frames": 32}, "^critic_frames=32: must be an integer ≤ 16"),
        ({"critic_frames": 3}, "^critic_frames=3: must be a power of two"),
        ({"critic": {"name": "tgan", "normalization": "group"}}, "^critic.normalization='group': "),
        ({"critic_optimizer": {"name": "adam", "beta_1": 1}}, r"^critic_optimizer.beta_1=1: must"),
        ({"critic_optimizer": {"name": "sgd"}}, "critic_optimizer.name='sgd'"),
        ({"critic_optimizer": {"name": "adam", "ema_momentum": 0.9}}, "no such argument"),
        ({"generator_optimizer": {"name": "adam", "ema_momentum": 1}}, "ema_momentum=1: must"),
        ({"generator_optimizer": {"name": "adam", "learning_rate": 0}}, "learning_rate=0: must"),
        ({"learning_rate_decay_steps": 0}, "^learning_rate_decay_steps=0"),
        ({"n_critic": 0}, "^n_critic=0"),
        ({"shuffle_frames": 2}, "^shuffle_frames=2"),
        ({"dtype_policy": "float64"}, "^dtype_policy='float64'"),
        ({"seed": -1}, "^seed=-1"),
        ({"colour": True}, "^colour=?.*: unknown: must be one of frames, size"),
        ([], "^a configuration must be a mapping, not list"),
    ],
)
def test_what_cannot_be_is_refused_by_its_entry(entries, message):
    with pytest.raises(InputError, match=message):
        build(from_json(entries))


class Named(Critic):
    """A critic of one's own."""


@pytest.mark.slow
def test_an_object_may_stand_in_the_place_of_a_name():
    own = objectives.Objective(lambda real, fake: 0.0, lambda fake: 0.0)
    tgan = build(configuration(critic={"name": Named, "filters": 3}, objective=own))
    assert type(tgan.critic) is Named and tgan.objective == own


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"critic": {"name": Named}}, r"^critic\.name=.*Named.*has no name, so it cannot be saved"),
        (
            {"objective": objectives.Objective(max, max)},
            "^objective=.*has no name, so it cannot be saved",
        ),
    ],
)
def test_an_object_without_a_name_is_not_kept(entries, message):
    with pytest.raises(InputError, match=message):
        to_json(configuration(**entries))


@pytest.mark.slow
def test_an_object_of_the_tables_is_kept_by_its_name(monkeypatch):
    monkeypatch.setitem(CRITICS, "mine", Named)
    kept = to_json(configuration(critic={"name": Named, "filters": 3}))
    assert kept["critic"]["name"] == "mine"
    assert type(build(from_json(kept)).critic) is Named


@pytest.mark.slow
def test_another_model_may_be_built():
    class Own(TGAN):
        """A model of one's own."""

    assert type(build(configuration(), Own)) is Own


@pytest.mark.slow
@pytest.mark.skipif(stack.KERAS_3, reason="version 1 was of Keras 2, which seeds otherwise")
def test_a_seed_gives_the_initial_weights_that_it_gave_version_1():
    keras.utils.set_random_seed(3)
    generator = VideoGenerator(4, 16, 1, 6, 5, temporal_filters=8, image_filters=8)
    critic = Critic(4, 16, 1, filters=3)
    keras.utils.set_random_seed(3)
    tgan = build(configuration())
    for own, expected in ((tgan.generator, generator), (tgan.critic, critic)):
        for weight, first in zip(own.get_weights(), expected.get_weights()):
            np.testing.assert_array_equal(weight, first)
