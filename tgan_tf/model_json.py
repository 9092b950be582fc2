"""What version 1 kept of a run's networks: model.json, of Keras's serialised objects.

It is read as plain data, and nothing that it names is made by Keras: classes are looked for in this
package's tables. Of the game itself it says nothing; train.py takes that from the flags.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tgan_tf.configuration import Configuration, arguments_of
from tgan_tf.errors import InputError
from tgan_tf.models import CRITICS, GENERATORS

FILE = "model.json"

_SHARED = ("frames", "size", "channels", "num_classes")


def read(path: Path) -> tuple[Configuration, None, str]:
    """The configuration, and the version that has written it; between them no flags.

    Initial weights, and constraints of the critic, are not those of the training.

    Raises:
        InputError: the file cannot be read or describes no networks.
    """
    try:
        found = json.loads(path.read_text())
        generator, critic = found["generator"], found["critic"]
        optimizer = found.get("generator_optimizer")
        # Of a scale's constant only the names of the variables matter, and those a schedule has.
        scaled = optimizer is not None and optimizer["class_name"].startswith("LossScale")
        settings = _settings(optimizer) if optimizer is not None else {}
        rate = settings.get("learning_rate")
        keeps_average = settings.get("use_ema", False)
        configuration = Configuration(
            **{key: generator["config"][key] for key in _SHARED if key in generator["config"]},
            generator=_part("generator", generator, GENERATORS),
            critic=_part("critic", critic, CRITICS),
            lipschitz={
                "name": "spectral_normalization"
                if critic["config"].get("spectral_normalization")
                else "none"
            },
            objective="normal",
            generator_optimizer={
                "name": settings.get("name", "rmsprop").lower(),
                "ema_momentum": settings["ema_momentum"] if keeps_average else None,
            },
            learning_rate_decay_steps=(
                rate["config"]["decay_steps"] if isinstance(rate, dict) else None
            ),
            dtype_policy="mixed_float16" if scaled else "float32",
        )
        return configuration, None, str(found.get("tgan_tf", "1"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): make it readable") from error
    except Exception as error:  # No JSON, or not what was written.
        raise InputError(
            f"{path}: damaged, it describes no networks ({type(error).__name__}: {error}): restore "
            "it from a copy, or move it away and write it anew by train.py --flagfile="
            f"{path.parent / 'flags.cfg'}"
        ) from error


def _settings(optimizer: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a serialised optimiser, of the one inside if a loss scale is around it."""
    inner = optimizer["config"].get("inner_optimizer")
    return _settings(inner) if inner is not None else optimizer["config"]


def _part(part: str, serialized: dict[str, Any], table: dict[str, type]) -> dict[str, Any]:
    """A network's name and arguments."""
    # The name that a class had before it was called what it is.
    class_name = {"FrameCritic": "FramesAsChannelsCritic"}.get(
        serialized["class_name"], serialized["class_name"]
    )
    names = {network.__name__: name for name, network in table.items()}
    if class_name not in names:
        raise ValueError(f"{class_name!r} is no {part}")
    name, config = names[class_name], serialized["config"]
    known = arguments_of(part, name)
    given = {key: value for key, value in config.items() if key in known}
    unknown = set(config) - set(known) - {"name", *_SHARED} - _OF_CONSTRAINTS
    if unknown:
        raise ValueError(f"{class_name} has no argument {min(unknown)!r}")
    # They count no longer: weights are loaded.
    initializers = {key: "uniform" for key in given if key.endswith("initializer")}
    return {"name": name, **given, **initializers}


_OF_CONSTRAINTS = {
    "kernel_constraint",
    "bias_constraint",
    "gamma_constraint",
    "spectral_normalization",
}
