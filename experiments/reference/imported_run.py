"""What the programs that import weights share: a configuration read, and a run directory written.

They build the very network that train.py does, of its configuration, which sets its flags.
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
                f"--config={path}: no YAML ({line}): give the .yml of the training"
            ) from error

    def get(self, keys: str, kind: type, default: Any = _REQUIRED) -> Any:
        """The value of "a.b.c".

        Args:
            keys: names from the outermost mapping on.
            kind: what it must be; float takes whole numbers too.
            default: if it is not there or null.

        Raises:
            InputError: it is not there and there is no default, or it is of another kind.
        """
        value = self._values
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and default is not _REQUIRED:
            return default
        if kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, kind) or isinstance(value, bool):
            found = f"no {keys}" if value is None else f"{keys} is {value!r}, no {kind.__name__}"
            raise InputError(f"--config={self.path}: {found}: give the .yml of the training")
        return value


def check_new_run_dir() -> None:
    """Raises an `InputError` if --run_dir exists."""
    if Path(FLAGS.run_dir).exists():
        raise InputError(f"--run_dir={FLAGS.run_dir}: exists, give another name")


def set_flags(configuration: Configuration, more: dict[str, Any]) -> None:
    """Gives the flags of a training the values that make a configuration.

    Args:
        configuration: of the model.
        more: values of other flags, by their names. Of all these only --data_path may be on the
            command line too, where it has the say: the data may be elsewhere now, or prepared.

    Raises:
        InputError: another one is on the command line, or a flag cannot have the value.
    """
    for name, value in {**configuration_flags.flags_of(configuration), **more}.items():
        flag = FLAGS[name]
        if not flag.present:
            try:
                flag.value = None if value is None else flag.parser.parse(value)
            except ValueError as error:
                raise InputError(f"--config: {name} is {value!r}, which {error}") from error
        elif name != "data_path" and flag.value != value:
            raise InputError(
                f"--{name}={flag.value}: --config says it is {value}: leave the flag out"
            )


def write(configuration: Configuration, load: Callable[[TGAN], int]) -> None:
    """Makes the TGAN of a configuration, and its run directory, whole or not at all.

    Args:
        configuration: of the model.
        load: gives the TGAN its weights; its result is the training step they are of.

    Raises:
        InputError: as `load`, or the directory cannot be written.
    """
    run_dir = Path(FLAGS.run_dir)
    tgan = build(configuration)
    step = load(tgan)
    with file_locks.new_directory(run_dir) as partial:
        runs.write(partial, configuration, training_flags.values(), training_flags.flagfile())
        checkpoints.save(tgan, partial / "checkpoints", step)
    print(f"{run_dir}: step {step}; train.py --flagfile={run_dir / 'flags.cfg'} goes on there")
