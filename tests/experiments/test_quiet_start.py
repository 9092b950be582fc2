"""What is seen of what TensorFlow writes to stderr while a program loads it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from programs import EXPERIMENTS

START_UP = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795732944.301742   20747 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1795732916.404664   20099 cuda_platform.cc:52] failed call to cuInit
"""
FATAL = "F0000 00:00:1795732944.301742   20747 cpu_feature_guard.cc:34] compiled to use AVX\n"


def loading(package, directory, then="", **environment):
    """Runs a program that imports a TensorFlow that is this code, written by C++ where it writes.

    Returns:
        Its exit code, and what it has written to stderr.
    """
    (directory / "tensorflow").mkdir()
    head = "import os, subprocess, time\nwrite = lambda text: os.write(2, text.encode())\n"
    (directory / "tensorflow/__init__.py").write_text(head + textwrap.dedent(package))
    result = subprocess.run(
        [sys.executable, "-c", f"import program_flags, tensorflow\n{then}"],
        env={
            **{name: value for name, value in os.environ.items() if name[:3] != "TF_"},
            "PYTHONPATH": os.pathsep.join(map(str, [EXPERIMENTS, directory])),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stderr


def test_its_start_up_lines_are_not_seen(tmp_path):
    assert loading(f"write({START_UP!r})", tmp_path) == (0, "")


def test_all_is_seen_if_the_user_asks_tensorflow_for_more(tmp_path):
    seen = loading(f"write({START_UP!r})", tmp_path, TF_CPP_MIN_LOG_LEVEL="0")
    assert seen == (0, START_UP)


def test_other_lines_are_seen_in_their_order(tmp_path):
    package = f"""
        write("before\\n")
        write({START_UP!r})
        subprocess.run(["sh", "-c", "echo a child >&2"])
        write("no end of line")
    """
    seen = loading(package, tmp_path, then="import os; os.write(2, b', and after')")
    assert seen == (0, "before\na child\nno end of line, and after")


def test_what_is_written_after_the_import_is_not_filtered(tmp_path):
    seen = loading("", tmp_path, then=f"import os; os.write(2, {START_UP!r}.encode())")
    assert seen == (0, START_UP)


def test_an_import_that_fails_says_why(tmp_path):
    code, stderr = loading(f"write({START_UP!r})\nimport no_such_library", tmp_path)
    assert code == 1
    assert stderr.startswith("Traceback")
    assert stderr.endswith("ModuleNotFoundError: No module named 'no_such_library'\n")


def test_the_reason_is_seen_if_loading_it_ends_the_process(tmp_path):
    seen = loading(f"write({START_UP + FATAL!r})\nos.abort()", tmp_path)
    assert seen == (-signal.SIGABRT, FATAL)


def test_a_child_that_goes_on_does_not_hold_the_program_up(tmp_path):
    package = "children = [subprocess.Popen(['sleep', '30'])]"
    then = "tensorflow.children[0].kill()"
    assert loading(package, tmp_path, then) == (0, "")


@pytest.mark.slow
def test_tensorflow_itself_is_loaded_without_a_word():
    result = subprocess.run(
        [sys.executable, "-c", "import program_flags, tensorflow; tensorflow.constant(1.0)"],
        env={
            **{name: value for name, value in os.environ.items() if name[:3] != "TF_"},
            "PYTHONPATH": str(EXPERIMENTS),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("", "")
