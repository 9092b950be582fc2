"""From recordings to a prepared directory.

Long, as what is tested is one function, `prepare`, with the same made-up recordings throughout.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from films import write_ucf101
from preparing import in_turn

from tgan_tf.data import tfrecords, video_files
from tgan_tf.data.beam import on_beam
from tgan_tf.data.preparation import Settings, prepare
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.data.tfrecord_videos import TFRecordVideos
from tgan_tf.errors import InputError

RECIPE = Recipe("center_crop", 8)
RAW = Settings(RECIPE, encoding="raw", min_frames=4, videos_per_shard=3)


def _frames(number: int, length: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (length, 8, 8, 3), np.uint8)


def _read(number: int, length: int, journal: str | None, recipe: Recipe, frame_rate: float | None):
    if journal is not None:
        with open(journal, "a") as file:
            print(number, file=file)
    return frame_rate or 25.0, iter(_frames(number, length))


def _unreadable(recipe: Recipe, frame_rate: float | None):
    raise UnreadableRecording("no video in it; only sound")


def _breaks_off(recipe: Recipe, frame_rate: float | None):
    def frames():
        yield from _frames(0, 50)
        raise ValueError("invalid data\nsecond line")

    return 25.0, frames()


def _recordings(count: int, length: int = 5, journal: Path | None = None) -> list[Recording]:
    """Every fourth is for the test."""
    return [
        Recording(
            f"{'ab'[number % 2]}/v{number}.avi",
            "ab"[number % 2],
            "train" if number % 4 else "test",
            functools.partial(_read, number, length + number, journal and str(journal)),
        )
        for number in range(count)
    ]


def _bad(name: str, read=_unreadable) -> Recording:
    return Recording(name, "a", "train", read)


def _rows(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "prepared"


class TestPrepare:
    def test_writes_every_frame_of_every_recording(self, out):
        prepare(_recordings(10), out, RAW, run=in_turn)
        found = []
        for subset in ("train", "test"):
            videos = TFRecordVideos(out, subset)
            for video, name in enumerate(videos.names):
                number, length = int(name[3:-4]), int(videos.lengths[video])
                assert (number % 4 == 0) == (subset == "test")
                frames = videos.read(tf.constant(video), tf.constant(0), length, 1)
                np.testing.assert_array_equal(frames, _frames(number, 5 + number))
                found.append(number)
        assert sorted(found) == list(range(10))

    def test_says_in_info_what_is_there_and_how_it_was_made(self, out):
        source = {"kind": "ucf101", "split": "1"}
        summary = prepare(_recordings(10), out, RAW, ["a", "b"], source, run=in_turn)
        info = json.loads((out / "info.json").read_text())
        assert summary == (False, info, [])
        assert info["recipe"] == {
            "name": "center_crop",
            "size": 8,
            "frame_rate": None,
            "encoding": "raw",
            "quality": 95,
            "min_frames": 4,
            "max_frames": 2000,
            "videos_per_shard": 3,
            "source": source,
        }
        # Lengths are 5 + number; numbers 0, 4 and 8 are for the test.
        assert info["counts"] == {
            "test": {"videos": 3, "records": 3, "frames": 27},
            "train": {"videos": 7, "records": 7, "frames": 68},
        }
        assert info["classes"] == ["a", "b"]
        assert info["frame_shape"] == [8, 8, 3]
        for shard in info["shards"]:
            data = (out / shard["file"]).read_bytes()
            assert shard["bytes"] == len(data)
            assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert sum(shard["records"] for shard in info["shards"]) == 10

    def test_leaves_shards_and_what_describes_them_and_nothing_else(self, out):
        prepare(_recordings(10), out, RAW, run=in_turn)
        assert set(_files(out)) == {
            "info.json",
            "skipped.csv",
            "test-00000-of-00001.tfrecord",
            "train-00000-of-00003.tfrecord",
            "train-00001-of-00003.tfrecord",
            "train-00002-of-00003.tfrecord",
            "videos.csv",
        }

    def test_keeps_names_that_are_not_utf_8_or_of_several_lines(self, tmp_path):
        out = tmp_path / "é\nprepared"
        named = [
            one._replace(name=f"caf\udce9\n,{one.name}", category="cl\udce9", subset="train")
            for one in _recordings(2)
        ]
        prepare(
            [*named, _bad("b\udce9d")._replace(category="cl\udce9")],
            out,
            RAW,
            ["cl\udce9"],
            run=in_turn,
        )
        (out / "caf\udce9.txt").touch()
        summary = prepare(
            [*named, _bad("b\udce9d")._replace(category="cl\udce9")],
            out,
            RAW,
            ["cl\udce9"],
            run=in_turn,
        )
        assert summary.already
        assert [name for name, _ in summary.skipped] == ["b\udce9d"]
        videos = TFRecordVideos(out)
        assert sorted(videos.names) == [one.name for one in named]
        assert videos.classes == ["cl\udce9"]

    def test_makes_the_same_files_whatever_the_order(self, tmp_path):
        prepare(_recordings(10), tmp_path / "one", RAW, run=in_turn)
        prepare(_recordings(10)[::-1], tmp_path / "other", RAW, run=in_turn)
        assert _files(tmp_path / "one") == _files(tmp_path / "other")

    def test_makes_shards_of_about_the_same_size_that_mix_the_names(self, out):
        settings = RAW._replace(videos_per_shard=10)
        prepare(
            [recording._replace(subset="train") for recording in _recordings(25)],
            out,
            settings,
            run=in_turn,
        )
        categories: dict[str, list[str]] = {}
        for row in _rows(out / "videos.csv"):
            categories.setdefault(row["shard"], []).append(row["category"])
        assert sorted(map(len, categories.values())) == [8, 8, 9]
        for mine in categories.values():
            assert set(mine) == {"a", "b"}

    def test_encodes_as_jpeg_of_the_quality_asked_for(self, tmp_path):
        sizes = []
        for quality in (60, 95):
            settings = Settings(RECIPE, min_frames=4, quality=quality)
            path = tmp_path / str(quality)
            prepare(_recordings(2), path, settings, run=in_turn)
            (shard,) = path.glob("train*")
            (example,) = tf.data.TFRecordDataset(str(shard))
            frames = tf.train.Example.FromString(example.numpy()).features.feature["frames"]
            encode = tfrecords.encoder("jpeg", quality)
            assert list(frames.bytes_list.value) == [encode(frame) for frame in _frames(1, 6)]
            sizes.append(shard.stat().st_size)
        assert sizes[0] < sizes[1]

    def test_hands_on_the_frame_rate(self, out):
        prepare(_recordings(2), out, RAW._replace(frame_rate=12.5), run=in_turn)
        assert {row["frame_rate"] for row in _rows(out / "videos.csv")} == {"12.5"}

    def test_numbers_the_classes_in_their_order(self, out):
        prepare(_recordings(6), out, RAW, ["b", "x", "a"], run=in_turn)
        labels = {row["name"][0]: row["label"] for row in _rows(out / "videos.csv")}
        assert labels == {"a": "2", "b": "0"}

    def test_without_classes_gives_no_labels(self, out):
        prepare(_recordings(3), out, RAW, run=in_turn)
        assert {row["label"] for row in _rows(out / "videos.csv")} == {"-1"}
        assert TFRecordVideos(out).labels is None


class TestLongRecording:
    def test_becomes_several_records_without_a_short_remainder(self, out):
        # Of 23 frames: 10, 10, and 3, which are fewer than 4.
        (recording,) = _recordings(1, length=23)
        summary = prepare([recording], out, RAW._replace(max_frames=10), run=in_turn)
        assert summary.info["counts"] == {"test": {"videos": 1, "records": 2, "frames": 20}}
        videos = TFRecordVideos(out, "test")
        assert videos.names == ["a/v0.avi", "a/v0.avi from frame 10"]
        for part in (0, 1):
            frames = videos.read(tf.constant(part), tf.constant(0), 10, 1)
            np.testing.assert_array_equal(frames, _frames(0, 23)[10 * part :][:10])


class TestSkipped:
    BAD = {
        "unreadable.avi": (_unreadable, "no video in it; only sound"),
        "short.avi": (functools.partial(_read, 0, 3, None), "only 3 frames, fewer than 4"),
        "empty.avi": (functools.partial(_read, 0, 0, None), "only 0 frames, fewer than 4"),
        "breaks off.avi": (_breaks_off, "invalid data"),
    }

    def test_recordings_are_listed_with_their_reasons(self, out):
        bad = [_bad(name, read) for name, (read, _) in self.BAD.items()]
        summary = prepare(_recordings(6) + bad, out, RAW, run=in_turn)
        expected = {name: why for name, (_, why) in self.BAD.items()}
        assert dict(summary.skipped) == expected
        assert {row["name"]: row["reason"] for row in _rows(out / "skipped.csv")} == expected
        assert summary.info["skipped"] == {why: 1 for why in expected.values()}
        assert sum(counts["videos"] for counts in summary.info["counts"].values()) == 6

    def test_recording_leaves_no_frame_in_its_shard(self, tmp_path):
        # The first 40 of 50 frames would make records before it breaks off.
        settings = RAW._replace(videos_per_shard=100, max_frames=20)
        recordings = [r._replace(subset="train") for r in _recordings(6)]
        prepare(recordings, tmp_path / "good", settings, run=in_turn)
        recordings.append(_bad("breaks off.avi", _breaks_off))
        prepare(recordings, tmp_path / "both", settings, run=in_turn)
        shard = "train-00000-of-00001.tfrecord"
        assert _files(tmp_path / "good")[shard] == _files(tmp_path / "both")[shard]

    def test_recordings_alone_make_no_shard(self, out):
        summary = prepare([*_recordings(1), _bad("x.avi")], out, RAW, run=in_turn)
        assert [shard["file"] for shard in summary.info["shards"]] == [
            "test-00000-of-00001.tfrecord"
        ]
        assert not list(out.glob("train*"))

    def test_recordings_alone_are_an_error_with_reasons_and_nothing_is_left(self, out):
        bad = [_bad("x.avi"), _bad("y.avi", self.BAD["short.avi"][0])]
        with pytest.raises(InputError, match="none of the 2 recordings.*x.avi: no video") as error:
            prepare(bad, out, RAW, run=in_turn)
        assert "y.avi: only 3 frames" in str(error.value)
        assert not out.exists()


def _fail_in(monkeypatch, shard: str) -> None:
    """The disk is full at a shard."""
    write_shard = tfrecords.write_shard

    def write(path, *arguments):
        if shard in path:
            raise OSError(28, "No space left on device", path)
        return write_shard(path, *arguments)

    monkeypatch.setattr(tfrecords, "write_shard", write)


class TestRestart:
    def test_does_not_redo_finished_shards(self, tmp_path, monkeypatch):
        whole, stopped, journal = tmp_path / "whole", tmp_path / "stopped", tmp_path / "journal"
        recordings = _recordings(20, journal=journal)
        with monkeypatch.context() as context:
            _fail_in(context, "train-00003")
            with pytest.raises(InputError, match="not finished .*No space left on device"):
                prepare(recordings, stopped, RAW, run=in_turn)
        assert not (stopped / "info.json").exists()
        kept = {file.name for file in stopped.glob("*.tfrecord")}
        assert kept

        read_before = journal.read_text().split()
        assert not prepare(recordings, stopped, RAW, run=in_turn).already
        read_after = journal.read_text().split()[len(read_before) :]
        rows = _rows(stopped / "videos.csv")
        assert sorted(read_after) == sorted(
            row["name"][3:-4] for row in rows if row["shard"] not in kept
        )
        prepare(recordings, whole, RAW, run=in_turn)
        assert _files(stopped) == _files(whole)

    def test_redoes_a_shard_that_is_gone(self, tmp_path, out, monkeypatch):
        with monkeypatch.context() as context:
            _fail_in(context, "train-00003")
            with pytest.raises(InputError):
                prepare(_recordings(20), out, RAW, run=in_turn)
        next(out.glob("*.tfrecord")).unlink()
        prepare(_recordings(20), out, RAW, run=in_turn)
        prepare(_recordings(20), tmp_path / "whole", RAW, run=in_turn)
        assert _files(out) == _files(tmp_path / "whole")

    def test_removes_what_a_killed_run_was_writing(self, out):
        (out / ".progress").mkdir(parents=True)
        (out / ".progress/plan.json").write_text("{}")
        (out / f".train-00000-of-00001.tfrecord.{'0a' * 16}").write_bytes(b"half of it")
        prepare(_recordings(2), out, RAW, run=in_turn)
        assert not list(out.glob(".*"))

    def test_after_the_end_reads_nothing_and_says_so(self, tmp_path, out):
        recordings = [*_recordings(4, journal=tmp_path / "journal"), _bad("x.avi")]
        first = prepare(recordings, out, RAW, run=in_turn)
        files, read = _files(out), (tmp_path / "journal").read_text()
        second = prepare(recordings, out, RAW, run=in_turn)
        assert second == first._replace(already=True)
        assert (_files(out), (tmp_path / "journal").read_text()) == (files, read)

    def test_under_another_plan_is_refused_with_what_differs(self, out, monkeypatch):
        with monkeypatch.context() as context:
            _fail_in(context, "train-00001")
            with pytest.raises(InputError):
                prepare(_recordings(10), out, RAW, run=in_turn)
        with pytest.raises(InputError, match="max_frames is 2000 there but 50 now.*another"):
            prepare(_recordings(10), out, RAW._replace(max_frames=50), run=in_turn)

    def test_under_another_plan_is_fine_while_no_shard_is_finished(self, out, monkeypatch):
        with monkeypatch.context() as context:
            _fail_in(context, "train")
            with pytest.raises(InputError):
                prepare(_recordings(10)[1:4], out, RAW, run=in_turn)
        prepare(_recordings(10), out, RAW._replace(max_frames=50), run=in_turn)


class TestOutputDirectory:
    def test_of_another_recipe_is_refused_with_what_differs(self, out):
        prepare(_recordings(4), out, RAW, run=in_turn)
        other = RAW._replace(recipe=Recipe("ucf101", 8))
        with pytest.raises(InputError, match="name is 'center_crop' there but 'ucf101' now"):
            prepare(_recordings(4), out, other, run=in_turn)

    def test_of_other_recordings_is_refused_with_their_numbers(self, out):
        prepare(_recordings(4), out, RAW, run=in_turn)
        with pytest.raises(InputError, match=r"subsets differ \(4 recordings there, 5 now\)"):
            prepare(_recordings(5), out, RAW, run=in_turn)

    def test_of_other_classes_is_refused(self, out):
        prepare(_recordings(4), out, RAW, ["a", "b"], run=in_turn)
        with pytest.raises(InputError, match="classes differ"):
            prepare(_recordings(4), out, RAW, ["b", "a"], run=in_turn)

    def test_with_something_else_in_it_is_refused(self, out):
        out.mkdir()
        (out / "thesis.tex").write_text("")
        with pytest.raises(InputError, match="holds thesis.tex.*give an empty"):
            prepare(_recordings(4), out, RAW, run=in_turn)
        assert set(_files(out)) == {"thesis.tex"}

    @pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 1, "recipe": 2}'])
    def test_with_a_damaged_info_is_refused(self, text, out):
        out.mkdir()
        (out / "info.json").write_text(text)
        with pytest.raises(InputError, match="is damaged"):
            prepare(_recordings(4), out, RAW, run=in_turn)

    def test_with_a_shard_cut_short_is_refused(self, out):
        prepare(_recordings(4), out, RAW, run=in_turn)
        path = next(out.glob("train*"))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(InputError, match=f"{path.name}: is missing or truncated"):
            prepare(_recordings(4), out, RAW, run=in_turn)

    def test_that_is_a_file_is_refused(self, out):
        out.write_text("")
        with pytest.raises(InputError, match="prepared: is not a directory"):
            prepare(_recordings(4), out, RAW, run=in_turn)


BAD_SETTINGS = {
    "frame_rate": (0.0, "frame_rate=0.0"),
    "encoding": ("png", "encoding='png': must be one of jpeg, raw"),
    "quality": (101, "quality=101"),
    "min_frames": (0, "min_frames=0"),
    "max_frames": (3, "max_frames=3: must be at least min_frames=4"),
    "videos_per_shard": (0, "videos_per_shard=0"),
}


class TestBadInput:
    @pytest.mark.parametrize("name", BAD_SETTINGS)
    def test_setting_out_of_range_is_refused_before_anything_is_made(self, name, out):
        value, match = BAD_SETTINGS[name]
        with pytest.raises(InputError, match=match):
            prepare(_recordings(4), out, RAW._replace(**{name: value}), run=in_turn)
        assert not out.exists()

    def test_no_recordings_are_refused(self, out):
        with pytest.raises(InputError, match="recordings: must not be empty"):
            prepare([], out, RAW, run=in_turn)

    def test_recordings_of_one_name_are_refused(self, out):
        with pytest.raises(InputError, match=r"2 are called 'a/v0\.avi'"):
            prepare(_recordings(4) + _recordings(1), out, RAW, run=in_turn)

    def test_recording_of_no_class_is_refused(self, out):
        with pytest.raises(InputError, match=r"b/v1\.avi: its category 'b' is not one of the 1"):
            prepare(_recordings(4), out, RAW, ["a"], run=in_turn)

    def test_missing_beam_is_named_with_what_installs_it(self, out, monkeypatch):
        monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
        with pytest.raises(InputError, match=r"apache_beam.*pip install 'tgan_tf\[prepare\]'"):
            prepare(_recordings(4), out, RAW)

    @pytest.mark.slow
    def test_flag_that_beam_does_not_have_is_refused(self):
        with pytest.raises(InputError, match="direct_num_worker is not a flag of Apache Beam"):
            on_beam(["--direct_num_worker=2"])

    def test_value_that_beam_does_not_take_is_refused(self):
        with pytest.raises(InputError, match="direct_num_workers=two"):
            on_beam(["--direct_num_workers=two"])


class TestProcesses:
    @pytest.mark.slow
    def test_share_the_work_quietly_and_are_gone_at_the_end(self, tmp_path, out, capfd):
        write_ucf101(tmp_path / "videos", groups=1, clips=1, in_folders=True)
        (tmp_path / "videos/Talking/noise.avi").write_bytes(bytes(range(256)) * 40)
        recordings = video_files.recordings(tmp_path / "videos")
        settings = Settings(Recipe("ucf101", 16), encoding="raw", videos_per_shard=1)
        summary = prepare(recordings, out, settings)
        shown = capfd.readouterr()
        assert shown.out == ""
        # A slow machine is told once a minute how far it is.
        assert all(line.endswith(" of 4 videos") for line in shown.err.splitlines())
        assert [name for name, _ in summary.skipped] == ["Talking/noise.avi"]
        videos = TFRecordVideos(out)
        for video, name in enumerate(videos.names):
            (recording,) = (recording for recording in recordings if recording.name == name)
            frames = np.stack(list(recording.read(settings.recipe, None)[1]))
            read = videos.read(tf.constant(video), tf.constant(0), len(frames), 1)
            np.testing.assert_array_equal(read, frames)
        assert multiprocessing.active_children() == []
