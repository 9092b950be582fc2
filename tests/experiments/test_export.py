"""The export program, run as a user runs it; most of what it does is in tests/test_export.py."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import make_tgan

from tgan_tf import checkpoints

EXPORT = Path(__file__).parents[2] / "experiments/export.py"


def export(*flags):
    return subprocess.run([sys.executable, str(EXPORT), *flags], capture_output=True, text=True)


@pytest.fixture(scope="module")
def tgan():
    return make_tgan()


@pytest.fixture(scope="module")
def run_dir(tgan, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    checkpoints.save(tgan, run_dir / "checkpoints", 3)
    model = {"generator": keras.saving.serialize_keras_object(tgan.generator)}
    (run_dir / "model.json").write_text(json.dumps(model))
    return run_dir


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("saved models") / "name"
    return export_dir, export(f"--run_dir={run_dir}", f"--export_dir={export_dir}")


def test_the_newest_checkpoint_s_generator_is_served(exported, tgan):
    export_dir, result = exported
    assert result.returncode == 0, result.stderr
    z0 = np.random.default_rng(0).uniform(-1, 1, [3, 6]).astype(np.float32)
    serve = tf.saved_model.load(str(export_dir / "1")).signatures["serving_default"]
    videos = serve(z0=tf.constant(z0))["videos"]
    np.testing.assert_allclose(videos, tgan.generator(z0), rtol=0, atol=1e-6)


def test_the_version_and_how_to_look_at_it_are_all_that_is_printed(exported, run_dir):
    export_dir, result = exported
    first, second = result.stdout.splitlines()
    assert first == f"{run_dir}: the generator of step 3 is in {export_dir / '1'}"
    assert second.startswith("Look at it: saved_model_cli show --dir ")
    assert result.stderr == ""


def test_saved_model_cli_shows_inputs_and_outputs(exported):
    program = Path(sys.executable).with_name("saved_model_cli")
    if not program.exists():
        pytest.skip("no saved_model_cli beside this Python")
    command = shlex.split(exported[1].stdout.splitlines()[1].split(": ", 1)[1])
    shown = subprocess.run([program, *command[1:]], capture_output=True, text=True).stdout
    lines = [line.strip() for line in shown.splitlines()]
    for name, shape in (
        ("inputs['z0']", "(-1, 6)"),
        ("outputs['videos']", "(-1, 4, 16, 16, 1)"),
        ("outputs['frame_latents']", "(-1, 4, 5)"),
    ):
        at = lines.index(f"{name} tensor_info:")
        assert lines[at + 1 : at + 3] == ["dtype: DT_FLOAT", f"shape: {shape}"]
    assert "Method name is: tensorflow/serving/predict" in lines


def test_a_mistake_is_one_line_and_writes_nothing(run_dir, tmp_path):
    damaged = shutil.copytree(run_dir, tmp_path / "run")
    (damaged / "model.json").write_text("{")
    result = export(f"--run_dir={damaged}", f"--export_dir={tmp_path / 'saved_models/name'}")
    assert result.returncode == 1
    assert result.stderr.startswith(f"export.py: error: {damaged / 'model.json'}: damaged")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "saved_models").exists()
