"""Wheel and sdist: the wheel is built of the sdist alone and works without the repository."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from documents import TOP, code_blocks

import tgan_tf

pytestmark = pytest.mark.slow

DIRECTORIES = (".ci", ".github", "docs", "examples", "experiments", "saved_models/moving_mnist")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
# What follows README's critic of the constraint.
TRAINS = """
import importlib.metadata
import numpy as np
import tgan_tf

critic.compile("adam", "mse")
images = np.random.default_rng(0).normal(size=[8, 16, 16, 3]).astype("float32")
critic.fit(images, np.full([8, 1], 1e3, "float32"), epochs=3, verbose=0)
for layer in critic.layers[::3]:
    matrix = np.reshape(layer.kernel, [-1, layer.kernel.shape[-1]])
    assert np.linalg.svd(matrix, compute_uv=False)[0] < 1.0001
print(tgan_tf.__file__)
print(importlib.metadata.version("tgan_tf"))
"""


def run(directory, *arguments, **environment):
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist unpacked, made of a copy: building writes beside its sources."""
    copy = tmp_path_factory.mktemp("copy")
    made = tmp_path_factory.mktemp("sdist")
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("tgan_tf", "tests", *DIRECTORIES):
        shutil.copytree(TOP / name, copy / name, ignore=kept)
    for path in TOP.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, copy)
    run(copy, "-c", BUILD.format("sdist"), made)
    (archive,) = made.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(made, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return made / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(sdist, tmp_path_factory):
    """Where the wheel is installed, which for one of Python alone is to unpack it."""
    made, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    run(sdist, "-c", BUILD.format("wheel"), made)
    (wheel,) = made.glob("*.whl")
    assert wheel.name == f"tgan_tf-{tgan_tf.__version__}-py3-none-any.whl"
    zipfile.ZipFile(wheel).extractall(target)
    return target


def test_the_sdist_has_what_the_repository_has(sdist):
    for name in ("tgan_tf", "tests", *DIRECTORIES):
        there = {
            path.relative_to(TOP)
            for path in (TOP / name).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
        }
        assert [path for path in sorted(there) if not (sdist / path).is_file()] == []
    for name in ("README.md", "CHANGELOG.md", "Makefile", "mkdocs.yml", "requirements.txt"):
        assert (sdist / name).is_file()


def test_the_wheel_has_the_package_alone(installed):
    assert sorted(path.name for path in installed.iterdir()) == [
        "tgan_tf",
        f"tgan_tf-{tgan_tf.__version__}.dist-info",
    ]


def test_the_constraint_works_from_the_wheel(installed, tmp_path):
    blocks = [text for _, text in code_blocks(TOP / "README.md", "python")]
    (block,) = (text for text in blocks if "SingularValueClipping" in text)
    (tmp_path / "critic.py").write_text(block + TRAINS)
    printed = run(tmp_path, "critic.py", PYTHONPATH=str(installed)).splitlines()
    assert printed == [str(installed / "tgan_tf/__init__.py"), tgan_tf.__version__]


def test_the_wheel_s_data_are_there(installed, tmp_path):
    program = (
        "from tgan_tf.evaluation.extractors.moving_mnist import DigitClassifier\n"
        "print(len(DigitClassifier().sha256))"
    )
    assert run(tmp_path, "-c", program, PYTHONPATH=str(installed)) == "64\n"


@pytest.fixture(scope="module")
def metadata(installed):
    (file,) = installed.glob("*.dist-info/METADATA")
    return email.message_from_string(file.read_text(encoding="utf-8"))


def test_each_python_gets_its_stack(metadata):
    needed = metadata.get_all("Requires-Dist")
    assert 'tensorflow==2.15.1; python_version < "3.12"' in needed
    assert 'tensorflow<2.22,>=2.21; python_version >= "3.12"' in needed


def test_a_package_index_is_given_no_link_or_picture_that_it_does_not_have(metadata):
    text = metadata.get_payload()
    assert "ICCV 2017" in text and "## Citation" in text
    assert re.findall(r"!\[|\]\((?!https://)", text) == []
