"""Folders of video files: found, listed, read by windows."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from containers import CLIPS, write_all

from tgan_tf import pipeline_errors
from tgan_tf.data.recordings import Recipe
from tgan_tf.data.video_decoding import read
from tgan_tf.data.video_files import VideoFiles, find, recordings
from tgan_tf.data.windows import Windows
from tgan_tf.errors import InputError

UCF101 = Recipe("ucf101", 64)


def _frames(path, recipe: Recipe = UCF101, frame_rate: float | None = None) -> np.ndarray:
    return np.stack(list(read(str(path), recipe, frame_rate)[1]))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("clips")
    write_all(directory)
    return directory


class TestFind:
    @pytest.fixture
    def directory(self, tmp_path) -> Path:
        for name in ("b.mp4", "a/x.AVI", "a/b/y.WebM", "a.gif", "a/._x.avi", ".h/z.mov", "n.txt"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    def test_gives_the_relative_paths_of_all_videos_sorted_without_hidden_ones(self, directory):
        assert find(directory) == ["a.gif", "a/b/y.WebM", "a/x.AVI", "b.mp4"]

    def test_reads_a_url_and_a_path_that_ends_with_a_slash(self, directory):
        assert find(f"{directory}/") == find(f"file://{directory}") == find(directory)

    @pytest.mark.parametrize("name", ["none", "n.txt"])
    def test_refuses_what_is_no_directory(self, directory, name):
        with pytest.raises(InputError, match=f"{name}: is not a directory: give"):
            find(directory / name)

    def test_refuses_a_directory_without_videos(self, tmp_path):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(InputError, match=rf"{tmp_path}: no videos \(\.mp4, .*\) under it"):
            find(tmp_path)


class TestRecordings:
    def _recordings(self, directory: Path, names, **arguments):
        for name in names:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).touch()
        found = recordings(directory, **arguments)
        return {each.name: (each.category, each.subset) for each in found}

    def test_in_folders_are_of_the_class_of_the_first_folder(self, tmp_path):
        assert self._recordings(tmp_path, ["walk/1.mp4", "run/deep/1.mp4"]) == {
            "walk/1.mp4": ("walk", "train"),
            "run/deep/1.mp4": ("run", "train"),
        }

    def test_have_no_class_if_one_lies_outside_of_folders(self, tmp_path):
        found = self._recordings(tmp_path, ["walk/1.mp4", "2.mp4"])
        assert {category for category, _ in found.values()} == {None}

    def test_under_train_and_test_are_of_these_subsets(self, tmp_path):
        assert self._recordings(tmp_path, ["train/walk/1.mp4", "test/run/1.mp4"]) == {
            "train/walk/1.mp4": ("walk", "train"),
            "test/run/1.mp4": ("run", "test"),
        }

    def test_right_under_train_and_test_have_no_class(self, tmp_path):
        assert self._recordings(tmp_path, ["train/1.mp4", "test/2.mp4"]) == {
            "train/1.mp4": (None, "train"),
            "test/2.mp4": (None, "test"),
        }

    def test_never_train_on_held_out_folders_whatever_their_spelling(self, tmp_path):
        spelt = "test Testing TST test_set test-data videos_test"
        for number, name in enumerate(spelt.split()):
            names = [f"Training/{number}.mp4", f"{name}/{number}.mp4"]
            found = self._recordings(tmp_path / str(number), names)
            assert [found[each][1] for each in names] == ["train", "test"], name

    def test_in_a_validation_folder_are_the_test_where_there_is_no_other(self, tmp_path):
        spelt = "val Valid validation dev EVAL evaluation held_out held-out HoldOut val_set"
        for number, name in enumerate(spelt.split()):
            with pytest.warns(UserWarning, match=f"the 1 videos in {name} are the subset test"):
                found = self._recordings(tmp_path / str(number), ["trn/a/1.mp4", f"{name}/a/2.mp4"])
            assert found == {"trn/a/1.mp4": ("a", "train"), f"{name}/a/2.mp4": ("a", "test")}

    def test_in_a_validation_folder_beside_a_test_are_left_out_and_that_is_said(self, tmp_path):
        names = ["train/a/1.mp4", "val/a/2.mp4", "val/b/3.mp4", "test/a/4.mp4"]
        with pytest.warns(UserWarning, match="the 2 videos in val are left out") as caught:
            found = self._recordings(tmp_path, names)
        assert len(caught) == 1
        assert found == {"train/a/1.mp4": ("a", "train"), "test/a/4.mp4": ("a", "test")}

    @pytest.mark.parametrize(
        "names, named",
        [
            (["train/1.mp4", "tram/2.mp4"], "tram lies beside train"),
            (["train/1.mp4", "test/1.mp4", "2.mp4"], "2.mp4 lies beside test, train"),
            (["walk/1.mp4", "test/1.mp4"], "walk lies beside test"),
            (["train1/1.mp4", "test1/2.mp4"], "the folder test1 may hold"),
            (["train/1.mp4", "test2/2.mp4"], "the folder test2 may hold"),
            (["trainval/1.mp4", "test/2.mp4"], "the folder trainval may hold"),
            (["ucf_train/1.mp4", "ucf_test/2.mp4"], "the folder ucf_test may hold"),
            (["walk/train/1.mp4", "walk/test/2.mp4"], "the folder walk/test is not directly under"),
            (["a/b/val/1.mp4", "a/b/train/1.mp4"], "the folder a/b/val is not directly under"),
            (["train/train/1.mp4", "train/test/1.mp4"], "the folder train/test is not directly"),
            (["train_1.mp4", "test_1.mp4"], "videos are called train_1.mp4 and test_1.mp4"),
            (["a/train1.mp4", "b/val-2.mp4"], "videos are called a/train1.mp4 and b/val-2.mp4"),
        ],
    )
    def test_refuse_folders_that_may_be_held_out(self, tmp_path, names, named):
        with pytest.raises(InputError) as error:
            self._recordings(tmp_path, names)
        assert f"{tmp_path}: {named}" in str(error.value)
        assert "put the videos into train, test or val directly under" in str(error.value)

    @pytest.mark.filterwarnings("error")
    def test_are_of_classes_whose_names_only_sound_so(self, tmp_path):
        names = ["training dog/1.mp4", "contest/1.mp4", "001/train_1.mp4", "evaluate/a.mp4"]
        found = self._recordings(tmp_path, names)
        assert {subset for _, subset in found.values()} == {"train"}
        assert len({category for category, _ in found.values()}) == 4

    def test_tell_in_one_line_what_files_are_left_out(self, tmp_path):
        names = ["a/1.mp4", "a/2.RM", "b/3.rm", "c/noend", "b/4.mp4.part", "README", ".DS_Store"]
        names += ["a/1.txt", "a/1.JSON", "a.csv", "Thumbs.db", "a/1.jpg", ".hidden/2.rm"]
        with pytest.warns(UserWarning) as caught:
            self._recordings(tmp_path, names)
        (message,) = (str(each.message) for each in caught)
        assert message == (
            f"{tmp_path}: 4 files are left out, since their kinds are not known as videos: "
            "2 .rm, 1 .part, 1 without an extension"
        )

    def test_go_to_the_test_by_their_names_alone_in_the_share_that_is_set(self, tmp_path):
        names = [f"{number}.mp4" for number in range(400)]
        found = self._recordings(tmp_path, names, test_share=0.25)
        test = {name for name, (_, subset) in found.items() if subset == "test"}
        # Of 400 draws: 100, and three standard deviations of 8.7.
        assert 74 <= len(test) <= 126
        found = self._recordings(tmp_path, ["new.mp4"], test_share=0.5)
        assert test <= {name for name, (_, subset) in found.items() if subset == "test"}

    def test_say_when_a_share_of_few_videos_holds_out_none(self, tmp_path):
        message = "test_share=0.01: holds out none of the 2 videos"
        with pytest.warns(UserWarning, match=message):
            self._recordings(tmp_path, ["1.mp4", "2.mp4"], test_share=0.01)

    @pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
    def test_refuse_a_share_out_of_range(self, tmp_path, share):
        with pytest.raises(InputError, match=f"test_share={share}: must be"):
            recordings(tmp_path, share)

    def test_refuse_a_share_where_folders_say_it(self, tmp_path):
        with pytest.raises(InputError, match="test_share=0.5: .*leave it out"):
            self._recordings(tmp_path, ["train/1.mp4", "test/2.mp4"], test_share=0.5)

    @pytest.mark.slow
    def test_can_be_read_after_pickling(self, clips):
        for recording in pickle.loads(pickle.dumps(recordings(clips))):
            if recording.name == "clip.avi":
                rate, frames = recording.read(UCF101, None)
                assert rate == 25
                np.testing.assert_array_equal(list(frames), _frames(clips / "clip.avi"))


def _videos(directory: Path, names, **arguments) -> VideoFiles:
    chosen = [each for each in recordings(directory) if each.name in names]
    return VideoFiles(directory, chosen, UCF101, **arguments)


class TestVideoFiles:
    @pytest.mark.slow
    def test_describes_the_videos(self, clips):
        videos = _videos(clips, CLIPS)
        assert videos.path == str(clips)
        assert dict(zip(videos.names, videos.lengths)) == CLIPS
        assert videos.lengths.dtype == np.int64
        assert videos.frame_shape == (64, 85, 3)
        assert videos.labels is None and videos.classes is None

    @pytest.mark.slow
    @pytest.mark.parametrize("name", CLIPS)
    @pytest.mark.parametrize("stride", [1, 3])
    def test_reads_the_very_frames_of_a_window(self, clips, name, stride):
        whole = _frames(clips / name)
        videos = _videos(clips, [name])
        for first in range(0, len(whole) - 2 * stride, 5):
            clip = videos.read(tf.constant(0, tf.int64), tf.constant(first, tf.int64), 3, stride)
            np.testing.assert_array_equal(clip, whole[first : first + 2 * stride + 1 : stride])

    @pytest.mark.slow
    def test_reads_the_last_frame(self, clips):
        videos = _videos(clips, CLIPS)
        for video, name in enumerate(videos.names):
            last = tf.constant(videos.lengths[video] - 1)
            clip = videos.read(tf.constant(video, tf.int64), last, 1, 1)
            np.testing.assert_array_equal(clip[0], _frames(clips / name)[-1])

    @pytest.mark.slow
    def test_is_read_by_several_threads(self, clips):
        source = Windows(_videos(clips, ["clip.avi", "small.mp4", "clip.mkv"]))
        numbers = tf.data.Dataset.range(24)
        for number, clip in enumerate(numbers.map(source.clip, num_parallel_calls=4)):
            np.testing.assert_array_equal(clip, source.clip(number))

    @pytest.mark.filterwarnings("error")
    def test_may_have_names_that_are_not_utf_8_or_of_several_lines(self, clips, tmp_path):
        names = ["cl\udce9/1.avi", "cl\udce9/caf\udce9\n2.avi"]
        (tmp_path / "cl\udce9").mkdir()
        for name in names:
            (tmp_path / name).symlink_to(clips / "clip.avi")
        videos = VideoFiles(tmp_path, recordings(tmp_path), UCF101, ("cl\udce9",))
        assert videos.names == names
        clip = videos.read(tf.constant(1, tf.int64), tf.constant(3, tf.int64), 2, 1)
        np.testing.assert_array_equal(clip, _frames(clips / "clip.avi")[3:5])

    def test_with_such_a_name_that_is_empty_is_named_in_one_line(self, tmp_path):
        (tmp_path / "caf\udce9\n.avi").touch()
        with pytest.raises(InputError, match=r"caf\\xe9\\n\.avi: left out: empty file$"):
            VideoFiles(tmp_path, recordings(tmp_path), UCF101)

    def test_numbers_the_classes_in_the_order_given(self, clips, tmp_path):
        for name in ("walk/1.avi", "run/2.avi", "walk/3.avi"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).symlink_to(clips / "clip.avi")
        videos = VideoFiles(tmp_path, recordings(tmp_path), UCF101, ("walk", "sit", "run"))
        assert videos.names == ["run/2.avi", "walk/1.avi", "walk/3.avi"]
        assert videos.labels.dtype == np.int32
        assert list(videos.labels) == [2, 0, 0]
        with pytest.raises(
            InputError, match="run/2.avi: its class 'run' is not one of the 1 classes"
        ):
            VideoFiles(tmp_path, recordings(tmp_path), UCF101, ("walk",))

    def test_leaves_out_bad_files_with_a_warning_each_up_to_five(self, clips, tmp_path):
        (tmp_path / "good.avi").symlink_to(clips / "clip.avi")
        for number in range(7):
            (tmp_path / f"{number}.mp4").touch()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            videos = VideoFiles(tmp_path, recordings(tmp_path), UCF101)
        assert videos.names == ["good.avi"]
        messages = [str(each.message) for each in caught]
        assert messages == [
            *(f"{tmp_path}/{number}.mp4: left out: empty file" for number in range(5)),
            f"{tmp_path}: 2 more are left out",
        ]

    def test_leaves_out_what_is_cut_short(self, clips, tmp_path):
        (tmp_path / "good.avi").symlink_to(clips / "clip.avi")
        for source in ("clip.avi", "clip.mkv"):
            data = (clips / source).read_bytes()
            (tmp_path / source).write_bytes(data[: len(data) // 2])
        with pytest.warns(UserWarning, match="truncated"):
            assert VideoFiles(tmp_path, recordings(tmp_path), UCF101).names == ["good.avi"]

    def test_refuses_files_none_of_which_can_be_read(self, tmp_path):
        (tmp_path / "1.mp4").touch()
        with pytest.raises(InputError, match=f"{tmp_path}: none of the 1 videos .*1.mp4: .*empty"):
            VideoFiles(tmp_path, recordings(tmp_path), UCF101)

    @pytest.mark.slow
    def test_names_the_file_that_was_damaged_after_it_was_opened(self, clips, tmp_path):
        path = tmp_path / "clip.avi"
        path.write_bytes((clips / "clip.avi").read_bytes())
        source = Windows(VideoFiles(tmp_path, recordings(tmp_path), UCF101), frames=40)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 :: 5000] = bytes(byte ^ 255 for byte in data[len(data) // 2 :: 5000])
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"^{path}: damaged after .* leaves such files out$"):
            with pipeline_errors.raised():
                next(iter(tf.data.Dataset.range(1).map(source.clip)))
