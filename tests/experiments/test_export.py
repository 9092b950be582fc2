"""The export program, run as a user runs it; most of what it does is in tests/test_export.py."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from programs import one, run_all
from tiny_tgan import save_run

import tgan_tf.models  # noqa: F401, for the .keras file

pytestmark = pytest.mark.slow

MISTAKES = {
    "no checkpoint": (["--run_dir=untrained"], "untrained/checkpoints: no checkpoint there"),
    "unknown step": (["--checkpoint_step=4"], "no checkpoint of step 4: there are [3]"),
    "another architecture": (["--run_dir=another"], "belongs to other networks or optimisers"),
    "no flags": (["--run_dir=flagless"], "flagless/flags.cfg: cannot be read (No such file"),
    "export_dir in use": (
        ["--export_dir=run"],
        "run holds configuration.json, which is no",
    ),
    "keras_file without its ending": (
        ["--keras_file=g.h5"],
        "g.h5: must end in .keras",
    ),
    "keras_file exists": (
        ["--keras_file=old.keras"],
        "--keras_file=old.keras: already exists: giv",
    ),
    "keras_file nowhere": (["--keras_file=no/g.keras"], "there is no directory no: make it first"),
}
LARGEST_FILES = {"full disk": 1000}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def tgan(directory):
    return save_run(directory / "run")


@pytest.fixture(scope="module")
def results(directory, tgan):
    """All commands of this file, in this order, and what became of each."""
    for name in ("untrained", "another", "flagless"):
        shutil.copytree(directory / "run", directory / name)
    shutil.rmtree(directory / "untrained" / "checkpoints")
    path = directory / "another/configuration.json"
    path.write_text(path.read_text().replace('"image_filters": 8', '"image_filters": 16'))
    (directory / "flagless" / "flags.cfg").unlink()
    (directory / "old.keras").write_text("old")
    commands = {
        **{name: flags for name, (flags, _) in MISTAKES.items()},
        "full disk": ["--export_dir=full disk/name"],
        "export": ["--export_dir=saved models/name", "--keras_file=generator.keras"],
        "half": ["--export_dir=half", "--compute_dtype=bfloat16"],
    }
    return run_all(
        "export.py",
        {
            name: ["--run_dir=run", "--export_dir=mistaken", *flags]
            for name, flags in commands.items()
        },
        directory,
        LARGEST_FILES,
    )


@pytest.mark.parametrize("name", [*MISTAKES, "full disk"])
def test_a_mistake_is_one_line(results, name):
    result = results[name]
    reason = MISTAKES[name][1] if name in MISTAKES else "the model could not be written"
    *warnings, line = result.stderr.splitlines()
    assert result.code == 1 and result.stdout == ""
    assert line.startswith("export.py: error: ") and reason in line
    # The checkpoints that were passed over.
    assert all("damaged checkpoint skipped" in warning for warning in warnings)


def test_a_mistake_writes_nothing(results, directory):
    assert not (directory / "mistaken").exists()
    assert (directory / "old.keras").read_text() == "old"
    assert not list((directory / "full disk").glob("**/*"))


def test_the_newest_checkpoint_s_generator_is_served(results, directory, tgan):
    z0 = np.random.default_rng(0).uniform(-1, 1, [3, 6]).astype(np.float32)
    version = directory / "saved models" / "name" / "1"
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    videos = serve(z0=tf.constant(z0))["videos"]
    np.testing.assert_allclose(videos, tgan.generator(z0), rtol=0, atol=1e-6)


def test_the_keras_file_is_the_same_generator(results, directory, tgan):
    z0 = np.random.default_rng(0).uniform(-1, 1, [3, 6]).astype(np.float32)
    loaded = keras.models.load_model(directory / "generator.keras")
    np.testing.assert_allclose(loaded(z0), tgan.generator(z0), rtol=0, atol=1e-6)


def test_the_model_card_says_how_it_was_made(results, directory):
    for name, dtype in (("saved models/name", "float32"), ("half", "bfloat16")):
        card = json.loads((directory / name / "1" / "model_card.json").read_text())
        assert (card["training"]["run"], card["training"]["step"]) == ("run", 3)
        assert card["compute_dtype"] == dtype


def test_the_files_and_how_to_use_them_are_all_that_is_printed(results):
    result = results["export"]
    version = shlex.quote("saved models/name/1")
    assert result.code == 0 and result.stderr == ""
    assert result.stdout.splitlines() == [
        "generator.keras: the generator of step 3 for keras.models.load_model",
        "run: the generator of step 3 is in saved models/name/1",
        "Inspect it: TF_CPP_MIN_LOG_LEVEL=3 saved_model_cli show --tag_set serve --all --dir "
        f"{version}",
        f"Make videos: python experiments/generate.py --saved_model={version}",
    ]


@pytest.fixture(scope="module")
def saved_model_cli():
    program = Path(sys.executable).with_name("saved_model_cli")
    if not program.exists():
        pytest.skip("no saved_model_cli beside this Python")
    return program


def test_saved_model_cli_shows_inputs_and_outputs(results, directory, saved_model_cli):
    command = shlex.split(results["export"].stdout.splitlines()[2].split(": ", 1)[1])
    shown = one(saved_model_cli, command[2:], directory).stdout
    lines = [line.strip() for line in shown.splitlines()]
    for name, dtype, shape in (
        ("inputs['z0']", "DT_FLOAT", "(-1, 6)"),
        ("outputs['videos']", "DT_FLOAT", "(-1, 4, 16, 16, 1)"),
        ("inputs['seed']", "DT_INT64", "(-1)"),
        ("outputs['frames_bytes']", "DT_STRING", "(-1, 4)"),
        ("inputs['factor']", "DT_INT64", "(-1)"),
    ):
        found = [
            lines[at + 1 : at + 3]
            for at, line in enumerate(lines)
            if line == f"{name} tensor_info:"
        ]
        assert [f"dtype: {dtype}", f"shape: {shape}"] in found
    assert lines.count("Method name is: tensorflow/serving/predict") == 5


def test_saved_model_cli_runs_a_signature(results, directory, tgan, saved_model_cli):
    np.save(directory / "z0.npy", np.full([2, 6], 0.5, np.float32))
    flags = "--tag_set serve --signature_def serving_default --inputs z0=z0.npy --outdir outputs"
    command = ["run", "--dir", "saved models/name/1", *flags.split()]
    result = one(saved_model_cli, command, directory)
    assert result.code == 0, result.stderr
    videos = np.load(directory / "outputs" / "videos.npy")
    expected = tgan.generator(np.full([2, 6], 0.5, np.float32))
    np.testing.assert_allclose(videos, expected, rtol=0, atol=1e-6)
