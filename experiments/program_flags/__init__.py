"""The flags of the programs, and their start and end.

Import it first: it sets variables that TensorFlow reads when it is loaded, and it configures how
freed memory is kept, which must happen before there are threads. A program in a subfolder first
puts the directory of this package on the path.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.abc
import importlib.machinery
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

# Otherwise users would first see pages of TensorFlow's messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
# It warns about a server's malformed headers with a traceback.
logging.getLogger("urllib3").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="tensorflow|keras|tensorflow_addons|tensorflow_io")

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def _keep_freed_memory() -> None:
    """Makes glibc keep the memory of a freed tensor for the next one.

    By default it returns the memory of tensors of more than 32 MiB to the kernel at once and asks
    for new pages in every step, which takes longer than an element-wise operation itself. This has
    no effect with another C library.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # One arena for all threads; this has an effect only while no thread has its own. A thread's
        # own arena cannot hold a tensor of more than 64 MiB, which is then mapped anew each time.
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
        mallopt(_M_TOP_PAD, 64 << 20)


_keep_freed_memory()

# The messages of TensorFlow 2.21 while it is loaded, before it reads TF_CPP_MIN_LOG_LEVEL. Its
# fatal errors begin with an F.
_LEFT_OUT = r"""
import re, sys
for line in sys.stdin.buffer:
    if not re.match(rb"WARNING: All log messages before absl::|[IWE]\d{4} .*\.cc:\d+\] ", line):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
"""


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Filters all writing to stderr in a separate process, C++'s and child processes' included.

    The filter outlives this process if loading TensorFlow ends it, so that the reason is shown.
    """
    kept = os.dup(2)
    # In a separate session, so that Ctrl-C does not reach it.
    lines = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LEFT_OUT], stdin=subprocess.PIPE, start_new_session=True
    )
    os.dup2(lines.stdin.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        lines.stdin.close()
        # It ends when nothing can write to it any more; a running child process still could.
        with contextlib.suppress(subprocess.TimeoutExpired):
            lines.wait(timeout=1)


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as Python does, and filters stderr while it is loaded."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                with _filtered_stderr():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec


# A program started without stderr has no file 2, or some other file there.
if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3" and sys.stderr is not None:
    sys.meta_path.insert(0, _QuietTensorFlow())
