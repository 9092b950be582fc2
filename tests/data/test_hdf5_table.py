"""The table of the videos in an HDF5 file: CSV, and the reference's pickle."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tgan_tf.data import hdf5_table
from tgan_tf.errors import Argument, InputError

COLUMNS = ["category", "group", "scene", "start", "end"]
VIDEOS = [
    ("Biking", 1, 1, 0, 18),
    ("Biking", 2, 1, 18, 23),
    ("Talking", 1, 1, 23, 43),
    ("Talking", 1, 12, 43, 50),
]
# As the reference's script collects them.
ROWS = [dict(zip(COLUMNS, video)) for video in VIDEOS]
NAMES = ("v_Biking_g01_c01", "v_Biking_g02_c01", "v_Talking_g01_c01", "v_Talking_g01_c12")


def write_csv(path, rows, columns=COLUMNS):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("tables")
    write_csv(directory / "ucf101_train.csv", ROWS)
    pd.DataFrame(ROWS).to_pickle(directory / "ucf101_train_pd.pkl")
    return directory


def line_of(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


HEADER = b"start,end,category,group,scene\n"
NO_TABLES = {
    "missing": ("t.csv", None, "cannot be read"),
    "empty": ("t.csv", b"", "has no column start, end, category, group, scene"),
    "without rows": ("t.csv", HEADER, "has no rows"),
    "with a short row": ("t.csv", HEADER + b"1,2\n", "line 2: group=None"),
    "not text": ("t.csv", b"\x89HDF\r\n\x1a\n\xff\xfe", "is not UTF-8 text .byte 0 is 0x89"),
    "a missing pickle": ("t.pkl", None, "cannot be unpickled"),
    "no pickle": ("t.pkl", b"start,end", "cannot be unpickled"),
    "the reference's other pickle": (
        "t.pkl",
        pickle.dumps([(0, 18), (18, 23)]),
        "holds a list, not a DataFrame",
    ),
    "a pickle of other columns": (
        "t.pkl",
        pickle.dumps(pd.DataFrame({"start": [0]})),
        "has no column end, category, group, scene",
    ),
}


class TestReadTable:
    def test_gives_the_columns_of_a_csv_file_in_any_order_without_the_others(self, tmp_path):
        text = (
            'scene,note,end,"category",start,group\r\n3,"a, b",9,Archery,2,25\r\n1,,12,Bowling,9,4'
        )
        (tmp_path / "t.csv").write_text(text)
        table = hdf5_table.read_table(tmp_path / "t.csv")
        assert table.start.tolist() == [2, 9]
        assert table.end.tolist() == [9, 12]
        assert table.category == ("Archery", "Bowling")
        assert table.group.tolist() == [25, 4]
        assert table.scene.tolist() == [3, 1]
        assert {table.start.dtype, table.end.dtype, table.group.dtype} == {np.dtype(np.int64)}

    def test_gives_what_the_reference_s_pickle_holds(self, directory):
        table = hdf5_table.read_table(directory / "ucf101_train_pd.pkl", True)
        for column in COLUMNS:
            assert list(getattr(table, column)) == [row[column] for row in ROWS]

    def test_reads_a_csv_file_with_a_byte_order_mark(self, directory, tmp_path):
        text = (directory / "ucf101_train.csv").read_text()
        (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig")
        assert hdf5_table.read_table(tmp_path / "t.csv").names == NAMES

    def test_reads_from_an_object_store(self, directory):
        tf.io.gfile.copy(str(directory / "ucf101_train.csv"), "ram://tables/t.csv", True)
        assert hdf5_table.read_table("ram://tables/t.csv").names == NAMES

    def test_refuses_a_pickle_without_unpickling_it_and_says_what_allows_it(self, tmp_path):
        path = tmp_path / "t_pd.pkl"
        path.write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
        with pytest.raises(InputError) as error:
            hdf5_table.read_table(path)
        assert not (tmp_path / "sprung").exists()
        assert str(path) in line_of(error)
        assert Argument("allow_unpickling", True) in error.value.parts
        assert "allow_unpickling=True, or give a CSV file" in line_of(error)

    @pytest.mark.parametrize("column", COLUMNS)
    def test_names_a_missing_column(self, directory, tmp_path, column):
        columns = [name for name in COLUMNS if name != column]
        path = write_csv(tmp_path / "t.csv", ROWS, columns)
        with pytest.raises(InputError, match=rf"t\.csv: has no column {column}: give"):
            hdf5_table.read_table(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"start": "x"}, r"line 3: start='x': must be an integer ≥ 0"),
            ({"start": "1.5"}, r"line 3: start='1.5': must be"),
            ({"end": ""}, r"line 3: end='': must be"),
            ({"end": "9" * 30}, r"line 3: end='9+': must be"),
            ({"start": -1}, r"line 3: start='-1': must be"),
            ({"group": "nan"}, r"line 3: group='nan': must be"),
            ({"start": 23}, r"line 3: start=23, end=23: .* greater than start"),
            ({"category": " "}, r"line 3: category='': give a name"),
            ({"group": 1}, r"line 3: category=Biking, group=1, scene=1 is in line 2 .* remove"),
        ],
        ids=str,
    )
    def test_names_the_line_of_a_csv_file_that_is_wrong(self, directory, tmp_path, change, message):
        rows = [dict(row) for row in ROWS]
        rows[1].update(change)
        path = write_csv(tmp_path / "t.csv", rows)
        with pytest.raises(InputError, match=rf"t\.csv: {message}") as error:
            hdf5_table.read_table(path)
        line_of(error)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, None, "x"])
    def test_names_the_row_of_a_pickle_that_is_wrong(self, directory, tmp_path, value):
        rows = [dict(row) for row in ROWS]
        rows[2]["scene"] = value
        pd.DataFrame(rows).to_pickle(tmp_path / "t.pkl")
        with pytest.raises(InputError, match=r"t\.pkl: row 2: scene=.*: must be an integer ≥ 0"):
            hdf5_table.read_table(tmp_path / "t.pkl", allow_unpickling=True)

    @pytest.mark.parametrize(("name", "data", "message"), NO_TABLES.values(), ids=NO_TABLES)
    def test_refuses_what_is_no_table(self, tmp_path, name, data, message):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message) as error:
            hdf5_table.read_table(tmp_path / name, allow_unpickling=True)
        assert str(tmp_path / name) in line_of(error)
        assert "give" in line_of(error) or "must be" in line_of(error)


class TestTablePath:
    @pytest.mark.parametrize(
        ("names", "found"),
        [
            (["x.csv", "x_pd.csv", "x_pd.pkl"], "x.csv"),
            (["x_pd.csv", "x_pd.pkl"], "x_pd.csv"),
            (["x_pd.pkl", "y.csv"], "x_pd.pkl"),
            (["x_conf_pd.pkl", "x_conf.pkl"], "x_conf_pd.pkl"),
        ],
    )
    def test_is_a_csv_file_before_the_reference_s_pickle(self, tmp_path, names, found):
        for name in names:
            (tmp_path / name).touch()
        assert hdf5_table.table_path(tmp_path / "x.h5") == str(tmp_path / found)

    def test_of_a_file_without_one_is_refused_with_the_names_looked_for(self, tmp_path):
        with pytest.raises(InputError, match=r"x\.csv, .*x_pd\.pkl, x_conf_pd\.pkl") as error:
            hdf5_table.table_path(tmp_path / "x.h5")
        assert str(tmp_path / "x.h5") in line_of(error)


class TestWriteTable:
    def test_writes_a_pickle_that_the_reference_reads(self, directory, tmp_path):
        table = hdf5_table.read_table(directory / "ucf101_train.csv")
        hdf5_table.write_table(tmp_path / "t.pkl", table)
        frame = pd.read_pickle(tmp_path / "t.pkl")
        pd.testing.assert_frame_equal(frame[COLUMNS], pd.DataFrame(ROWS))
        assert isinstance(frame.index, pd.RangeIndex)

    def test_writes_a_csv_file_of_the_columns(self, directory, tmp_path):
        table = hdf5_table.read_table(directory / "ucf101_train_pd.pkl", True)
        hdf5_table.write_table(tmp_path / "t.csv", table)
        lines = (tmp_path / "t.csv").read_text().splitlines()
        assert lines[0] == "start,end,category,group,scene"
        assert lines[1:3] == ["0,18,Biking,1,1", "18,23,Biking,2,1"]

    def test_keeps_a_category_with_a_comma(self, directory, tmp_path):
        table = hdf5_table.read_table(directory / "ucf101_train.csv")
        table = table._replace(category=('a, "b"', "c", "d", "e"))
        hdf5_table.write_table(tmp_path / "t.csv", table)
        assert hdf5_table.read_table(tmp_path / "t.csv").category == table.category

    def test_leaves_a_file_that_exists_as_it_is(self, directory, tmp_path):
        (tmp_path / "t.csv").write_text("mine")
        with pytest.raises(InputError, match=r"t\.csv: already exists"):
            hdf5_table.write_table(
                tmp_path / "t.csv", hdf5_table.read_table(directory / "ucf101_train.csv")
            )
        assert (tmp_path / "t.csv").read_text() == "mine"

    @pytest.mark.parametrize("name", ["t.txt", "t", "nowhere/t.csv"])
    def test_refuses_a_path_it_cannot_write(self, directory, tmp_path, name):
        table = hdf5_table.read_table(directory / "ucf101_train.csv")
        with pytest.raises(InputError) as error:
            hdf5_table.write_table(tmp_path / name, table)
        assert str(tmp_path / name) in line_of(error)
        assert not list(tmp_path.iterdir())


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
