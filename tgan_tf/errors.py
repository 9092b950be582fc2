"""The error a user's mistake raises, and what others' errors say to a user."""

from __future__ import annotations

import contextlib
import errno
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

NOT_SAID = object()
"""The value of an `Argument` that is only named."""

NO_SPACE = "No space left on device|Disk quota exceeded|File too large"
"""A pattern of what TensorFlow's errors say of a full disk, which have no number."""


class Argument(NamedTuple):
    """An argument that an `InputError` speaks of, with its value or without.

    Attributes:
        name: of a constructor's or function's argument; of an entry of a training's configuration
            with those above it, as "critic.filters".
        value: what it is, or what it should be; `NOT_SAID` where its name says enough.
    """

    name: str
    value: Any = NOT_SAID

    def __str__(self) -> str:
        """As Python has it: "frames=5"."""
        return self.name if self.value is NOT_SAID else f"{self.name}={self.value!r}"


class InputError(ValueError):
    """A value, file or setting given by the user cannot be used.

    The message is one line that names the value, where it came from and the remedy. The programs
    in `experiments/` print it without a traceback and end with exit code 1.

    Its arguments are the parts of the message, text and `Argument`s, so that a program can call an
    argument by the name that its own users know:

        raise InputError(Argument("frames", 5), ": must be a power of two ≥ 2")
    """

    # AutoGraph raises an error of a traced function anew, of this class only if it knows how.
    __init__ = Exception.__init__

    @property
    def parts(self) -> tuple[str | Argument, ...]:
        """What the error was made of."""
        return BaseException.args.__get__(self)  # type: ignore[attr-defined]  # is a descriptor

    @parts.setter
    def parts(self, parts: tuple[str | Argument, ...]) -> None:
        BaseException.args.__set__(self, parts)  # type: ignore[attr-defined]  # likewise

    @property
    def args(self) -> tuple[str]:  # type: ignore[override]  # there it can be set
        """The whole message: of an error raised in a layer Keras takes the first of these alone."""
        return (str(self),)

    def __str__(self) -> str:
        return self.written(str)

    def written(self, write: Callable[[Argument], str]) -> str:
        """The message with each argument as `write` writes it."""
        parts = (write(part) if isinstance(part, Argument) else str(part) for part in self.parts)
        return one_line("".join(parts))


@contextlib.contextmanager
def renaming(new_name: Callable[[str], str]) -> Iterator[None]:
    """Renames the arguments of an `InputError`, to what the caller of the caller knows them as."""
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

    "filters" of an error that is raised within "critic" becomes "critic.filters".
    """
    return renaming(lambda name: f"{entry}.{name}")


def one_line(text: str) -> str:
    r"""Text in a form that any terminal and log shows in one line.

    Names of files may hold anything: line ends, control characters and bytes that are no UTF-8,
    which Python reads as surrogates, are escaped; "caf\xe9\n.mp4" is such a name.
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"):
        return character
    if "\udc80" <= character <= "\udcff":  # of a byte, by the handler "surrogateescape"
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def reason(error: Exception) -> str:
    """What a user can do something with in an error of TensorFlow or the operating system.

    "No space left on device" of "{{node SaveV2}} PATH; No space left on device [Op:SaveV2]".
    """
    message = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    message = re.sub(r"{{.*?}} *", "", message)
    lines = message.rsplit("; ", 1)[-1].split(" [Op:")[0].strip().splitlines()
    return lines[0] if lines else type(error).__name__


def remedy(error: Exception) -> str:
    """What a user can do about an error of the operating system, or of TensorFlow's file systems.

    Disk space is to be freed only where it lacks.
    """
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or re.search(NO_SPACE, str(error)):
        return "free some disk space"
    if number in (errno.EMFILE, errno.ENFILE):
        return "allow more open files, by ulimit -n"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give a path that you may use, or change who may"
    if number == errno.ENOENT:
        return "give a path that exists, or restore what is missing"
    return "give another path"
