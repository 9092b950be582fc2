"""Imported weights against what the authors' code computes of them (tests/fixtures/README.md)."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from fixtures import seeded_arrays

from tgan_tf import reference_weights
from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping
from tgan_tf.errors import InputError
from tgan_tf.lipschitz import GradientPenalty
from tgan_tf.models import Critic, VideoAndFrameCritic, VideoGenerator
from tgan_tf.tgan import TGAN, rmsprop

FIXTURES = Path(__file__).with_name("fixtures")
ITERATION = 7

CRITICS = {
    "svc": {
        "kernel_constraint": SingularValueClipping(),
        "gamma_constraint": BatchNormScaleClipping(),
    },
    "vanilla": {},
    "video_frame": {
        "kernel_constraint": SingularValueClipping(interval=5),
        "gamma_constraint": BatchNormScaleClipping(interval=5),
        "center": True,
        "filters": 64,
    },
}

# Right before a batch normalisation: nothing depends on them, and RMSprop moves them by the sign of
# rounding errors.
WITHOUT_EFFECT = r"fsgen/dc[0-3]/b$|vdis/(\w+/)?c[1-3]/b$"


def make_tgan(variant, channels):
    arguments = {"filters": 4, **CRITICS[variant]}
    generator = VideoGenerator(
        channels=channels,
        z0_dim=6,
        z1_dim=5,
        image_filters=32,
        center=variant == "video_frame",
    )
    kind = VideoAndFrameCritic if variant == "video_frame" else Critic
    tgan = TGAN(generator, kind(channels=channels, **arguments))
    tgan.compile(
        rmsprop(use_ema=True, ema_momentum=0.9),
        rmsprop(),
        objective="normal" if variant == "vanilla" else "wasserstein",
    )
    return tgan


def read_fixture(name):
    with np.load(FIXTURES / f"{name}.npz") as npz:
        return dict(npz)


def in_their_layout(place, value_of):
    """The entries of the variables that an array belongs to, in the array's own order."""
    numbers = np.arange(1.0, np.prod(place.shape) + 1).reshape(place.shape)
    entries = np.zeros(numbers.size)
    for variable, convert in place.parts:
        signed = np.ravel(convert(numbers))
        entries[np.abs(signed).astype(int) - 1] = np.sign(signed) * np.ravel(value_of(variable))
    return entries.reshape(place.shape)


def distance(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def imports(tmp_path_factory):
    """Of a variant its fixture, its snapshot, the TGAN that it was loaded into, and the places."""

    @functools.cache
    def make(variant):
        fixture = read_fixture(f"chainer_{variant}")
        arrays = {
            "updater/iteration": np.array(ITERATION),
            **seeded_arrays.snapshot(
                json.loads(str(fixture["shapes"])), json.loads(str(fixture["scales"]))
            ),
        }
        path = tmp_path_factory.mktemp(variant) / f"snapshot_iter_{ITERATION}.npz"
        np.savez(path, **arrays)
        tgan = make_tgan(variant, channels=int(fixture["clips_shape"][-1]))
        negated = variant == "vanilla"
        reference_weights.load_chainer(path, tgan, negated)
        return types.SimpleNamespace(
            fixture=fixture,
            arrays=arrays,
            path=path,
            tgan=tgan,
            negated=negated,
            places=reference_weights.chainer_places(tgan, negated),
            weights=tgan.get_weights(),
        )

    return make


@pytest.fixture(scope="module", params=CRITICS)
def imported(request, imports):
    return imports(request.param)


@pytest.fixture(scope="module")
def svc(imports):
    return imports("svc")


def compute(imported, mode):
    """Frame latents, some entries of the videos, and the scores with the sign of theirs."""
    tgan, training = imported.tgan, mode == "training"
    z0 = imported.fixture["z0"]
    computed = {}
    for name, make in {
        "frame_latents": lambda: tgan.generator.frame_latents(z0, training),
        "videos": lambda: seeded_arrays.sample(tgan.generator(z0, training=training).numpy(), 2000),
        "scores": lambda: (
            (-1.0 if imported.negated else 1.0)
            * tgan.critic(seeded_arrays.clips(imported.fixture["clips_shape"]), training=training)
        ),
    }.items():
        tgan.set_weights(imported.weights)
        computed[name] = np.asarray(make())
    tgan.set_weights(imported.weights)
    return computed


def test_every_variable_is_given_a_value(imported):
    given = [
        variable.name
        for places in imported.places.values()
        for place in places.values()
        for variable, _ in place.parts
    ]
    networks = (imported.tgan.generator, imported.tgan.critic)
    assert sorted(given) == sorted(v.name for network in networks for v in network.variables)


def test_both_step_counts_are_the_iteration(imported):
    path, tgan, negated = imported.path, imported.tgan, imported.negated
    assert reference_weights.load_chainer(path, tgan, negated) == ITERATION
    assert imported.tgan.step == ITERATION
    assert int(imported.tgan.critic_optimizer.iterations) == ITERATION


def test_frame_latents_videos_and_scores_are_the_authors_in_inference(imported):
    for name, values in compute(imported, "inference").items():
        np.testing.assert_allclose(
            values, imported.fixture[f"inference/{name}"], rtol=0, atol=1e-5, err_msg=name
        )


def test_frame_latents_videos_and_scores_are_the_authors_with_batch_statistics(imported):
    for name, values in compute(imported, "training").items():
        np.testing.assert_allclose(
            values, imported.fixture[f"training/{name}"], rtol=0, atol=1e-5, err_msg=name
        )


# Not of the video and frame critics, which are many times as large.
@pytest.mark.parametrize("variant", ["svc", "vanilla"])
def test_a_training_step_is_the_authors(imports, variant, monkeypatch):
    imported = imports(variant)
    fixture, tgan = imported.fixture, imported.tgan
    reference_weights.load_chainer(imported.path, tgan, imported.negated)
    monkeypatch.setattr(tgan, "_latents", lambda *_: tf.constant(fixture["z0"]))
    tgan.reset_metrics()
    logs = tgan.train_step(tf.constant(seeded_arrays.clips(fixture["clips_shape"])))

    losses = json.loads(str(fixture["losses"]))
    assert float(logs["critic_loss"]) == pytest.approx(losses["loss_dis"], rel=1e-5, abs=1e-5)
    if variant != "vanilla":  # Theirs does not report it.
        assert float(logs["generator_loss"]) == pytest.approx(
            losses["loss_gen"], rel=1e-5, abs=1e-5
        )

    mean_squares = {
        variable.ref(): slot
        for network, optimizer in [
            (tgan.generator, tgan.generator_optimizer),
            (tgan.critic, tgan.critic_optimizer),
        ]
        for variable, slot in zip(
            network.trainable_variables,
            [slot for slot in optimizer.variables if slot.name.startswith("velocity")],
        )
    }
    changes = {}
    for network, places in imported.places.items():
        for name, place in places.items():
            if not place.parts or re.search(WITHOUT_EFFECT, f"{network}/{name}"):
                continue
            key = f"updater/model:{network}/{name}"
            weights = seeded_arrays.sample(in_their_layout(place, lambda v: v.numpy()), 100)
            expected = fixture[f"after/{key}"]
            assert distance(weights, expected) < 1e-5, key
            start = seeded_arrays.sample(imported.arrays[key], 100)
            changes.setdefault(network, []).append((weights - start, expected - start))
            key = f"updater/optimizer:{network}/{name}/ms"
            if f"after/{key}" in fixture:
                values = in_their_layout(place, lambda v: mean_squares[v.ref()].numpy())
                values = seeded_arrays.sample(np.abs(values), 100)
                assert distance(values, fixture[f"after/{key}"]) < 1e-4, key
    for network, pairs in changes.items():
        ours, theirs = (np.concatenate(part) for part in zip(*pairs))
        assert distance(ours, theirs) < 1e-3, network


def test_the_files_of_the_networks_are_the_networks_of_the_snapshot(tmp_path, svc):
    for network, name in reference_weights.CHAINER_FILES.items():
        prefix = f"updater/model:{network}/"
        own = {n[len(prefix) :]: array for n, array in svc.arrays.items() if n.startswith(prefix)}
        np.savez(tmp_path / name.format(30), **own)
    svc.tgan.set_weights([0.0 * w for w in svc.weights])
    assert reference_weights.load_chainer_networks(tmp_path, 30, svc.tgan) == 30
    for a, b in zip(svc.tgan.get_weights(), svc.weights):
        np.testing.assert_array_equal(a, b)
    assert svc.tgan.step == 30


def test_a_moving_average_begins_with_the_imported_weights(svc):
    tgan = svc.tgan
    reference_weights.load_chainer(svc.path, tgan)
    averages = [v for v in tgan.generator_optimizer.variables if v.name.startswith("average")]
    assert len(averages) == len(tgan.generator.trainable_variables)
    for average, variable in zip(averages, tgan.generator.trainable_variables):
        np.testing.assert_array_equal(average.numpy(), variable.numpy())


def test_pickled_states_of_chainer_s_trainer_are_not_looked_at(tmp_path, svc):
    log = {"extensions/LogReport/_log": np.array(None, dtype=object)}
    np.savez(tmp_path / "snapshot.npz", **svc.arrays, **log)
    assert reference_weights.load_chainer(tmp_path / "snapshot.npz", svc.tgan) == ITERATION


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"updater/model:vgen/dc2/W": None, "updater/model:vgen/bn1/beta": None},
            r"updater/model:vgen/: no dc2/W, bn1/beta: give",
        ),
        (
            {"updater/model:vdis/bn1/beta": np.zeros(8, np.float32)},
            r"vdis/: what the network has no place for, bn1/beta: give",
        ),
        (
            {"updater/model:fsgen/dc0/W": np.zeros((7, 512, 1), np.float32)},
            r"fsgen/: other sizes than the configuration's, "
            r"dc0/W is float32 \(7, 512, 1\), not float32 \(6, 512, 1\): give",
        ),
        (
            {"updater/model:fsgen/dc4/b": np.zeros(5, np.int64)},
            r"dc4/b is int64 \(5,\), not float32 \(5,\)",
        ),
        (
            {"updater/optimizer:fsgen/dc4/b/ms": None},
            r"updater/optimizer:fsgen/: no dc4/b/ms: give",
        ),
        ({"updater/iteration": None}, "no snapshot of the reference's trainer"),
    ],
)
def test_arrays_of_another_snapshot_are_named(tmp_path, svc, change, message):
    arrays = {**svc.arrays, **change}
    np.savez(tmp_path / "s.npz", **{n: a for n, a in arrays.items() if a is not None})
    with pytest.raises(InputError, match=message) as error:
        reference_weights.load_chainer(tmp_path / "s.npz", svc.tgan)
    assert len(str(error.value).splitlines()) == 1


def test_many_missing_arrays_are_counted(tmp_path, svc):
    np.savez(tmp_path / "gen_iter_1.npz", x_train=np.zeros(3))
    with pytest.raises(InputError, match=r"no dc0/W, .* and 16 more; what .* for, x_train: give"):
        reference_weights.load_chainer_networks(tmp_path, 1, svc.tgan)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"weights", "not readable as an .npz file")]
)
def test_a_file_that_is_no_npz_is_an_input_error(tmp_path, svc, content, message):
    if content is not None:
        (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        reference_weights.load_chainer(tmp_path / "s.npz", svc.tgan)


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
    places = reference_weights.pytorch_places(tgan)
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


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_pytorch_tgan_s_outputs_are_its_own(pytorch, mode):
    for name, values in compute(pytorch, mode).items():
        np.testing.assert_allclose(
            values, pytorch.fixture[f"{mode}/{name}"], rtol=0, atol=1e-5, err_msg=name
        )


def test_the_pytorch_tgan_s_gradients_are_its_own(pytorch):
    tgan, fixture = pytorch.tgan, pytorch.fixture
    with tf.GradientTape() as tape:
        clips = tgan.generator(fixture["z0"], training=True)
        score = tf.reduce_mean(tgan.critic(clips, training=True))
    variables = tgan.trainable_variables
    gradients = dict(zip((v.ref() for v in variables), tape.gradient(score, variables)))
    ours, theirs = [], []
    for key, places in pytorch.places.items():
        for name, place in places.items():
            if f"gradients/{key}/{name}" not in fixture:
                continue
            if all(variable.ref() in gradients for variable, _ in place.parts):
                entries = in_their_layout(place, lambda v: gradients[v.ref()].numpy())
                ours.append(seeded_arrays.sample(entries, 100))
                theirs.append(fixture[f"gradients/{key}/{name}"])
    assert len(ours) > 30
    assert distance(np.concatenate(ours), np.concatenate(theirs)) < 1e-3
    tgan.set_weights(pytorch.weights)


def test_a_checkpoint_without_a_bias_is_an_input_error(pytorch):
    arrays = dict(pytorch.arrays["gen_state_dict"])
    del arrays["_vgen.dc3.bias"]
    with pytest.raises(InputError, match=r"^c.pth: no _vgen.dc3.bias: give"):
        reference_weights.load(pytorch.places["gen_state_dict"], arrays, "c.pth")


def test_reading_a_checkpoint_without_pytorch_says_what_to_install(monkeypatch, pytorch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        InputError, match=r"^c.pth: needs torch, .* pip install 'tgan_tf\[import\]'$"
    ):
        reference_weights.load_pytorch("c.pth", pytorch.tgan)


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu121"])
def test_a_pytorch_that_may_run_code_in_a_checkpoint_loads_none(monkeypatch, pytorch, version):
    loaded = []
    torch = types.SimpleNamespace(__version__=version, load=lambda *_, **__: loaded.append(1))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(InputError, match=r"^c.pth: PyTorch .* pip install 'torch>=2.6'$"):
        reference_weights.load_pytorch("c.pth", pytorch.tgan)
    assert not loaded


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


@needs_pytorch
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
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
