"""The program that prepares videos, run as a user runs it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from films import write_ucf101
from programs import run_all

PREPARE = Path(__file__).parents[2] / "experiments/prepare_data.py"
# One process: Beam starts no workers.
IN_MEMORY = ("--", "--direct_running_mode=in_memory", "--direct_num_workers=1")


def prepare(data_path, output_dir, *more, beam=IN_MEMORY):
    command = [sys.executable, str(PREPARE), f"--data_path={data_path}"]
    return subprocess.run(
        [*command, f"--output_dir={output_dir}", "--size=16", *more, *beam],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "UCF-101"
    write_ucf101(directory, groups=1, clips=2, frames=20)
    return directory


@pytest.fixture(scope="module")
def prepared(ucf101, tmp_path_factory):
    directory = tmp_path_factory.mktemp("prepared") / "ucf101"
    # All cores, as a user has it.
    result = prepare(ucf101, directory, "--videos_per_shard=2", beam=())
    return directory, result


class TestPreparation:
    def test_says_what_it_has_prepared_and_nothing_else(self, prepared):
        directory, result = prepared
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == [
            f"{directory}: train: 6 videos, 6 records, 129 frames"
        ]
        assert result.stderr == ""

    def test_writes_shards_that_tensorflow_reads(self, prepared):
        shards = sorted(str(path) for path in prepared[0].glob("train-*.tfrecord"))
        assert len(shards) == 3
        assert sum(1 for _ in tf.data.TFRecordDataset(shards)) == 6

    def test_says_so_if_all_is_prepared(self, ucf101, prepared):
        before = {path: path.stat().st_mtime_ns for path in prepared[0].iterdir()}
        result = prepare(ucf101, prepared[0], "--videos_per_shard=2")
        assert result.returncode == 0
        assert result.stdout.startswith(f"{prepared[0]}: is prepared already\n")
        assert {path: path.stat().st_mtime_ns for path in prepared[0].iterdir()} == before

    def test_of_another_recipe_is_refused(self, ucf101, prepared):
        result = prepare(ucf101, prepared[0], "--videos_per_shard=2", "--recipe=center_crop")
        assert result.returncode == 1
        assert "center_crop" in result.stderr and len(result.stderr.splitlines()) == 1


class TestSkippedVideos:
    @pytest.fixture
    def with_bad_ones(self, tmp_path):
        directory = tmp_path / "films"
        sound = write_ucf101(directory, groups=1, clips=2, frames=20)
        (directory / "v_Biking_g07_c01.avi").write_bytes(b"")
        (directory / "v_Biking_g07_c02.avi").write_bytes(sound[0].read_bytes()[:9000])
        return directory

    def test_are_listed_with_their_reasons_and_counted(self, with_bad_ones, tmp_path):
        result = prepare(with_bad_ones, tmp_path / "out")
        with open(tmp_path / "out/skipped.csv", newline="") as file:
            skipped = {row["name"]: row["reason"] for row in csv.DictReader(file)}
        assert set(skipped) == {"v_Biking_g07_c01.avi", "v_Biking_g07_c02.avi"}
        assert "empty file" in skipped["v_Biking_g07_c01.avi"]
        assert "2 of 8 videos skipped" in result.stdout
        counts = json.loads((tmp_path / "out/info.json").read_text())["counts"]
        assert counts["train"]["videos"] == 6

    def test_are_too_many_above_a_share(self, with_bad_ones, tmp_path):
        result = prepare(with_bad_ones, tmp_path / "out")
        assert result.returncode == 1
        assert "25.0% of the videos were skipped" in result.stderr
        result = prepare(with_bad_ones, tmp_path / "out", "--max_skipped_share=0.25")
        assert result.returncode == 0


MISTAKES = {
    "share": (["--max_skipped_share=2"], "--max_skipped_share=2: must be a number ≥ 0 and ≤ 1"),
    "no frames": (["--min_frames=0"], "min_frames=0"),
    "no rate": (["--frame_rate=-1"], "frame_rate=-1"),
    "no lists": (["--split=1"], "trainlist01.txt"),
    "table": (["--table=a.csv"], "--table=a.csv: no such file"),
    "no flag": (["films"], "'films' is not a flag"),
}


@pytest.fixture(scope="module")
def mistaken(ucf101, tmp_path_factory):
    """What became of the commands with mistakes, and where they ran."""
    directory = tmp_path_factory.mktemp("mistaken")
    common = [f"--data_path={ucf101}", "--output_dir=out", "--size=16"]
    commands = {name: [*common, *flags] for name, (flags, _) in MISTAKES.items()}
    return run_all("prepare_data.py", commands, directory), directory


@pytest.mark.parametrize("name", MISTAKES)
def test_bad_flags_are_refused_in_one_line(mistaken, name):
    results, directory = mistaken
    assert results[name].code == 1
    assert MISTAKES[name][1] in results[name].stderr
    assert len(results[name].stderr.splitlines()) == 1
    assert not (directory / "out").exists()
