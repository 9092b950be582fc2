"""UCF-101 as it is downloaded: names, lists, classes."""

from __future__ import annotations

from pathlib import Path

import films
import numpy as np
import pytest

from tgan_tf.data.recordings import Recipe
from tgan_tf.data.ucf101 import classes, is_ucf101, parse, recordings
from tgan_tf.errors import InputError

NAMES = [
    "v_Archery_g01_c01.avi",
    "v_Archery_g02_c01.avi",
    "v_HandStandPushups_g01_c01.avi",
    "v_HandStandPushups_g02_c03.avi",
    "v_YoYo_g01_c01.avi",
]
CLASSES = b"1 Archery\r\n2 HandstandPushups\r\n101 YoYo\r\n"


@pytest.fixture(params=["flat", "in folders"])
def directory(tmp_path, request) -> Path:
    """Five videos, and lists that leave out the last one, beside them."""
    directory = tmp_path / "UCF-101"
    for name in NAMES:
        folder = directory / parse(name)[0] if request.param == "in folders" else directory
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    _write_lists(tmp_path / "ucfTrainTestlist")
    return directory


def _write_lists(lists: Path) -> None:
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_bytes(CLASSES)
    (lists / "trainlist01.txt").write_bytes(
        b"Archery/v_Archery_g02_c01.avi 1  \r\n"
        b"HandstandPushups/v_HandStandPushups_g02_c03.avi 2\r\n\r\n"
    )
    (lists / "testlist01.txt").write_bytes(
        b"Archery/v_Archery_g01_c01.avi\nHandstandPushups/v_HandStandPushups_g01_c01.avi"
    )


def _found(*arguments, **named) -> dict:
    found = recordings(*arguments, **named)
    return {each.name.split("/")[-1]: (each.category, each.subset) for each in found}


class TestParse:
    @pytest.mark.parametrize("folder", ["", "ApplyEyeMakeup/", "s3://bucket/UCF-101/"])
    def test_takes_category_group_and_clip_out_of_the_name(self, folder):
        assert parse(f"{folder}v_ApplyEyeMakeup_g08_c12.avi") == ("ApplyEyeMakeup", 8, 12)

    @pytest.mark.parametrize(
        "name", ["v_Biking_g01_c01.mp4", "Biking_g01_c01.avi", "v_Biking_g01.avi", "v__g01_c01.avi"]
    )
    def test_knows_what_is_not_named_like_it(self, name):
        assert parse(name) is None

    def test_of_all_names_tells_the_data_set(self):
        assert is_ucf101(NAMES)
        assert not is_ucf101([*NAMES, "holiday.mp4"])


class TestRecordings:
    def test_of_all_splits_are_all_videos_to_train_on(self, directory):
        found = _found(directory)
        assert list(found) == NAMES
        assert {subset for _, subset in found.values()} == {"train"}

    def test_in_held_out_folders_are_not_trained_on(self, tmp_path):
        names = [f"train/Archery/{NAMES[0]}", f"test/Archery/{NAMES[1]}", f"val/{NAMES[4]}"]
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        with pytest.warns(UserWarning, match="the 1 videos in val are left out"):
            found = _found(tmp_path)
        assert {name: subset for name, (_, subset) in found.items()} == {
            NAMES[0]: "train",
            NAMES[1]: "test",
        }

    def test_of_a_split_are_those_on_its_lists(self, directory):
        assert _found(directory, "1") == {
            "v_Archery_g01_c01.avi": ("Archery", "test"),
            "v_Archery_g02_c01.avi": ("Archery", "train"),
            "v_HandStandPushups_g01_c01.avi": ("HandstandPushups", "test"),
            "v_HandStandPushups_g02_c03.avi": ("HandstandPushups", "train"),
        }

    def test_are_of_the_class_in_their_names_not_of_their_folder(self, tmp_path):
        (tmp_path / "misc").mkdir()
        (tmp_path / "misc" / NAMES[0]).touch()
        assert recordings(tmp_path)[0].name == f"misc/{NAMES[0]}"
        assert recordings(tmp_path)[0].category == "Archery"

    def test_leave_out_videos_of_other_names(self, directory):
        (directory / "holiday.mp4").touch()
        assert list(_found(directory)) == NAMES

    @pytest.mark.parametrize("place", ["UCF-101", "UCF-101/ucfTrainTestlist", "elsewhere"])
    def test_find_the_lists(self, tmp_path, place):
        directory = tmp_path / "UCF-101"
        if place == "UCF-101":
            _write_lists(directory)
        else:
            directory.mkdir()
            _write_lists(tmp_path / place)
        for name in NAMES:
            (directory / name).touch()
        lists = tmp_path / place if place == "elsewhere" else None
        assert len(recordings(directory, "1", lists)) == 4
        assert classes(directory, lists) == ("Archery", "HandstandPushups", "YoYo")

    def test_find_the_lists_beside_a_relative_directory_and_a_url(self, directory, monkeypatch):
        expected = _found(directory, "1")
        assert _found(f"file://{directory}", "1") == expected
        assert _found(f"file://{directory}/", "1") == expected
        monkeypatch.chdir(directory)
        assert _found(".", "1") == expected

    def test_are_read_as_video_files(self, tmp_path):
        films.cut("bikes", tmp_path / NAMES[0], 0, 3)
        rate, frames = recordings(tmp_path)[0].read(Recipe("ucf101", 64), None)
        assert rate == 25
        assert np.stack(list(frames)).shape == (3, 64, 85, 3)


class TestClasses:
    def test_are_in_the_order_of_their_numbers(self, tmp_path):
        (tmp_path / "classInd.txt").write_text("10 Biking\n2 Archery\n")
        assert classes(tmp_path) == ("Archery", "Biking")

    def test_are_read_with_a_byte_order_mark(self, tmp_path):
        (tmp_path / "classInd.txt").write_bytes(b"\xef\xbb\xbf" + CLASSES)
        assert classes(tmp_path) == ("Archery", "HandstandPushups", "YoYo")

    def test_refuse_a_file_that_is_no_text(self, tmp_path):
        (tmp_path / "classInd.txt").write_bytes(b"1 Caf\xe9\n")
        with pytest.raises(InputError, match=r"classInd.txt: is not UTF-8 text .*byte 5 is 0xe9"):
            classes(tmp_path)

    def test_are_none_without_the_file(self, tmp_path):
        assert classes(tmp_path) is None

    def test_refuse_a_line_that_is_no_number_and_name(self, tmp_path):
        (tmp_path / "classInd.txt").write_text("1 Archery\nBiking\n")
        with pytest.raises(InputError, match="classInd.txt: 'Biking' is not a number and a name"):
            classes(tmp_path)


class TestBadInput:
    def test_of_a_split_that_is_none(self, directory):
        with pytest.raises(InputError, match="split='4': must be one of all, 1, 2, 3"):
            recordings(directory, "4")

    def test_of_a_split_whose_lists_are_missing(self, directory):
        with pytest.raises(InputError, match="trainlist02.txt: is not in .*UCF-101, .*: give"):
            recordings(directory, "2")

    def test_of_lists_that_are_not_in_the_place_given(self, directory, tmp_path):
        with pytest.raises(InputError, match=f"trainlist01.txt: is not in {tmp_path}/none: give"):
            recordings(directory, "1", tmp_path / "none")

    def test_of_a_list_that_names_missing_files(self, directory, tmp_path):
        for path in directory.rglob("v_*_g02_*"):
            path.unlink()
        with pytest.raises(InputError) as error:
            recordings(directory, "1")
        assert str(error.value) == (
            f"{tmp_path}/ucfTrainTestlist/trainlist01.txt: 2 of the 2 videos it names are not "
            f"under {directory}, such as v_Archery_g02_c01.avi: download them, or give split='all'"
        )

    def test_of_an_empty_list(self, directory, tmp_path):
        (tmp_path / "ucfTrainTestlist" / "testlist01.txt").write_text("\n")
        with pytest.raises(InputError, match="testlist01.txt: names no videos"):
            recordings(directory, "1")

    def test_of_a_directory_with_videos_of_other_names(self, tmp_path):
        (tmp_path / "holiday.avi").touch()
        with pytest.raises(InputError, match="no videos named v_<Category>_g<group>_c<clip>.avi"):
            recordings(tmp_path)
