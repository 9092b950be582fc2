"""The program that converts tables, run as a user runs it; the rest is in data/test_hdf5.py."""

from __future__ import annotations

import pandas as pd
import pytest
from programs import run_all

pytestmark = pytest.mark.slow

CSV = "start,end,category,group,scene\n0,18,Biking,1,1\n18,23,Biking,2,1\n23,43,Talking,1,12\n"


ROWS = [  # As the reference's script collects them.
    {"category": "Biking", "group": 1, "scene": 1, "start": 0, "end": 18},
    {"category": "Biking", "group": 2, "scene": 1, "start": 18, "end": 23},
    {"category": "Talking", "group": 1, "scene": 12, "start": 23, "end": 43},
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tables")
    pd.DataFrame(ROWS).to_pickle(directory / "ucf101_train_pd.pkl")
    (directory / "ucf101_train.csv").write_text(CSV)
    return directory


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, and what became of each."""
    return run_all(
        "reference/convert_table.py",
        {
            "mistake": ["--input=ucf101_train_pd.pkl", "--output=t.csv"],
            "csv": ["--input=ucf101_train_pd.pkl", "--output=new.csv", "--allow_unpickling"],
            "pickle": ["--input=ucf101_train.csv", "--output=new.pkl"],
        },
        directory,
    )


def test_the_reference_s_pickle_becomes_a_csv_file(directory, results):
    result = results["csv"]
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout == "new.csv: 3 rows written\n"
    assert (directory / "new.csv").read_text() == CSV


def test_a_csv_file_becomes_a_pickle_that_the_reference_reads(directory, results):
    assert (results["pickle"].code, results["pickle"].stderr) == (0, "")
    frame = pd.read_pickle(directory / "new.pkl")
    assert frame.index.tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(frame, pd.DataFrame(ROWS), check_like=True)


def test_a_mistake_is_one_line(directory, results):
    result = results["mistake"]
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("convert_table.py: error: ucf101_train_pd.pkl: unpickling runs")
    assert len(result.stderr.splitlines()) == 1
    assert not (directory / "t.csv").exists()
