"""Weights of the Chainer TGAN against what it computes of them (tests/fixtures/README.md)."""

from __future__ import annotations

import functools
import json
import re
import types

import numpy as np
import pytest
import tensorflow as tf
from fixtures import seeded_arrays
from imported_weights import compute, distance, in_their_layout, read_fixture

from tgan_tf import reference_places, reference_weights, stack
from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping
from tgan_tf.errors import InputError
from tgan_tf.models import Critic, VideoAndFrameCritic, VideoGenerator
from tgan_tf.tgan import TGAN, rmsprop

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
            places=reference_places.chainer_places(tgan, negated),
            weights=tgan.get_weights(),
        )

    return make


@pytest.fixture(scope="module", params=CRITICS)
def imported(request, imports):
    return imports(request.param)


@pytest.fixture(scope="module")
def svc(imports):
    return imports("svc")


@pytest.mark.slow
def test_every_variable_is_given_a_value(imported):
    given = [
        stack.variable_path(variable)
        for places in imported.places.values()
        for place in places.values()
        for variable, _ in place.parts
    ]
    networks = (imported.tgan.generator, imported.tgan.critic)
    assert sorted(given) == sorted(
        stack.variable_path(v) for network in networks for v in network.variables
    )


@pytest.mark.slow
def test_both_step_counts_are_the_iteration(imported):
    path, tgan, negated = imported.path, imported.tgan, imported.negated
    assert reference_weights.load_chainer(path, tgan, negated) == ITERATION
    assert imported.tgan.step == ITERATION
    assert int(imported.tgan.critic_optimizer.iterations) == ITERATION


@pytest.mark.slow
def test_frame_latents_videos_and_scores_are_the_authors_in_inference(imported):
    for name, values in compute(imported, "inference").items():
        np.testing.assert_allclose(
            values, imported.fixture[f"inference/{name}"], rtol=0, atol=1e-5, err_msg=name
        )


@pytest.mark.slow
def test_frame_latents_videos_and_scores_are_the_authors_with_batch_statistics(imported):
    for name, values in compute(imported, "training").items():
        np.testing.assert_allclose(
            values, imported.fixture[f"training/{name}"], rtol=0, atol=1e-5, err_msg=name
        )


# Not of the video and frame critics, which are many times as large.
@pytest.mark.slow
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
        id(variable): slot
        for network, optimizer in [
            (tgan.generator, tgan.generator_optimizer),
            (tgan.critic, tgan.critic_optimizer),
        ]
        for variable, slot in zip(
            network.trainable_variables,
            [slot for slot in optimizer.variables if "velocity" in slot.name],
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
                values = in_their_layout(place, lambda v: mean_squares[id(v)].numpy())
                values = seeded_arrays.sample(np.abs(values), 100)
                assert distance(values, fixture[f"after/{key}"]) < 1e-4, key
    for network, pairs in changes.items():
        ours, theirs = (np.concatenate(part) for part in zip(*pairs))
        assert distance(ours, theirs) < 1e-3, network


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_moving_average_begins_with_the_imported_weights(svc):
    tgan = svc.tgan
    reference_weights.load_chainer(svc.path, tgan)
    averages = [v for v in tgan.generator_optimizer.variables if "average" in v.name]
    assert len(averages) == len(tgan.generator.trainable_variables)
    for average, variable in zip(averages, tgan.generator.trainable_variables):
        np.testing.assert_array_equal(average.numpy(), variable.numpy())


@pytest.mark.slow
def test_pickled_states_of_chainer_s_trainer_are_not_looked_at(tmp_path, svc):
    log = {"extensions/LogReport/_log": np.array(None, dtype=object)}
    np.savez(tmp_path / "snapshot.npz", **svc.arrays, **log)
    assert reference_weights.load_chainer(tmp_path / "snapshot.npz", svc.tgan) == ITERATION


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"updater/model:vgen/dc2/W": None, "updater/model:vgen/bn1/beta": None},
            r"updater/model:vgen/: no dc2/W, bn1/beta: give",
        ),
        (
            {"updater/model:vdis/bn1/beta": np.zeros(8, np.float32)},
            r"vdis/: has arrays that the network lacks, bn1/beta: give",
        ),
        (
            {"updater/model:fsgen/dc0/W": np.zeros((7, 512, 1), np.float32)},
            r"fsgen/: has other sizes than the configuration, "
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
        ({"updater/iteration": None}, "not a snapshot of the reference's trainer"),
    ],
)
def test_arrays_of_another_snapshot_are_named(tmp_path, svc, change, message):
    arrays = {**svc.arrays, **change}
    np.savez(tmp_path / "s.npz", **{n: a for n, a in arrays.items() if a is not None})
    with pytest.raises(InputError, match=message) as error:
        reference_weights.load_chainer(tmp_path / "s.npz", svc.tgan)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_many_missing_arrays_are_counted(tmp_path, svc):
    np.savez(tmp_path / "gen_iter_1.npz", x_train=np.zeros(3))
    with pytest.raises(
        InputError, match=r"lacks dc0/W, .* and 16 more; has .* lacks, x_train: give"
    ):
        reference_weights.load_chainer_networks(tmp_path, 1, svc.tgan)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"weights", "cannot be read as an .npz file")],
)
def test_a_file_that_is_no_npz_is_an_input_error(tmp_path, svc, content, message):
    if content is not None:
        (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        reference_weights.load_chainer(tmp_path / "s.npz", svc.tgan)
