"""Video files, decoded as FFmpeg's own program decodes them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import films
import numpy as np
import pytest
from containers import CLIPS, ffmpeg, write, write_all

from tgan_tf.data import video_decoding
from tgan_tf.data.recordings import Recipe, UnreadableRecording
from tgan_tf.data.video_decoding import read

UCF101 = Recipe("ucf101", 64)
FLAGS = "full_chroma_int+full_chroma_inp"

# FFmpeg's program and PyAV bring FFmpegs of their own. MPEG-4 leaves the last bit of its inverse
# transform open, and swscale's arithmetic is not the same on every processor: a few levels of 255
# here and there are no difference between decoders. Another frame, crop or scale is far more.
MEAN_TOLERANCE, MAX_TOLERANCE = 0.1, 4


def _frames_of_ffmpeg(path: Path, columns: int, rows: int, filters: str) -> np.ndarray:
    """What FFmpeg's program decodes, uint8 [frames, rows, columns, 3]."""
    data = ffmpeg(
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


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("clips")
    write_all(directory)
    return directory


@pytest.mark.slow
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
        path = write(tmp_path / "odd.mkv", images)
        np.testing.assert_array_equal(
            _frames(path, Recipe("center_crop", 31)), images[:, :, 11 : 11 + 31]
        )

    def test_averages_blocks_of_pixels(self, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 1), np.uint8)
        ramp = np.tile(np.arange(128, dtype=np.uint8)[:, np.newaxis] * 2, (1, 96, 1, 1))
        images = np.concatenate([images, ramp]).repeat(3, axis=3)
        path = write(tmp_path / "blocks.avi", images, pix_fmt="gray")
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
        ffmpeg(*turn, "-i", clips / "small.mp4", "-c", "copy", path)
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
        ffmpeg(
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
            ffmpeg("-display_rotation", 90, "-i", tmp_path / "upright.mp4", "-c", "copy", path)
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
            ffmpeg(
                *("-i", clips / "small.mp4", "-frames:v", 9, "-aspect", aspect),
                *("-c:v", "mpeg2video", "-bf", 2, "-q:v", 2, part),
            )
            parts.append(part.read_bytes())
            frames.append(_frames(part, Recipe("center_crop", 60)))
        assert np.abs(frames[0].astype(int) - frames[1]).mean() > 5
        streams = []
        for number in range(2):
            stream = tmp_path / f"{number}.m2v"
            ffmpeg("-i", tmp_path / f"{'41'[number]}.ts", "-c", "copy", "-f", "mpeg2video", stream)
            streams.append(stream.read_bytes())
        (tmp_path / "both.m2v").write_bytes(b"".join(streams))
        ffmpeg(
            *("-fflags", "+genpts", "-f", "mpegvideo", "-i", tmp_path / "both.m2v"),
            *("-c", "copy", tmp_path / "both.ts"),
        )
        both = _frames(tmp_path / "both.ts", Recipe("center_crop", 60))
        _assert_same(both, np.concatenate(frames))

    @pytest.mark.parametrize("sar", ["0/1", "1/1"])
    def test_takes_pixels_of_no_known_proportions_as_square(self, clips, tmp_path, sar):
        ffmpeg(
            "-i", clips / "small.mp4", "-vf", f"setsar={sar}", "-c:v", "ffv1", tmp_path / "a.mkv"
        )
        ffmpeg("-i", clips / "small.mp4", "-c:v", "ffv1", tmp_path / "b.mkv")
        found = [_frames(tmp_path / f"{name}.mkv", Recipe("center_crop", 60)) for name in "ab"]
        np.testing.assert_array_equal(*found)

    def test_goes_on_when_the_size_changes_within_a_file(self, clips, tmp_path):
        sizes = {"large": (320, 240), "flat": (160, 60)}
        for name, (columns, rows) in sizes.items():
            scale = f"scale={columns}:{rows}"
            encode = ["-frames:v", 5, "-c:v", "libvpx-vp9", "-deadline", "realtime"]
            ffmpeg("-i", clips / "clip.mp4", "-vf", scale, *encode, tmp_path / f"{name}.webm")
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
        ffmpeg("-i", clips / "clip.avi", "-c", "copy", "-metadata", "title=CafX", path)
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
        return write(directory / "irregular.mkv", images, self.TENTHS)

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
    "text": (
        "clip.mp4",
        lambda _: b"Not a video.\n" * 99,
        "^not a video, or its header is truncated",
    ),
    "noise": ("clip.avi", lambda _: np.random.default_rng(0).bytes(9999), "^not a video"),
    "cut MP4": ("clip.mp4", _cut_to(0.6), "^not a video, or its header is truncated"),
    "cut AVI": ("clip.avi", _cut_to(0.6), r"^truncated after \d\.\d\d seconds$"),
    "AVI cut by its last frame": ("clip.avi", _cut_to(0.97), "^truncated"),
    "cut MKV": ("clip.mkv", _cut_to(0.6), r"^truncated after \d\.\d\d of 1\.60 seconds$"),
    "MKV cut in its header": ("clip.mkv", _cut_to(0.1), r"^truncated after 0\.00 of 1\.60"),
    "cut WebM": ("clip.webm", _cut_to(0.6), "^truncated"),
    "cut fragments": ("fragments.mp4", _cut_to(0.6), "truncated"),
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
        path = write(tmp_path / "long.mkv", np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 72_000])
        with pytest.raises(UnreadableRecording, match="^damaged: lasts 7200 seconds$"):
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
        ffmpeg("-i", clips / "small.mp4", "-frames:v", 2, "-vf", "setsar=100/1", path)
        with pytest.raises(UnreadableRecording, match="^damaged: its pixel aspect ratio is 100:1$"):
            read(str(path), UCF101, None)

    def test_of_sound_alone_has_no_video_stream(self, tmp_path):
        path = tmp_path / "sound.mp4"
        ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", path)
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


class TestWindow:
    def test_decodes_from_the_keyframe_before_the_window(self, clips, monkeypatch):
        decoded = []
        decode = video_decoding._decode
        monkeypatch.setattr(
            video_decoding, "_decode", lambda *args: decoded.append(args) or decode(*args)
        )
        path = str(clips / "small.mp4")
        index = video_decoding.index(path)
        decoded.clear()
        window = video_decoding.window(path, UCF101, index, range(37, 39))
        assert window.shape == (2, 64, 85, 3)
        # There is a keyframe every 12 frames.
        assert len(decoded) < 20
