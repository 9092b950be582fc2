"""What one stack has written is read, and trained on, by the other: fixtures of both.

They are made by `fixtures/make_stack_fixtures.py`. Read on the stack that made them they show that
nothing else changes the numbers.
"""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from checkpoint_tensors import tensors
from fixtures.make_stack_fixtures import ROOT, STEPS, TRAININGS, fit, videos

from tgan_tf import checkpoints, runs, stack
from tgan_tf.export import load_exported
from tgan_tf.latents import generator_latents

pytestmark = pytest.mark.slow
FIXTURES = [f"{keras_of}/{name}" for keras_of in ("keras_2", "keras_3") for name in TRAININGS]
# A bias right before a batch normalisation has no gradient but that of rounding, which RMSprop
# makes a step of; the running mean after it follows it.
WITHOUT_GRADIENT = (
    *(f"temporal_generator/deconvolutions/{i}/bias" for i in range(2)),
    *(f"temporal_generator/normalizations/{i}/moving_mean" for i in range(2)),
    "critic/convolutions/1/bias",
    "critic/convolutions/1/layer/bias",
    "critic/normalizations/0/moving_mean",
)


@pytest.fixture(autouse=True)
def policy():
    """Runs of a mixed precision set it for the process."""
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", TRAININGS)
def test_both_stacks_keep_the_same_variables_in_the_same_places(name):
    ours, others = (tensors(ROOT / each / name, STEPS) for each in ("keras_2", "keras_3"))
    assert {key: (v.shape, v.dtype) for key, v in ours.items()} == {
        key: (v.shape, v.dtype) for key, v in others.items()
    }


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_run_makes_the_videos_that_it_made(fixture):
    generator, step = runs.load_generator(ROOT / fixture)
    made = np.load(ROOT / fixture / "videos.npz")["videos"]
    assert step == STEPS
    # Half precision's rounding is 1e-3.
    atol = 5e-3 if "float16" in fixture else 1e-5
    np.testing.assert_allclose(videos(generator), made, rtol=0, atol=atol)


@pytest.mark.parametrize("fixture", [name for name in FIXTURES if "float16" not in name])
def test_three_steps_are_those_of_the_stack_that_made_it(fixture, tmp_path):
    shutil.copytree(ROOT / fixture, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step-{STEPS}")
    tgan = runs.load_tgan(tmp_path / "run")
    tgan.run_eagerly = True
    assert tgan.step == 0
    losses, expected = fit(tgan), json.loads((ROOT / fixture / "losses.json").read_text())
    for ours, theirs in zip(losses, expected):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    checkpoints.save(tgan, tmp_path / "checkpoints", STEPS)
    found, made = tensors(tmp_path, STEPS), tensors(ROOT / fixture, STEPS)
    assert set(found) == set(made)
    for name, values in made.items():
        weight = name.startswith(("tgan/generator/", "tgan/critic/"))
        if weight and not name.endswith(WITHOUT_GRADIENT):
            atol = 1e-4 * max(np.abs(values).max(), 1e-2)
            np.testing.assert_allclose(found[name], values, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_training_goes_on_from_the_last_step(fixture, tmp_path):
    shutil.copytree(ROOT / fixture, tmp_path / "run")
    tgan = runs.load_tgan(tmp_path / "run")
    tgan.run_eagerly = True
    # A step of half precision whose gradients overflow is not counted.
    first = tgan.step
    losses = fit(tgan)
    assert 0 < first <= STEPS and first < tgan.step <= 2 * STEPS
    assert all(np.isfinite(list(step.values())).all() for step in losses)


@pytest.mark.parametrize("keras_of", ["keras_2", "keras_3"])
def test_an_export_makes_the_videos_of_the_run(keras_of):
    fixture = ROOT / keras_of / "paper"
    serve, _ = load_exported(fixture / "export")
    generator, _ = runs.load_generator(fixture)
    served = serve(z0=tf.constant(generator_latents(generator, 3, 2)))["videos"]
    made = np.load(fixture / "videos.npz")["videos"]
    np.testing.assert_allclose(served, made, rtol=0, atol=1e-5)


def test_a_keras_file_makes_the_videos_of_the_run():
    # Of its own stack alone: each Keras names layers and initialisers otherwise in it.
    fixture = ROOT / f"keras_{3 if stack.KERAS_3 else 2}" / "paper"
    made = np.load(fixture / "videos.npz")["videos"]
    generator = keras.models.load_model(fixture / "generator.keras")
    np.testing.assert_allclose(videos(generator), made, rtol=0, atol=1e-5)
