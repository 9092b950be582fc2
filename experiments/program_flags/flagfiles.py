"""Flagfiles read as every other text that users give: UTF-8, with or without a byte order mark.

absl reads them in the system's own encoding, and tells of a file that it cannot read by a traceback
or not at all.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from tgan_tf.errors import InputError


def read(arguments: Sequence[str]) -> list[str]:
    """Arguments with the lines of each flagfile in the place of its --flagfile.

    As in absl, lines may name flagfiles themselves, and empty ones and those that begin with # or
    // are passed over. What follows a lone -- is left as it is.

    A run is where its flagfile lies, whatever it was called when that was written: of a flags.cfg
    the --run_dir is its directory, unless the command line has another.

    Args:
        arguments: without the program's name.

    Raises:
        InputError: a flagfile is not named, cannot be read, is no text, or names itself.
    """
    found, run_dirs = _read(arguments, [])
    # The last one of a flag counts.
    return [*(f"--run_dir={path}" for path in run_dirs), *found]


def values(
    path: str | os.PathLike, defined: Iterable[flags.Flag], lines: Sequence[str] | None = None
) -> dict[str, Any]:
    """The values that a flagfile gives some flags, and the defaults of the others.

    Args:
        path: of the flagfile.
        defined: the flags; others are passed over.
        lines: what it was, if that is known and it may have been edited since.

    Raises:
        InputError: the file cannot be read, or gives one of the flags what it cannot have.
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
    """The arguments, and the directories of the runs whose flagfiles are among them.

    Args:
        arguments: of the command line or of a flagfile.
        within: the flagfiles that the arguments are lines of, from the outermost.
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
                f"{within[-1]}: --flagfile={path} leads back to itself: take that line out"
            )
        # Here, since it takes a second to load TensorFlow.
        from tgan_tf import runs
        from tgan_tf.data import storage

        text = storage.read_text(path, "give a file with a flag on each line")
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("#", "//"))]
        folder, name = os.path.split(path)
        if name == runs.FLAGS_FILE:
            others = [line for line in lines if not line.lstrip("-").startswith("run_dir=")]
            # Those of the first version say where the run lay.
            if others == lines or runs.exists(folder):
                lines = others
                run_dirs.append(folder or ".")
        inner, inner_run_dirs = _read(lines, [*within, path])
        found += inner
        run_dirs += inner_run_dirs
    return found, run_dirs
