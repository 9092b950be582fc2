"""All flags of all programs with values that they cannot have: a new flag is covered, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import run_all

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
EXPERIMENTS = TESTS.parent / "experiments"
PROGRAMS = sorted(
    str(path.relative_to(EXPERIMENTS))
    for path in EXPERIMENTS.rglob("*.py")
    if "    command_line.run(" in path.read_text()
)
UNCHECKED = """
from program_flags import command_line
import numpy as np
from absl import flags

flags.DEFINE_integer("count", 1, "Without bounds.")

def main(_):
    open("made", "w").close()
    np.zeros([10**flags.FLAGS.count])

if __name__ == "__main__":
    command_line.run(main)
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """What tests/flag_walk.py reports of each program."""
    directory = tmp_path_factory.mktemp("walk")
    unchecked = tmp_path_factory.mktemp("program") / "unchecked.py"
    unchecked.write_text(UNCHECKED)
    walk = subprocess.run(
        [sys.executable, str(TESTS / "flag_walk.py"), *PROGRAMS, str(unchecked)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": f"{EXPERIMENTS}:{EXPERIMENTS.parent}"},
        capture_output=True,
        text=True,
    )
    assert walk.returncode == 0, walk.stderr
    reports = json.loads(walk.stdout)
    return {**reports, "unchecked": reports[str(unchecked)]}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_value_that_a_flag_cannot_have_is_refused_in_one_line_with_nothing_touched(
    walked, program
):
    assert walked[program]["wrong"] == []
    assert walked[program]["count"] > 20


def test_the_walk_finds_a_flag_whose_definition_does_not_say_what_it_takes(walked):
    (wrong,) = walked["unchecked"]["wrong"]
    assert wrong == "--count: its definition does not say what it takes"


IMPORTS_UP_TO_TENSORFLOW = """
import importlib.abc
import os
import runpy
import sys

import numpy  # what most of them import first, once for all

class TensorFlow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow"):
            print("program_flags" in sys.modules, flush=True)
            os._exit(0)

sys.meta_path.insert(0, TensorFlow())
for program in sys.argv[1:]:
    print(program, flush=True)
    child = os.fork()
    if child == 0:
        sys.path[0] = program.rpartition("/")[0]
        runpy.run_path(program, run_name="__main__")
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """What each program has printed up to the import of TensorFlow, each in a fork."""
    programs = [str(EXPERIMENTS / program) for program in PROGRAMS]
    result = subprocess.run(
        [sys.executable, "-c", IMPORTS_UP_TO_TENSORFLOW, *programs],
        cwd=tmp_path_factory.mktemp("anywhere"),
        env={**os.environ, "PYTHONPATH": str(EXPERIMENTS.parent)},
        capture_output=True,
        text=True,
    )
    return result.stdout, result.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_finds_the_flags_from_anywhere_and_imports_them_before_tensorflow(
    program, imported
):
    printed, errors = imported
    assert f"{EXPERIMENTS / program}\nTrue\n" in printed, errors


FAILS = r"""
import errno
import os
from program_flags import command_line
import tensorflow as tf
from absl import flags
from tgan_tf.errors import InputError

ERRORS = {
    "missing": FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "card.json"),
    "forbidden": PermissionError(errno.EACCES, os.strerror(errno.EACCES), "card.json"),
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "card.json"),
    "full in TensorFlow": tf.errors.ResourceExhaustedError(
        None, None, "{{function_node __wrapped__Flush}} runs/events; No space left on device [Op:F]"
    ),
    "no text": InputError("caf\udce9\nand more\x1b[2J"),
    "long": InputError("x" * 100_000),
    "flags of a file": flags.IllegalFlagValueError("flag --size=x: must be an integer ≥ 1"),
}

def main(arguments):
    raise ERRORS[" ".join(arguments[1:])]

command_line.run(main, takes_paths=True)
"""
SAID = {
    "missing": "card.json: No such file or directory: give a path that exists, or restore what is "
    "missing",
    "forbidden": "card.json: Permission denied: give a path that you may use, or change its "
    "permissions",
    "full": "card.json: No space left on device: free some disk space",
    "full in TensorFlow": "runs/events; No space left on device: free some disk space",
    "no text": r"caf\xe9\nand more\x1b[2J",
    "long": f"{'x' * 500}…{'x' * 500}",
    "flags of a file": "--size=x: must be an integer ≥ 1",
}


def test_what_ends_a_program_is_one_line_with_the_remedy_of_its_own_kind(tmp_path):
    (tmp_path / "fails.py").write_text(FAILS)
    commands = {name: name.split() for name in SAID}
    results = run_all(tmp_path / "fails.py", commands, tmp_path)
    said = {name: result.stderr for name, result in results.items()}
    assert said == {name: f"fails.py: error: {text}\n" for name, text in SAID.items()}
    assert {result.code for result in results.values()} == {1}
