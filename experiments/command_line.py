"""What the programs share: a quiet start, and one clear line for a user's mistake.

Import it before TensorFlow: it sets, as `tgan_tf` does, what TensorFlow reads when it is loaded.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Callable

# Without these the first pages a user sees are TensorFlow's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="tensorflow|keras|tensorflow_addons|tensorflow_io")

from absl import app  # noqa: E402
from absl import logging as absl_logging  # noqa: E402

from tgan_tf.errors import InputError  # noqa: E402


def run(main: Callable[[list[str]], int | None]) -> None:
    """Runs a program; what the user can mend is one line on stderr and exit code 1."""
    program = Path(sys.argv[0]).name

    def show_warning(message, category, *_, **__):
        print(f"{program}: warning: {message}", file=sys.stderr)

    def guarded(arguments):
        warnings.showwarning = show_warning
        if len(arguments) > 1:
            _fail(program, f"{arguments[1]!r} is not a flag: flags begin with --, see --help")
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

    # Else absl prints what TensorFlow's saver has to tell; --verbosity still has its say.
    absl_logging.set_verbosity(absl_logging.WARNING)
    app.run(guarded)


def _fail(program: str, message: str):
    print(f"{program}: error: {message}", file=sys.stderr)
    sys.exit(1)
