"""The program that converts tables, run as a user runs it; the rest is in data/test_hdf5.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

CONVERT = Path(__file__).parents[2] / "experiments/convert_table.py"
CSV = "start,end,category,group,scene\n0,18,Biking,1,1\n18,23,Biking,2,1\n23,43,Talking,1,12\n"


def convert(source, target, *flags):
    return subprocess.run(
        [sys.executable, str(CONVERT), f"--input={source}", f"--output={target}", *flags],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def rows():
    """As the reference's script collects them."""
    return [
        {"category": "Biking", "group": 1, "scene": 1, "start": 0, "end": 18},
        {"category": "Biking", "group": 2, "scene": 1, "start": 18, "end": 23},
        {"category": "Talking", "group": 1, "scene": 12, "start": 23, "end": 43},
    ]


def test_the_reference_s_pickle_becomes_a_csv_file(rows, tmp_path):
    source, target = tmp_path / "ucf101_train_pd.pkl", tmp_path / "ucf101_train.csv"
    pd.DataFrame(rows).to_pickle(source)
    result = convert(source, target, "--allow_unpickling")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{target}: 3 rows written\n"
    assert target.read_text() == CSV


def test_a_csv_file_becomes_a_pickle_that_the_reference_reads(rows, tmp_path):
    source, target = tmp_path / "ucf101_train.csv", tmp_path / "ucf101_train_pd.pkl"
    source.write_text(CSV)
    result = convert(source, target)
    assert (result.returncode, result.stderr) == (0, "")
    frame = pd.read_pickle(target)
    assert frame.index.tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(frame, pd.DataFrame(rows), check_like=True)


def test_a_mistake_is_one_line(rows, tmp_path):
    pd.DataFrame(rows).to_pickle(tmp_path / "t.pkl")
    result = convert(tmp_path / "t.pkl", tmp_path / "t.csv")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"convert_table.py: error: {tmp_path}/t.pkl: unpickling runs")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "t.csv").exists()
