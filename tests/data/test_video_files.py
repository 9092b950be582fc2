"""Folders of video files: found, decoded as FFmpeg's own program decodes them, read by windows."""

from __future__ import annotations

import pickle
import subprocess
import warnings
from fractions import Fraction
from pathlib import Path

import av
import films
import imageio_ffmpeg
import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.data import video_files
from tgan_tf.data.recordings import Recipe, UnreadableRecording
from tgan_tf.data.video_files import VideoFiles, find, read, recordings
from tgan_tf.data.windows import Windows
from tgan_tf.errors import InputError

UCF101 = Recipe("ucf101", 64)
FLAGS = "full_chroma_int+full_chroma_inp"

# FFmpeg's program and PyAV bring FFmpegs of their own. MPEG-4 leaves the last bit of its inverse
# transform open, and swscale's arithmetic is not the same on every processor: a few levels of 255
# here and there are no difference between decoders. Another frame, crop or scale is far more.
MEAN_TOLERANCE, MAX_TOLERANCE = 0.1, 4


def _ffmpeg(*arguments) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def _frames_of_ffmpeg(path: Path, columns: int, rows: int, filters: str) -> np.ndarray:
    """What FFmpeg's program decodes, uint8 [frames, rows, columns, 3]."""
    data = _ffmpeg(
        *("-i", path, "-fps_mode", "passthrough", "-vf", filters),
        *("-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    )
    return np.frombuffer(data, np.uint8).reshape(-1, rows, columns, 3)


def _frames(path, recipe: Recipe = UCF101, frame_rate: float | None = None) -> np.ndarray:
    return np.stack(list(read(str(path), recipe, frame_rate)[1]))


def _assert_same(frames: np.ndarray, expected: np.ndarray) -> None:
    assert frames.shape == expected.shape
    difference = np.abs(frames.astype(int) - expected)
    assert difference.mean() <= MEAN_TOLERANCE
    assert difference.max() <= MAX_TOLERANCE


def _write(path: Path, frames, times=None, pix_fmt: str = "bgr0") -> Path:
    """Writes frames, uint8 [rows, columns, 3], without loss; at these times, in tenths."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 10)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A second or so of a film in every container, and in some that are out of the ordinary."""
    directory = tmp_path_factory.mktemp("clips")
    films.cut("bikes", directory / "clip.avi", 0, 40)
    films.cut("bikes", directory / "clip.mp4", 0, 40, codec="libx264")
    small = directory / "small.mp4"
    _ffmpeg("-i", directory / "clip.mp4", "-vf", "scale=160:120", "-g", 12, "-bf", 3, small)
    copies = {
        "clip.mov": ["-c", "copy"],
        "clip.mkv": ["-c", "copy"],
        "fragments.mp4": ["-c", "copy", "-movflags", "frag_keyframe+empty_moov"],
        "clip.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-g", 12],
        "vp8.webm": ["-c:v", "libvpx", "-auto-alt-ref", 1, "-lag-in-frames", 8, "-g", 20],
        "clip.gif": [],
        "b_frames.avi": ["-c:v", "mpeg4", "-bf", 2, "-g", 12],
        "pyramid.avi": ["-c:v", "libx264", "-bf", 3],
        "open.mkv": ["-c:v", "libx264", "-x264-params", "keyint=12:open-gop=1:bframes=3"],
        "gaps.avi": [
            "-vf",
            "select='lt(mod(n,13),4)*lt(n,39)'",
            "-fps_mode",
            "vfr",
            "-c:v",
            "mpeg4",
        ],
        "gaps.mkv": ["-vf", "select='lt(mod(n,13),4)'", "-fps_mode", "vfr"],
    }
    for name, options in copies.items():
        _ffmpeg("-i", small, *options, directory / name)
    _ffmpeg("-ss", 0.7, "-i", small, "-c", "copy", directory / "trimmed.mp4")
    for name, options in OTHERS.items():
        _ffmpeg("-i", small, *options, directory / name)
    sound = ["-f", "lavfi", "-i", "sine=d=4"]
    for name in ("sound.mkv", "sound.mp4"):
        _ffmpeg(*sound, "-i", small, "-c:v", "copy", "-c:a", "aac", directory / name)
    return directory


_MPEG = ["-c:v", "mpeg2video", "-bf", 2, "-g", 12, "-q:v", 3]
OTHERS = {
    "clip.m4v": ["-c", "copy"],
    "clip.mpg": ["-c:v", "mpeg1video", "-bf", 2, "-g", 12, "-q:v", 3],
    "clip.mpeg": _MPEG,
    "clip.vob": ["-f", "vob", *_MPEG],
    "clip.ts": ["-c", "copy"],
    "clip.m2ts": ["-c", "copy"],
    "mpeg2.ts": _MPEG,
    "clip.wmv": ["-c:v", "wmv2", "-q:v", 3, "-g", 12],
    "clip.asf": ["-c:v", "msmpeg4", "-q:v", 3],
    "clip.flv": ["-c:v", "flv", "-q:v", 3, "-g", 12],
    "h264.flv": ["-c", "copy"],
    "clip.3gp": ["-c:v", "mpeg4", "-q:v", 3],
    "clip.ogv": ["-c:v", "libtheora", "-q:v", 7, "-g", 12],
}

CLIPS = {
    "clip.avi": 40,
    "clip.mp4": 40,
    "small.mp4": 40,
    "clip.mov": 40,
    "clip.mkv": 40,
    "fragments.mp4": 40,
    "clip.webm": 40,
    "vp8.webm": 40,
    "clip.gif": 40,
    "b_frames.avi": 40,
    "pyramid.avi": 40,
    "open.mkv": 40,
    "gaps.avi": 12,
    "gaps.mkv": 13,
    "trimmed.mp4": 22,
    "sound.mkv": 40,
    "sound.mp4": 40,
    **dict.fromkeys(OTHERS, 40),
}


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
        with pytest.raises(InputError, match=f"{name}: there is no such directory: give"):
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
            (["train1/1.mp4", "test1/2.mp4"], "the folder test1 may be of"),
            (["train/1.mp4", "test2/2.mp4"], "the folder test2 may be of"),
            (["trainval/1.mp4", "test/2.mp4"], "the folder trainval may be of"),
            (["ucf_train/1.mp4", "ucf_test/2.mp4"], "the folder ucf_test may be of"),
            (["walk/train/1.mp4", "walk/test/2.mp4"], "the folder walk/test is not right under"),
            (["a/b/val/1.mp4", "a/b/train/1.mp4"], "the folder a/b/val is not right under"),
            (["train/train/1.mp4", "train/test/1.mp4"], "the folder train/test is not right"),
            (["train_1.mp4", "test_1.mp4"], "videos are called train_1.mp4 and test_1.mp4"),
            (["a/train1.mp4", "b/val-2.mp4"], "videos are called a/train1.mp4 and b/val-2.mp4"),
        ],
    )
    def test_refuse_folders_that_may_be_held_out(self, tmp_path, names, named):
        with pytest.raises(InputError) as error:
            self._recordings(tmp_path, names)
        assert f"{tmp_path}: {named}" in str(error.value)
        assert "put the videos into train, test or val right under" in str(error.value)

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
            f"{tmp_path}: 4 files are left out, of other kinds than videos that are known: "
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

    @pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
    def test_refuse_a_share_out_of_range(self, tmp_path, share):
        with pytest.raises(InputError, match=f"test_share={share}: give"):
            recordings(tmp_path, share)

    def test_refuse_a_share_where_folders_say_it(self, tmp_path):
        with pytest.raises(InputError, match="test_share=0.5: .*leave it out"):
            self._recordings(tmp_path, ["train/1.mp4", "test/2.mp4"], test_share=0.5)

    def test_can_be_read_after_pickling(self, clips):
        for recording in pickle.loads(pickle.dumps(recordings(clips))):
            if recording.name == "clip.avi":
                rate, frames = recording.read(UCF101, None)
                assert rate == 25
                np.testing.assert_array_equal(list(frames), _frames(clips / "clip.avi"))


class TestRead:
    @pytest.mark.parametrize("name", CLIPS)
    def test_gives_the_frames_of_ffmpeg_resized_by_area(self, clips, name):
        expected = _frames_of_ffmpeg(clips / name, 85, 64, f"scale=85:64:flags=area+{FLAGS}")
        assert len(expected) == CLIPS[name]
        frames = _frames(clips / name)
        assert frames.dtype == np.uint8
        _assert_same(frames, expected)

    @pytest.mark.parametrize("name", ["clip.avi", "clip.mp4", "clip.gif"])
    def test_gives_the_frames_of_ffmpeg_as_they_are_with_the_centre_cut_out(self, clips, name):
        columns, rows = (160, 120) if name == "clip.gif" else (320, 240)
        left = (columns - rows) // 2
        _assert_same(
            _frames(clips / name, Recipe("center_crop", rows)),
            _frames_of_ffmpeg(clips / name, columns, rows, "null")[:, :, left : left + rows],
        )

    def test_makes_small_frames_larger_as_ffmpegs_bilinear_filter(self, clips):
        _assert_same(
            _frames(clips / "small.mp4", Recipe("ucf101", 256)),
            _frames_of_ffmpeg(
                clips / "small.mp4", 340, 256, f"scale=340:256:flags=bilinear+{FLAGS}"
            ),
        )

    def test_of_odd_size_is_cut_at_the_very_pixel(self, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (2, 31, 54, 3), np.uint8)
        path = _write(tmp_path / "odd.mkv", images)
        np.testing.assert_array_equal(
            _frames(path, Recipe("center_crop", 31)), images[:, :, 11 : 11 + 31]
        )

    def test_averages_blocks_of_pixels(self, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 1), np.uint8)
        ramp = np.tile(np.arange(128, dtype=np.uint8)[:, np.newaxis] * 2, (1, 96, 1, 1))
        images = np.concatenate([images, ramp]).repeat(3, axis=3)
        path = _write(tmp_path / "blocks.avi", images, pix_fmt="gray")
        means = images.reshape(3, 24, 4, 32, 4, 3).mean((2, 4))[:, :, 4:28]
        frames = _frames(path, Recipe("center_crop", 24))
        # Half a level is rounding.
        assert np.abs(frames - means).max() <= 0.51

    def test_averages_colours_over_the_same_area_as_brightness(self, clips):
        whole = _frames_of_ffmpeg(clips / "clip.mp4", 320, 240, "null").astype(float)
        rows, columns = _coverage(240, 60), _coverage(320, 80)
        expected = np.tensordot(np.tensordot(whole, rows, (1, 1)), columns, (1, 1))
        expected = np.moveaxis(expected, 1, 3)[:, :, 10:70]
        frames = _frames(clips / "clip.mp4", Recipe("center_crop", 60))
        # FFmpeg turns whole frames to RGB 1.3 levels too dark. With colours of half the resolution,
        # swscale's default, the largest difference is 16.
        assert np.abs(frames - expected - 1.3).max() <= 6

    @pytest.mark.parametrize("quarters", [0, 1, 2, 3])
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_turns_upright_what_was_filmed_on_its_side(self, clips, tmp_path, quarters, mirrored):
        path = tmp_path / "turned.mp4"
        turn = ["-display_rotation", 90 * quarters] + ["-display_hflip"] * mirrored
        _ffmpeg(*turn, "-i", clips / "small.mp4", "-c", "copy", path)
        plain = _frames(clips / "small.mp4", Recipe("center_crop", 120))
        expected = np.rot90(plain, quarters, axes=(1, 2))
        _assert_same(
            _frames(path, Recipe("center_crop", 120)),
            expected[:, :, ::-1] if mirrored else expected,
        )
        _assert_same(
            _frames(path), _frames_of_ffmpeg(path, 85, 64, f"scale=85:64:flags=area+{FLAGS}")
        )

    @pytest.mark.parametrize(
        "name, options, aspect",
        [
            ("wide.mp4", ["-c:v", "libx264"], 2),
            ("wide.mkv", ["-c:v", "libx264"], 2),
            ("wide.webm", ["-c:v", "libvpx", "-b:v", "2M"], 2),  # VP8 says nothing: the container
            ("wide.avi", ["-c:v", "mpeg4", "-q:v", 2], 2),
            ("wide.mpg", ["-c:v", "mpeg2video", "-r", 25, "-q:v", 2, "-aspect", "4/3"], 2),
            ("wide.gif", [], 2),
            ("high.mp4", ["-c:v", "libx264"], 0.5),
            ("turned.mp4", ["-c:v", "libx264"], 2),
        ],
    )
    def test_shows_pixels_that_are_not_square_in_their_proportions(
        self, tmp_path, name, options, aspect
    ):
        # A circle of 48 in 85 x 64, squeezed to where pixels of this aspect make it round again.
        columns, rows = (64, 96) if aspect == 2 else (128, 48)
        sar = f"setsar={Fraction(aspect).limit_denominator(99)}"
        path = tmp_path / name
        _ffmpeg(
            *("-f", "lavfi", "-i", "color=black:s=256x192:r=10:d=0.4"),
            *(
                "-vf",
                f"geq=lum='255*lt(hypot(X-127.5,Y-95.5),72)':cb=128:cr=128,"
                f"scale={columns}:{rows}:flags=area,{sar}",
            ),
            *options,
            path,
        )
        if name == "turned.mp4":
            path.rename(tmp_path / "upright.mp4")
            _ffmpeg("-display_rotation", 90, "-i", tmp_path / "upright.mp4", "-c", "copy", path)
        frame = _frames(path, Recipe("center_crop", 64))[0][..., 1] > 127
        assert [int(frame.any(axis).sum()) for axis in (0, 1)] == pytest.approx([48, 48], abs=1)
        # The stretching recipe takes the pixels as they are stored, as the reference does.
        expected = _frames_of_ffmpeg(path, 85, 64, f"scale=85:64:flags=area+{FLAGS}")
        if name != "turned.mp4":
            assert np.abs(_frames(path).astype(int) - expected).mean() < 1.5

    def test_follows_pixels_whose_proportions_change_within_a_file(self, clips, tmp_path):
        parts, frames = [], []
        for aspect in ("4/3", "16/9"):
            part = tmp_path / f"{aspect[0]}.ts"
            _ffmpeg(
                *("-i", clips / "small.mp4", "-frames:v", 9, "-aspect", aspect),
                *("-c:v", "mpeg2video", "-bf", 2, "-q:v", 2, part),
            )
            parts.append(part.read_bytes())
            frames.append(_frames(part, Recipe("center_crop", 60)))
        assert np.abs(frames[0].astype(int) - frames[1]).mean() > 5
        streams = []
        for number in range(2):
            stream = tmp_path / f"{number}.m2v"
            _ffmpeg("-i", tmp_path / f"{'41'[number]}.ts", "-c", "copy", "-f", "mpeg2video", stream)
            streams.append(stream.read_bytes())
        (tmp_path / "both.m2v").write_bytes(b"".join(streams))
        _ffmpeg(
            *("-fflags", "+genpts", "-f", "mpegvideo", "-i", tmp_path / "both.m2v"),
            *("-c", "copy", tmp_path / "both.ts"),
        )
        both = _frames(tmp_path / "both.ts", Recipe("center_crop", 60))
        _assert_same(both, np.concatenate(frames))

    @pytest.mark.parametrize("sar", ["0/1", "1/1"])
    def test_takes_pixels_of_no_known_proportions_as_square(self, clips, tmp_path, sar):
        _ffmpeg(
            "-i", clips / "small.mp4", "-vf", f"setsar={sar}", "-c:v", "ffv1", tmp_path / "a.mkv"
        )
        _ffmpeg("-i", clips / "small.mp4", "-c:v", "ffv1", tmp_path / "b.mkv")
        found = [_frames(tmp_path / f"{name}.mkv", Recipe("center_crop", 60)) for name in "ab"]
        np.testing.assert_array_equal(*found)

    def test_goes_on_when_the_size_changes_within_a_file(self, clips, tmp_path):
        sizes = {"large": (320, 240), "flat": (160, 60)}
        for name, (columns, rows) in sizes.items():
            scale = f"scale={columns}:{rows}"
            encode = ["-frames:v", 5, "-c:v", "libvpx-vp9", "-deadline", "realtime"]
            _ffmpeg("-i", clips / "clip.mp4", "-vf", scale, *encode, tmp_path / f"{name}.webm")
        with av.open(str(tmp_path / "both.webm"), "w") as target:
            stream = None
            for start, name in ((0, "large"), (200, "flat")):
                with av.open(str(tmp_path / f"{name}.webm")) as source:
                    if stream is None:
                        stream = target.add_stream_from_template(source.streams.video[0])
                    for packet in source.demux(video=0):
                        if packet.size:
                            packet.pts, packet.dts = packet.pts + start, packet.dts + start
                            packet.stream = stream
                            target.mux(packet)
        parts = [_frames(tmp_path / f"{name}.webm", Recipe("center_crop", 60)) for name in sizes]
        frames = _frames(tmp_path / "both.webm", Recipe("center_crop", 60))
        np.testing.assert_array_equal(frames, np.concatenate(parts))

    def test_gives_one_frame_at_a_time(self, clips):
        _, frames = read(str(clips / "clip.avi"), UCF101, None)
        np.testing.assert_array_equal(next(frames), _frames(clips / "clip.avi")[0])

    def test_reads_a_url(self, clips):
        for name in ("clip.avi", "clip.mp4", "clip.mkv"):
            frames = _frames(f"file://{clips}/{name}")
            np.testing.assert_array_equal(frames, _frames(clips / name))

    def test_reads_a_file_whose_title_is_not_in_utf_8(self, clips, tmp_path):
        path = tmp_path / "titled.avi"
        _ffmpeg("-i", clips / "clip.avi", "-c", "copy", "-metadata", "title=CafX", path)
        path.write_bytes(path.read_bytes().replace(b"CafX", b"Caf\xe9"))
        np.testing.assert_array_equal(_frames(path), _frames(clips / "clip.avi"))


def _coverage(size: int, to: int) -> np.ndarray:
    """How much of each of `size` pixels belongs to each of `to` larger ones, [to, size]."""
    edges = np.arange(to + 1) * size / to
    starts, ends = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    pixels = np.arange(size)
    return np.clip(np.minimum(ends, pixels + 1) - np.maximum(starts, pixels), 0, None) * to / size


class TestFrameRate:
    LEVELS, TENTHS = [0, 50, 100, 150, 200], [0, 1, 5, 6, 10]

    def _path(self, directory: Path) -> Path:
        images = [np.full((64, 85, 3), level, np.uint8) for level in self.LEVELS]
        return _write(directory / "irregular.mkv", images, self.TENTHS)

    def test_of_none_keeps_all_frames_of_a_file_with_irregular_times(self, tmp_path):
        assert list(_frames(self._path(tmp_path))[:, 0, 0, 0]) == self.LEVELS

    def test_repeats_and_drops_frames_by_their_times(self, tmp_path):
        path = self._path(tmp_path)
        rate, frames = read(str(path), UCF101, 10.0)
        levels = [int(frame[0, 0, 0]) for frame in frames]
        assert rate == 10
        assert levels == [0, 50, 50, 50, 50, 100, 150, 150, 150, 150, 200]
        # Each frame goes to the nearest fifth of a second, the later one wins: 0, 0.1 -> 0.2, ...
        assert list(_frames(path, UCF101, 5.0)[:, 0, 0, 0]) == [0, 50, 50, 150, 150, 200]

    @pytest.mark.parametrize("rate", [12.5, 29.97])
    @pytest.mark.parametrize("name", ["clip.mp4", "gaps.avi", "clip.gif"])
    def test_is_brought_about_as_by_ffmpeg(self, clips, name, rate):
        filters = f"fps={rate},scale=85:64:flags=area+{FLAGS}"
        expected = _frames_of_ffmpeg(clips / name, 85, 64, filters)
        _assert_same(_frames(clips / name, UCF101, rate), expected)

    @pytest.mark.parametrize("name", ["fragments.mp4", "b_frames.avi", "pyramid.avi", "clip.webm"])
    def test_twice_that_of_the_file_shows_each_frame_twice(self, clips, name):
        frames = _frames(clips / name, UCF101, 50.0)
        np.testing.assert_array_equal(frames, _frames(clips / name).repeat(2, axis=0))

    def test_returned_is_that_of_the_file_if_none_is_given(self, clips, tmp_path):
        path = films.cut("carphone_pristine", tmp_path / "ntsc.mp4", 0, 4, rate="30000/1001")
        assert read(str(path), UCF101, None)[0] == pytest.approx(29.97, abs=0.001)
        assert read(str(clips / "clip.webm"), UCF101, None)[0] == 25


def _cut_to(share: float):
    return lambda data: data[: int(len(data) * share)]


def _without_codec(data: bytes) -> bytes:
    return data.replace(b"avc1", b"zzzz")


def _flipped(data: bytes) -> bytes:
    """Every 800th byte of the second half has its lowest bit turned over."""
    flipped = bytearray(data)
    for place in range(len(data) // 2, len(data) * 9 // 10, 800):
        flipped[place] ^= 1
    return bytes(flipped)


BAD_FILES = {
    "empty": ("clip.mp4", _cut_to(0), "^empty file$"),
    "text": ("clip.mp4", lambda _: b"Not a video.\n" * 99, "^not a video, or cut short"),
    "noise": ("clip.avi", lambda _: np.random.default_rng(0).bytes(9999), "^not a video, or cut"),
    "cut MP4": ("clip.mp4", _cut_to(0.6), "^not a video, or cut short"),
    "cut AVI": ("clip.avi", _cut_to(0.6), r"^cut short after \d\.\d\d seconds$"),
    "AVI cut by its last frame": ("clip.avi", _cut_to(0.97), "^cut short"),
    "cut MKV": ("clip.mkv", _cut_to(0.6), r"^cut short after \d\.\d\d of 1\.60 seconds$"),
    "MKV cut in its header": ("clip.mkv", _cut_to(0.1), r"^cut short after 0\.00 of 1\.60"),
    "cut WebM": ("clip.webm", _cut_to(0.6), "^cut short"),
    "cut fragments": ("fragments.mp4", _cut_to(0.6), "cut short"),
    "unknown codec": ("clip.mp4", _without_codec, "^unknown codec$"),
    "damaged MPEG-4": ("clip.avi", _flipped, r"^damaged after \d+ frames$"),
    "damaged H.264": ("clip.mp4", _flipped, r"^damaged after \d+ frames$"),
}


class TestBadFile:
    @pytest.mark.parametrize("source, change, why", BAD_FILES.values(), ids=BAD_FILES)
    def test_is_unreadable_for_a_plain_reason(self, clips, tmp_path, capfd, source, change, why):
        path = tmp_path / source
        path.write_bytes(change((clips / source).read_bytes()))
        with pytest.raises(UnreadableRecording, match=why):
            _frames(path)
        assert capfd.readouterr() == ("", "")

    def test_with_a_frame_that_is_shown_for_hours_is_unreadable(self, tmp_path):
        path = _write(tmp_path / "long.mkv", np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 72_000])
        with pytest.raises(UnreadableRecording, match="^damaged: goes on for 7200 seconds$"):
            _frames(path, UCF101, 25.0)

    def test_of_frames_that_cannot_be_resized_is_unreadable(self, tmp_path):
        path = tmp_path / "line.avi"
        with av.open(str(path), "w") as target:
            stream = target.add_stream("rawvideo", rate=10)
            stream.width, stream.height, stream.pix_fmt = 1, 32_000, "gray"
            frame = av.VideoFrame(1, 32_000, "gray")
            frame.pts = 0
            target.mux(stream.encode(frame))
        with pytest.raises(UnreadableRecording, match="^frames of 1 x 32000 cannot become 64 x"):
            _frames(path, Recipe("center_crop", 64))

    def test_of_pixels_many_times_as_wide_as_high_is_unreadable(self, clips, tmp_path):
        path = tmp_path / "a.mp4"
        _ffmpeg("-i", clips / "small.mp4", "-frames:v", 2, "-vf", "setsar=100/1", path)
        with pytest.raises(UnreadableRecording, match="^damaged: its pixels are of 100:1$"):
            read(str(path), UCF101, None)

    def test_of_sound_alone_has_no_video_stream(self, tmp_path):
        path = tmp_path / "sound.mp4"
        _ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", path)
        with pytest.raises(UnreadableRecording, match="^no video stream$"):
            read(str(path), UCF101, None)

    def test_without_a_frame_is_unreadable(self, tmp_path):
        path = tmp_path / "none.mp4"
        with av.open(str(path), "w", options={"movflags": "empty_moov"}) as target:
            stream = target.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            target.start_encoding()
        with pytest.raises(UnreadableRecording, match="^no frame in it$"):
            _frames(path)

    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_that_is_missing_is_unreadable(self, tmp_path, scheme):
        with pytest.raises(UnreadableRecording, match="^cannot be opened .No such file"):
            read(f"{scheme}{tmp_path}/none.mp4", UCF101, None)


def _videos(directory: Path, names, **arguments) -> VideoFiles:
    chosen = [each for each in recordings(directory) if each.name in names]
    return VideoFiles(directory, chosen, UCF101, **arguments)


class TestVideoFiles:
    def test_describes_the_videos(self, clips):
        videos = _videos(clips, CLIPS)
        assert videos.path == str(clips)
        assert dict(zip(videos.names, videos.lengths)) == CLIPS
        assert videos.lengths.dtype == np.int64
        assert videos.frame_shape == (64, 85, 3)
        assert videos.labels is None and videos.classes is None

    @pytest.mark.parametrize("name", CLIPS)
    @pytest.mark.parametrize("stride", [1, 3])
    def test_reads_the_very_frames_of_a_window(self, clips, name, stride):
        whole = _frames(clips / name)
        videos = _videos(clips, [name])
        for first in range(0, len(whole) - 2 * stride, 5):
            clip = videos.read(tf.constant(0, tf.int64), tf.constant(first, tf.int64), 3, stride)
            np.testing.assert_array_equal(clip, whole[first : first + 2 * stride + 1 : stride])

    def test_reads_the_last_frame(self, clips):
        videos = _videos(clips, CLIPS)
        for video, name in enumerate(videos.names):
            last = tf.constant(videos.lengths[video] - 1)
            clip = videos.read(tf.constant(video, tf.int64), last, 1, 1)
            np.testing.assert_array_equal(clip[0], _frames(clips / name)[-1])

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
        with pytest.raises(InputError, match="run/2.avi: is of class 'run', .* the 1 classes"):
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
        with pytest.warns(UserWarning, match="cut short"):
            assert VideoFiles(tmp_path, recordings(tmp_path), UCF101).names == ["good.avi"]

    def test_refuses_files_none_of_which_can_be_read(self, tmp_path):
        (tmp_path / "1.mp4").touch()
        with pytest.raises(InputError, match=f"{tmp_path}: none of the 1 videos .*1.mp4: .*empty"):
            VideoFiles(tmp_path, recordings(tmp_path), UCF101)

    def test_names_the_file_that_was_damaged_after_it_was_opened(self, clips, tmp_path):
        path = tmp_path / "clip.avi"
        path.write_bytes((clips / "clip.avi").read_bytes())
        source = Windows(VideoFiles(tmp_path, recordings(tmp_path), UCF101), frames=40)
        path.write_bytes(_flipped(path.read_bytes()))
        with pytest.raises(tf.errors.OpError) as error:
            next(iter(tf.data.Dataset.range(1).map(source.clip)))
        line = error.value.message.splitlines()[0]
        assert f"InputError: {path}: damaged after" in line
        assert line.endswith("leaves such files out")

    def test_decodes_from_the_keyframe_before_the_window(self, clips, monkeypatch):
        decoded = []
        decode = video_files._decode
        monkeypatch.setattr(
            video_files, "_decode", lambda *args: decoded.append(args) or decode(*args)
        )
        videos = _videos(clips, ["small.mp4"])
        decoded.clear()
        videos.read(tf.constant(0, tf.int64), tf.constant(37, tf.int64), 2, 1)
        # There is a keyframe every 12 frames.
        assert len(decoded) < 20
