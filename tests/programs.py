"""Runs the programs of experiments/ as a user does, many in a fraction of the time.

TensorFlow is loaded once in a test process, and each command runs in a fork of what has loaded it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
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
        if "poll" in case:
            ended, status = os.waitpid(case["poll"], os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if ended else None, flush=True)
            continue
        if case["beam"]:
            import apache_beam
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(case[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
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
        if case["beside"]:
            print(child, flush=True)
        else:
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
    beam: bool = False,
) -> dict[str, Result]:
    """Runs a program once for each command, one after the other.

    Args:
        program: such as "generate.py".
        commands: arguments by a name of the test's own.
        directory: where they run.
        largest_files: for some commands, the bytes after which a file's disk is full.
        beam: whether several commands use Apache Beam: importing it takes seconds.
    """
    largest_files = largest_files or {}
    results = {}
    for name, arguments in commands.items():
        with tempfile.TemporaryDirectory() as printed:
            case = _case(program, arguments, directory, f"{printed}/out", f"{printed}/err")
            case.update(largest_file=largest_files.get(name), beam=beam)
            code = int(_answer(case))
            results[name] = Result(
                code, Path(case["stdout"]).read_text(), Path(case["stderr"]).read_text()
            )
    return results


def one(program: str, arguments: list[str], directory: str | os.PathLike) -> Result:
    """Runs a program once; see `run_all`."""
    return run_all(program, {"": arguments}, directory)[""]


@dataclasses.dataclass
class Started:
    """A command that runs beside others; `printed` is what it has printed so far."""

    pid: int
    log: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative by a signal; None while it runs."""
        if self.code is None:
            self.code = json.loads(_answer({"poll": self.pid}).replace("None", "null"))
        return self.code

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def finish(self, seconds: float = 300) -> int:
        """Waits for its end and gives the exit code; if it does not come, kills it and fails."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                self.send_signal(signal.SIGKILL)
                raise AssertionError(f"it did not end; it had printed: {self.printed}")
            time.sleep(0.05)
        return self.code

    @property
    def printed(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def start(
    program: str,
    arguments: list[str],
    directory: str | os.PathLike,
    log: Path,
    environment: dict[str, str],
) -> Started:
    """Starts a program and lets it run.

    Args:
        program: such as "train.py".
        arguments: of the command.
        directory: where it runs.
        log: the file that all it prints goes to.
        environment: what it has in its environment besides this process's.
    """
    case = _case(program, arguments, directory, str(log), str(log))
    case["environment"].update(environment)
    return Started(int(_answer({**case, "beside": True})), log)


def _case(program, arguments, directory, stdout, stderr) -> dict:
    return {
        "argv": [str(EXPERIMENTS / program), *map(str, arguments)],
        "directory": os.fspath(directory),
        "environment": _environment(),
        "stdout": stdout,
        "stderr": stderr,
        "largest_file": None,
        "beam": False,
        "beside": False,
    }


def _answer(case: dict) -> str:
    forks = _forks()
    forks.stdin.write(json.dumps(case) + "\n")
    forks.stdin.flush()
    answer = forks.stdout.readline()
    assert answer, "what forks has ended"
    return answer


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
