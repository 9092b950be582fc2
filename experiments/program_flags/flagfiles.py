"""Reads flagfiles like any text from users: as UTF-8, with or without a byte order mark.

absl reads them in the system's encoding, and reports an unreadable file with a traceback or not at
all.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from tgan_tf.errors import InputError


def read(arguments: Sequence[str]) -> list[str]:
    """Replaces each --flagfile in the arguments with the lines of the file.

    As in absl, lines may name other flagfiles, and empty lines and those that begin with # or //
    are skipped. Arguments after a lone -- are left unchanged.

    The --run_dir of a flags.cfg is the directory of that file, even if it has been renamed, unless
    the command line gives another.

    Args:
        arguments: the arguments without the program's name.

    Raises:
        InputError: a flagfile is not named, cannot be read, is not text, or names itself.
    """
    found, run_dirs = _read(arguments, [])
    # The last value of a flag counts.
    return [*(f"--run_dir={path}" for path in run_dirs), *found]


def values(
    path: str | os.PathLike, defined: Iterable[flags.Flag], lines: Sequence[str] | None = None
) -> dict[str, Any]:
    """The values of some flags in a flagfile, with the defaults of flags that it lacks.

    Args:
        path: the flagfile.
        defined: the flags; others are ignored.
        lines: its original lines, if known, since the file may have been edited.

    Raises:
        InputError: the file cannot be read, or has a bad value for one of the flags.
    """
    found = flags.FlagValues()
    for flag in defined:
        found[flag.name] = copy.deepcopy(flag)
    found.unparse_flags()
    try:
        found(["", *read(lines or [f"--flagfile={path}"])], known_only=True)
    except flags.Error as error:
        raise InputError(f"{path}: {error}") from error
    return {name: found[name].value for name in found}


def _read(arguments: Sequence[str], within: Sequence[str]) -> tuple[list[str], list[str]]:
    """The expanded arguments, and the directories of runs whose flagfiles are among them.

    Args:
        arguments: arguments of the command line or lines of a flagfile.
        within: the flagfiles that contain the arguments, from the outermost.
    """
    found, run_dirs, rest = [], [], iter(arguments)
    for argument in rest:
        if argument == "--":
            found += [argument, *rest]
            break
        name, equals, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            found.append(argument)
            continue
        path = os.path.expanduser((path if equals else next(rest, "")).strip())
        if not path:
            raise InputError(f"{argument}: names no file: give one, or leave it out")
        if path in within:
            raise InputError(
                f"{within[-1]}: --flagfile={path} leads back to itself: remove that line"
            )
        # Imported here, since loading TensorFlow takes a second.
        from tgan_tf import runs
        from tgan_tf.data import storage

        text = storage.read_text(path, "give a file with a flag on each line")
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("#", "//"))]
        folder, name = os.path.split(path)
        if name == runs.FLAGS_FILE:
            others = [line for line in lines if not line.lstrip("-").startswith("run_dir=")]
            # Flagfiles of the first version name the run's original directory.
            if others == lines or runs.exists(folder):
                lines = others
                run_dirs.append(folder or ".")
        inner, inner_run_dirs = _read(lines, [*within, path])
        found += inner
        run_dirs += inner_run_dirs
    return found, run_dirs
