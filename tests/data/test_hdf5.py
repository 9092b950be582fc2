"""The reference's UCF-101 file: frames in HDF5, a table of the videos beside it."""

from __future__ import annotations

import csv
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import av
import h5py
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from films import FILMS

from tgan_tf import pipeline_errors, stack
from tgan_tf.data import hdf5
from tgan_tf.data.hdf5 import HDF5File
from tgan_tf.data.recordings import UnreadableRecording, recipe
from tgan_tf.errors import InputError

# Of the films, in the order of the reference's script: sorted by the names of the videos.
VIDEOS = [
    ("Biking", 1, 1, "bikes", 18),
    ("Biking", 2, 1, "bikes", 5),
    ("Talking", 1, 1, "carphone_pristine", 20),
    ("Talking", 1, 12, "carphone_pristine", 7),
]
NAMES = ("v_Biking_g01_c01", "v_Biking_g02_c01", "v_Talking_g01_c01", "v_Talking_g01_c12")
COLUMNS = ["category", "group", "scene", "start", "end"]


class Written(NamedTuple):
    path: Path
    images: np.ndarray
    rows: list[dict]


def frames_of(film: str, count: int) -> np.ndarray:
    """The first frames as the reference's script stores them: uint8 [count, 3, 64, 85]."""
    frames = []
    with av.open(str(FILMS[film])) as container:
        for frame in container.decode(video=0):
            frames.append(np.asarray(frame.to_image().resize((85, 64))).transpose(2, 0, 1))
            if len(frames) == count:
                return np.stack(frames)
    raise AssertionError(f"{film} is shorter than {count} frames")


def write_csv(path, rows, columns=COLUMNS):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_images(path, images, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=images, dtype="u1", **options)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Written:
    directory = tmp_path_factory.mktemp("hdf5")
    images = np.concatenate([frames_of(film, count) for *_, film, count in VIDEOS])
    path, rows, ts = directory / "ucf101_train.h5", [], 0
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("image", images.shape, dtype="u1")
        for category, group, scene, _, count in VIDEOS:
            for t in range(ts, ts + count):
                dataset[t] = images[t]
            video = {"category": category, "group": group, "scene": scene}
            rows.append({**video, "start": ts, "end": ts + count})
            ts += count
    write_csv(directory / "ucf101_train.csv", rows)
    pd.DataFrame(rows).to_pickle(directory / "ucf101_train_pd.pkl")
    return Written(path, images, rows)


def read(videos, video, first, frames, stride=1):
    video, first = tf.constant(video, tf.int64), tf.constant(first, tf.int64)
    return videos.read(video, first, frames, stride).numpy()


def line_of(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


class TestHDF5File:
    @pytest.mark.slow
    def test_describes_its_videos(self, written):
        videos = HDF5File(written.path)
        assert videos.path == str(written.path)
        assert videos.names == NAMES
        assert videos.lengths.tolist() == [18, 5, 20, 7]
        assert videos.frame_shape == (64, 85, 3)
        assert videos.classes == ("Biking", "Talking")
        assert videos.labels.tolist() == [0, 0, 1, 1]
        assert videos.labels.dtype == np.int32

    @pytest.mark.slow
    def test_numbers_the_classes_that_are_given_in_their_order(self, written):
        videos = HDF5File(written.path, classes=["Talking", "Archery", "Biking"])
        assert videos.classes == ("Talking", "Archery", "Biking")
        assert videos.labels.tolist() == [2, 2, 0, 0]

    @pytest.mark.slow
    def test_reads_every_window_as_h5py_does(self, written):
        videos = HDF5File(written.path)
        with h5py.File(written.path) as file:
            for video, row in enumerate(written.rows):
                for first in range(row["end"] - row["start"] - 4):
                    start = row["start"] + first
                    window = file["image"][start : start + 5].transpose(0, 2, 3, 1)
                    np.testing.assert_array_equal(read(videos, video, first, 5), window)

    def test_takes_every_frame_that_the_stride_says(self, written):
        window = read(HDF5File(written.path), 2, 1, 4, stride=3)
        expected = written.images[[24, 27, 30, 33]].transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(window, expected)

    def test_reads_the_last_window_of_the_file(self, written):
        window = read(HDF5File(written.path), 3, 0, 4, stride=2)
        np.testing.assert_array_equal(window, written.images[43::2].transpose(0, 2, 3, 1))

    def test_takes_the_table_that_is_given(self, written, tmp_path):
        table = write_csv(tmp_path / "other.csv", written.rows[2:3])
        videos = HDF5File(written.path, table)
        assert videos.names == ("v_Talking_g01_c01",)
        np.testing.assert_array_equal(
            read(videos, 0, 0, 20), written.images[23:43].transpose(0, 2, 3, 1)
        )

    def test_takes_the_reference_s_pickle_if_it_may_be_unpickled(self, written):
        videos = HDF5File(
            written.path, written.path.with_name("ucf101_train_pd.pkl"), allow_unpickling=True
        )
        assert videos.names == NAMES

    @pytest.mark.slow
    @pytest.mark.skipif(stack.KERAS_3, reason="tensorflow-io, which does it, ended with 2.15")
    def test_reads_the_reference_s_layout_inside_the_graph(self, written):
        videos = HDF5File(written.path)
        graph = tf.function(lambda video: videos.read(video, tf.constant(0, tf.int64), 2, 1))
        concrete = graph.get_concrete_function(tf.TensorSpec([], tf.int64))
        types = {operation.type for operation in concrete.graph.get_operations()}
        assert "IO>HDF5ReadableRead" in types
        assert not types & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def _object_store(path, images):
    tf.io.gfile.makedirs("ram://hdf5")
    write_images(path, images)
    tf.io.gfile.copy(str(path), "ram://hdf5/ucf101.h5", overwrite=True)
    return "ram://hdf5/ucf101.h5"


def _dangling_link(path, images):
    write_images(path, images)
    with h5py.File(path, "a") as file:
        file["elsewhere"] = h5py.ExternalLink("nowhere.h5", "/image")
    return path


def _unknown_type(path, images):
    write_images(path, images)
    with h5py.File(path, "a") as file:
        file["half"] = np.zeros(3, np.float16)
    return path


LAYOUTS = {
    "one piece": write_images,
    "compressed": lambda path, images: write_images(
        path, images, chunks=(4, 3, 64, 85), compression="gzip"
    ),
    "resizable": lambda path, images: write_images(path, images, maxshape=(None, 3, 64, 85)),
    "beside a dangling link": _dangling_link,
    "beside a dataset unknown to TensorFlow": _unknown_type,
    "in an object store": _object_store,
    "by URL": lambda path, images: f"file://{write_images(path, images)}",
}


class TestLayouts:
    @pytest.mark.slow
    @pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
    def test_are_read_by_many_threads_alike(self, written, tmp_path, write):
        path = write(tmp_path / "ucf101.h5", written.images)
        videos = HDF5File(path, written.path.with_suffix(".csv"))
        dataset = tf.data.Dataset.range(200).map(
            lambda first: (first, videos.read(tf.constant(0, tf.int64), first % 13, 3, 2)),
            num_parallel_calls=4,
        )
        images = written.images.transpose(0, 2, 3, 1)
        for first, window in dataset.as_numpy_iterator():
            np.testing.assert_array_equal(window, images[first % 13 :][:5:2])

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory")
    @pytest.mark.parametrize("prefix", ["", "file://"], ids=["local", "by URL"])
    def test_are_never_loaded_whole(self, tmp_path, prefix):
        # 1.6 GB, of which the disk keeps nothing but the last frame.
        with h5py.File(tmp_path / "large.h5", "w") as file:
            images = file.create_dataset("image", (100_000, 3, 64, 85), dtype="u1")
            images[-1] = 7
        row = {"category": "Golf", "group": 1, "scene": 1, "start": 0, "end": 100_000}
        write_csv(tmp_path / "large.csv", [row])
        before = _resident_bytes()
        videos = HDF5File(f"{prefix}{tmp_path}/large.h5")
        assert read(videos, 0, 99_984, 16)[:, 5, 5, 1].tolist() == [0] * 15 + [7]
        for first in range(0, 90_000, 3000):
            read(videos, 0, first, 16)
        assert _resident_bytes() - before < 300e6

    @pytest.mark.slow
    def test_damaged_while_it_is_read_is_told_in_a_line(self, written, tmp_path):
        path = _damaged(tmp_path / "ucf101.h5", written.images)
        videos = HDF5File(path, written.path.with_suffix(".csv"))
        np.testing.assert_array_equal(
            read(videos, 0, 0, 4), written.images[:4].transpose(0, 2, 3, 1)
        )
        dataset = tf.data.Dataset.range(6, 7).map(lambda first: videos.read(first * 0, first, 5, 1))
        with pytest.raises(InputError) as error, pipeline_errors.raised():
            next(iter(dataset))
        message = line_of(error)
        assert message.startswith(f"{path}: frames 6 to 10 cannot be read (")
        assert message.endswith("download the file again")

    @pytest.mark.slow
    def test_let_the_process_end_cleanly(self, written):
        program = (
            "import sys, tensorflow as tf; from tgan_tf.data.hdf5 import HDF5File;"
            "zero = tf.constant(0, tf.int64);"
            "print(HDF5File(sys.argv[1]).read(zero, zero, 4, 1).shape)"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, str(written.path)], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout == "(4, 64, 85, 3)\n"


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _damaged(path, images):
    """A file that opens, in which the frames from 8 to 11 cannot be decompressed."""
    write_images(path, images, chunks=(4, 3, 64, 85), compression="gzip")
    with h5py.File(path) as file:
        offset = file["image"].id.get_chunk_info(2).byte_offset
    with open(path, "r+b") as file:
        file.seek(offset + 100)
        file.write(b"\xff" * 1000)
    return path


def _half(path, images):
    write_images(path, images)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _under_another_name(path, images):
    with h5py.File(path, "w") as file:
        file["images"] = images[:3]
        file["more/labels"] = np.arange(3)


def _group(path, images):
    with h5py.File(path, "w") as file:
        file.create_group("image")


BAD_FILES = {
    "missing": (lambda path, images: None, "No such file"),
    "a folder": (lambda path, images: path.mkdir(), "Is a directory"),
    "empty": (lambda path, images: path.touch(), "file signature not found"),
    "a text": (lambda path, images: path.write_text("image\n" * 99), "file signature not found"),
    "cut off": (_half, "truncated file"),
    "without the dataset": (_under_another_name, "no dataset 'image', only images, more/labels"),
    "with a group": (_group, "no dataset 'image', nor any other"),
    "of floats": (
        lambda path, images: write_as(path, images.astype(np.float32)),
        r"'image' is float32 \[50, 3, 64, 85\]",
    ),
    "channels last": (
        lambda path, images: write_as(path, images.transpose(0, 2, 3, 1)),
        r"'image' is uint8 \[50, 64, 85, 3\]",
    ),
    "grey": (lambda path, images: write_as(path, images[:, 0]), r"uint8 \[50, 64, 85\]"),
    "without frames": (lambda path, images: write_as(path, images[:0]), r"uint8 \[0, 3, 64, 85\]"),
    "a scalar": (lambda path, images: write_as(path, np.uint8(3)), r"uint8 \[\]"),
}


def write_as(path, images):
    with h5py.File(path, "w") as file:
        file["image"] = images


class TestBadInput:
    @pytest.mark.slow
    @pytest.mark.parametrize(("write", "message"), BAD_FILES.values(), ids=BAD_FILES)
    def test_file_is_refused_in_one_line(self, written, tmp_path, capfd, write, message):
        path = tmp_path / "bad.h5"
        write(path, written.images)
        with pytest.raises(InputError, match=message) as error:
            HDF5File(path, written.path.with_suffix(".csv"))
        assert str(path) in line_of(error)
        assert "give an HDF5 file with a dataset 'image', uint8" in line_of(error)
        assert capfd.readouterr().err == ""

    def test_object_of_a_store_is_refused_likewise(self, written):
        tf.io.gfile.makedirs("ram://bad")
        with tf.io.gfile.GFile("ram://bad/text.h5", "wb") as file:
            file.write(b"image\n" * 99)
        for path in ("ram://bad/text.h5", "ram://bad/missing.h5"):
            with pytest.raises(InputError, match=f"{path}: cannot be read as HDF5") as error:
                HDF5File(path, written.path.with_suffix(".csv"))
            line_of(error)

    def test_table_beyond_the_end_of_the_file_is_refused(self, written, tmp_path):
        rows = [*written.rows[:3], {**written.rows[3], "end": 51}]
        table = write_csv(tmp_path / "t.csv", rows)
        with pytest.raises(InputError) as error:
            HDF5File(written.path, table)
        assert f"{table}: end=51 of v_Talking_g01_c12" in line_of(error)
        assert f"{written.path} holds 50 frames" in line_of(error)

    def test_category_without_a_class_is_refused(self, written):
        with pytest.raises(InputError, match="the category Talking .* not one of the 1 classes"):
            HDF5File(written.path, classes=["Biking"])


class TestRecordings:
    def test_have_the_names_of_ucf101_and_their_categories(self, written):
        recordings = hdf5.recordings(written.path)
        assert tuple(recording.name for recording in recordings) == NAMES
        assert [recording.category for recording in recordings] == ["Biking"] * 2 + ["Talking"] * 2
        assert {recording.subset for recording in recordings} == {"train"}

    def test_give_the_frames_unchanged_where_they_have_the_recipe_s_size(self, written):
        for recording, row in zip(hdf5.recordings(written.path), written.rows):
            frame_rate, frames = recording.read(recipe("ucf101", 64), None)
            assert frame_rate == 0.0
            expected = written.images[row["start"] : row["end"]].transpose(0, 2, 3, 1)
            np.testing.assert_array_equal(list(frames), expected)

    def test_of_more_frames_than_are_read_at_a_time_are_whole(self, tmp_path):
        images = np.arange(150, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 3, 4, 6))
        write_images(tmp_path / "long.h5", images.astype(np.uint8))
        row = {"category": "A", "group": 1, "scene": 1, "start": 3, "end": 148}
        write_csv(tmp_path / "long.csv", [row])
        _, frames = hdf5.recordings(tmp_path / "long.h5")[0].read(recipe("center_crop", 4), None)
        assert [frame[0, 0, 0] for frame in frames] == list(range(3, 148))

    def test_are_resized_to_other_sizes(self, written):
        _, frames = hdf5.recordings(written.path)[1].read(recipe("center_crop", 32), None)
        frame = next(frames)
        assert frame.shape == (32, 32, 3)
        # 64 x 85 becomes 32 x 42, of which columns 5 to 36 are those from 10.1 to 74.9.
        before = written.images[18, :, :, 12:73].mean()
        assert abs(frame[:, 1:31].mean() - before) < 2

    def test_can_be_sent_to_another_process(self, written):
        recording = pickle.loads(pickle.dumps(hdf5.recordings(written.path)[1]))
        _, frames = recording.read(recipe("ucf101", 64), None)
        assert len(list(frames)) == 5

    def test_read_from_an_object_store(self, written):
        recordings = hdf5.recordings(f"file://{written.path}")
        _, frames = recordings[2].read(recipe("ucf101", 64), None)
        expected = written.images[23:43].transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(list(frames), expected)

    def test_refuse_another_frame_rate(self, written):
        with pytest.raises(InputError, match=r"frame_rate=25: .* no frame times"):
            hdf5.recordings(written.path)[0].read(recipe("ucf101", 64), 25)

    def test_that_are_damaged_are_unreadable(self, written, tmp_path):
        path = _damaged(tmp_path / "ucf101.h5", written.images)
        recordings = hdf5.recordings(path, written.path.with_suffix(".csv"))
        _, frames = recordings[0].read(recipe("ucf101", 64), None)
        with pytest.raises(UnreadableRecording, match="filter returned failure"):
            list(frames)
        _, frames = recordings[2].read(recipe("ucf101", 64), None)
        assert len(list(frames)) == 20
