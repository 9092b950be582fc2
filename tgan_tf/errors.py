"""The error for a user's mistake, and the parts of other errors that help a user."""

from __future__ import annotations

import contextlib
import errno
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

NOT_SAID = object()
"""The value of an `Argument` without a value."""

NO_SPACE = "No space left on device|Disk quota exceeded|File too large"
"""A pattern for a full disk in TensorFlow's errors, which have no error number."""


class Argument(NamedTuple):
    """An argument in the message of an `InputError`, with or without its value.

    Attributes:
        name: name of a constructor's or function's argument, or the path of an entry in a
            training's configuration, such as "critic.filters".
        value: the given or the required value; `NOT_SAID` if the name is enough.
    """

    name: str
    value: Any = NOT_SAID

    def __str__(self) -> str:
        """In Python's form: "frames=5"."""
        return self.name if self.value is NOT_SAID else f"{self.name}={self.value!r}"


class InputError(ValueError):
    """A value, file or setting given by the user cannot be used.

    The message is one line that names the value, where it came from and the remedy. The programs
    in `experiments/` print it without a traceback and end with exit code 1.

    Its arguments are the parts of the message, text and `Argument`s, so that a program can print an
    argument under the name that its own users know:

        raise InputError(Argument("frames", 5), ": must be a power of two ≥ 2")
    """

    # AutoGraph re-raises an error of a traced function, with this class only if it can construct
    # it.
    __init__ = Exception.__init__

    @property
    def parts(self) -> tuple[str | Argument, ...]:
        """The parts of the message."""
        return BaseException.args.__get__(self)  # type: ignore[attr-defined]  # is a descriptor

    @parts.setter
    def parts(self, parts: tuple[str | Argument, ...]) -> None:
        BaseException.args.__set__(self, parts)  # type: ignore[attr-defined]  # likewise

    @property
    def args(self) -> tuple[str]:  # type: ignore[override]  # there it can be set
        """The whole message: of an error raised in a layer Keras keeps only the first of these."""
        return (str(self),)

    def __str__(self) -> str:
        return self.written(str)

    def written(self, write: Callable[[Argument], str]) -> str:
        """The message with each argument formatted by `write`."""
        parts = (write(part) if isinstance(part, Argument) else str(part) for part in self.parts)
        return one_line("".join(parts))


@contextlib.contextmanager
def renaming(new_name: Callable[[str], str]) -> Iterator[None]:
    """Renames the arguments of an `InputError` to the names that the outer caller knows."""
    try:
        yield
    except InputError as error:
        error.parts = tuple(
            part._replace(name=new_name(part.name)) if isinstance(part, Argument) else part
            for part in error.parts
        )
        raise


def within(entry: str) -> contextlib.AbstractContextManager[None]:
    """Puts an entry's name before those of an `InputError`'s arguments.

    In an error that is raised within "critic", "filters" becomes "critic.filters".
    """
    return renaming(lambda name: f"{entry}.{name}")


def one_line(text: str) -> str:
    r"""Text in a form that any terminal and log show on one line.

    Names of files may hold anything. Line ends, control characters and bytes that are not UTF-8,
    which Python reads as surrogates, are escaped; an example is "caf\xe9\n.mp4".
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte, by the handler "surrogateescape"
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def reason(error: Exception) -> str:
    """The useful part of an error of TensorFlow or the operating system.

    For example "No space left on device" in
    "{{node SaveV2}} PATH; No space left on device [Op:SaveV2]".
    """
    message = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    message = re.sub(r"{{.*?}} *", "", message)
    lines = message.rsplit("; ", 1)[-1].split(" [Op:")[0].strip().splitlines()
    return lines[0] if lines else type(error).__name__


def is_disk_full(error: Exception) -> bool:
    """Whether an error of the operating system or of TensorFlow says so."""
    number = getattr(error, "errno", None)
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return full or re.search(NO_SPACE, str(error)) is not None


def remedy(error: Exception) -> str:
    """The remedy for an error of the operating system or of TensorFlow's file systems.

    Freeing disk space is suggested only if the disk is full.
    """
    if is_disk_full(error):
        return "free some disk space"
    number = getattr(error, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE):
        return "allow more open files with ulimit -n"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give a path that you may use, or change its permissions"
    if number == errno.ENOENT:
        return "give a path that exists, or restore what is missing"
    return "give another path"
