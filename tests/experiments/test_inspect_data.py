"""The program that shows what a model sees, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from films import write_ucf101
from PIL import Image

from tgan_tf.data import batches
from tgan_tf.data.corpus import open_corpus
from tgan_tf.data.windows import Windows

INSPECT = Path(__file__).parents[2] / "experiments/inspect_data.py"


def inspect(*flags):
    return subprocess.run(
        [sys.executable, str(INSPECT), *flags], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "UCF-101"
    write_ucf101(directory, groups=1, clips=2, frames=10)
    (directory / "v_Biking_g01_c02.avi").unlink()
    return directory


def test_counts_videos_classes_and_lengths(ucf101, tmp_path):
    result = inspect(f"--data_path={ucf101}", "--frames=12", f"--output={tmp_path}/clips.png")
    assert result.returncode == 0, result.stderr
    # Clips c01 have 11 frames, clips c02 12.
    assert "Videos: 5 with 57 frames, 2 long enough" in result.stdout
    assert "Lengths: 11 to 12 frames, median 11" in result.stdout
    assert "     2  Cartoon" in result.stdout
    assert "     1  Biking" in result.stdout


def test_draws_the_clips_that_a_training_sees(ucf101, tmp_path):
    output = tmp_path / "clips.png"
    flags = ("--frames=4", "--size=16", "--crop=random", "--mirror", "--stride=2", "--seed=3")
    result = inspect(f"--data_path={ucf101}", *flags, "--num_clips=3", f"--output={output}")
    assert result.returncode == 0, result.stderr
    videos = open_corpus(str(ucf101), size=16).videos("train")
    source = Windows(videos, 4, 16, stride=2, crop="random", mirror=True, seed=3)
    clips = next(iter(batches(source, 3, seed=3))).numpy() * 128 + 128
    sheet = np.asarray(Image.open(output))
    for row in range(3):
        for frame in range(4):
            cell = sheet[18 * row : 18 * row + 16, 18 * frame : 18 * frame + 16]
            np.testing.assert_array_equal(cell, clips[row, frame])


def test_shows_moving_mnist_without_a_path(tmp_path):
    result = inspect("--size=32", "--digit_size=16", f"--output={tmp_path}/clips.png")
    assert result.returncode == 0, result.stderr
    assert "Moving MNIST" in result.stdout
    assert (tmp_path / "clips.png").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--data_path=nothing/here"], "nothing/here: does not exist"),
        (["--stride=2"], "--stride=2 has no use without --data_path"),
        (["--num_clips=0"], "--num_clips=0"),
        (["--output=nothing/here/clips.png"], "there is no directory nothing/here"),
    ],
)
def test_bad_flags_are_refused_in_one_line(tmp_path, flags, message):
    result = inspect(f"--output={tmp_path}/clips.png", *flags)
    assert result.returncode == 1
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_subset_that_is_not_there_is_refused(ucf101, tmp_path):
    result = inspect(f"--data_path={ucf101}", "--subset=test", f"--output={tmp_path}/clips.png")
    assert result.returncode == 1
    assert "subset=test" in result.stderr and "has train" in result.stderr


def test_existing_picture_is_kept(tmp_path):
    (tmp_path / "clips.png").write_bytes(b"mine")
    result = inspect(f"--output={tmp_path}/clips.png")
    assert result.returncode == 1
    assert (tmp_path / "clips.png").read_bytes() == b"mine"
