"""Runs that version 1 has written, evaluated, exported and trained on by the programs of today."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from programs import run_all

from tgan_tf import checkpoints, rendering, runs
from tgan_tf.latents import latents

pytestmark = pytest.mark.slow

VERSION_1 = Path(__file__).parents[1] / "fixtures/runs_of_version_1"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return shutil.copytree(VERSION_1, tmp_path_factory.mktemp("version 1") / "runs")


def succeeded(program, arguments, directory):
    result = run_all(program, {"": arguments}, directory)[""]
    assert (result.code, result.stderr) == (0, ""), result.stderr
    return result.stdout


def test_are_evaluated(directory):
    succeeded("evaluate.py", ["--run_dir=paper", "--metrics=motion20", "--nofloor"], directory)
    (line,) = (directory / "paper/evaluation/metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["step"], record["real"]["path"]) == (3, "digits of MNIST")
    assert record["value"] > 0


def test_are_exported(directory):
    succeeded("export.py", ["--run_dir=paper", "--export_dir=exported"], directory)
    generate = tf.saved_model.load(str(directory / "exported/1")).signatures["serving_default"]
    videos = generate(z0=tf.constant(np.stack([*latents(3, 2, 6)])))["videos"].numpy()
    made = np.load(directory / "paper/clips.npz")["clips"].astype(int)
    # Rounded to the nearest of 256 values, they may differ by one.
    assert np.abs(rendering.to_uint8(videos) - made).max() <= 1


@pytest.mark.parametrize("name", ["paper", "average"])
def test_are_trained_on_and_have_a_configuration_from_then_on(directory, name):
    arguments = [f"--flagfile={name}/flags.cfg", "--train_steps=4", "--checkpoint_interval=1"]
    assert f"{name}: resuming at step 3" in succeeded("train.py", arguments, directory)
    assert checkpoints.steps(directory / name / "checkpoints") == [3, 4]
    run = runs.read(directory / name)
    assert run.flags["train_steps"] == 4
    assert run.configuration.num_classes == {"paper": 0, "average": 10}[name]
    assert runs.load_tgan(directory / name).step == 4


def test_whose_flagfile_was_edited_are_refused_by_the_flag(directory):
    run_dir = shutil.copytree(VERSION_1 / "paper", directory / "edited")
    text = (run_dir / "flags.cfg").read_text()
    (run_dir / "flags.cfg").write_text(text.replace("--learning_rate=0.001", "--learning_rate=0.1"))
    result = run_all("train.py", {"": ["--flagfile=edited/flags.cfg"]}, directory)[""]
    assert result.code == 1
    assert "--learning_rate=0.001, not --learning_rate=0.1, which the flagfile" in result.stderr
    assert not (run_dir / "configuration.json").exists()
