"""Which Python `make` takes, and what it says where there is none for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="there is no make"),
]


@pytest.fixture
def make(tmp_path):
    """Runs make where there are only some Pythons, by name each one's version; None if broken."""

    def run(pythons, *arguments):
        programs = tmp_path / "bin"
        programs.mkdir()
        for program in ("make", "sh", "test", "echo", "touch"):
            (programs / program).symlink_to(shutil.which(program))
        for name, version in pythons.items():
            # As pyenv does it for a version that is not chosen.
            answer = f'exec {sys.executable} -IS -c "import sys; sys.version_info = {version}; $2"'
            (programs / name).write_text(f"#!/bin/sh\n{answer if version else 'exit 127'}\n")
            (programs / name).chmod(0o700)
        return subprocess.run(
            ["make", f"VENV={tmp_path}/venv", *arguments],
            cwd=TOP,
            env={"PATH": str(programs), "HOME": os.environ["HOME"]},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


OLD, NEW = (3, 11, 7), (3, 13, 0)


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"python3.11": OLD, "python3.13": NEW, "python3": NEW}, "python3.11"),
        ({"python3.13": NEW, "python3.12": (3, 12, 1), "python3.9": (3, 9, 18)}, "python3.9"),
        ({"python3.12": (3, 12, 1), "python3.13": NEW, "python3": OLD}, "python3.13"),
        ({"python3.11": None, "python3.13": None, "python3": (3, 12, 1)}, "python3"),
        ({"python3": (3, 14, 0), "python": (3, 10, 13)}, "python"),
    ],
)
def test_the_old_stack_s_pythons_are_taken_first_then_the_newest(make, pythons, taken):
    result = make(pythons, "--dry-run", "videos")
    assert f"\n{taken} -m venv " in result.stdout, result.stderr


def test_make_takes_the_python_that_it_is_given(make):
    result = make(
        {"python3.11": OLD, "python3.13": NEW}, "--dry-run", "videos", "PYTHON=python3.13"
    )
    assert "\npython3.13 -m venv " in result.stdout, result.stderr


@pytest.mark.parametrize("pythons", [{}, {"python3": (3, 8, 18), "python": (3, 14, 0)}])
def test_without_a_python_for_it_make_says_in_one_line_what_to_install(make, pythons):
    result = make(pythons, "videos")
    assert result.stdout == (
        "tgan_tf needs Python 3.9 to 3.13, and none is on the PATH: "
        "install one, or name it: make PYTHON=/path/to/python3.13\n"
    )
    assert result.returncode != 0


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 14, 0)])
def test_a_python_that_is_too_old_or_too_new_is_named_in_one_line(make, version):
    result = make({"python3": version}, "videos", "PYTHON=python3")
    assert result.stdout == (
        "python3: tgan_tf needs Python 3.9 to 3.13: "
        "install one and name it, make PYTHON=/path/to/python3.13\n"
    )
    assert result.returncode != 0


def test_an_environment_of_another_python_is_not_taken_for_the_one_that_is_named(make, tmp_path):
    there = tmp_path / "venv/bin"
    there.mkdir(parents=True)
    for name in ("installed", "uv"):
        (tmp_path / "venv" / name).touch()
    (there / "python").symlink_to(sys.executable)
    result = make({"python3.10": (3, 10, 13)}, "videos", "PYTHON=python3.10")
    ours = "Python " + sys.version.split()[0]
    assert result.stdout == (
        f"{tmp_path}/venv is of {ours}: make clean, or VENV=folder for python3.10\n"
    )
