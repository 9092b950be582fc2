"""The prepared format: as written, as read by others, and as read window by window."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tgan_tf import pipeline_errors, stack
from tgan_tf.data import storage, tfrecords
from tgan_tf.data.tfrecord_videos import TFRecordVideos
from tgan_tf.data.tfrecords import EncodedVideo
from tgan_tf.data.windows import Windows
from tgan_tf.errors import Argument, InputError

SHAPE = (8, 10, 3)
LENGTHS = (6, 9, 7, 5)
CLASSES = ("Biking", "Talking")


def _frames(number: int) -> np.ndarray:
    """Frames of video `number`, smooth as pictures are: uint8 [length, *SHAPE]."""
    corners = np.random.default_rng(number).integers(0, 256, (LENGTHS[number], 2, 2, 3), np.uint8)
    large = [Image.fromarray(frame).resize((10, 8), Image.Resampling.BILINEAR) for frame in corners]
    return np.stack([np.asarray(frame) for frame in large])


def _video(number: int, encoding: str) -> EncodedVideo:
    encode = tfrecords.encoder(encoding, 95)
    category = CLASSES[number % 2]
    return EncodedVideo(
        f"{category}/v{number}.avi",
        category,
        number % 2,
        0,
        25.0,
        [encode(frame) for frame in _frames(number)],
    )


def _prepare(path: Path, encoding: str = "raw", classes=CLASSES) -> Path:
    """Two shards for training, with videos 0 and 1, and 2, and one with video 3 for the test."""
    path.mkdir()
    rows, shards = [], []
    for file, subset, numbers in (
        ("test-00000-of-00001.tfrecord", "test", [3]),
        ("train-00000-of-00002.tfrecord", "train", [0, 1]),
        ("train-00001-of-00002.tfrecord", "train", [2]),
    ):
        written, shard = tfrecords.write_shard(
            str(path / file), subset, encoding, SHAPE, (_video(n, encoding) for n in numbers)
        )
        rows += written
        shards.append(shard)
    table = tfrecords.table(tfrecords.Row._fields, rows)
    (path / "videos.csv").write_bytes(table)
    info = {
        "format": 1,
        "recipe": {"encoding": encoding},
        "classes": classes,
        "frame_shape": SHAPE,
        "videos_csv_sha256": hashlib.sha256(table).hexdigest(),
        "shards": shards,
    }
    (path / "info.json").write_text(json.dumps(info))
    return path


@pytest.fixture
def prepared(tmp_path) -> Path:
    return _prepare(tmp_path / "prepared")


def _read(videos: TFRecordVideos, video: int, first: int, frames: int, stride: int = 1):
    return videos.read(tf.constant(video, tf.int64), tf.constant(first, tf.int64), frames, stride)


def _pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


class TestShard:
    def test_is_read_by_tensorflow_record_by_record(self, prepared):
        dataset = tf.data.TFRecordDataset(str(prepared / "train-00000-of-00002.tfrecord"))
        for number, record in enumerate(dataset):
            example = tf.io.parse_single_example(record, tfrecords.FEATURES)
            frames = tf.reshape(tf.io.decode_raw(example["frames"], tf.uint8), (-1, *SHAPE))
            np.testing.assert_array_equal(frames, _frames(number))
            category = CLASSES[number]
            assert example["encoding"].numpy() == b"raw"
            assert tuple(example["shape"].numpy()) == SHAPE
            assert example["num_frames"].numpy() == LENGTHS[number]
            assert example["first_frame"].numpy() == 0
            assert example["frame_rate"].numpy() == 25
            assert example["name"].numpy().decode() == f"{category}/v{number}.avi"
            assert example["category"].numpy().decode() == category
            assert example["label"].numpy() == number
        assert number == 1

    def test_offsets_and_sizes_are_those_of_the_records_in_the_file(self, tmp_path):
        rows, shard = tfrecords.write_shard(
            str(tmp_path / "x.tfrecord"),
            "train",
            "jpeg",
            SHAPE,
            (_video(n, "jpeg") for n in (2, 1)),
        )
        data = (tmp_path / "x.tfrecord").read_bytes()
        assert [row.offset for row in rows] == [0, rows[0].bytes]
        assert sum(row.bytes for row in rows) == len(data) == shard["bytes"]
        for row, number in zip(rows, (2, 1)):
            (length,) = struct.unpack_from("<Q", data, row.offset)
            assert row.bytes == 8 + 4 + length + 4
            example = tf.train.Example.FromString(data[row.offset + 12 :][:length])
            assert list(example.features.feature["frames"].bytes_list.value) == list(
                _video(number, "jpeg").frames
            )

    def test_hash_is_that_of_the_file(self, tmp_path):
        _, shard = tfrecords.write_shard(
            str(tmp_path / "x.tfrecord"), "train", "raw", SHAPE, [_video(0, "raw")]
        )
        data = (tmp_path / "x.tfrecord").read_bytes()
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert (shard["file"], shard["records"]) == ("x.tfrecord", 1)

    def test_of_no_videos_is_no_file(self, tmp_path):
        written = tfrecords.write_shard(str(tmp_path / "x.tfrecord"), "train", "raw", SHAPE, [])
        assert written == ([], None)
        assert not list(tmp_path.iterdir())

    def test_leaves_nothing_behind_if_it_cannot_be_finished(self, tmp_path):
        def videos():
            yield _video(0, "raw")
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            tfrecords.write_shard(str(tmp_path / "x.tfrecord"), "train", "raw", SHAPE, videos())
        assert not list(tmp_path.iterdir())

    def test_names_that_are_no_text_come_back(self, tmp_path):
        # As Python reads a name that is Latin-1 from a disk.
        name = b"caf\xe9, \n2.avi".decode(errors="surrogateescape")
        video = _video(0, "raw")._replace(name=name)
        rows, _ = tfrecords.write_shard(str(tmp_path / "x"), "train", "raw", SHAPE, [video])
        (row,) = tfrecords.read_table(tfrecords.table(tfrecords.Row._fields, rows))
        assert row[4] == name


class TestJpeg:
    def test_is_the_frame_to_a_few_levels(self):
        for number in range(len(LENGTHS)):
            for frame, data in zip(_frames(number), _video(number, "jpeg").frames):
                difference = np.abs(_pillow(data).astype(int) - frame)
                assert difference.mean() < 2
                assert difference.max() < 12

    def test_keeps_colours_at_full_resolution(self):
        frame = np.zeros(SHAPE, np.uint8)
        frame[:, ::2, 0] = 255
        decoded = _pillow(tfrecords.encoder("jpeg", 95)(frame)).astype(int)
        assert (decoded[:, ::2, 0] - decoded[:, 1::2, 0]).min() > 200

    def test_takes_a_frame_cut_out_of_a_larger_one(self):
        large = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
        encode = tfrecords.encoder("jpeg", 95)
        assert encode(large[3:11, 5:15]) == encode(large[3:11, 5:15].copy())


class TestVideos:
    def test_are_those_of_the_subset(self, prepared):
        videos = TFRecordVideos(prepared)
        assert videos.names == ["Biking/v0.avi", "Talking/v1.avi", "Biking/v2.avi"]
        assert videos.lengths.tolist() == [6, 9, 7]
        assert videos.lengths.dtype == np.int64
        assert videos.frame_shape == SHAPE
        test = TFRecordVideos(prepared, "test")
        assert (test.names, test.lengths.tolist()) == (["Talking/v3.avi"], [5])

    def test_have_labels_where_there_are_classes(self, prepared, tmp_path):
        videos = TFRecordVideos(prepared)
        assert tuple(videos.classes) == CLASSES
        assert videos.labels.tolist() == [0, 1, 0]
        assert videos.labels.dtype == np.int32
        without = TFRecordVideos(_prepare(tmp_path / "without", classes=None))
        assert without.classes is None
        assert without.labels is None

    def test_windows_are_the_frames_that_were_written(self, prepared):
        videos = TFRecordVideos(prepared)
        for video in (2, 0, 1):
            for first, frames, stride in ((0, 5, 1), (1, 5, 1), (0, 3, 2), (1, 2, 4)):
                window = _frames(video)[first::stride][:frames]
                np.testing.assert_array_equal(_read(videos, video, first, frames, stride), window)

    def test_windows_of_jpegs_are_as_pillow_decodes_them(self, tmp_path):
        videos = TFRecordVideos(_prepare(tmp_path / "jpeg", "jpeg"))
        for video in range(3):
            decoded = [_pillow(data) for data in _video(video, "jpeg").frames]
            np.testing.assert_array_equal(_read(videos, video, 1, 4), decoded[1:5])

    @pytest.mark.slow
    def test_windows_are_the_same_in_a_dataset_of_several_threads(self, prepared):
        windows = Windows(TFRecordVideos(prepared), frames=4, size=8, crop="random", mirror=True)
        dataset = tf.data.Dataset.range(30).map(windows.clip, num_parallel_calls=4)
        for number, clip in enumerate(dataset):
            np.testing.assert_array_equal(clip, windows.clip(number))

    def test_parts_of_a_long_video_have_names_of_their_own(self, tmp_path):
        path = _prepare(tmp_path / "prepared")
        table = (path / "videos.csv").read_text()
        table = table.replace("Biking/v2.avi,Biking,0,0,", "Biking/v0.avi,Biking,0,6,")
        (path / "videos.csv").write_text(table)
        info = json.loads((path / "info.json").read_text())
        info["videos_csv_sha256"] = hashlib.sha256(table.encode()).hexdigest()
        (path / "info.json").write_text(json.dumps(info))
        names = TFRecordVideos(path).names
        assert names == ["Biking/v0.avi", "Talking/v1.avi", "Biking/v0.avi from frame 6"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


DAMAGE = {"missing": Path.unlink, "cut short": _cut, "of a flipped bit": _flip}


class TestDamagedShard:
    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    def test_is_refused_in_one_line_that_names_it(self, damage, prepared):
        damage(prepared / "train-00000-of-00002.tfrecord")
        with pytest.raises(InputError, match="train-00000-of-00002.tfrecord: .*again") as error:
            TFRecordVideos(prepared)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    def test_is_skipped_with_a_warning_that_names_it(self, damage, prepared):
        damage(prepared / "train-00000-of-00002.tfrecord")
        with pytest.warns(UserWarning, match="train-00000-of-00002.tfrecord: .*left out"):
            videos = TFRecordVideos(prepared, damaged_shards="skip")
        assert videos.names == ["Biking/v2.avi"]
        np.testing.assert_array_equal(_read(videos, 0, 2, 3), _frames(2)[2:5])

    def test_of_another_subset_does_not_matter(self, prepared):
        _cut(prepared / "train-00000-of-00002.tfrecord")
        assert len(TFRecordVideos(prepared, "test").names) == 1

    def test_is_refused_if_no_other_is_left(self, prepared):
        _cut(prepared / "test-00000-of-00001.tfrecord")
        with pytest.raises(InputError, match="all shards of 'test'"):
            TFRecordVideos(prepared, "test", damaged_shards="skip")

    @pytest.mark.parametrize("verify", [True, False])
    @pytest.mark.parametrize("length", [2**40, 2**63])
    def test_whose_record_says_it_is_larger_is_refused_before_tensorflow_reads_it(
        self, prepared, verify, length
    ):
        path = prepared / "train-00001-of-00002.tfrecord"
        # With its checksum TensorFlow would end the process.
        path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
        info = json.loads((prepared / "info.json").read_text())
        for shard in info["shards"]:
            if shard["file"] == path.name:
                shard["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (prepared / "info.json").write_text(json.dumps(info))
        with pytest.raises(InputError, match="00001-of-00002.tfrecord: is damaged, its records"):
            TFRecordVideos(prepared, verify=verify)

    def test_counts_how_many_more_there_are(self, prepared):
        for path in prepared.glob("train-*"):
            _cut(path)
        with pytest.raises(InputError, match="and 1 more"):
            TFRecordVideos(prepared)

    def test_cut_short_is_found_without_reading_it(self, prepared):
        _cut(prepared / "train-00000-of-00002.tfrecord")
        with pytest.raises(InputError, match="train-00000-of-00002.tfrecord: is damaged"):
            TFRecordVideos(prepared, verify=False)

    @pytest.mark.slow
    def test_unverified_fails_where_it_is_read_and_only_there(self, prepared):
        path = prepared / "train-00000-of-00002.tfrecord"
        data = bytearray(path.read_bytes())
        (length,) = struct.unpack_from("<Q", data, 0)
        data[12 + length + 4 + 200] ^= 1  # in a frame of the second record
        path.write_bytes(data)
        videos = TFRecordVideos(prepared, verify=False)
        dataset = tf.data.Dataset.range(3).map(lambda video: videos.read(video, 0, 2, 1))
        np.testing.assert_array_equal(next(iter(dataset)), _frames(0)[:2])
        with pytest.raises(InputError) as error, pipeline_errors.raised():
            list(dataset)
        line = str(error.value)
        assert line.startswith(f"{path}: the record at byte {12 + length + 4} is damaged")
        assert Argument("damaged_shards", "skip") in error.value.parts


def _no_number(path: Path) -> None:
    info = json.loads((path / "info.json").read_text())
    (path / "info.json").write_text(json.dumps({**info, "format": "one"}))


def _no_recipe(path: Path) -> None:
    info = json.loads((path / "info.json").read_text())
    del info["recipe"]
    (path / "info.json").write_text(json.dumps(info))


BAD_DIRECTORIES = {
    "without info.json": (
        lambda path: (path / "info.json").unlink(),
        "info.json.*give a directory whose preparation",
    ),
    "with half of info.json": (lambda path: _cut(path / "info.json"), "info.json: is damaged"),
    "with a list in info.json": (
        lambda path: (path / "info.json").write_text("[]"),
        "info.json: is damaged",
    ),
    "with a format that is no number": (_no_number, "info.json: is damaged"),
    "without a recipe": (_no_recipe, "info.json: is damaged"),
    "without videos.csv": (lambda path: (path / "videos.csv").unlink(), "videos.csv: cannot be"),
    "with another videos.csv": (lambda path: _flip(path / "videos.csv"), "videos.csv: is not"),
}


class TestBadInput:
    @pytest.mark.parametrize(("change", "match"), BAD_DIRECTORIES.values(), ids=BAD_DIRECTORIES)
    def test_directory_is_refused_in_one_line_that_names_the_file(self, change, match, prepared):
        change(prepared)
        with pytest.raises(InputError, match=match) as error:
            TFRecordVideos(prepared)
        assert str(prepared) in str(error.value)
        assert "\n" not in str(error.value)

    def test_missing_directory_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="nowhere/info.json.*No such file"):
            TFRecordVideos(tmp_path / "nowhere")

    def test_newer_format_is_refused_with_the_version_that_made_it(self, prepared):
        info = json.loads((prepared / "info.json").read_text())
        (prepared / "info.json").write_text(json.dumps({**info, "format": 2, "tgan_tf": "9.1"}))
        with pytest.raises(InputError, match=r"format 2, made by tgan_tf 9\.1"):
            TFRecordVideos(prepared)

    def test_missing_subset_is_refused_with_those_that_are_there(self, prepared):
        with pytest.raises(InputError, match="subset='validation'.*give test, train"):
            TFRecordVideos(prepared, "validation")

    def test_unknown_way_with_damaged_shards_is_refused(self, prepared):
        with pytest.raises(
            InputError, match="damaged_shards='ignore': must be one of refuse, skip"
        ):
            TFRecordVideos(prepared, damaged_shards="ignore")

    def test_missing_jpeg_encoder_is_named_with_what_installs_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
        with pytest.raises(InputError, match=r"simplejpeg.*pip install 'tgan_tf\[prepare\]'"):
            tfrecords.encoder("jpeg", 95)


@pytest.mark.skipif(not stack.KERAS_3, reason="TensorFlow opens the shards there by tensorflow-io")
class TestVideosInAStoreThatTensorFlowCannotOpen:
    @pytest.fixture
    def stored(self, prepared):
        for path in prepared.iterdir():
            storage.write(f"memory://store/{path.name}", path.read_bytes())
        yield "memory://store"
        storage.remove_tree("memory://store")

    def test_gives_the_windows_of_local_ones(self, prepared, stored):
        local, remote = TFRecordVideos(prepared), TFRecordVideos(stored)
        for video, length in enumerate(local.lengths):
            for first in range(length - 3):
                np.testing.assert_array_equal(
                    _read(remote, video, first, 2, stride=3),
                    _read(local, video, first, 2, stride=3),
                )

    def test_refuses_a_record_that_is_not_as_it_was_written(self, stored):
        shard = f"{stored}/train-00001-of-00002.tfrecord"
        data = bytearray(storage.read(shard))
        data[len(data) // 2] ^= 1
        storage.write(shard, bytes(data))
        dataset = tf.data.Dataset.range(2, 3).map(
            lambda video: TFRecordVideos(stored, verify=False).read(video, 0, 2, 1)
        )
        with pytest.raises(InputError) as error, pipeline_errors.raised():
            list(dataset)
        assert f"{shard}: the record at byte 0 is damaged or cannot be read" in str(error.value)

    def test_refuses_a_shard_whose_hash_is_another(self, stored):
        storage.write(
            shard := f"{stored}/train-00001-of-00002.tfrecord",
            storage.read(shard).replace(b"Biking", b"Hiking"),
        )
        with pytest.raises(InputError, match=f"{shard}: is damaged, its hash"):
            TFRecordVideos(stored)
