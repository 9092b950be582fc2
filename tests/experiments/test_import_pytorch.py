"""The program that imports the PyTorch TGAN's weights, run as a user runs it.

What the weights compute is the concern of ../test_reference_weights_pytorch.py.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
from fixtures import seeded_arrays
from programs import run_all

from tgan_tf import runs

pytestmark = pytest.mark.slow

FIXTURE = Path(__file__).parents[1] / "fixtures/pytorch.npz"

# Found before a PyTorch that is installed: the programs run where it lies.
TORCH = """
    import numpy as np

    __version__ = "2.10.0"

    class Tensor:
        def __init__(self, array):
            self.array = array

        def numpy(self):
            return self.array

    def load(path, map_location, weights_only):
        assert (map_location, weights_only) == ("cpu", True)
        checkpoint = {"gen_state_dict": {}, "dis_state_dict": {}}
        with np.load(path) as npz:
            for name in npz.files:
                key, _, name_there = name.partition("/")
                if name_there:
                    checkpoint[key][name_there] = Tensor(npz[name])
                else:
                    checkpoint[key] = int(npz[name])
        return checkpoint
"""


@pytest.fixture(scope="module")
def fixture():
    with np.load(FIXTURE) as npz:
        return dict(npz)


@pytest.fixture(scope="module")
def directory(tmp_path_factory, fixture):
    directory = tmp_path_factory.mktemp("import_pytorch")
    (directory / "torch.py").write_text(textwrap.dedent(TORCH))
    arrays = {
        f"{key}/{name}": array
        for key, shapes in json.loads(str(fixture["shapes"])).items()
        for name, array in seeded_arrays.snapshot(shapes, {}).items()
    }
    for epoch in (66, 67):
        with open(directory / f"checkpoint{epoch}.pth", "wb") as file:
            np.savez(file, epoch=np.array(epoch), **arrays)
        arrays.pop("dis_state_dict/c2.bias", None)
    (directory / "config.yml").write_text(str(fixture["config"]))
    return directory


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, and what became of each."""
    given = ["--config=config.yml", "--run_dir=run", "--checkpoint=checkpoint66.pth"]
    commands = {
        "imported": given,
        "again": given,
        "missing": ["--run_dir=wrong", "--checkpoint=checkpoint67.pth"],
        "flag": ["--run_dir=wrong", "--critic_slope=0.2"],
    }
    return run_all(
        "reference/import_pytorch.py",
        {k: [*given, *arguments] for k, arguments in commands.items()},
        directory,
    )


def test_the_run_makes_the_checkpoint_s_videos(directory, results, fixture):
    assert (results["imported"].code, results["imported"].stderr) == (0, "")
    assert results["imported"].stdout.startswith("run: step 67; ")
    generator, critic, step = runs.load_networks(directory / "run")
    assert step == 67
    videos = generator(fixture["z0"]).numpy()
    np.testing.assert_allclose(
        seeded_arrays.sample(videos, 2000), fixture["inference/videos"], rtol=0, atol=1e-5
    )
    scores = critic(seeded_arrays.clips(fixture["clips_shape"])).numpy()
    np.testing.assert_allclose(scores, fixture["inference/scores"], rtol=0, atol=1e-5)
    assert generator.latent_distribution == "normal"


def test_the_run_s_flags_are_those_of_the_configuration(directory, results):
    lines = (directory / "run/flags.cfg").read_text().splitlines()
    for line in (
        "--data_path=data/mnist_test_seq.npy",
        "--objective=wasserstein",
        "--lipschitz=none",
        "--gradient_penalty=10.0",
        "--n_critic=5",
        "--optimizer=adam",
        "--learning_rate=0.0001",
        "--batch_size=4",
        "--critic_slope=0.01",
        "--critic_head=mean",
        "--temporal_offset",
        "--critic_offset",
        "--train_steps=100000",
    ):
        assert line in lines or f"{line}=true" in lines


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("again", "--run_dir=run: already exists: give another name"),
        ("missing", "checkpoint67.pth, dis_state_dict: lacks c2.bias: give"),
        ("flag", "--critic_slope=0.2: --config has 0.01: leave the flag out"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(directory, results, name, message):
    assert (results[name].code, results[name].stdout) == (1, "")
    assert results[name].stderr.startswith("import_pytorch.py: error: ")
    assert message in results[name].stderr
    assert len(results[name].stderr.splitlines()) == 1
    assert not (directory / "wrong").exists()
