"""Shared by the programs that import weights: reads a configuration and writes a run directory.

They build the same networks as train.py, from a configuration that also sets the flags.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from program_flags import configuration_flags, training_flags

from absl import flags

from tgan_tf import checkpoints, file_locks, runs
from tgan_tf.configuration import Configuration, build
from tgan_tf.data import storage
from tgan_tf.errors import InputError
from tgan_tf.extras import extra
from tgan_tf.tgan import TGAN

FLAGS = flags.FLAGS

_REQUIRED = object()


class Config:
    """A YAML file of nested mappings.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, or PyYAML is not installed.
    """

    def __init__(self, path: str):
        with extra("import", path):
            import yaml
        self.path = path
        try:
            self._values = yaml.safe_load(storage.read_text(path, "give the .yml of the training"))
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise InputError(
                f"--config={path}: is not YAML ({line}): give the .yml of the training"
            ) from error

    def get(self, keys: str, kind: type, default: Any = _REQUIRED) -> Any:
        """The value of "a.b.c".

        Args:
            keys: names from the outermost mapping on.
            kind: required type; float accepts integers too.
            default: value if the key is missing or null.

        Raises:
            InputError: the key is missing and has no default, or the value has another type.
        """
        value = self._values
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and default is not _REQUIRED:
            return default
        if kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, kind) or isinstance(value, bool):
            found = f"no {keys}" if value is None else f"{keys} is {value!r}, not {kind.__name__}"
            raise InputError(f"--config={self.path}: {found}: give the .yml of the training")
        return value


def check_new_run_dir() -> None:
    """Raises an `InputError` if --run_dir exists."""
    if Path(FLAGS.run_dir).exists():
        raise InputError(f"--run_dir={FLAGS.run_dir}: already exists: give another name")


def set_flags(configuration: Configuration, more: dict[str, Any]) -> None:
    """Sets the flags of a training to the values of a configuration.

    Args:
        configuration: the model's configuration.
        more: values of other flags, by name. Of all flags only --data_path may differ on the
            command line, where it takes precedence: the data may have moved or been prepared.

    Raises:
        InputError: another flag differs on the command line, or a flag cannot have the value.
    """
    for name, value in {**configuration_flags.flags_of(configuration), **more}.items():
        flag = FLAGS[name]
        if not flag.present:
            try:
                flag.value = None if value is None else flag.parser.parse(value)
            except ValueError as error:
                raise InputError(f"--config: {name} is {value!r}, which {error}") from error
        elif name != "data_path" and flag.value != value:
            raise InputError(f"--{name}={flag.value}: --config has {value}: leave the flag out")


def write(configuration: Configuration, load: Callable[[TGAN], int]) -> None:
    """Makes the TGAN of a configuration and its run directory, complete or not at all.

    Args:
        configuration: the model's configuration.
        load: function that loads weights into the TGAN and returns their training step.

    Raises:
        InputError: `load` raises it, or the directory cannot be written.
    """
    run_dir = Path(FLAGS.run_dir)
    tgan = build(configuration)
    step = load(tgan)
    with file_locks.new_directory(run_dir) as partial:
        runs.write(partial, configuration, training_flags.values(), training_flags.flagfile())
        checkpoints.save(tgan, partial / "checkpoints", step)
    print(f"{run_dir}: step {step}; train.py --flagfile={run_dir / 'flags.cfg'} resumes it")
