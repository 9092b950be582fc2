"""The program that shows what a model sees, run as a user runs it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from films import cut, write_ucf101
from PIL import Image
from programs import run_all

from tgan_tf.data import batches
from tgan_tf.data.corpus import open_corpus
from tgan_tf.data.windows import Windows

pytestmark = pytest.mark.slow

MISTAKES = {
    "no data": (["--data_path=nothing/here"], ["nothing/here: does not exist"]),
    "stride of digits": (["--stride=2"], ["--stride=2: has no effect without --data_path"]),
    "no clips": (["--num_clips=0"], ["--num_clips=0"]),
    "more clips than the memory holds": (
        ["--num_clips=100000000", "--size=32", "--digit_size=16"],
        ["--num_clips=100000000 --scale=1: a sheet of clips of 16 x 32 x 32", "would take 19.7 TB"],
    ),
    "nowhere": (["--output=nothing/here/clips.png"], ["there is no directory nothing/here"]),
    "no subset": (["--data_path=UCF-101", "--subset=test"], ["subset=test", "has train"]),
    "existing picture": (["--output=mine.png"], ["mine.png"]),
    "flagfile in Latin-1": (["--flagfile=latin.cfg"], ["latin.cfg: is not UTF-8 text (byte 15"]),
    "axes in doubt": (["--data_path=nthw.npy"], ["holds uint8 [30, 9, 16, 16]", "array_axes=nthw"]),
    "pickled table": (
        ["--data_path=films.h5"],
        [
            "films_pd.pkl: unpickling runs code",
            "if you trust it, give --allow_unpickling, or give a CSV file",
            "python experiments/reference/convert_table.py --input=films_pd.pkl "
            "--output=films_pd.csv --allow_unpickling",
        ],
    ),
    "axes of digits": (
        ["--array_axes=nthw"],
        ["--array_axes=nthw: has no effect without --data_path"],
    ),
    "name of two lines": (["--data_path=two\nlines"], ["two\\nlines"]),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    write_ucf101(directory / "UCF-101", groups=1, clips=2, frames=10)
    (directory / "UCF-101" / "v_Biking_g01_c02.avi").unlink()
    (directory / "mine.png").write_bytes(b"mine")
    (directory / "latin.cfg").write_bytes("--data_path=caf\u00e9".encode("latin-1"))
    np.save(directory / "nthw.npy", np.zeros((30, 9, 16, 16), np.uint8))
    with h5py.File(directory / "films.h5", "w") as file:
        file["image"] = np.zeros((4, 3, 16, 16), np.uint8)
    (directory / "films_pd.pkl").write_bytes(b"never read")
    (directory / "odd" / "c\nl\udce9").mkdir(parents=True)
    cut("bikes", directory / "odd" / "good.mp4", 0, 20, codec="libx264")
    (directory / "odd" / "good.mp4").rename(directory / "odd" / "c\nl\udce9" / "1\udce9.mp4")
    (directory / "odd" / "c\nl\udce9" / "2\n\udce9.mp4").touch()
    return directory


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, and what became of each."""
    drawn = "--frames=4 --size=16 --crop=random --mirror --stride=2 --seed=3 --num_clips=3".split()
    return run_all(
        "inspect_data.py",
        {
            **{name: ["--output=mistaken.png", *flags] for name, (flags, _) in MISTAKES.items()},
            "counts": ["--data_path=UCF-101", "--frames=12", "--output=counts.png"],
            "drawn": ["--data_path=UCF-101", *drawn, "--output=drawn.png"],
            "odd names": ["--data_path=odd", "--size=16", "--output=odd.png"],
            "axes": (
                "--data_path=nthw.npy --array_axes=nthw --frames=9 --size=16 --output=axes.png"
            ).split(),
            "digits": ["--size=32", "--digit_size=16", "--output=digits.png"],
        },
        directory,
    )


def test_counts_videos_classes_and_lengths(results):
    result = results["counts"]
    assert result.code == 0, result.stderr
    # Clips c01 have 11 frames, clips c02 12.
    assert "Videos: 5 with 57 frames, 2 long enough" in result.stdout
    assert "Lengths: 11 to 12 frames, median 11" in result.stdout
    assert "     2  Cartoon" in result.stdout
    assert "     1  Biking" in result.stdout


def test_draws_the_clips_that_a_training_sees(directory, results):
    assert results["drawn"].code == 0, results["drawn"].stderr
    videos = open_corpus(str(directory / "UCF-101"), size=16).videos("train")
    source = Windows(videos, 4, 16, stride=2, crop="random", mirror=True, seed=3)
    clips = next(iter(batches(source, 3, seed=3))).numpy() * 128 + 128
    sheet = np.asarray(Image.open(directory / "drawn.png"))
    for row in range(3):
        for frame in range(4):
            cell = sheet[18 * row : 18 * row + 16, 18 * frame : 18 * frame + 16]
            np.testing.assert_array_equal(cell, clips[row, frame])


def test_says_how_an_array_is_read(results):
    assert results["axes"].code == 0, results["axes"].stderr
    line = "nthw.npy: read as 30 clips of 9 frames of 16x16, 1 channel"
    assert results["axes"].stdout.splitlines()[0] == line


def test_names_that_are_not_utf_8_or_of_several_lines_are_escaped(results):
    result = results["odd names"]
    assert result.code == 0, result.stderr
    assert "     1  c\\nl\\xe9\n" in result.stdout
    assert result.stderr.splitlines() == [
        "inspect_data.py: warning: odd/c\\nl\\xe9/2\\n\\xe9.mp4: left out: empty file"
    ]


def test_shows_moving_mnist_without_a_path(directory, results):
    result = results["digits"]
    assert result.code == 0, result.stderr
    assert "Moving MNIST" in result.stdout
    assert (directory / "digits.png").exists()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(results, name):
    result = results[name]
    assert result.code == 1
    assert len(result.stderr.splitlines()) == 1
    for words in MISTAKES[name][1]:
        assert words in result.stderr


def test_a_mistake_writes_nothing(directory, results):
    assert results and not (directory / "mistaken.png").exists()
    assert (directory / "mine.png").read_bytes() == b"mine"
