"""The report of how Lipschitz a run's critic is, run as a user runs it."""

import re

import numpy as np
import pytest
import tensorflow as tf
from programs import run_all
from tiny_tgan import plant_pickle, save_run

from tgan_tf.latents import latents

pytestmark = pytest.mark.slow

DATA = "--frames=4\n--size=16\n--num_digits=1\n--digit_size=8\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs")
    tgans = {
        "report": save_run(directory / "run"),
        "conditional": save_run(directory / "conditional", num_classes=3),
    }
    for name in ("run", "conditional"):
        (directory / name / "flags.cfg").write_text(DATA)
    save_run(directory / "hostile")
    planted = plant_pickle(directory / "hostile")
    commands = {
        "hostile": ["--run_dir=hostile"],
        "report": ["--run_dir=run", "--num_clips=3"],
        "conditional": ["--run_dir=conditional", "--num_clips=5"],
        "no clips": ["--run_dir=run", "--num_clips=0"],
        "no run": ["--run_dir=missing"],
    }
    results = run_all("lipschitz.py", commands, directory)
    assert not planted.exists()
    return results, tgans


def test_a_row_a_layer_has_the_norms_from_below_to_above(results):
    result, critic = results[0]["report"], results[1]["report"].critic
    assert result.code == 0, result.stderr
    rows = [line.split("|")[1:-1] for line in result.stdout.splitlines() if line.startswith("| ")]
    rows = {row[0].strip(): [float(cell) for cell in row[1:]] for row in rows[2:]}
    assert list(rows) == ["conv0", "conv1", "score"]
    for (matrix, operator, most, gamma, together), (layer, _) in zip(rows.values(), critic.stages):
        kernel = layer.kernel.numpy()
        expected = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
        assert matrix == pytest.approx(expected, rel=1e-3)
        assert operator <= most * 1.001
        assert together <= operator * gamma * 1.001
    bound = float(re.search(r"Lipschitz bound.*: (\S+)", result.stdout)[1])
    assert bound == pytest.approx(np.prod([row[-1] for row in rows.values()]), rel=1e-2)
    largest = [
        float(found) for found in re.findall(r"clips: mean .*, largest (\S+)", result.stdout)
    ]
    assert len(largest) == 2 and 0 < max(largest) <= bound


def test_generated_clips_go_through_a_conditional_critic_with_their_classes(results):
    result, tgan = results[0]["conditional"], results[1]["conditional"]
    assert result.code == 0, result.stderr
    labels = tf.one_hot([0, 1, 2, 0, 1], 3)
    z0 = np.concatenate([latents(0, 5, tgan.generator.z0_dim), labels], axis=1)
    clips = tf.constant(tgan.generator(z0))
    with tf.GradientTape() as tape:
        tape.watch(clips)
        scores = tgan.critic([clips, labels])
    gradients = tape.gradient(scores, clips).numpy().reshape(5, -1)
    largest = float(re.search(r"5 generated clips: .*, largest (\S+)", result.stdout)[1])
    assert largest == pytest.approx(np.linalg.norm(gradients, axis=1).max(), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no clips", "--num_clips=0"),
        ("no run", "missing: no such directory"),
        ("hostile", "--allow_unpickling"),
    ],
)
def test_a_users_mistake_is_one_clear_line(results, name, words):
    result = results[0][name]
    assert result.code == 1
    assert words in result.stderr and len(result.stderr.splitlines()) == 1
