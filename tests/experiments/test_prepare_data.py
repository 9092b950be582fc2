"""The program that prepares videos, run as a user runs it."""

from __future__ import annotations

import csv
import json

import pytest
import tensorflow as tf
from films import write_ucf101
from programs import run_all

pytestmark = pytest.mark.slow

# One process: Beam starts no workers.
IN_MEMORY = ("--", "--direct_running_mode=in_memory", "--direct_num_workers=1")

MISTAKES = {
    "share": (["--max_skipped_share=2"], "--max_skipped_share=2: must be a number ≥ 0 and ≤ 1"),
    "no frames": (["--min_frames=0"], "min_frames=0"),
    "no rate": (["--frame_rate=-1"], "frame_rate=-1"),
    "small": (["--size=4"], "--size=4: must be ≥ 8, the smallest size"),
    "no lists": (["--split=1"], "trainlist01.txt"),
    "table": (["--table=a.csv"], "--table=a.csv: no such file"),
    "no flag": (["films"], "'films' is not a flag"),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    write_ucf101(directory / "UCF-101", groups=1, clips=2, frames=20)
    sound = write_ucf101(directory / "films", groups=1, clips=2, frames=20)
    (directory / "films/v_Biking_g07_c01.avi").write_bytes(b"")
    (directory / "films/v_Biking_g07_c02.avi").write_bytes(sound[0].read_bytes()[:9000])
    return directory


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, and what became of each."""
    ucf101 = ["--data_path=UCF-101", "--output_dir=prepared", "--size=16", "--videos_per_shard=2"]
    films = ["--data_path=films", "--output_dir=skipped", "--size=16"]
    mistaken = ["--data_path=UCF-101", "--output_dir=mistaken", "--size=16"]
    return run_all(
        "prepare_data.py",
        {
            # All cores, as a user has it.
            "prepared": ucf101,
            "too many skipped": [*films, *IN_MEMORY],
            "as many as may be skipped": [*films, "--max_skipped_share=0.25", *IN_MEMORY],
            "prepared already": [*ucf101, *IN_MEMORY],
            "another recipe": [*ucf101, "--recipe=center_crop", *IN_MEMORY],
            **{name: [*mistaken, *flags] for name, (flags, _) in MISTAKES.items()},
            "no power of two": [*mistaken, "--size=17", "--split=1"],
        },
        directory,
        beam=True,
    )


class TestPreparation:
    def test_says_what_it_has_prepared_and_nothing_else(self, results):
        result = results["prepared"]
        assert result.code == 0, result.stderr
        assert result.stdout.splitlines() == ["prepared: train: 6 videos, 6 records, 129 frames"]
        assert result.stderr == ""

    def test_writes_shards_that_tensorflow_reads(self, results, directory):
        shards = sorted(str(path) for path in directory.glob("prepared/train-*.tfrecord"))
        assert len(shards) == 3
        assert sum(1 for _ in tf.data.TFRecordDataset(shards)) == 6

    def test_says_so_if_all_is_prepared_and_writes_nothing(self, results, directory):
        assert results["prepared already"].code == 0
        assert results["prepared already"].stdout.startswith("prepared: is already prepared\n")
        between = (directory / "skipped/info.json").stat().st_mtime_ns
        assert all(path.stat().st_mtime_ns < between for path in directory.glob("prepared/*"))

    def test_of_another_recipe_is_refused(self, results):
        result = results["another recipe"]
        assert result.code == 1
        assert "center_crop" in result.stderr and len(result.stderr.splitlines()) == 1
        assert result.stderr.endswith("give another --output_dir\n")


class TestSkippedVideos:
    def test_are_listed_with_their_reasons_and_counted(self, results, directory):
        with open(directory / "skipped/skipped.csv", newline="") as file:
            skipped = {row["name"]: row["reason"] for row in csv.DictReader(file)}
        assert set(skipped) == {"v_Biking_g07_c01.avi", "v_Biking_g07_c02.avi"}
        assert "empty file" in skipped["v_Biking_g07_c01.avi"]
        assert "2 of 8 videos skipped" in results["too many skipped"].stdout
        counts = json.loads((directory / "skipped/info.json").read_text())["counts"]
        assert counts["train"]["videos"] == 6

    def test_are_too_many_above_a_share(self, results):
        assert results["too many skipped"].code == 1
        assert "25.0% of the videos were skipped" in results["too many skipped"].stderr
        assert results["as many as may be skipped"].code == 0


@pytest.mark.parametrize("name", MISTAKES)
def test_bad_flags_are_refused_in_one_line(results, directory, name):
    assert results[name].code == 1
    assert MISTAKES[name][1] in results[name].stderr
    assert len(results[name].stderr.splitlines()) == 1
    assert not (directory / "mistaken").exists()


def test_a_size_that_no_training_has_is_said_before_anything_is_prepared(results):
    warning, error = results["no power of two"].stderr.splitlines()
    assert "--size=17: is not a power of two: training will crop frames to 16 rows" in warning
    assert "trainlist01.txt" in error
