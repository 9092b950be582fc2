"""A training as data: the networks, the Lipschitz method, the game and its optimisers.

    configuration = Configuration(
        frames=16,
        size=64,
        channels=1,
        generator={"name": "tgan", "z0_dim": 100},
        lipschitz={"name": "singular_value_clipping", "interval": 5},
        critic_optimizer={"name": "rmsprop", "learning_rate": 5e-5},
    )
    tgan = build(configuration)      # a compiled TGAN
    tgan.fit(clips)

A part that is chosen by name is a mapping with `name` and the arguments of the named class or
function; missing arguments have their defaults. A class or function may stand in place of its name,
and an `Objective` in place of an objective's name.

`to_json` and `from_json` convert a configuration to JSON that holds only this package's arguments,
so that any version of Keras can read it.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tgan_tf import lipschitz, objectives
from tgan_tf.arguments import Integer, Number, OneOf, check
from tgan_tf.errors import Argument, InputError, renaming, within
from tgan_tf.models import CRITICS, GENERATORS
from tgan_tf.models.network import CriticNetwork, GeneratorNetwork, Network
from tgan_tf.optimizers import OPTIMIZERS
from tgan_tf.tgan import TGAN

INITIALIZERS: dict[str, Callable[[], keras.initializers.Initializer]] = {
    "uniform": lambda: keras.initializers.RandomUniform(-0.01, 0.01),
    "lecun_normal": keras.initializers.LecunNormal,
}
"""The initial weights by name, from pfnet-research/tgan: Uniform(-0.01, 0.01), and LeCun normal,
which Keras scales as Chainer does."""

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
"""The Keras policies for training."""

SHARED = ("frames", "size", "channels", "num_classes")
"""Arguments of both networks that are separate entries."""

OF_LIPSCHITZ = (
    "kernel_constraint",
    "bias_constraint",
    "gamma_constraint",
    "spectral_normalization",
)
"""Arguments of a critic that come from its Lipschitz method."""

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "generator": GENERATORS,
    "critic": CRITICS,
    "lipschitz": lipschitz.METHODS,
    "generator_optimizer": OPTIMIZERS,
    "critic_optimizer": OPTIMIZERS,
}
"""The choices for each part that is chosen by name."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A training's configuration.

    A configuration holds all arguments of each part, including defaults, so that a run does not
    change when a later version has other defaults.

    Args:
        frames: frames of a clip T.
        size: rows and columns of a frame.
        channels: channels of a frame.
        critic_frames: number of successive frames that the critic sees in an update, for most
            critics a power of two; None for all frames.
        num_classes: number of classes of conditional networks; 0 for unconditional ones.
        generator: a name in `tgan_tf.models.GENERATORS` and the generator's other arguments;
            initial weights by their names in `INITIALIZERS`.
        critic: a name in `tgan_tf.models.CRITICS` and the critic's other arguments, except those
            that the Lipschitz method gives.
        lipschitz: a name in `tgan_tf.lipschitz.METHODS` and the method's arguments.
        objective: a name in `tgan_tf.objectives.OBJECTIVES`, or an `Objective`.
        generator_optimizer: a name in `tgan_tf.optimizers.OPTIMIZERS`, the optimiser's arguments,
            such as `learning_rate`, and `ema_momentum`, the momentum of a moving average of the
            weights; None for no average.
        critic_optimizer: a name and the optimiser's arguments.
        learning_rate_decay_steps: updates of the generator over which both learning rates fall
            linearly to 0; None for constant rates.
        n_critic: updates of the critic per update of the generator.
        shuffle_frames: probability that a step's clips have their frames in a random order.
        dtype_policy: one of `POLICIES`.
        seed: the seed of latents, noise and orders, 0 to 2^63 - 1.

    Raises:
        InputError: an entry is unknown or invalid, or the objective's loss has no lower bound and
            no method keeps the critic Lipschitz. `build` raises errors that only the networks can
            find.
    """

    frames: int = 16
    size: int = 64
    channels: int = 3
    critic_frames: int | None = None
    num_classes: int = 0
    generator: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"name": "tgan"})
    critic: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"name": "tgan"})
    lipschitz: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "singular_value_clipping"}
    )
    objective: str | objectives.Objective = "wasserstein"
    generator_optimizer: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "rmsprop"}
    )
    critic_optimizer: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"name": "rmsprop"}
    )
    learning_rate_decay_steps: int | None = None
    n_critic: int = 1
    shuffle_frames: float = 0.0
    dtype_policy: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for part in TABLES:
            object.__setattr__(self, part, _completed(part, getattr(self, part)))
        objective = objectives.get(self.objective)
        check(Integer(0, 2**63 - 1), seed=self.seed)
        check(Integer(1), n_critic=self.n_critic)
        check(Number(at_least=0, at_most=1), shuffle_frames=self.shuffle_frames)
        check(OneOf(POLICIES), dtype_policy=self.dtype_policy)
        if self.critic_frames is not None:
            check(Integer(2), frames=self.frames)
            check(Integer(2, self.frames), critic_frames=self.critic_frames)
        if self.learning_rate_decay_steps is not None:
            check(Integer(1), learning_rate_decay_steps=self.learning_rate_decay_steps)
        if not objective.bounded and not build_lipschitz(self).bounds:
            raise InputError(
                Argument("objective", self.objective),
                " with ",
                Argument("lipschitz", self.lipschitz["name"]),
                ": the critic's loss has no lower bound: give a method that keeps the critic "
                "Lipschitz, ",
                "or a gradient penalty",
            )


def build(configuration: Configuration, model: type[TGAN] = TGAN) -> TGAN:
    """Builds and compiles the model of a configuration.

    Initial weights follow `keras.utils.set_random_seed`, if it was called before. Keras's policy is
    set to the configuration's for the whole process, since a loss scale depends on it too.

    Args:
        configuration: the training's configuration.
        model: the class of the model, `TGAN` or a subclass.

    Raises:
        InputError: the networks cannot be built from the configuration; the message names the
            entry.
    """
    keras.mixed_precision.set_global_policy(configuration.dtype_policy)
    # One object, since its constraints and its penalty may be linked.
    method = build_lipschitz(configuration)
    # The order determines a seed's initial weights.
    generator = build_generator(configuration)
    critic = _network(configuration, "critic", method.critic_arguments)
    tgan = model(generator, critic, configuration.seed)
    tgan.compile(
        generator_optimizer=build_generator_optimizer(configuration),
        critic_optimizer=_optimizer(configuration, "critic_optimizer", configuration.n_critic),
        objective=configuration.objective,
        n_critic=configuration.n_critic,
        penalty=method.penalty,
        shuffle_frames=configuration.shuffle_frames,
    )
    return tgan


def build_generator(configuration: Configuration) -> GeneratorNetwork:
    """Builds the generator alone, in the process's policy; raises errors like `build`."""
    return _network(configuration, "generator", {})


def build_critic(configuration: Configuration) -> CriticNetwork:
    """Builds the critic alone, in the process's policy; raises errors like `build`."""
    return _network(configuration, "critic", build_lipschitz(configuration).critic_arguments)


def build_lipschitz(configuration: Configuration) -> lipschitz.LipschitzMethod:
    """Builds the Lipschitz method."""
    name, arguments = _split(configuration.lipschitz)
    with within("lipschitz"):
        return _found("lipschitz", name)(**arguments)


def build_generator_optimizer(configuration: Configuration) -> keras.optimizers.Optimizer:
    """Builds the generator's optimiser alone."""
    return _optimizer(configuration, "generator_optimizer", 1)


def to_json(configuration: Configuration) -> dict[str, Any]:
    """Converts a configuration to JSON types.

    Raises:
        InputError: it holds a class, function or objective that has no name in a table.
    """
    entries = dataclasses.asdict(configuration)
    entries["objective"] = objectives.name_of(objectives.get(configuration.objective))
    for part, table in TABLES.items():
        entries[part]["name"] = _name_of(part, table, entries[part]["name"])
    return entries


def from_json(entries: Mapping[str, Any]) -> Configuration:
    """Makes a configuration from the result of `to_json`.

    Raises:
        InputError: it is not a mapping, an entry is unknown, or `Configuration` raises it.
    """
    if not isinstance(entries, Mapping):
        raise InputError(f"a configuration must be a mapping, not {type(entries).__name__}")
    known = [field.name for field in dataclasses.fields(Configuration)]
    for name in entries:
        if name not in known:
            raise InputError(Argument(name), f": unknown: must be one of {', '.join(known)}")
    return Configuration(**entries)


def arguments_of(part: str, name: str | Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a named part in a configuration, with their defaults.

    Args:
        part: "generator", "critic", "lipschitz", "generator_optimizer" or "critic_optimizer".
        name: a name in the part's table, or the class or function itself.

    Raises:
        InputError: there is no such name.
    """
    found = _found(part, name)
    arguments: dict[str, Any] = {}
    for function in _constructors(found) if isinstance(found, type) else [found]:
        for key, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                arguments.setdefault(key, parameter.default)
    if part == "generator_optimizer":
        arguments["ema_momentum"] = None
    return {
        key: default
        for key, default in arguments.items()
        if key not in (*SHARED, *OF_LIPSCHITZ, "self")
    }


def _constructors(network: type) -> list[Callable[..., Any]]:
    """The constructors of a network's class and of its base classes up to `Network`."""
    return [
        base.__init__
        for base in network.__mro__
        if issubclass(base, Network) and base is not Network and "__init__" in vars(base)
    ]


def _found(part: str, name: str | Callable[..., Any]) -> Callable[..., Any]:
    """The entry of a table for a name."""
    if callable(name):
        return name
    with within(part):
        check(OneOf(tuple(TABLES[part])), name=name)
    return TABLES[part][name]


def _name_of(
    part: str, table: Mapping[str, Callable[..., Any]], name: str | Callable[..., Any]
) -> str:
    for known, what in table.items():
        if name in (known, what):
            return known
    raise InputError(
        Argument(f"{part}.name", name),
        ": has no name, so it cannot be saved: put it into its table under a name",
    )


def _split(part: Mapping[str, Any]) -> tuple[str | Callable[..., Any], dict[str, Any]]:
    return part["name"], {key: value for key, value in part.items() if key != "name"}


def _completed(part: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A part with all its arguments, in the order of their definition."""
    if not isinstance(given, Mapping) or "name" not in given:
        raise InputError(Argument(part, given), ": must be a mapping with a name")
    name, own = _split(given)
    known = arguments_of(part, name)
    for key, value in own.items():
        with within(part):
            if key not in known:
                choice = ", ".join(known) or "none"
                raise InputError(
                    Argument(key, value), f": {name} has no such argument: must be one of {choice}"
                )
            if key.endswith("initializer"):
                check(OneOf(tuple(INITIALIZERS)), **{key: value})
            elif key == "learning_rate":
                check(Number(above=0), learning_rate=value)
            elif key == "ema_momentum" and value is not None:
                check(Number(at_least=0, below=1), ema_momentum=value)
    return {"name": name, **{key: own.get(key, default) for key, default in known.items()}}


def _network(configuration: Configuration, part: str, more: Mapping[str, Any]) -> Any:
    name, arguments = _split(getattr(configuration, part))
    shared = {key: getattr(configuration, key) for key in SHARED}
    own = {
        key: INITIALIZERS[value]() if key.endswith("initializer") else value
        for key, value in arguments.items()
    }
    names = {key: key for key in SHARED}
    if part == "critic" and configuration.critic_frames is not None:
        shared["frames"] = configuration.critic_frames
        names["frames"] = "critic_frames"
    with renaming(lambda name: names.get(name, f"{part}.{name}")):
        return _found(part, name)(**shared, **own, **more)


def _optimizer(configuration: Configuration, part: str, updates: int) -> keras.optimizers.Optimizer:
    """Builds an optimiser that makes `updates` updates per step."""
    name, arguments = _split(getattr(configuration, part))
    if configuration.learning_rate_decay_steps is not None:
        arguments["learning_rate"] = keras.optimizers.schedules.PolynomialDecay(
            arguments["learning_rate"],
            configuration.learning_rate_decay_steps * updates,
            end_learning_rate=0.0,
        )
    momentum = arguments.pop("ema_momentum", None)
    average = {} if momentum is None else {"use_ema": True, "ema_momentum": momentum}
    with within(part):
        return _found(part, name)(**arguments, **average)
