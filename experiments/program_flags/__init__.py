"""The flags of the programs, and how a program begins and ends.

Import it before TensorFlow: it sets, as `tgan_tf` does, what TensorFlow reads when it is loaded. A
program in a folder of its own puts the directory of this package on the path first.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

# Without these the first pages a user sees are TensorFlow's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
# It warns of a server's malformed headers with a traceback.
logging.getLogger("urllib3").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="tensorflow|keras|tensorflow_addons|tensorflow_io")

# What TensorFlow 2.21 says while it is loaded, before it has read TF_CPP_MIN_LOG_LEVEL. Its fatal
# errors begin with an F.
_LEFT_OUT = r"""
import re, sys
for line in sys.stdin.buffer:
    if not re.match(rb"WARNING: All log messages before absl::|[IWE]\d{4} .*\.cc:\d+\] ", line):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
"""


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Has a process of its own filter what anything writes to stderr, C++ and children included.

    It outlives this process if loading TensorFlow ends it, so that the reason is seen.
    """
    kept = os.dup(2)
    # In a session of its own Ctrl-C does not reach it.
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
        # It ends when nobody can write to it any more, which a child that goes on still could.
        with contextlib.suppress(subprocess.TimeoutExpired):
            lines.wait(timeout=1)


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as Python does; stderr is filtered while anybody loads it."""

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


# A program that was started without a stderr has no file 2, or another's.
if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3" and sys.stderr is not None:
    sys.meta_path.insert(0, _QuietTensorFlow())
