"""Opening a run directory, and the clips of latents."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import CLIP_SHAPE, Z0_DIM, real_clips, save_run

from tgan_tf import __version__, checkpoints, rendering, runs
from tgan_tf.errors import InputError
from tgan_tf.interpolation import interpolate
from tgan_tf.latents import generator_latents, latents


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with checkpoints of the steps 5 and 10, and the networks' weights at each."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    tgan = save_run(run_dir)
    weights = {}
    for step in (5, 10):
        # Scales and running averages too are none of those of new networks.
        rng = np.random.default_rng(step)
        weights[step] = []
        for network in (tgan.generator, tgan.critic):
            moved = [w + rng.uniform(0.1, 0.3, w.shape) for w in network.get_weights()]
            network.set_weights(moved)
            weights[step].append(moved)
        checkpoints.save(tgan, run_dir / "checkpoints", step, keep=2)
    return run_dir, weights


def assert_weights(network, weights):
    for loaded, weight in zip(network.get_weights(), weights):
        np.testing.assert_array_equal(loaded, weight.astype(np.float32))


@pytest.fixture
def damaged_run(run, tmp_path):
    """A copy of the run that a test may damage."""
    return shutil.copytree(run[0], tmp_path / "run")


class TestLoadGenerator:
    @pytest.mark.slow
    @pytest.mark.parametrize(("asked", "step"), [(None, 10), (10, 10), (5, 5)])
    def test_has_the_weights_of_the_checkpoint(self, run, asked, step):
        run_dir, weights = run
        generator, loaded = runs.load_generator(run_dir, asked)
        assert loaded == step
        assert_weights(generator, weights[step][0])

    @pytest.mark.slow
    def test_has_the_configuration_of_the_run(self, run):
        generator, _ = runs.load_generator(run[0])
        assert generator.clip_shape == CLIP_SHAPE
        assert (generator.z0_dim, generator.z1_dim) == (Z0_DIM, 5)

    @pytest.mark.slow
    def test_takes_the_checkpoint_before_a_damaged_one_and_says_so(self, damaged_run):
        data = damaged_run / "checkpoints/step-10/tgan.data-00000-of-00001"
        data.write_bytes(data.read_bytes()[:1000])
        with pytest.warns(UserWarning, match="step-10: damaged checkpoint skipped"):
            _, step = runs.load_generator(damaged_run)
        assert step == 5

    def test_refuses_what_is_no_run_directory(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path, reason in (
            (tmp_path / "missing", "no such directory"),
            (tmp_path / "file", "not a directory"),
            (tmp_path, "not a run directory"),
        ):
            self._refused(path, reason, str(path))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "\xff\xfe",
            "[]",
            "{}",
            '{"configuration": null}',
            '{"tgan_tf": "OURS", "flags": {}, "configuration": {"generator": {"name": "nosuch"}}}',
            '{"tgan_tf": "OURS", "flags": {}, "configuration": {"colour": true}}',
            '{"tgan_tf": "OURS", "flags": [], "configuration": {}}',
        ],
    )
    def test_refuses_a_damaged_configuration(self, damaged_run, text):
        text = text.replace("OURS", __version__)
        (damaged_run / "configuration.json").write_text(text, encoding="latin-1")
        self._refused(damaged_run, "configuration.json: is damaged", "flags.cfg")

    def test_refuses_a_configuration_of_another_version_and_names_both(self, damaged_run):
        (damaged_run / "configuration.json").write_text(
            '{"tgan_tf": "9.9", "flags": {}, "configuration": {"colour": true}}'
        )
        self._refused(
            damaged_run,
            f"was written by tgan_tf 9.9, and tgan_tf {__version__} cannot read it",
            "install tgan_tf 9.9",
        )

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("before", "after", "name"),
        [
            ('"frames": 4', '"frames": 3', "frames=3"),
            ('"size": 16', '"size": "8"', "size='8'"),
            ('"z0_dim": 6', '"z0_dim": null', "generator.z0_dim=None"),
            ('"z1_dim": 5', '"z2_dim": 5', "generator.z2_dim=5"),
        ],
    )
    def test_refuses_a_configuration_that_makes_no_generator(
        self, damaged_run, before, after, name
    ):
        path = damaged_run / "configuration.json"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        self._refused(damaged_run, "configuration.json: is damaged", name)

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:.*damaged checkpoint")
    def test_refuses_a_configuration_other_than_the_checkpoint_s(self, damaged_run):
        path = damaged_run / "configuration.json"
        path.write_text(path.read_text().replace('"z1_dim": 5', '"z1_dim": 4'))
        self._refused(damaged_run, "step-10: belongs to other networks", "(5, 64)", "(4, 64)")

    @pytest.mark.slow
    def test_refuses_a_run_without_checkpoints(self, damaged_run):
        shutil.rmtree(damaged_run / "checkpoints")
        self._refused(damaged_run, "no checkpoint there", "train.py")

    @pytest.mark.slow
    def test_refuses_a_step_without_a_checkpoint(self, run):
        self._refused(run[0], "no checkpoint of step 7", "[5, 10]", step=7)

    def _refused(self, run_dir, *parts, step=None):
        with pytest.raises(InputError) as error:
            runs.load_generator(run_dir, step)
        for part in parts:
            assert part in str(error.value)
        assert "\n" not in str(error.value)


class TestExclusive:
    @pytest.mark.slow
    def test_sweeps_what_was_left_by_the_killed(self, damaged_run):
        before = sorted(damaged_run.rglob("*"))
        for name in (
            "checkpoints/.step-15.unfinished-abcdefgh/step-15",
            "checkpoints/.step-15-abcdefgh",
            ".flags.cfg.unfinished-abcdefgh",
            "samples/.step-5.gif.unfinished-abcdefgh",
            "evaluation/real/.real.npy.unfinished-abcdefgh",
        ):
            (damaged_run / name).mkdir(parents=True)
        with runs.exclusive(damaged_run):
            assert (damaged_run / ".lock").exists()
        assert not list(damaged_run.rglob(".*"))
        assert set(before) <= set(damaged_run.rglob("*"))


class TestLoadNetworks:
    @pytest.mark.slow
    @pytest.mark.parametrize(("asked", "step"), [(None, 10), (5, 5)])
    def test_have_the_weights_of_the_checkpoint(self, run, asked, step):
        run_dir, weights = run
        generator, critic, loaded = runs.load_networks(run_dir, asked)
        assert loaded == step
        assert_weights(generator, weights[step][0])
        assert_weights(critic, weights[step][1])

    @pytest.mark.slow
    def test_can_be_called_though_the_constraints_have_no_optimizer(self, run):
        generator, critic, _ = runs.load_networks(run[0])
        # Under tf.function, as they are called to evaluate.
        score = tf.function(lambda clips: critic(clips, training=False))
        assert score(real_clips(2)).shape == (2, 1)
        assert score(next(runs.generate(generator, latents(0, 3, Z0_DIM)))).shape == (3, 1)


class TestLoadTGAN:
    @pytest.mark.slow
    def test_trains_on_as_the_run_would_have(self, run):
        run_dir, weights = run
        tgan = runs.load_tgan(run_dir)
        assert_weights(tgan.generator, weights[10][0])
        assert_weights(tgan.critic, weights[10][1])
        clips = tf.data.Dataset.from_tensors(real_clips(2))
        history = tgan.fit(clips, verbose=0).history
        assert np.isfinite(history["critic_loss"]).all()
        assert tgan.step == 1

    @pytest.mark.slow
    def test_refuses_a_run_without_checkpoints(self, damaged_run):
        shutil.rmtree(damaged_run / "checkpoints")
        with pytest.raises(InputError, match="no checkpoint"):
            runs.load_tgan(damaged_run)


VERSION_1 = Path(__file__).parent / "fixtures/runs_of_version_1"


class TestRunsOfVersion1:
    """Runs that the code of before wrote, with the videos that its generate.py made of them."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["paper", "average", "float16"])
    def test_make_the_videos_that_they_made(self, name):
        generator, step = runs.load_generator(VERSION_1 / name)
        made = np.load(VERSION_1 / name / "clips.npz")
        z0 = generator_latents(generator, 3, 2)
        clips = np.concatenate(list(runs.generate(generator, z0)))
        assert step == 3
        # Rounded to the nearest of 256 values, they may differ by one.
        difference = rendering.to_uint8(clips).astype(int) - made["clips"]
        assert np.abs(difference).max() <= 1

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["paper", "average", "float16"])
    def test_have_their_critics(self, name):
        _, critic, _ = runs.load_networks(VERSION_1 / name)
        classes = np.eye(critic.num_classes, dtype=np.float32)[:2] if critic.num_classes else None
        clips = real_clips(2)
        scores = critic(clips if classes is None else [clips, classes])
        assert np.isfinite(scores).all()

    def test_are_trained_on_by_the_program_alone(self):
        with pytest.raises(InputError, match=r"a run of version 0\.1\.0.*train.py with flagfile="):
            runs.load_tgan(VERSION_1 / "paper")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{}",
            '{"generator": 3}',
            '{"generator": {"class_name": "VideoGenerator"}}',
            '{"generator": {"module": "os", "class_name": "system", "config": {}}}',
        ],
    )
    def test_that_are_damaged_are_refused(self, tmp_path, text):
        run_dir = shutil.copytree(VERSION_1 / "paper", tmp_path / "run")
        (run_dir / "model.json").write_text(text)
        with pytest.raises(InputError, match=r"model\.json: is damaged.*flags\.cfg"):
            runs.load_generator(run_dir)


@pytest.fixture(scope="module")
def generator(run):
    return runs.load_generator(run[0])[0]


class TestGenerate:
    @pytest.mark.slow
    @pytest.mark.parametrize("count", [1, 8, 11, 24])
    def test_makes_the_generator_s_clips_in_order(self, generator, count):
        z0 = latents(0, count, Z0_DIM)
        batches = list(runs.generate(generator, z0))
        assert all(len(clips) == 8 for clips in batches[:-1])
        assert 1 <= len(batches[-1]) <= 8
        clips = np.concatenate(batches)
        assert clips.dtype == np.float32
        np.testing.assert_allclose(clips, generator(z0, training=False), atol=1e-6)

    @pytest.mark.slow
    def test_makes_a_clip_the_same_to_the_bit_however_many_are_made(self, generator):
        z0 = latents(0, 19, Z0_DIM)
        all_clips = np.concatenate(list(runs.generate(generator, z0)))
        for count in (1, 4, 9, 16):
            clips = np.concatenate(list(runs.generate(generator, z0[:count])))
            np.testing.assert_array_equal(clips, all_clips[:count])

    @pytest.mark.slow
    def test_makes_many_frames_between_as_all_at_once(self, generator):
        z0 = latents(0, 2, Z0_DIM)
        path = interpolate(generator.frame_latents(z0), np.array([40, 40]))
        expected = generator.render(z0, path)
        clips = np.concatenate(list(runs.generate(generator, z0, 40)))
        assert clips.shape == (2, 3 * 40 + 1, *CLIP_SHAPE[1:])
        np.testing.assert_allclose(clips, expected, rtol=0, atol=1e-5)

    @pytest.mark.slow
    def test_refuses_a_clip_that_is_larger_than_the_memory(self, generator):
        with pytest.raises(InputError, match=r"factor=1000.*a clip of 3,000,.* would take .* PB"):
            runs.generate(generator, latents(0, 1, Z0_DIM), 10**12)

    @pytest.mark.slow
    def test_leaves_the_running_averages_alone(self, generator):
        before = generator.get_weights()
        list(runs.generate(generator, latents(0, 3, Z0_DIM)))
        for after, weight in zip(generator.get_weights(), before):
            np.testing.assert_array_equal(after, weight)
