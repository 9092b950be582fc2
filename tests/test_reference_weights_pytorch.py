"""Weights of the PyTorch TGAN against what it computes of them (tests/fixtures/README.md)."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from fixtures import seeded_arrays
from imported_weights import compute, distance, in_their_layout, read_fixture

from tgan_tf import reference_places, reference_weights
from tgan_tf.errors import InputError
from tgan_tf.lipschitz import GradientPenalty
from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.tgan import TGAN


@pytest.fixture(scope="module")
def pytorch():
    """The fixture of the PyTorch TGAN, its arrays, a TGAN that they were loaded into, its places.

    PyTorch need not be there: the reading of its file is another test's.
    """
    fixture = read_fixture("pytorch")
    shapes = json.loads(str(fixture["shapes"]))
    arrays = {key: seeded_arrays.snapshot(own, {}) for key, own in shapes.items()}
    sizes = yaml.safe_load(str(fixture["config"]))["models"]
    tgan = make_pytorch_tgan(sizes)
    places = reference_places.pytorch_places(tgan)
    for key in arrays:
        reference_weights.load(places[key], arrays[key], key)
    return types.SimpleNamespace(
        fixture=fixture,
        arrays=arrays,
        sizes=sizes,
        tgan=tgan,
        negated=False,
        places=places,
        weights=tgan.get_weights(),
    )


def make_pytorch_tgan(sizes):
    generator = VideoGenerator(
        channels=1,
        z0_dim=sizes["generator"]["z_slow_dim"],
        z1_dim=sizes["generator"]["z_fast_dim"],
        image_filters=sizes["generator"]["conv_ch"],
        center=True,
        epsilon=1e-5,
        latent_distribution="normal",
    )
    critic = Critic(
        channels=1,
        filters=sizes["discriminator"]["mid_ch"],
        head="mean",
        center=True,
        epsilon=1e-5,
        slope=0.01,
    )
    tgan = TGAN(generator, critic)
    optimizers = [keras.optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9) for _ in range(2)]
    tgan.compile(*optimizers, n_critic=5, penalty=GradientPenalty(10.0))
    return tgan


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_pytorch_tgan_s_outputs_are_its_own(pytorch, mode):
    for name, values in compute(pytorch, mode).items():
        np.testing.assert_allclose(
            values, pytorch.fixture[f"{mode}/{name}"], rtol=0, atol=1e-5, err_msg=name
        )


@pytest.mark.slow
def test_the_pytorch_tgan_s_gradients_are_its_own(pytorch):
    tgan, fixture = pytorch.tgan, pytorch.fixture
    with tf.GradientTape() as tape:
        clips = tgan.generator(fixture["z0"], training=True)
        score = tf.reduce_mean(tgan.critic(clips, training=True))
    variables = tgan.trainable_variables
    gradients = dict(zip((id(v) for v in variables), tape.gradient(score, variables)))
    ours, theirs = [], []
    for key, places in pytorch.places.items():
        for name, place in places.items():
            if f"gradients/{key}/{name}" not in fixture:
                continue
            if all(id(variable) in gradients for variable, _ in place.parts):
                entries = in_their_layout(place, lambda v: gradients[id(v)].numpy())
                ours.append(seeded_arrays.sample(entries, 100))
                theirs.append(fixture[f"gradients/{key}/{name}"])
    assert len(ours) > 30
    assert distance(np.concatenate(ours), np.concatenate(theirs)) < 1e-3
    tgan.set_weights(pytorch.weights)


@pytest.mark.slow
def test_a_checkpoint_without_a_bias_is_an_input_error(pytorch):
    arrays = dict(pytorch.arrays["gen_state_dict"])
    del arrays["_vgen.dc3.bias"]
    with pytest.raises(InputError, match=r"^c.pth: no _vgen.dc3.bias: give"):
        reference_weights.load(pytorch.places["gen_state_dict"], arrays, "c.pth")


@pytest.mark.slow
def test_reading_a_checkpoint_without_pytorch_says_what_to_install(monkeypatch, pytorch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        InputError, match=r"^c.pth: needs torch, .* pip install 'tgan_tf\[import\]'$"
    ):
        reference_weights.load_pytorch("c.pth", pytorch.tgan)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu121"])
def test_a_pytorch_that_may_run_code_in_a_checkpoint_loads_none(monkeypatch, pytorch, version):
    loaded = []
    torch = types.SimpleNamespace(__version__=version, load=lambda *_, **__: loaded.append(1))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(InputError, match=r"^c.pth: PyTorch .* pip install 'torch>=2.6'$"):
        reference_weights.load_pytorch("c.pth", pytorch.tgan)
    assert not loaded


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"epoch": "x"}, {"gen_state_dict": 3}, {"dis_state_dict": {"c0.weight": "x"}}]
)
def test_a_checkpoint_of_other_values_is_an_input_error(monkeypatch, pytorch, change):
    checkpoint = {"epoch": 1, "gen_state_dict": {}, "dis_state_dict": {}, **change}
    torch = types.SimpleNamespace(__version__="2.6.0", load=lambda *_, **__: checkpoint)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(InputError, match=rf"^c.pth: no checkpoint .*{next(iter(change))}"):
        reference_weights.load_pytorch("c.pth", pytorch.tgan)


needs_pytorch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


@pytest.mark.slow
@needs_pytorch
def test_a_checkpoint_as_their_program_saves_it_is_loaded(tmp_path, pytorch):
    import torch

    tensors = {
        key: {name: torch.tensor(array) for name, array in own.items()}
        for key, own in pytorch.arrays.items()
    }
    loss = 2.0 * torch.nn.Parameter(torch.ones(1))
    others = {"epoch_time": 0.5, "last_generated_videos": torch.zeros(2), "dis_loss": loss}
    torch.save({"epoch": 12, **others, **tensors}, tmp_path / "checkpoint12.pth")
    tgan = make_pytorch_tgan(pytorch.sizes)
    assert reference_weights.load_pytorch(tmp_path / "checkpoint12.pth", tgan) == 13
    for a, b in zip(tgan.get_weights(), pytorch.weights):
        np.testing.assert_array_equal(a, b)
    assert (tgan.step, int(tgan.critic_optimizer.iterations)) == (13, 65)


@pytest.mark.slow
@needs_pytorch
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("text", r"does not load it with weights_only=True"),
        ({"epoch": 1, "gen_state_dict": {}}, "it has no dis_state_dict: give"),
        ({"epoch": Path("x")}, r"does not load it with weights_only=True \(Weights only load fail"),
    ],
)
def test_a_file_that_is_no_such_checkpoint_is_an_input_error(tmp_path, pytorch, content, message):
    import torch

    path = tmp_path / "c.pth"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=message) as error:
        reference_weights.load_pytorch(path, pytorch.tgan)
    assert len(str(error.value).splitlines()) == 1
