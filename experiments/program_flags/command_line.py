"""Runs a program: parses its flags, and ends it with one clear line on a user's mistake."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sys
import unicodedata
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from program_flags import checked_flags, flagfiles

from absl import app, flags
from absl import logging as absl_logging

from tgan_tf import file_locks, pipeline_errors, workers
from tgan_tf.errors import NO_SPACE, NOT_SAID, Argument, InputError, one_line, remedy

# Control characters, surrogates (bytes that are not text) and line separators, none of which may
# occur in a flagfile, a message or a table.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")
_LONGEST_WORD = 1000  # characters of a value that a message shows


def run(
    main: Callable[[list[str]], int | None],
    passes_flags_on: bool = False,
    takes_paths: bool = False,
    flags_of_arguments: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Runs a program; a mistake that the user can correct gives one line on stderr and exit code 1.

    Args:
        main: the program; its argument is a list of its name and the paths or the flags to pass on.
        passes_flags_on: whether flags after a lone -- are for a library that main uses.
        takes_paths: whether arguments that are not flags are paths for main.
        flags_of_arguments: the flags for arguments of the package whose names differ.
    """
    program = Path(sys.argv[0]).name

    def show_warning(message, category, *_, **__):
        print(f"{program}: warning: {one_line(str(message))}", file=sys.stderr)

    def guarded(arguments):
        warnings.showwarning = show_warning
        for argument in arguments[1:]:
            if not (passes_flags_on if argument.startswith("--") else takes_paths):
                _fail(program, f"{argument!r} is not a flag: flags begin with --, see --help")
        try:
            with pipeline_errors.raised():
                return main(arguments)
        except InputError as error:
            _fail(program, error.written(lambda argument: as_flag(argument, flags_of_arguments)))
        except FloatingPointError as error:
            _fail(program, str(error))
        except workers.Lost as error:
            _fail(program, str(error), workers.EXIT_CODE)
        except flags.Error as error:  # from flags that main reads from a file
            _fail(program, _about_flags(error))
        except OSError as error:
            if error.strerror is None:
                raise
            place = ": ".join(map(str, filter(None, [error.filename, error.strerror])))
            _fail(program, f"{place}: {remedy(error)}")
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except Exception as error:
            full = re.search(rf"(\S+; )?({NO_SPACE})", str(error))
            if full is None:
                raise
            _fail(program, f"{full[0]}: {remedy(error)}")

    # Names of files may hold characters that the terminal lacks.
    sys.stdout.reconfigure(errors="backslashreplace")
    # Otherwise absl prints messages of TensorFlow's saver; --verbosity still works.
    absl_logging.set_verbosity(absl_logging.WARNING)
    try:
        app.run(guarded, flags_parser=functools.partial(parse_flags, program))
    except SystemExit as end:
        # Python's normal exit would hang if Python is reading a clip, and abort if tensorflow-io,
        # on the old stack, has used s3:// (its issue 1912).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code or 0)


def is_given(flag: str) -> bool:
    """Whether a flag is on the command line itself, not only in a flagfile.

    Consent to run code that others may have written, or to write somewhere, must come from the
    user. A flagfile may have come with the data.
    """
    names = (argument.lstrip("-").split("=")[0] for argument in sys.argv[1:] if argument[:1] == "-")
    return not {flag, f"no{flag}"}.isdisjoint(names)


def write_new_file(flag: str, text: str) -> None:
    """Writes the file of a flag, whole or not at all."""
    with file_locks.replacing(flags.FLAGS[flag].value) as temporary:
        temporary.write_text(text)


def parse_flags(program: str, argv: list[str]) -> list[str]:
    """Parses the flags; a bad value ends the program, see `run`.

    Args:
        program: name of the program, for the message.
        argv: the name or path of the program, and its arguments.

    Returns:
        The name, and the arguments that are not flags.
    """
    try:
        _check_text(argv[1:])
        arguments = flagfiles.read(argv[1:])
        _check_text(arguments)
        rest = flags.FLAGS([argv[0], *arguments])
        checked_flags.check_paths()
        return rest
    except (flags.Error, ValueError) as error:
        _fail(program, _about_flags(error))


def _check_text(arguments: list[str]) -> None:
    """Raises an `InputError` for an argument that is not text, or a flag with an empty value."""
    for argument in arguments:
        if any(unicodedata.category(character) in _NO_TEXT for character in argument):
            raise InputError(f"{argument}: must be text in UTF-8, without control characters")
    # The rest is not for this program.
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument in own:
        if re.fullmatch("--?[^=]*=", argument):
            raise InputError(f"{argument}: must not be empty: give a value, or leave the flag out")


def as_flag(
    argument: Argument, flags_of_arguments: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Formats an argument as the flag that sets it, or unchanged if there is none."""
    name = flags_of_arguments.get(argument.name, argument.name)
    if name not in flags.FLAGS:
        return str(argument)
    flag, value = flags.FLAGS[name], argument.value
    if value is NOT_SAID:
        return f"--{name}"
    if flag.boolean:
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={','.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"


def _about_flags(error: Exception) -> str:
    """Absl's message about flags, without its prefixes."""
    lines = []
    for line in str(error).splitlines():
        line = re.sub("^flags? |^ERROR:: ", "", line)
        missing = re.search("Flag (--.*) must have a value other than None", line)
        lines.append(f"{missing[1]}: must be given" if missing else line)
    return "; ".join(lines)


def end(message: str) -> None:
    """Ends the process at once, from any thread, because another worker is lost."""
    with contextlib.suppress(SystemExit):
        _fail(Path(sys.argv[0]).name, message)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(workers.EXIT_CODE)


def _fail(program: str, message: str, code: int = 1):
    """Ends the program with one line, whatever the message holds."""
    half = _LONGEST_WORD // 2
    message = re.sub(rf"(\S{{{half}}})\S+(\S{{{half}}})", r"\1…\2", message)
    print(f"{program}: error: {one_line(message)}", file=sys.stderr)
    sys.exit(code)
