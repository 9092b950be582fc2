"""Functions that define flags together with the values that they accept.

    checked_flags.integer("batch_size", 32, "Clips in an update.", at_least=1, at_most=65536)
    checked_flags.number("ema_momentum", None, "Momentum of the average.", at_least=0, below=1)
    checked_flags.new_file("output", "clips.png", "PNG of the sheet.", suffixes=(".png",))

Parsing the flags refuses a bad value before the program does anything, with one line that
`command_line` prints: "--batch_size=0: must be an integer ≥ 1". No flag accepts an empty value.
Names and Booleans use absl's `flags.DEFINE_enum` and `flags.DEFINE_bool`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from tgan_tf.arguments import Integer, Number
from tgan_tf.errors import InputError

# A flag belongs to the module that calls one of these functions.
flags.disclaim_key_flags()

LARGEST = 2**31 - 1
"""The default upper bound of integers, and the largest seed that TensorFlow accepts."""

STORES = ("gs://", "s3://")


def integer(
    name: str, default: int | None, help: str, at_least: int, at_most: int = LARGEST
) -> None:
    """Defines an integer flag."""
    flags.DEFINE(IntegerParser(at_least, at_most), name, default, help, serializer=_SERIALIZER)


def number(name: str, default: float | None, help: str, **bounds: float) -> None:
    """Defines a flag for a finite number; for `bounds` see `tgan_tf.arguments.Number`."""
    parser = NumberParser(Number(**bounds))
    flags.DEFINE(parser, name, default, help, serializer=_SERIALIZER)


def text(name: str, default: str | None, help: str, required: bool = False) -> None:
    """Defines a flag for any text."""
    parser = TextParser()
    flags.DEFINE(parser, name, default, help, serializer=_SERIALIZER, required=required)


def items(
    name: str,
    default: list | None,
    help: str,
    parse_item: Callable[[str], Any],
    unique: bool = True,
) -> None:
    """Defines a flag for a list of one or more items, separated by commas.

    Args:
        name: name of the flag.
        default: a list of parsed items.
        help: help text.
        parse_item: text of an item → its value; it raises a `ValueError` that names the item and
            what is wrong.
        unique: whether items must differ.
    """
    parser = ItemsParser(parse_item, unique)
    flags.DEFINE(parser, name, default, help, serializer=flags.CsvListSerializer(","))


def integers(
    name: str, default: list[int] | None, help: str, at_least: int, at_most: int = LARGEST
) -> None:
    """Defines a flag for a list of different integers, separated by commas."""
    items(name, default, help, _naming(IntegerParser(at_least, at_most).parse))


def names(name: str, default: list[str], help: str, known: tuple[str, ...]) -> None:
    """Defines a flag for a list of different known names, separated by commas."""
    items(name, default, help, _naming(OneOfParser(known).parse))


def existing(
    name: str,
    help: str,
    kind: str = "file",
    remote: bool = False,
    remedy: str = "give one that exists",
    required: bool = False,
) -> None:
    """Defines a flag for the path of an input.

    Args:
        name: name of the flag, which has no default.
        help: help text.
        kind: "file", "directory" or "path", which is either.
        remote: whether it may be in an object store, where its existence is checked only when it is
            read.
        remedy: what to do if it does not exist.
        required: whether it must be given.
    """
    parser = ExistingParser(kind, remote, remedy)
    flags.DEFINE(parser, name, None, help, serializer=_SERIALIZER, required=required)


def new_file(
    name: str,
    default: str | None,
    help: str,
    suffixes: tuple[str, ...] = (),
    required: bool = False,
) -> None:
    """Defines a flag for the path of an output file, which must not exist yet."""
    parser = NewFileParser(suffixes)
    flags.DEFINE(parser, name, default, help, serializer=_SERIALIZER, required=required)


def kept_file(name: str, help: str) -> None:
    """Defines a flag for the path of a file that is read if it exists and written otherwise."""
    flags.DEFINE(OutputParser(directory=False), name, None, help, serializer=_SERIALIZER)


def output_directory(
    name: str,
    default: str | None,
    help: str,
    remote: bool = False,
    new: bool = False,
    required: bool = False,
) -> None:
    """Defines a flag for the path of an output directory, made if missing.

    Args:
        name: name of the flag.
        default: its default value.
        help: help text.
        remote: whether it may be in an object store, which is tried only when it is written to.
        new: whether it must not exist yet.
        required: whether it must be given.
    """
    parser = OutputParser(directory=True, remote=remote, new=new)
    flags.DEFINE(parser, name, default, help, serializer=_SERIALIZER, required=required)


def check_paths() -> None:
    """Raises an `InputError` for a flag whose path cannot be read or written as defined."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if isinstance(flag.parser, PathParser) and flag.value is not None:
            refusal = flag.parser.refusal(flag.value)
            if refusal:
                raise InputError(f"--{name}={flag.value}: {refusal}")


class IntegerParser(flags.ArgumentParser):
    """Integers, written in digits."""

    def __init__(self, at_least: int, at_most: int):
        self.kind = Integer(at_least, at_most)
        self.syntactic_help = "an integer"

    def parse(self, argument: str | int) -> int:
        return _checked(self.kind, argument, flags.IntegerParser().convert)

    def flag_type(self) -> str:
        return "int"


class NumberParser(flags.ArgumentParser):
    """Numbers."""

    def __init__(self, kind: Number):
        self.kind = kind
        self.syntactic_help = "a number"

    def parse(self, argument: str | float) -> float:
        return float(_checked(self.kind, argument, float))

    def flag_type(self) -> str:
        return "float"


class TextParser(flags.ArgumentParser):
    """Nonempty text."""

    def parse(self, argument: str) -> str:
        if not argument:
            raise ValueError("must not be empty")
        return super().parse(argument)


class OneOfParser(flags.ArgumentParser):
    """Known names."""

    def __init__(self, known: tuple[str, ...]):
        self.known = known

    def parse(self, argument: str) -> str:
        if argument not in self.known:
            raise ValueError(f"must be one of {', '.join(self.known)}")
        return argument


class ItemsParser(flags.ListParser):
    """Nonempty lists."""

    def __init__(self, parse_item: Callable[[str], Any], unique: bool):
        super().__init__()
        self.parse_item = parse_item
        self.unique = unique

    def parse(self, argument: str | list) -> list:
        found = super().parse(argument)
        if not found:
            raise ValueError("must not be empty")
        values = [self.parse_item(item) for item in found]
        if self.unique and len(set(values)) < len(values):
            raise ValueError("must not repeat items")
        return values


class PathParser(TextParser):
    """Paths; `check_paths` checks whether they exist once all flags are parsed."""

    of_url = "must be a local path"

    def __init__(self, remote: bool):
        self.remote = remote

    def refusal(self, path: str) -> str:
        """What is wrong with a path; empty if it can be used."""
        if "://" in path:
            return self._refusal_of_url(path)
        try:
            return self._refusal(path)
        except OSError as error:  # such as for a name that is too long
            return f"{error.strerror}: give a path that can be used"

    def _refusal_of_url(self, path: str) -> str:
        if not self.remote:
            return self.of_url
        # For other schemes TensorFlow itself reports whether it has a file system.
        scheme = path.split("://")[0]
        if scheme in ("http", "https") or not re.fullmatch("[a-z][a-z0-9+.-]*", scheme):
            return f"must be a local path, {' or '.join(STORES)}"
        return ""

    def _refusal(self, path: str) -> str:
        raise NotImplementedError


class ExistingParser(PathParser):
    """Paths of existing inputs."""

    of_url = "must be a local path: copy it to a folder first"

    def __init__(self, kind: str, remote: bool, remedy: str):
        super().__init__(remote)
        self.kind = kind
        self.remedy = remedy

    def _refusal(self, path: str) -> str:
        if not _exists(path):
            missing = "does not exist" if self.kind == "path" else f"no such {self.kind}"
            return f"{missing}: {self.remedy}"
        if self.kind != "path" and os.path.isdir(path) != (self.kind == "directory"):
            return f"not a {self.kind}: {self.remedy}"
        if not os.access(path, os.R_OK):
            return "cannot be read (Permission denied): make it readable"
        return ""


class NewFileParser(PathParser):
    """Paths of new files in existing directories."""

    def __init__(self, suffixes: tuple[str, ...]):
        super().__init__(remote=False)
        self.suffixes = suffixes

    def _refusal(self, path: str) -> str:
        if self.suffixes and not path.lower().endswith(self.suffixes):
            return f"must end in {' or '.join(self.suffixes)}"
        parent = Path(path).parent
        if not parent.is_dir():
            return f"there is no directory {parent}: make it first"
        if not os.access(parent, os.W_OK):
            return f"{parent} cannot be written to: give a writable directory"
        return "already exists: give another name" if _exists(path) else ""


class OutputParser(PathParser):
    """Paths of output directories or of kept files, made with their parent directories."""

    def __init__(self, directory: bool, remote: bool = False, new: bool = False):
        super().__init__(remote)
        self.directory = directory
        self.new = new

    def _refusal(self, path: str) -> str:
        place = Path(path)
        if _exists(place):
            if self.new:
                return "already exists: give another name"
            if self.directory != place.is_dir():
                kind = "directory" if self.directory else "file"
                return f"is not a {kind}: give the path of a {kind}"
        while not _exists(place):
            place = place.parent
        if place == Path(path) and not self.directory:
            place = place.parent
        if not place.is_dir():
            return f"{place} is not a directory: give a writable path"
        if not os.access(place, os.W_OK):
            return f"{place} cannot be written to: give a writable path"
        return ""


_SERIALIZER = flags.ArgumentSerializer()


def _checked(kind: Integer | Number, argument: str | float, convert: Callable) -> float:
    """Converts and checks a value."""
    value = argument
    if isinstance(argument, str):
        try:
            value = convert(argument)
        except ValueError:
            pass  # refused below
    refusal = kind.refusal(value)
    if refusal:
        raise ValueError(refusal)
    return value


def _naming(parse: Callable) -> Callable:
    """Makes a parser of items whose errors begin with the item."""

    def parse_item(item):
        try:
            return parse(item)
        except ValueError as error:
            raise ValueError(f"{item!r} {error}") from error

    return parse_item


def _exists(path: str | Path) -> bool:
    """Whether anything has that name, even a broken link."""
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise
    return True
