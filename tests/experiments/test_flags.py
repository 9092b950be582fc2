"""All flags of all programs with values that they cannot have: a new flag is covered, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
EXPERIMENTS = TESTS.parent / "experiments"
PROGRAMS = sorted(
    str(path.relative_to(EXPERIMENTS))
    for path in EXPERIMENTS.rglob("*.py")
    if "    command_line.run(" in path.read_text()
)
UNCHECKED = """
import command_line
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
    assert walked[program]["count"] > 50


def test_the_walk_finds_a_flag_whose_definition_does_not_say_what_it_takes(walked):
    (wrong,) = walked["unchecked"]["wrong"]
    assert wrong == "--count: its definition does not say what it takes"
