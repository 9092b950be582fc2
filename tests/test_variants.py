"""Every variant of the networks and of the game: on two replicas, resumed, exported, evaluated.

Runs itself in a second process: logical CPUs have to be set before TensorFlow touches a device.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

NUM_CLASSES = 3
CLASSES = {"num_classes": NUM_CLASSES}
UNCLIPPED = {"lipschitz": {"name": "none"}}
CLIPPING = {"name": "singular_value_clipping", "max_singular_value": 0.5, "interval": 1}
# Of each what differs from the paper's TGAN, which has test_distribution.py, test_train.py and
# test_export.py: entries of its configuration. What is independent is joined, since each takes
# seconds.
VARIANTS = {
    "normal, recurrent": {
        "objective": "normal",
        "critic": {"noise": 0.3},
        "generator": {"gru_layers": 2},
        **UNCLIPPED,
    },
    "least squares, weight clipping, averages, two streams, video and frame": {
        "objective": "least_squares",
        "lipschitz": {"name": "weight_clipping"},
        "generator": {"name": "two_stream"},
        "critic": {"name": "video_and_frame"},
        "generator_optimizer": {"ema_momentum": 0.9},
    },
    "hinge, spectral normalization, frames as channels, conditional": {
        "objective": "hinge",
        "lipschitz": {"name": "spectral_normalization", "interval": 1},
        "critic": {"name": "frames_as_channels"},
        **CLASSES,
    },
    "gradient penalty, 3-D generator, no normalization": {
        "lipschitz": {"name": "gradient_penalty"},
        "critic": {"normalization": "none"},
        "critic_frames": 2,
        "n_critic": 2,
        "generator": {"name": "conv3d"},
    },
    "operator norm, PyTorch TGAN, shuffled frames, conditional": {
        "lipschitz": {**CLIPPING, "norm": "operator"},
        "generator": {"center": True, "epsilon": 1e-5, "latent_distribution": "normal"},
        "critic": {"center": True, "epsilon": 1e-5, "slope": 0.01, "head": "mean"},
        "shuffle_frames": 0.5,
        **CLASSES,
    },
}
FRAMES, SIZE, STEPS, BATCH = 4, 8, 3, 4


def play(directory):
    """Trains, resumes, exports and evaluates each variant; prints what came out as JSON."""
    import keras
    import tensorflow as tf

    from tgan_tf import checkpoints, runs
    from tgan_tf.configuration import Configuration, build
    from tgan_tf.evaluation.clip_sets import GeneratedClips
    from tgan_tf.evaluation.spectral_report import spectral_report
    from tgan_tf.export import export_generator, load_exported
    from tgan_tf.latents import generator_latents
    from tgan_tf.optimizers import OPTIMIZERS

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    # By the reference's epsilon a step is as large as the rate, whatever the gradient: where that
    # is near zero, rounding would decide its sign, and part one replica from two.
    def rmsprop(learning_rate=1e-3, **kwargs):
        return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-4, **kwargs)

    OPTIMIZERS["with a larger epsilon"] = rmsprop
    optimizer = {"name": "with a larger epsilon", "learning_rate": 1e-3}

    def configuration(variant):
        generator = {"name": "tgan", "z0_dim": 6, **variant.get("generator", {})}
        if generator["name"] == "tgan":
            generator.update(temporal_filters=8, image_filters=8, z1_dim=3)
        else:
            generator["filters"] = 8
        return Configuration(
            frames=FRAMES,
            size=SIZE,
            channels=1,
            seed=5,
            **{
                "lipschitz": CLIPPING,
                **variant,
                "generator": generator,
                "critic": {"name": "tgan", "filters": 4, **variant.get("critic", {})},
                "generator_optimizer": {**optimizer, **variant.get("generator_optimizer", {})},
                "critic_optimizer": optimizer,
            },
        )

    def make(variant):
        keras.utils.set_random_seed(0)
        tgan = build(configuration(variant))
        # To trace a step takes as long as ten of them.
        tgan.run_eagerly = True
        return tgan

    def fit(tgan, first, steps):
        rng = np.random.default_rng(0)
        count = BATCH * tgan.n_critic
        clips = rng.uniform(-1, 1, (STEPS, count, FRAMES, SIZE, SIZE, 1)).astype(np.float32)
        labels = rng.integers(0, NUM_CLASSES, (STEPS, count))
        data = (clips, labels) if tgan.generator.num_classes else clips
        dataset = tf.data.Dataset.from_tensor_slices(data).skip(first).take(steps)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return tgan.fit(dataset.with_options(options), verbose=0).history

    def judged(variant, directory):
        with one.scope():
            unbroken = make(variant)
            whole = fit(unbroken, 0, STEPS - 1)
            last = fit(unbroken, STEPS - 1, 1)
        with two.scope():
            begun = make(variant)
            begun_history = fit(begun, 0, STEPS - 1)
        checkpoints.save(begun, directory / "checkpoints", STEPS - 1)
        runs.write(directory, configuration(variant), {}, "")
        with one.scope():
            # Of what it has come to meanwhile nothing may be left; a new one would be slower.
            resumed = unbroken
            checkpoints.restore(resumed, directory / "checkpoints")
            resumed_last = fit(resumed, STEPS - 1, 1)

        generator, critic, _ = runs.load_networks(directory)
        z0 = generator_latents(generator, 0, 2)
        videos = generator(z0).numpy()
        version = export_generator(generator, directory / "exported")
        serve, _ = load_exported(version)
        label = {"label": tf.constant([0, 1], tf.int64)} if generator.num_classes else {}
        served = serve(z0=tf.constant(z0[:, : generator.z0_dim]), **label)["videos"].numpy()
        clips = next(GeneratedClips(generator).batches(2, 0))
        seen = clips[:, : critic.frames]
        inputs = [seen, z0[:, generator.z0_dim :]] if critic.num_classes else seen
        return {
            "losses": [[whole[key][0], begun_history[key][0]] for key in whole],
            "last losses": [[last[key][0], resumed_last[key][0]] for key in last],
            "step": resumed.step,
            "videos": [float(videos.min()), float(videos.max()), list(videos.shape)],
            "served": float(np.abs(served - videos).max()),
            "judged": float(np.abs(clips - videos).max()),
            "of the training": float(np.abs(begun.averaged_generator()(z0) - videos).max()),
            "scores": [float(score) for score in tf.reduce_sum(critic(inputs), axis=1)],
            "spectrum": {key: value.value for key, value in spectral_report(critic).items()},
        }

    for number, (name, variant) in enumerate(VARIANTS.items()):
        result = judged(variant, Path(directory, str(number)))
        print(json.dumps({"variant": name, **result}), flush=True)
        tf.keras.backend.clear_session()


@pytest.fixture(scope="module")
def report():
    with tempfile.TemporaryDirectory() as directory:
        result = subprocess.run(
            [sys.executable, __file__, directory],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
        )
    found = (json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))
    found = {line["variant"]: line for line in found}
    assert result.returncode == 0, f"after {list(found)}: {result.stderr[-3000:]}"
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_two_replicas_train_as_one(report, name):
    losses = np.array(report[name]["losses"])
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses[:, 1], losses[:, 0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_resumed_training_is_as_an_unbroken_one(report, name):
    losses = np.array(report[name]["last losses"])
    assert report[name]["step"] == STEPS
    np.testing.assert_allclose(losses[:, 1], losses[:, 0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_export_makes_the_run_s_videos(report, name):
    lowest, highest, shape = report[name]["videos"]
    assert shape == [2, FRAMES, SIZE, SIZE, 1]
    assert -1 <= lowest < highest <= 1
    assert report[name]["served"] <= 1e-6


@pytest.mark.parametrize("name", VARIANTS)
def test_the_run_is_judged_by_the_videos_of_its_training(report, name):
    assert report[name]["judged"] <= 1e-6
    assert report[name]["of the training"] <= 1e-6


@pytest.mark.parametrize("name", VARIANTS)
def test_its_critic_can_be_looked_into(report, name):
    first, second = report[name]["scores"]
    assert np.isfinite([first, second]).all() and first != second
    assert all(value > 0 for value in report[name]["spectrum"].values())


if __name__ == "__main__":
    play(sys.argv[1])
