"""The error a user's mistake raises, and what others' errors say to a user."""

import errno
import re
import unicodedata

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """A value, file or setting given by the user cannot be used.

    The message is one line that names the value, where it came from and the remedy. The programs
    in `experiments/` print it without a traceback and end with exit code 1.
    """

    # AutoGraph raises an error of a traced function anew, of this class only if it knows how.
    __init__ = Exception.__init__

    def __str__(self) -> str:
        return one_line(super().__str__())


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
    if number in _NO_SPACE or re.search("No space left|File too large|Disk quota", str(error)):
        return "free some disk space"
    if number in (errno.EMFILE, errno.ENFILE):
        return "allow more open files, by ulimit -n"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give a path that you may use, or change who may"
    if number == errno.ENOENT:
        return "give a path that exists, or restore what is missing"
    return "give another path"
