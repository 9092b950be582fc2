"""Flagfiles read as every other text that users give: UTF-8, with or without a byte order mark.

absl reads them in the system's own encoding, and tells of a file that it cannot read by a traceback
or not at all.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tgan_tf.errors import InputError


def named(arguments: Sequence[str]) -> list[Path]:
    """The flagfiles that arguments name, without those that are named inside of them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--flagfile", "-flagfile", action="append", default=[])
    known, _ = parser.parse_known_args(list(arguments))
    return [Path(os.path.expanduser(path)) for path in known.flagfile]


def read(arguments: Sequence[str], within: Sequence[str] = ()) -> list[str]:
    """Arguments with the lines of each flagfile in the place of its --flagfile.

    As in absl, lines may name flagfiles themselves, and empty ones and those that begin with # or
    // are passed over. What follows a lone -- is left as it is.

    Args:
        arguments: without the program's name.
        within: the flagfiles that the arguments are lines of, from the outermost.

    Raises:
        InputError: a flagfile is not named, cannot be read, is no text, or names itself.
    """
    found, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*found, argument, *rest]
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
        from tgan_tf.data import storage

        text = storage.read_text(path, "give a file with a flag on each line")
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("#", "//"))]
        found += read(lines, [*within, path])
    return found
