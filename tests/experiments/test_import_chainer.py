"""The program that imports the authors' weights, run as a user runs it.

What the weights compute is the concern of ../test_reference_weights_chainer.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from fixtures import seeded_arrays
from programs import run_all

from tgan_tf import runs

pytestmark = pytest.mark.slow

FIXTURE = Path(__file__).parents[1] / "fixtures/chainer_svc.npz"
FILES = {"fsgen": "gen_iter_{}.npz", "vgen": "vgen_iter_{}.npz", "vdis": "vdis_iter_{}.npz"}


@pytest.fixture(scope="module")
def fixture():
    with np.load(FIXTURE) as npz:
        return dict(npz)


@pytest.fixture(scope="module")
def directory(tmp_path_factory, fixture):
    """A results directory of theirs, of one iteration whole and of a later one in parts."""
    directory = tmp_path_factory.mktemp("import_chainer")
    (directory / "results").mkdir()
    arrays = seeded_arrays.snapshot(
        json.loads(str(fixture["shapes"])), json.loads(str(fixture["scales"]))
    )
    iteration = {"updater/iteration": np.array(7)}
    np.savez(directory / "results/snapshot_iter_7.npz", **iteration, **arrays)
    for network, name in FILES.items():
        prefix = f"updater/model:{network}/"
        own = {n[len(prefix) :]: array for n, array in arrays.items() if n.startswith(prefix)}
        np.savez(directory / "results" / name.format(9), **own)
    config = yaml.safe_load(str(fixture["config"]))
    configs = {
        "c": config,
        "wide": with_value(config, "models.video_generator.args.conv_ch", 64),
        "unknown": with_value(config, "updater.name", "TGANUpdaterX"),
        "no_class": with_value(config, "models.video_generator.name", "VideoGenerator"),
        "text": with_value(config, "batchsize", "many"),
        "normal": {
            **with_value(config, "updater", {"name": "TGANUpdaterVanilla"}),
            "models": {
                "frame_seed_generator": {
                    "name": "FrameSeedGeneratorInitDefault",
                    "args": config["models"]["frame_seed_generator"]["args"],
                },
                "video_generator": config["models"]["video_generator"],
                "video_discriminator": {
                    "name": "VideoDiscriminatorNoBetaInitDefaultWithNoise",
                    "args": {"in_channels": 3, "top_width": 4, "mid_ch": 4, "sigma": 0.3},
                },
            },
        },
    }
    for name, values in configs.items():
        (directory / f"{name}.yml").write_text(yaml.safe_dump(values))
    (directory / "broken.yml").write_text("a: [")
    (directory / "there").mkdir()
    (directory / "empty").mkdir()
    clips = np.random.default_rng(0).integers(0, 256, (16, 16, 64, 64, 3), np.uint8)
    np.savez(directory / "clips.npz", clips=clips)
    return directory


def with_value(config, keys, value):
    """A copy of a configuration with another value of "a.b.c"."""
    first, _, rest = keys.partition(".")
    return {**config, first: with_value(config[first], rest, value) if rest else value}


MISTAKES = {
    "there": (["--run_dir=there"], "--run_dir=there: already exists: give another name"),
    "wide": (
        ["--config=wide.yml"],
        "results/vgen_iter_9.npz: has other sizes than the configuration, l0s/W is float32 "
        "(256, 6), not float32 (512, 6)",
    ),
    "another": (
        ["--config=normal.yml"],
        "results/gen_iter_9.npz: lacks bn0/beta, bn1/beta, bn2/beta, bn3/beta: give",
    ),
    "unknown": (
        ["--config=unknown.yml"],
        "updater.name is TGANUpdaterX: must be one of TGANUpdater",
    ),
    "no_class": (
        ["--config=no_class.yml"],
        "models.video_generator.name is VideoGenerator, which is not a",
    ),
    "text": (["--config=text.yml"], "batchsize is 'many', not int: give"),
    "broken": (["--config=broken.yml"], "--config=broken.yml: is not YAML ("),
    "empty": (["--snapshot=empty"], "--snapshot=empty: no snapshot_iter_N.npz or gen_iter_N.npz"),
    "iteration": (["--iteration=8"], "--iteration=8: results has 7, 9"),
    "part": (
        ["--snapshot=results/gen_iter_9.npz"],
        "results/gen_iter_9.npz: has no updater/iteration, so it is not a snapshot",
    ),
    "flag": (["--z0_dim=7"], "--z0_dim=7: --config has 6: leave the flag out"),
}


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, and what became of each."""
    given = ["--config=c.yml", "--snapshot=results"]
    whole = ["--snapshot=results/snapshot_iter_7.npz", "--data_path=clips.npz"]
    return run_all(
        "reference/import_chainer.py",
        {
            "whole": [*given, "--run_dir=whole", *whole],
            "parts": [*given, "--run_dir=runs/parts"],
            **{
                name: [*given, "--run_dir=wrong", *arguments]
                for name, (arguments, _) in MISTAKES.items()
            },
        },
        directory,
    )


@pytest.mark.parametrize(
    ("name", "run_dir", "step"), [("whole", "whole", 7), ("parts", "runs/parts", 9)]
)
def test_the_run_makes_the_authors_videos(directory, results, fixture, name, run_dir, step):
    assert (results[name].code, results[name].stderr) == (0, "")
    assert results[name].stdout.startswith(f"{run_dir}: step {step}; ")
    generator, critic, loaded = runs.load_networks(directory / run_dir, step)
    assert loaded == step
    videos = generator(fixture["z0"]).numpy()
    np.testing.assert_allclose(
        seeded_arrays.sample(videos, 2000), fixture["inference/videos"], rtol=0, atol=1e-5
    )
    scores = critic(seeded_arrays.clips(fixture["clips_shape"])).numpy()
    np.testing.assert_allclose(scores, fixture["inference/scores"], rtol=0, atol=1e-5)


def test_the_run_s_flags_are_those_of_the_configuration(directory, results):
    lines = (directory / "runs/parts/flags.cfg").read_text().splitlines()
    for line in (
        "--data_path=data/mnist_test_seq.npy",
        "--z0_dim=6",
        "--z1_dim=5",
        "--image_filters=32",
        "--critic_filters=4",
        "--notemporal_offset",
        "--nocritic_offset",
        "--temporal_initializer=uniform",
        "--objective=wasserstein",
        "--lipschitz=singular_value_clipping",
        "--clipping_interval=1",
        "--optimizer=rmsprop",
        "--learning_rate=5e-05",
        "--batch_size=4",
        "--checkpoint_interval=5000",
        "--seed=3",
    ):
        assert line in lines


def test_data_that_is_elsewhere_now_may_be_given(directory, results):
    assert "--data_path=clips.npz" in (directory / "whole/flags.cfg").read_text().splitlines()


def test_train_py_goes_on_where_the_snapshot_ends(directory, results):
    arguments = ["--flagfile=whole/flags.cfg", "--train_steps=7"]
    result = run_all("train.py", {"": arguments}, directory)[""]
    assert (result.code, result.stderr) == (0, "")
    assert "whole: resuming at step 7\nwhole: all 7 steps are done" in result.stdout


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(directory, results, name):
    result = results[name]
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("import_chainer.py: error: ")
    assert MISTAKES[name][1] in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (directory / "wrong").exists()
    assert not list(directory.glob(".wrong*"))
