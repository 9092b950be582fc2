"""What the programs share: a quiet start, and one clear line for a user's mistake.

Import it before TensorFlow: it sets, as `tgan_tf` does, what TensorFlow reads when it is loaded.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import Callable

# Without these the first pages a user sees are TensorFlow's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
# It warns of a server's malformed headers with a traceback.
logging.getLogger("urllib3").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="tensorflow|keras|tensorflow_addons|tensorflow_io")

import flagfiles  # noqa: E402
from absl import app, flags  # noqa: E402
from absl import logging as absl_logging  # noqa: E402

from tgan_tf import file_locks  # noqa: E402
from tgan_tf.errors import InputError, one_line  # noqa: E402


def run(
    main: Callable[[list[str]], int | None],
    passes_flags_on: bool = False,
    takes_paths: bool = False,
) -> None:
    """Runs a program; what the user can mend is one line on stderr and exit code 1.

    Args:
        main: the program; its argument is a list of its name and the paths or the flags to pass on.
        passes_flags_on: whether flags after a lone -- are for a library that main uses.
        takes_paths: whether what is no flag is a path that main uses.
    """
    program = Path(sys.argv[0]).name

    def show_warning(message, category, *_, **__):
        print(f"{program}: warning: {one_line(str(message))}", file=sys.stderr)

    def parsed(argv):
        try:
            return app.parse_flags_with_usage([argv[0], *flagfiles.read(argv[1:])])
        except InputError as error:
            _fail(program, str(error))

    def guarded(arguments):
        warnings.showwarning = show_warning
        for argument in arguments[1:]:
            if not (passes_flags_on if argument.startswith("--") else takes_paths):
                _fail(program, f"{argument!r} is not a flag: flags begin with --, see --help")
        try:
            return main(arguments)
        except (InputError, FloatingPointError) as error:
            _fail(program, str(error))
        except OSError as error:
            if error.strerror is None:
                raise
            place = ": ".join(filter(None, [error.filename, error.strerror]))
            _fail(program, f"{place}: free some disk space, or give a path that can be used")
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except Exception as error:
            # Raised while a clip was read, it comes back inside an error of TensorFlow's, in Python
            # or, of an assertion, in brackets.
            inside = re.search(r"InputError: (.*)", str(error))
            if inside is None:
                raise
            _fail(program, inside[1].rstrip("]'\""))

    # Names of files may hold what the terminal has no characters for.
    sys.stdout.reconfigure(errors="backslashreplace")
    # Else absl prints what TensorFlow's saver has to tell; --verbosity still has its say.
    absl_logging.set_verbosity(absl_logging.WARNING)
    try:
        app.run(guarded, flags_parser=parsed)
    except SystemExit as end:
        # Python's own way to end would wait for ever where a clip is being read by Python, and
        # abort where tensorflow-io has used s3:// (its issue 1912).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code or 0)


def is_given(flag: str) -> bool:
    """Whether a flag is on the command line itself, not only in a file that a --flagfile names.

    What runs code that others may have written, or says where is written, is asked of the user, and
    a file is not the user: it may have come with the data.
    """
    names = (argument.lstrip("-").split("=")[0] for argument in sys.argv[1:] if argument[:1] == "-")
    return not {flag, f"no{flag}"}.isdisjoint(names)


def check_new_file(flag: str) -> None:
    """Raises an `InputError` if the file that a flag names is there, or could not be written."""
    path = Path(flags.FLAGS[flag].value)
    if path.exists():
        raise InputError(f"--{flag}={path}: exists, give another name")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise InputError(f"--{flag}={path}: {path.parent} is no directory to write to")


def write_new_file(flag: str, text: str) -> None:
    """Writes the file that a flag names, whole or not at all."""
    with file_locks.replacing(flags.FLAGS[flag].value) as temporary:
        temporary.write_text(text)


def _fail(program: str, message: str):
    print(f"{program}: error: {one_line(message)}", file=sys.stderr)
    sys.exit(1)
