"""Golf scenes: tall JPEGs of stabilised clips, and the text files that list them."""

from __future__ import annotations

import pickle
import warnings

import av
import numpy as np
import pytest
import tensorflow as tf
from films import FILMS
from PIL import Image

from tgan_tf import pipeline_errors
from tgan_tf.data import golf
from tgan_tf.data.golf import GolfScenes
from tgan_tf.data.recordings import UnreadableRecording, recipe
from tgan_tf.errors import InputError

LENGTHS = {"a/0001.jpg": 32, "a/0002.jpg": 20, "b/0001.jpg": 17}
WHOLE = recipe("center_crop", 128)
HALF = recipe("center_crop", 64)


def write_sheet(path, film, frames, mode="RGB", **options):
    sheet = Image.new(mode, (128, 128 * frames))
    with av.open(str(FILMS[film])) as container:
        for number, frame in zip(range(frames), container.decode(video=0)):
            sheet.paste(frame.to_image().resize((128, 128)).convert(mode), (0, 128 * number))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, **{"quality": 90, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The release as it is unpacked: golf.txt beside frames-stable-many."""
    folder = tmp_path_factory.mktemp("golf")
    films = ("bikes", "bigbuckbunny", "carphone_pristine")
    for film, (name, frames) in zip(films, LENGTHS.items()):
        write_sheet(folder / "frames-stable-many" / name, film, frames)
    (folder / "golf.txt").write_text("".join(f"{name}\n" for name in LENGTHS))
    return folder


def decoded(path):
    """As TensorFlow's own decoder, whose transform is the same, sees it: [frames, 128, 128, 3]."""
    image = tf.io.decode_jpeg(path.read_bytes(), channels=3, dct_method="INTEGER_ACCURATE")
    return image.numpy().reshape(-1, 128, 128, 3)


def read(videos, video, first, frames, stride=1):
    video, first = tf.constant(video, tf.int64), tf.constant(first, tf.int64)
    return videos.read(video, first, frames, stride).numpy()


def line_of(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


class TestPaths:
    @pytest.mark.slow
    def test_are_those_of_the_lines_in_frames_stable_many(self, folder):
        found = golf.paths(folder / "golf.txt")
        assert list(found) == list(LENGTHS)
        assert found["a/0002.jpg"] == str(folder / "frames-stable-many/a/0002.jpg")

    def test_are_relative_to_the_list_first(self, tmp_path):
        for path in (tmp_path / "x.jpg", tmp_path / "frames-stable-many/x.jpg"):
            path.parent.mkdir(exist_ok=True)
            path.touch()
        (tmp_path / "list.txt").write_text("x.jpg")
        assert golf.paths(tmp_path / "list.txt") == {"x.jpg": str(tmp_path / "x.jpg")}

    @pytest.mark.slow
    def test_pass_over_empty_and_repeated_lines_whatever_ends_them(self, folder, tmp_path):
        text = "\ufeff\r\nb/0001.jpg\r\n\r\na/0001.jpg \nb/0001.jpg\n  \n"
        (folder / "windows.txt").write_bytes(text.encode())
        assert list(golf.paths(folder / "windows.txt")) == ["b/0001.jpg", "a/0001.jpg"]

    @pytest.mark.slow
    def test_of_missing_files_are_counted_in_one_line(self, folder):
        (folder / "more.txt").write_text("a/0001.jpg\nc/1.jpg\nc/2.jpg\n")
        with pytest.raises(InputError) as error:
            golf.paths(folder / "more.txt")
        expected = f"{folder}/more.txt: 2 of the 3 files it names are missing, the first is c/1.jpg"
        assert line_of(error).startswith(expected)
        assert "put the list beside the folder frames-stable-many" in line_of(error)

    @pytest.mark.parametrize("data", [b"", b" \n\r\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", None])
    def test_of_no_list_are_refused(self, tmp_path, data):
        if data is not None:
            (tmp_path / "list.txt").write_bytes(data)
        with pytest.raises(InputError, match=r"list\.txt: .* give a text file") as error:
            golf.paths(tmp_path / "list.txt")
        line_of(error)


class TestGolfScenes:
    def test_describes_its_clips(self, folder):
        videos = GolfScenes(folder / "golf.txt", HALF)
        assert videos.path == str(folder / "golf.txt")
        assert videos.names == tuple(LENGTHS)
        assert videos.lengths.tolist() == list(LENGTHS.values())
        assert videos.lengths.dtype == np.int64
        assert videos.frame_shape == (64, 64, 3)
        assert videos.labels is None
        assert videos.classes is None

    def test_reads_the_frames_of_a_window_as_they_are_stored(self, folder):
        videos = GolfScenes(folder / "golf.txt", WHOLE)
        for video, (name, length) in enumerate(LENGTHS.items()):
            frames = decoded(folder / "frames-stable-many" / name)
            for first in (0, 1, length - 16):
                np.testing.assert_array_equal(
                    read(videos, video, first, 16), frames[first : first + 16]
                )

    def test_takes_every_frame_that_the_stride_says(self, folder):
        window = read(GolfScenes(folder / "golf.txt", WHOLE), 0, 1, 11, stride=3)
        frames = decoded(folder / "frames-stable-many/a/0001.jpg")
        np.testing.assert_array_equal(window, frames[1::3])

    @pytest.mark.parametrize("size", [64, 32])
    def test_averages_areas(self, folder, size):
        window = read(GolfScenes(folder / "golf.txt", recipe("center_crop", size)), 1, 2, 4)
        frames = decoded(folder / "frames-stable-many/a/0002.jpg")[2:6].astype(float)
        n = 128 // size
        means = frames.reshape(4, size, n, size, n, 3).mean(axis=(2, 4))
        # Rows and columns are averaged, and rounded, one after the other.
        assert np.abs(window - means).max() <= 1

    def test_follows_the_recipe(self, folder):
        videos = GolfScenes(folder / "golf.txt", recipe("ucf101", 64))
        assert videos.frame_shape == (64, 85, 3)
        assert read(videos, 2, 0, 2).shape == (2, 64, 85, 3)

    @pytest.mark.slow
    def test_is_read_by_many_threads_alike(self, folder):
        videos = GolfScenes(folder / "golf.txt", HALF)
        expected = [read(videos, 0, first, 16) for first in range(17)]
        dataset = tf.data.Dataset.range(68).map(
            lambda first: videos.read(tf.constant(0, tf.int64), first % 17, 16, 1),
            num_parallel_calls=4,
        )
        for first, window in enumerate(dataset.as_numpy_iterator()):
            np.testing.assert_array_equal(window, expected[first % 17])

    def test_reads_from_an_object_store(self, folder):
        url = f"file://{folder}/golf.txt"
        window = read(GolfScenes(url, WHOLE), 0, 3, 5)
        frames = decoded(folder / "frames-stable-many/a/0001.jpg")
        np.testing.assert_array_equal(window, frames[3:8])

    def test_shows_grey_and_progressive_files_in_colour(self, tmp_path):
        write_sheet(tmp_path / "grey.jpg", "bikes", 3, mode="L")
        write_sheet(tmp_path / "progressive.jpg", "bikes", 3, progressive=True)
        (tmp_path / "list.txt").write_text("grey.jpg\nprogressive.jpg\n")
        videos = GolfScenes(tmp_path / "list.txt", WHOLE)
        np.testing.assert_array_equal(read(videos, 0, 0, 3), decoded(tmp_path / "grey.jpg"))
        np.testing.assert_array_equal(read(videos, 1, 0, 3), decoded(tmp_path / "progressive.jpg"))


def _cut_off(path):
    write_sheet(path, "bikes", 16)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_SHEETS = {
    "empty": (lambda path: path.touch(), "is not a JPEG"),
    "text": (lambda path: path.write_text("golf"), "is not a JPEG"),
    "png": (lambda path: write_sheet(path, "bikes", 2, format="PNG"), "is not a JPEG"),
    "narrow": (lambda path: Image.new("RGB", (64, 256)).save(path), "is 64 x 256, not 128 wide"),
    "wide": (lambda path: Image.new("RGB", (320, 240)).save(path), "is 320 x 240, not 128 wide"),
    "uneven": (lambda path: Image.new("RGB", (128, 300)).save(path), "is 128 x 300, not 128 wide"),
    "header": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF"), "cannot be decoded"),
    "folder": (lambda path: path.mkdir(), "Is a directory"),
}


@pytest.fixture
def bad_folder(folder, tmp_path):
    """Bad sheets, listed behind a good one."""
    for name, (write, _) in BAD_SHEETS.items():
        write(tmp_path / f"{name}.jpg")
    write_sheet(tmp_path / "good.jpg", "bikes", 16)
    names = ["good", *BAD_SHEETS]
    (tmp_path / "list.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    return tmp_path


class TestBadFiles:
    def test_are_left_out_with_a_few_warnings_and_their_number(self, bad_folder):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            videos = GolfScenes(bad_folder / "list.txt", HALF)
        assert videos.names == ("good.jpg",)
        assert read(videos, 0, 0, 16).shape == (16, 64, 64, 3)
        lines = [str(warning.message) for warning in caught]
        assert len(lines) == 6
        for line, (name, (_, why)) in zip(lines[:5], BAD_SHEETS.items()):
            assert line.startswith(f"{bad_folder}/list.txt: {name}.jpg is left out: {why}")
        assert lines[5] == f"{bad_folder}/list.txt: 8 files are left out in all"

    def test_and_no_others_are_refused(self, bad_folder):
        (bad_folder / "list.txt").write_text("narrow.jpg\n")
        refused = r"list\.txt: none of the 1 files .* give JPEGs"
        with pytest.warns(UserWarning, match=r"narrow\.jpg is left out"):
            with pytest.raises(InputError, match=refused) as error:
                GolfScenes(bad_folder / "list.txt", HALF)
        line_of(error)

    @pytest.mark.slow
    def test_cut_off_are_told_in_a_line_as_they_are_read(self, tmp_path):
        _cut_off(tmp_path / "half.jpg")
        (tmp_path / "list.txt").write_text("half.jpg\n")
        videos = GolfScenes(tmp_path / "list.txt", HALF)
        dataset = tf.data.Dataset.range(1).map(lambda zero: videos.read(zero, zero, 16, 1))
        with pytest.raises(InputError) as error, pipeline_errors.raised():
            next(iter(dataset))
        message = line_of(error)
        assert message.startswith(
            f"{tmp_path}/half.jpg: cannot be decoded (image file is truncated"
        )
        assert message.endswith(f"remove it from {tmp_path}/list.txt")


class TestRecordings:
    def test_are_the_lines_of_the_list_without_categories(self, folder):
        recordings = golf.recordings(folder / "golf.txt")
        assert [recording.name for recording in recordings] == list(LENGTHS)
        assert {(recording.category, recording.subset) for recording in recordings} == {
            (None, "train")
        }

    def test_give_the_frames_that_training_reads(self, folder):
        videos = GolfScenes(folder / "golf.txt", HALF)
        for number, recording in enumerate(golf.recordings(folder / "golf.txt")):
            frame_rate, frames = recording.read(HALF, None)
            assert frame_rate == 0.0
            length = LENGTHS[recording.name]
            np.testing.assert_array_equal(list(frames), read(videos, number, 0, length))

    def test_can_be_sent_to_another_process(self, folder):
        recording = pickle.loads(pickle.dumps(golf.recordings(folder / "golf.txt")[1]))
        assert len(list(recording.read(HALF, None)[1])) == 20

    def test_refuse_another_frame_rate(self, folder):
        with pytest.raises(InputError, match=r"frame_rate=25: .* no frame times"):
            golf.recordings(folder / "golf.txt")[0].read(HALF, 25)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", BAD_SHEETS)
    def test_of_bad_files_are_unreadable(self, bad_folder, name):
        recordings = {
            recording.name: recording for recording in golf.recordings(bad_folder / "list.txt")
        }
        with pytest.raises(UnreadableRecording, match=BAD_SHEETS[name][1]):
            list(recordings[f"{name}.jpg"].read(HALF, None)[1])

    def test_of_a_file_cut_off_are_unreadable(self, tmp_path):
        _cut_off(tmp_path / "half.jpg")
        (tmp_path / "list.txt").write_text("half.jpg\n")
        with pytest.raises(UnreadableRecording, match=r"cannot be decoded \(image file is trunc"):
            list(golf.recordings(tmp_path / "list.txt")[0].read(HALF, None)[1])
