"""Runs the programs of experiments/ as a user does, many in a fraction of the time.

TensorFlow is loaded once in a test process, and each command runs in a fork of what has loaded it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

_FORKS = """
    import json, os, resource, runpy, sys, traceback
    import program_flags.command_line
    import matplotlib.backends.backend_agg, matplotlib.figure
    import tgan_tf.callbacks, tgan_tf.data.corpus, tgan_tf.data.moving_mnist, tgan_tf.export
    import tgan_tf.evaluation.extractors, tgan_tf.runs

    for line in sys.stdin:
        case = json.loads(line)
        if case["digits"]:
            tgan_tf.data.moving_mnist._mnist()  # kept from then on
        if case["beam"]:
            import apache_beam
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(case[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
            os.chdir(case["directory"])
            os.environ.clear()
            os.environ.update(case["environment"])
            if case["largest_file"] is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (case["largest_file"],) * 2)
            sys.argv = case["argv"]
            sys.path[0] = os.path.dirname(sys.argv[0])
            sys.path.append(case["directory"])  # a test may have a stub of a library there
            code = 0
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
                code = 99
            sys.stdout.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclasses.dataclass
class Result:
    """What a command has printed and how it has ended."""

    code: int
    stdout: str
    stderr: str


def run_all(
    program: str,
    commands: dict[str, list[str]],
    directory: str | os.PathLike,
    largest_files: dict[str, int] | None = None,
    digits: bool = False,
    beam: bool = False,
) -> dict[str, Result]:
    """Runs a program once for each command, one after the other.

    Args:
        program: such as "generate.py".
        commands: arguments by a name of the test's own.
        directory: where they run.
        largest_files: for some commands, the bytes after which a file's disk is full.
        digits: whether several commands use the digits of MNIST: reading them takes seconds.
        beam: whether several commands use Apache Beam: importing it takes seconds.
    """
    largest_files = largest_files or {}
    results = {}
    for name, arguments in commands.items():
        with tempfile.TemporaryDirectory() as printed:
            case = {
                "argv": [str(EXPERIMENTS / program), *map(str, arguments)],
                "directory": os.fspath(directory),
                "environment": _environment(),
                "stdout": f"{printed}/out",
                "stderr": f"{printed}/err",
                "largest_file": largest_files.get(name),
                "digits": digits,
                "beam": beam,
            }
            forks = _forks()
            forks.stdin.write(json.dumps(case) + "\n")
            forks.stdin.flush()
            code = forks.stdout.readline()
            assert code, "what forks has ended"
            results[name] = Result(
                int(code), Path(case["stdout"]).read_text(), Path(case["stderr"]).read_text()
            )
    return results


def one(program: str, arguments: list[str], directory: str | os.PathLike) -> Result:
    """Runs a program once; see `run_all`."""
    return run_all(program, {"": arguments}, directory)[""]


@functools.cache
def _forks() -> subprocess.Popen:
    """What has loaded TensorFlow and runs a command for each line; it ends with this process."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_FORKS)],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": f"{EXPERIMENTS}:{EXPERIMENTS.parent}",
        # Beside TensorFlow's threads those of OpenBLAS wait for each other.
        "OPENBLAS_NUM_THREADS": "1",
    }
