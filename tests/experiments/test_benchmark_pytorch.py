"""The benchmark's step in PyTorch against ours, from the same weights, clips and latents."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from reference_networks import trained_looking
from tiny_tgan import configuration, real_clips

from tgan_tf import draws, spectral
from tgan_tf.configuration import build
from tgan_tf.draws import Draw

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'tgan_tf[import]'")

pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parents[2] / "experiments/benchmark"
GAMES = {
    "the paper's": {
        f"{player}_optimizer": {"name": "rmsprop", "learning_rate": 5e-5}
        for player in ("generator", "critic")
    },
    "moving_mnist_digits.cfg's": {
        "objective": "hinge",
        "critic": {"name": "tgan", "filters": 3, "normalization": "none"},
        "critic_frames": 2,
        **{
            f"{player}_optimizer": {
                "name": "adam",
                "learning_rate": 1e-3,
                "beta_1": 0.0,
                "beta_2": 0.99,
                **({"ema_momentum": 0.9} if player == "generator" else {}),
            }
            for player in ("generator", "critic")
        },
    },
}


@pytest.fixture(scope="module")
def pytorch():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARK)
        return importlib.import_module("benchmark_pytorch")


@pytest.fixture(scope="module", params=GAMES)
def game(request, pytorch):
    """A TGAN none of whose weights is zero or one, its configuration, and its copy in PyTorch."""
    settings = configuration(interval=1, **GAMES[request.param])
    tgan = build(settings)
    trained_looking(tgan.generator, 1)
    trained_looking(tgan.critic, 2)
    return tgan, settings, pytorch.PyTorchTGAN(tgan, settings)


def latents(tgan, batch):
    """What our step draws."""
    seed = draws.seed(tgan.seed, tgan.critic_optimizer.iterations, Draw.LATENTS)
    return tf.random.stateless_uniform([batch, 6], seed, -1.0, 1.0, alg=draws.ALGORITHM).numpy()


def starts(tgan, left_out):
    """The first frames of the windows of real and of generated clips that our step draws."""
    return tuple(
        int(
            tf.random.stateless_uniform(
                [],
                draws.seed(tgan.seed, tgan.critic_optimizer.iterations, draw),
                0,
                left_out + 1,
                tf.int32,
                alg=draws.ALGORITHM,
            )
        )
        for draw in (Draw.WINDOW_OF_REAL, Draw.WINDOW_OF_FAKE)
    )


@pytest.mark.parametrize("training", [False, True])
def test_the_networks_outputs_are_ours(game, pytorch, training):
    tgan, settings, _ = game
    theirs = pytorch.PyTorchTGAN(tgan, settings)
    theirs.generator.train(training)
    theirs.critic.train(training)
    z0, frames = latents(tgan, 5), tgan.critic.frames
    real = real_clips(5)[:, :frames]
    kept = tgan.get_weights()
    with torch.no_grad():
        clips = theirs.generator(torch.tensor(z0)).permute(0, 2, 3, 4, 1).numpy()
        scores = theirs.critic(pytorch.channels_first(real)).numpy()
    np.testing.assert_allclose(clips, tgan.generator(z0, training=training), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        scores, tgan.critic(real, training=training)[:, 0], rtol=1e-5, atol=1e-5
    )
    tgan.set_weights(kept)


def test_a_step_s_weights_are_ours(game, pytorch):
    tgan, settings, theirs = game
    real, z0 = real_clips(5), latents(tgan, 5)
    windows = starts(tgan, settings.frames - tgan.critic.frames)
    theirs.step(pytorch.channels_first(real), torch.tensor(z0), windows)
    tgan.fit(tf.data.Dataset.from_tensors(real), steps_per_epoch=1, verbose=0)
    ours = pytorch.PyTorchTGAN(tgan, settings)
    # Right before a batch normalisation a bias has no gradient but what rounding makes of it.
    random_walks = {"temporal_convolutions.0.bias", "temporal_convolutions.1.bias"}
    if settings.critic["normalization"] == "batch":
        random_walks.add("convolutions.1.bias")
    for network in ("generator", "critic"):
        expected = getattr(ours, network).state_dict()
        for name, values in getattr(theirs, network).state_dict().items():
            if name not in random_walks:
                # A tenth of a first update: RMSprop divides by its size even what rounding leaves.
                np.testing.assert_allclose(
                    values, expected[name], rtol=0, atol=5e-5, err_msg=f"{network} {name}"
                )


def test_a_clipped_kernel_is_ours(game, pytorch):
    tgan, settings, _ = game
    theirs = pytorch.PyTorchTGAN(tgan, settings)
    with torch.no_grad():
        theirs.critic.convolutions[1].kernel.mul_(30)
    expected = spectral.clip_singular_values(30 * tgan.critic.convolutions[1].kernel)
    theirs.critic.clip(1.0)
    kernel = theirs.critic.convolutions[1].kernel.detach().permute(2, 3, 4, 1, 0)
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-5)
