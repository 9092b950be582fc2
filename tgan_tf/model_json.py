"""Reads version 1's record of a run's networks: model.json, with Keras's serialised objects.

The file is read as plain data, and Keras builds nothing that it names: classes are looked up in
this package's tables. It does not describe the game itself, which train.py takes from the flags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tgan_tf.configuration import OF_LIPSCHITZ, SHARED, Configuration, arguments_of
from tgan_tf.models import CRITICS, GENERATORS

FILE = "model.json"


class Kept(NamedTuple):
    """The contents of a model.json.

    Attributes:
        configuration: the networks and the generator's optimiser. Its initialisers and the critic's
            constraints are not those of the training.
        flag_lines: lines of the training's flagfile; None in the earliest files.
        version: the version of tgan_tf that wrote it.
    """

    configuration: Configuration
    flag_lines: list[str] | None
    version: str


def parse(text: str) -> Kept:
    """Parses the text of a model.json.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the text is damaged.
    """
    found = json.loads(text)
    generator, critic = found["generator"], found["critic"]
    # The earliest versions did not record the optimiser.
    optimizer = found.get("generator_optimizer")
    settings = _settings(optimizer) if optimizer is not None else {}
    rate = settings.get("learning_rate")
    # The loss scale and the schedule determine the optimiser's variables.
    scaled = optimizer is not None and optimizer["class_name"].startswith("LossScale")
    normalized = critic["config"].get("spectral_normalization")
    configuration = Configuration(
        **{key: generator["config"][key] for key in SHARED if key in generator["config"]},
        generator=_part("generator", generator, GENERATORS),
        critic=_part("critic", critic, CRITICS),
        lipschitz={"name": "spectral_normalization" if normalized else "none"},
        objective="normal",
        generator_optimizer={
            "name": settings.get("name", "rmsprop").lower(),
            "ema_momentum": settings["ema_momentum"] if settings.get("use_ema") else None,
        },
        learning_rate_decay_steps=rate["config"]["decay_steps"] if isinstance(rate, dict) else None,
        dtype_policy="mixed_float16" if scaled else "float32",
    )
    return Kept(configuration, found.get("flags"), str(found.get("tgan_tf", "1")))


def _settings(optimizer: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a serialised optimiser, inside a loss scale or not."""
    inner = optimizer["config"].get("inner_optimizer")
    return _settings(inner) if inner is not None else optimizer["config"]


def _part(part: str, serialized: dict[str, Any], table: Mapping[str, type]) -> dict[str, Any]:
    """A network's name and arguments."""
    # An earlier name of the class.
    class_name = {"FrameCritic": "FramesAsChannelsCritic"}.get(
        serialized["class_name"], serialized["class_name"]
    )
    names = {network.__name__: name for name, network in table.items()}
    if class_name not in names:
        raise ValueError(f"{class_name!r} is not a {part}")
    name, config = names[class_name], serialized["config"]
    known = arguments_of(part, name)
    given = {key: value for key, value in config.items() if key in known}
    unknown = set(config) - set(known) - {"name", *SHARED, *OF_LIPSCHITZ}
    if unknown:
        raise ValueError(f"{class_name} has no argument {min(unknown)!r}")
    # Irrelevant, since weights are loaded.
    initializers = {key: "uniform" for key in given if key.endswith("initializer")}
    return {"name": name, **given, **initializers}
