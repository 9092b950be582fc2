"""What works without the extras of setup.py, and what is said where one is missing."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import setuptools

from tgan_tf import stack
from tgan_tf.errors import InputError

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[1]

# The core first. What TensorFlow itself brings of the extras' packages is hidden after it.
WITHOUT = """
    import importlib.abc, json, os, sys

    class NotInstalled(importlib.abc.MetaPathFinder):
        packages = {
            *("av", "mlxtend", "pandas", "sklearn", "apache_beam", "simplejpeg", "tensorflow_hub"),
            *("tf_keras", "torch", "yaml", "tensorflow_serving"),
        }

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in self.packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, NotInstalled())
    import numpy as np
    from tiny_tgan import make_tgan, real_clips
    from tgan_tf import callbacks, checkpoints, constraints, data, errors, models, runs, tgan
    from tgan_tf.export import export_generator
    from tgan_tf.rendering import encode_gif

    tiny = make_tgan()
    loss = tiny.fit(real_clips(2), batch_size=2, verbose=0).history["critic_loss"][0]
    version = export_generator(tiny.generator, sys.argv[1])
    encode_gif(np.zeros([2, 8, 8, 1], np.uint8))

    for name in [*sys.modules]:
        if name.split(".")[0] in ("grpc", "requests"):
            del sys.modules[name]
    NotInstalled.packages |= {"grpc", "requests"}

    def reading_a_video():
        os.mkdir("films")
        open("films/a.mp4", "wb").close()
        data.open_corpus("films").videos("train")

    def reading_the_yaml():
        sys.path.append(sys.argv[2])
        import imported_run
        imported_run.Config("a.yml")

    def opening_i3d():
        from tgan_tf.evaluation.extractors.i3d import I3D
        I3D()

    def loading_pytorch():
        from tgan_tf import reference_weights
        reference_weights.load_pytorch("a.pth", tiny)

    def encoding_jpegs():
        from tgan_tf.data import tfrecords
        tfrecords.encoder("jpeg", 95)

    def preparing():
        from tgan_tf.data import preparation
        preparation._beam_options([])

    def encoding_mp4():
        from tgan_tf.rendering import encode_mp4
        encode_mp4(np.zeros([2, 8, 8, 1], np.uint8))

    def asking_over_grpc():
        from tgan_tf import Client
        Client("localhost:8500")

    def asking_over_rest():
        from tgan_tf import Client
        Client("http://localhost:8501")

    needed_for = {
        "data": [reading_a_video, data.MovingMNIST, encoding_mp4],
        "prepare": [encoding_jpegs],
        "evaluation": [opening_i3d],
        "serving": [asking_over_grpc, asking_over_rest],
        "import": [loading_pytorch, reading_the_yaml],
    }
    said = {}
    for extra, calls in needed_for.items():
        for call in calls:
            try:
                call()
            except errors.InputError as error:
                said.setdefault(extra, []).append(str(error))
    print(json.dumps([loss, str(version), said]))
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The critic's loss, the export, and by extra what is said, in a process without extras."""
    scratch = tmp_path_factory.mktemp("without")
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(WITHOUT),
            str(scratch / "exported"),
            str(TOP / "experiments/reference"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP / "experiments"), *sys.path])},
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def setup():
    """The arguments that setup.py gives to setuptools."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
        runpy.run_path(str(TOP / "setup.py"))
    return given


def test_the_core_trains_and_exports_without_any_extra(without):
    loss, version, _ = without
    assert abs(loss) < 100
    assert Path(version, "saved_model.pb").exists()


@pytest.mark.parametrize(
    ("extra", "packages"),
    [
        ("data", ["av", "mlxtend", "av"]),
        ("prepare", ["simplejpeg"]),
        ("evaluation", ["tensorflow_hub"]),
        ("serving", ["grpc", "requests"]),
        ("import", ["torch", "yaml"]),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(without, extra, packages):
    _, _, said = without
    assert len(said[extra]) == len(packages)
    for message, package in zip(said[extra], packages):
        assert f"needs {package}, which is not installed: pip install 'tgan_tf[{extra}]'" in message
        assert "\n" not in message


def test_each_extra_that_the_code_names_is_in_setup_and_in_all(setup):
    named = {
        name
        for folder in ("tgan_tf", "experiments")
        for path in (TOP / folder).rglob("*.py")
        for name in re.findall(r'^\s*with extra\("(\w+)"', path.read_text(), re.MULTILINE)
    }
    extras = setup["extras_require"]
    assert named == {"data", "prepare", "evaluation", "serving", "import", "storage"}
    for name in named:
        assert set(extras[name]) <= set(extras["all"])


def test_the_six_packages_of_the_design_are_required(setup):
    required = {re.match(r"[\w-]+", requirement)[0] for requirement in setup["install_requires"]}
    assert required >= {
        *("tensorflow", "keras", "tensorflow-addons", "tensorflow-io", "absl-py", "matplotlib")
    }


def test_addons_where_there_are_none_are_one_line_that_says_who_has_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(InputError, match="^TensorFlow Addons cannot be imported .*: .* Python 3.9"):
        stack.addons()


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 14, 0)])
def test_a_python_that_is_too_old_or_too_new_is_named_in_one_line(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOP / "setup.py"))
    assert end.value.code == (
        f"tgan_tf needs Python 3.9 to 3.13, and this is 3.{version[1]}: install one and use its pip"
    )
