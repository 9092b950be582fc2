"""What arguments can be, and every argument of the networks, layers and constraints with others."""

from __future__ import annotations

import inspect
import json
import math

import keras
import pytest

from tgan_tf import constraints, models, objectives
from tgan_tf.arguments import Boolean, Integer, Number, OneOf, check
from tgan_tf.errors import InputError
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.tgan import TGAN, rmsprop

NAN, INFINITY = math.nan, math.inf

KINDS = {
    Integer(1): ([1, 2, 10**30], [0, -1, True, 1.0, NAN, "1", None, [1]]),
    Integer(0, 5): ([0, 5], [-1, 6]),
    Number(): ([0, -1.5, 1e300], [NAN, INFINITY, -INFINITY, True, "1", None, 1j]),
    Number(above=0, at_most=1): ([1e-300, 1], [0, 0.0, 1.0000001, -1]),
    Number(at_least=0, below=1): ([0, 0.9999999], [1, -1e-300]),
    Boolean(): ([True, False], [0, 1, "true", None]),
    OneOf(("a", "b")): (["a", "b"], ["c", "", None, 1, ["a"]]),
}


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_a_kind_takes_its_values_and_no_others(kind):
    accepted, refused = KINDS[kind]
    assert [value for value in accepted if kind.refusal(value)] == []
    assert [value for value in refused if not kind.refusal(value)] == []


def test_the_first_argument_that_is_none_is_named_with_what_it_must_be():
    with pytest.raises(InputError, match=r"^size=0: must be an integer ≥ 1$"):
        check(Integer(1), frames=4, size=0, channels=0)
    with pytest.raises(InputError, match=r"^rate=inf: must be a finite number > 0 and ≤ 1$"):
        check(Number(above=0, at_most=1), rate=INFINITY)
    with pytest.raises(InputError, match=r"^rate=2: must be a number > 0 and ≤ 1$"):
        check(Number(above=0, at_most=1), rate=2)
    with pytest.raises(InputError, match=r"^head='mea': must be one of convolution, mean$"):
        check(OneOf(("convolution", "mean")), head="mea")


SMALL = {
    "frames": 4,
    "size": 8,
    "channels": 1,
    "z0_dim": 3,
    "z1_dim": 3,
    "filters": 8,
    "temporal_filters": 4,
    "image_filters": 8,
}
WRONG = {
    "int": [0.5, NAN, INFINITY, "8", None, True, -3],
    "float": [NAN, INFINITY, -INFINITY, "x", None, True],
    "bool": ["no", 1, None],
    "str": ["no such", "", None, 3],
}
# Another constructor of theirs takes what is passed on.
BASES = (models.network.CriticNetwork, models.network.GeneratorNetwork)
CLASSES = {
    name.removeprefix("tgan_tf>"): one
    for name, one in keras.saving.get_custom_objects().items()
    if name.startswith("tgan_tf>") and one is not TGAN
}


def arguments(one: type) -> dict[str, str]:
    """The types of the arguments of a class, by their names."""
    found = {}
    for base in one.__mro__:
        if base.__module__.startswith("tgan_tf") and "__init__" in vars(base):
            for name, argument in inspect.signature(base.__init__).parameters.items():
                found.setdefault(name, argument.annotation)
    return {name: annotation for name, annotation in found.items() if annotation in WRONG}


def test_all_networks_layers_and_constraints_are_looked_at():
    assert CLASSES.keys() >= {
        *(
            "Critic",
            "FramesAsChannelsCritic",
            "VideoAndFrameCritic",
            "VideoGenerator",
            "Conv3DGenerator",
        ),
        *("TwoStreamGenerator", "ImageGenerator", "TemporalGenerator", "BatchNormalization"),
        *("RecurrentTemporalGenerator", "SingularValueClipping", "WeightClipping"),
        "BatchNormScaleClipping",
    }
    assert arguments(models.Critic).keys() >= {"slope", "noise", "epsilon", "center", "head"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_a_wrong_argument_is_refused_by_its_name(name):
    one = CLASSES[name]
    types = arguments(one)
    assert types
    small = {key: value for key, value in SMALL.items() if key in types}
    accepted = []
    for argument, annotation in types.items():
        for value in WRONG[annotation]:
            try:
                one(**{**small, argument: value})
            except InputError as error:
                if f"{argument}={value!r}: " in str(error) and "\n" not in str(error):
                    continue
                accepted.append(f"{argument}={value!r} is refused with {error}")
            except Exception as error:
                accepted.append(f"{argument}={value!r}: {type(error).__name__}: {error}"[:200])
            else:
                accepted.append(f"{argument}={value!r} is accepted")
    assert accepted == []


def test_a_nan_in_a_configuration_is_refused():
    critic = models.Critic(**{key: SMALL[key] for key in ("frames", "size", "channels", "filters")})
    config = json.loads(json.dumps({**critic.get_config(), "slope": NAN}))
    with pytest.raises(InputError, match="slope=nan: must be a finite number"):
        models.Critic.from_config(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("n_critic", value) for value in WRONG["int"]),
        *(("penalty", value) for value in ["no such", 10.0, True]),
        *(("shuffle_frames", value) for value in [*WRONG["float"], 1.1]),
        *(("objective", value) for value in [*WRONG["str"], ["wasserstein"]]),
    ],
)
def test_a_training_with_a_wrong_argument_is_refused(argument, value, tgan):
    with pytest.raises(InputError, match=f"^{argument}="):
        tgan.compile(rmsprop(), rmsprop(), **{argument: value})


@pytest.fixture(scope="module")
def tgan():
    sizes = {key: SMALL[key] for key in ("frames", "size", "channels")}
    generator = models.VideoGenerator(
        **sizes, z0_dim=3, z1_dim=3, temporal_filters=4, image_filters=8
    )
    return TGAN(generator, models.Critic(**sizes, filters=2))


def test_an_unknown_objective_is_refused_by_its_name():
    with pytest.raises(InputError, match="objective=nan: must be one of hinge, least_squares"):
        objectives.get(NAN)
    assert constraints.NORMS == ("matrix", "operator")
    assert BatchNormalization(center=False).center is False
