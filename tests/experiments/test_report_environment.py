"""What a report of a problem says of the machine, and what it keeps to itself."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys

import pytest
from programs import EXPERIMENTS

import tgan_tf

pytestmark = pytest.mark.slow


def reported(directory, **environment):
    """The lines that the program prints, run where anybody may run it."""
    result = subprocess.run(
        [sys.executable, str(EXPERIMENTS / "report_environment.py")],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_has_the_versions_the_processor_and_the_devices(tmp_path):
    lines = reported(tmp_path)
    assert lines[0] == f"tgan_tf: {tgan_tf.__version__}"
    assert lines[1].startswith(f"Python: {platform.python_version()}")
    for name in ("tensorflow", "keras", "numpy"):
        assert f"{name}: {importlib.metadata.version(name)}" in lines
    assert "TensorFlow sees: /physical_device:CPU:0" in lines


def test_has_no_names_paths_or_other_variables(tmp_path):
    text = "\n".join(
        reported(tmp_path, AWS_SECRET_ACCESS_KEY="of nobody's business", KERAS_BACKEND="tensorflow")
    )
    assert "KERAS_BACKEND=tensorflow" in text
    assert "of nobody's business" not in text
    assert str(EXPERIMENTS.parent) not in text and sys.prefix not in text
    assert socket.gethostname() not in text
    assert getpass.getuser() == "root" or getpass.getuser() not in text


def test_says_why_tensorflow_cannot_be_imported(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('/home/me/lib/x.so: no AVX')\n")
    lines = reported(tmp_path, PYTHONPATH=str(tmp_path))
    assert "TensorFlow cannot be imported: ImportError: …/x.so: no AVX" in lines
