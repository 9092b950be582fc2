"""The generation program, run as a user runs it; the files are read with Pillow, PyAV and NumPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from programs import EXPERIMENTS, run_all
from tiny_tgan import CLIP_SHAPE, Z0_DIM, make_tgan, save_run

from tgan_tf import rendering
from tgan_tf.latents import latents

pytestmark = pytest.mark.slow

MISTAKES = {
    "missing run_dir": (["--run_dir=missing"], "missing: no such directory"),
    "unknown step": (["--checkpoint_step=4"], "no checkpoint of step 4: there are [3]"),
    "no videos": (["--num_videos=0"], "--num_videos=0"),
    "negative seed": (["--seed=-1"], "--seed=-1"),
    "unknown format": (
        ["--formats=gif,webm"],
        "--formats=gif,webm: 'webm' must be one of",
    ),
    "no format": (["--formats="], "--formats=: must not be empty"),
    "fast GIF": (["--frames_per_second=60"], "--frames_per_second=60.0"),
    "no time": (["--frames_per_second=nan", "--formats=mp4"], "--frames_per_second=nan"),
    "no pixels": (["--scale=0"], "--scale=0"),
    "huge pixels": (["--scale=10000"], "scale=10000: the pictures would have over 16384"),
    "no frames": (["--factor=0"], "--factor=0"),
    "no classes": (["--label=1"], "--label=1: the generator is not conditional"),
    "output_dir in a file": (["--output_dir=flags.cfg/out"], "flags.cfg is not a directory"),
    "more videos than the disk holds": (
        ["--num_videos=1000000000000", "--formats=npz"],
        "--num_videos=1000000000000: ",
    ),
    "more frames than the memory holds": (
        ["--factor=1000000000"],
        "factor=1000000000: a clip of 3,000,000,001 frames: would take",
    ),
    "a larger picture than the memory holds": (
        ["--factor=300000", "--num_videos=64", "--formats=gif", "--scale=100"],
        "pictures of 64 videos of 900,001 frames: would take",
    ),
    "output_dir exists": (
        ["--output_dir=checkpoints"],
        "checkpoints: already exists: give another --output_dir",
    ),
}


@pytest.fixture(scope="module")
def generator():
    return make_tgan().generator


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    save_run(run_dir)
    return run_dir


@pytest.fixture(scope="module")
def results(run_dir):
    """All commands of this file, in this order, and what became of each."""
    commands = {
        **{name: flags for name, (flags, _) in MISTAKES.items()},
        "full disk": ["--output_dir=full", "--formats=npz"],
        "nearly full disk": ["--output_dir=nearly_full", "--formats=npz"],
        "listing": ["--help"],
        "4 videos": ["--num_videos=4", "--seed=7", "--scale=2", "--frames_per_second=5"],
        "again": ["--num_videos=4", "--seed=7"],
        "17 videos": ["--num_videos=17", "--seed=7", "--formats=npz", "--output_dir=more"],
        "interpolated": ["--num_videos=3", "--seed=7", "--factor=5", "--formats=npz"],
        "100 videos": ["--num_videos=100", "--formats=png,gif", "--output_dir=a/b/hundred"],
    }
    return run_all(
        "generate.py",
        {name: [f"--run_dir={run_dir}", *flags] for name, flags in commands.items()},
        run_dir,
        largest_files={"full disk": 3000, "nearly full disk": 17000},
    )


@pytest.fixture(scope="module")
def generated(run_dir, results):
    """The directory of "4 videos"."""
    assert results["4 videos"].code == 0, results["4 videos"].stderr
    return run_dir / "generated" / "step-3_seed-7"


def read_gif(path):
    """Frames [T, H, W] of a grey GIF and milliseconds of each."""
    frames, durations = [], []
    with Image.open(path) as gif:
        for index in range(gif.n_frames):
            gif.seek(index)
            frames.append(np.asarray(gif.convert("L")))
            durations.append(gif.info["duration"])
    return np.stack(frames), durations


def read_mp4(path):
    """Frames [T, H, W] of an MP4 and its frames a second."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        return np.stack(frames), container.streams.video[0].average_rate


def enlarged(video):
    return video[..., 0].repeat(2, axis=-2).repeat(2, axis=-1)


def files(directory):
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


class TestFiles:
    def test_are_those_of_all_formats(self, generated):
        assert files(generated) == [
            "clips.npz",
            *(f"clips/clip-{i:04}.{name}" for i in range(4) for name in ("gif", "mp4")),
            "contact_sheet.png",
            "grid.gif",
            "grid.mp4",
        ]

    def test_hold_the_generator_s_clips_and_their_latents(self, generated, generator):
        with np.load(generated / "clips.npz", allow_pickle=False) as arrays:
            clips, z0 = arrays["clips"], arrays["latents"]
        assert (clips.dtype, clips.shape) == (np.uint8, (4, *CLIP_SHAPE))
        assert (z0.dtype, z0.shape) == (np.float32, (4, Z0_DIM))
        np.testing.assert_array_equal(z0, latents(7, 4, Z0_DIM))
        assert clips.std() > 1
        np.testing.assert_allclose(clips, 128 * generator(z0) + 128, rtol=0, atol=0.501)

    def test_show_each_clip_by_itself(self, generated):
        for i, clip in enumerate(np.load(generated / "clips.npz")["clips"]):
            frames, durations = read_gif(generated / f"clips/clip-{i:04}.gif")
            np.testing.assert_array_equal(frames, enlarged(clip))
            assert durations == [200] * 4
            frames, rate = read_mp4(generated / f"clips/clip-{i:04}.mp4")
            assert abs(full_range(frames) - enlarged(clip)).max() < 12
            assert rate == 5

    def test_show_all_clips_in_a_grid(self, generated):
        grid = rendering.video_grid(np.load(generated / "clips.npz")["clips"])
        frames, durations = read_gif(generated / "grid.gif")
        np.testing.assert_array_equal(frames, enlarged(grid))
        assert durations == [200] * 4
        frames, rate = read_mp4(generated / "grid.mp4")
        assert abs(full_range(frames) - enlarged(grid)).max() < 12
        assert rate == 5

    def test_show_each_frame_in_a_contact_sheet(self, generated):
        sheet = rendering.contact_sheet(np.load(generated / "clips.npz")["clips"])
        with Image.open(generated / "contact_sheet.png") as image:
            np.testing.assert_array_equal(np.asarray(image), enlarged(sheet))

    def test_of_many_videos_show_the_first_64_and_16_and_each_by_itself(self, run_dir, results):
        assert results["100 videos"].code == 0, results["100 videos"].stderr
        directory = run_dir / "a/b/hundred"
        grid, durations = read_gif(directory / "grid.gif")
        assert grid.shape == (4, 8 * 18 - 2, 8 * 18 - 2)
        assert durations == [100] * 4
        with Image.open(directory / "contact_sheet.png") as image:
            assert image.size == (4 * 18 - 2, 16 * 18 - 2)
        assert files(directory) == [
            *(f"clips/clip-{i:04}.gif" for i in range(100)),
            "contact_sheet.png",
            "grid.gif",
        ]


def full_range(luma):
    """Brightness 0..255 of a luma of 16..235."""
    return (luma.astype(float) - 16) * 255 / 219


class TestSeed:
    def test_makes_the_same_clips_whatever_else_is_made(self, run_dir, generated, results):
        assert results["17 videos"].code == 0, results["17 videos"].stderr
        four, more = (np.load(d / "clips.npz") for d in (generated, run_dir / "more"))
        assert more["clips"].shape == (17, *CLIP_SHAPE)
        for name in ("clips", "latents"):
            np.testing.assert_array_equal(four[name], more[name][:4])
            assert len(np.unique(more[name].reshape(17, -1), axis=0)) == 17

    def test_makes_the_same_clips_in_a_process_of_its_own(self, run_dir, results, tmp_path):
        # The other commands are forks of one process: Python's seed of hashes is the same in all.
        flags = ["--num_videos=17", "--seed=7", "--formats=npz", f"--output_dir={tmp_path / 'out'}"]
        command = [sys.executable, EXPERIMENTS / "generate.py", f"--run_dir={run_dir}", *flags]
        again = subprocess.run(command, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert results["17 videos"].code == 0, results["17 videos"].stderr
        alone, forked = (np.load(d / "clips.npz") for d in (tmp_path / "out", run_dir / "more"))
        for name in ("clips", "latents"):
            np.testing.assert_array_equal(alone[name], forked[name])


class TestPrinted:
    def test_says_what_lies_where(self, generated, results):
        result = results["4 videos"]
        assert f"step 3: 4 videos of seed 7, in {generated}" in result.stdout
        for name in ("grid.gif", "grid.mp4", "clip-0000.gif", "contact_sheet.png", "clips.npz"):
            assert name in result.stdout
        assert result.stderr == ""

    def test_names_only_what_was_asked_for(self, results):
        lines = results["17 videos"].stdout.splitlines()
        assert len(lines) == 2
        assert "clips.npz" in lines[1]

    def test_help_shows_the_example_and_the_defaults(self, results):
        text = results["listing"].stdout
        assert "python experiments/generate.py --run_dir=runs/moving_mnist" in text
        assert "(default: '16')" in text


class TestMistakes:
    @pytest.mark.parametrize("name", MISTAKES)
    def test_are_one_line(self, results, name):
        self._one_line(results[name], MISTAKES[name][1])

    @pytest.mark.parametrize("name", ["full disk", "nearly full disk"])
    def test_of_the_disk_are_one_line(self, results, name):
        self._one_line(results[name], "could not be written (File too large): free some disk space")

    def test_do_not_overwrite_what_is_there(self, results, generated):
        self._one_line(results["again"], f"{generated}: already exists: give another --output_dir")
        assert len(np.load(generated / "clips.npz")["clips"]) == 4

    def test_leave_nothing_behind(self, run_dir, results):
        assert results
        assert sorted(path.name for path in run_dir.iterdir()) == [
            *("a", "checkpoints", "configuration.json", "flags.cfg", "generated", "more"),
        ]
        assert sorted(path.name for path in (run_dir / "generated").iterdir()) == [
            "step-3_seed-7",
            "step-3_seed-7_factor-5",
        ]

    def _one_line(self, result, part):
        assert result.code == 1
        assert result.stderr.startswith("generate.py: error: ")
        assert part in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert result.stdout == ""


def test_a_factor_puts_frames_between_those_of_the_clips(run_dir, results):
    assert results["interpolated"].code == 0, results["interpolated"].stderr
    with np.load(run_dir / "generated/step-3_seed-7_factor-5/clips.npz") as arrays:
        clips = arrays["clips"].astype(int)
    assert clips.shape == (3, (CLIP_SHAPE[0] - 1) * 5 + 1, *CLIP_SHAPE[1:])
    with np.load(run_dir / "generated/step-3_seed-7/clips.npz") as arrays:
        assert np.abs(clips[:, ::5] - arrays["clips"][:3]).max() <= 1
    # What moves goes on moving between.
    assert all(np.abs(np.diff(clips[:, i : i + 6], axis=1)).max() > 0 for i in range(0, 15, 5))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "conditional"
    tgan = save_run(run_dir, num_classes=3)
    commands = {
        "in turn": ["--num_videos=7", "--formats=npz,gif", "--output_dir=in_turn"],
        "one": ["--num_videos=2", "--label=2", "--formats=npz"],
        "unknown": ["--label=3"],
    }
    commands = {name: [f"--run_dir={run_dir}", *flags] for name, flags in commands.items()}
    return run_dir, tgan.generator, run_all("generate.py", commands, run_dir)


def clips_and_labels(directory):
    with np.load(directory / "clips.npz") as arrays:
        return arrays["clips"], arrays["latents"], arrays["labels"]


def test_classes_are_made_in_turn_a_row_each(conditional):
    run_dir, generator, results = conditional
    assert results["in turn"].code == 0, results["in turn"].stderr
    clips, z0, labels = clips_and_labels(run_dir / "in_turn")
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    inputs = np.concatenate([z0, np.eye(3, dtype=np.float32)[labels]], axis=1)
    np.testing.assert_allclose(clips, 128 * generator(inputs) + 128, rtol=0, atol=0.501)
    frames, _ = read_gif(run_dir / "in_turn/grid.gif")
    side = CLIP_SHAPE[1] + 2
    assert frames.shape[1:] == (3 * side - 2, 3 * side - 2)
    for number, clip in enumerate(clips[..., 0]):
        row, column = number % 3 * side, number // 3 * side
        cell = frames[:, row : row + CLIP_SHAPE[1], column : column + CLIP_SHAPE[2]]
        np.testing.assert_array_equal(cell, clip)


def test_a_label_is_that_of_all_videos(conditional):
    run_dir, _, results = conditional
    assert results["one"].code == 0, results["one"].stderr
    _, _, labels = clips_and_labels(run_dir / "generated/step-3_seed-0_label-2")
    assert labels.tolist() == [2, 2]
    assert "--label=3: must be a class from 0 to 2" in results["unknown"].stderr
