"""Tests of tgan_tf.rendering: files are read back with Pillow and FFmpeg (PyAV)."""

from __future__ import annotations

import io
import re
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from tgan_tf import rendering
from tgan_tf.errors import InputError

GAP_GREY = 80


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def read_gif(data: bytes) -> tuple[np.ndarray, list[int], int]:
    """Reads the frames [T, H, W, 3], their durations in ms, and the number of loops of a GIF."""
    with Image.open(io.BytesIO(data)) as gif:
        frames, durations = [], []
        for index in range(gif.n_frames):
            gif.seek(index)
            frames.append(np.asarray(gif.convert("RGB")))
            durations.append(gif.info["duration"])
        return np.stack(frames), durations, gif.info["loop"]


def read_ffmpeg(data: bytes) -> np.ndarray:
    """Reads the frames [T, H, W, 3] of an MP4 or GIF."""
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def largest_difference(decoded: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(decoded.astype(int) - expected.astype(int)).max())


# to_uint8


def test_to_uint8_inverts_the_normalisation_of_every_pixel_value():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    normalised = (pixels.astype(np.float32) - 128) / 128
    np.testing.assert_array_equal(rendering.to_uint8(normalised), pixels)


def test_to_uint8_rounds_to_nearest_and_clips():
    values = [-1.5, -1.0, -0.5, 0.4 / 128, 0.6 / 128, 127 / 128, 1.0, 1.5]
    clips = np.array(values, np.float32).reshape(1, 8, 1)
    assert rendering.to_uint8(clips).ravel().tolist() == [0, 0, 64, 128, 129, 255, 255, 255]


def test_to_uint8_of_half_precision_equals_that_of_the_same_values_in_single_precision():
    half = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float16)
    expected = rendering.to_uint8(half.astype(np.float32))
    np.testing.assert_array_equal(rendering.to_uint8(half), expected)


def test_to_uint8_passes_pixels_through():
    pixels = noise(2, 3, 4, 4, 3)
    np.testing.assert_array_equal(rendering.to_uint8(pixels), pixels)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_to_uint8_refuses_values_that_are_not_finite(broken):
    clips = np.zeros((1, 2, 4, 4, 1), np.float32)
    clips[0, 1, 2, 3, 0] = broken
    with pytest.raises(InputError, match="1 of 32 values are NaN or infinite"):
        rendering.to_uint8(clips)


@pytest.mark.parametrize(
    "clips",
    [
        np.zeros((4, 4, 2), np.float32),
        np.zeros((4, 1), np.float32),
        np.zeros((0, 4, 4, 1), np.float32),
        np.zeros((4, 4, 1), np.int64),
        np.zeros((4, 4, 1), bool),
    ],
    ids=["two_channels", "rank_2", "empty", "int64", "bool"],
)
def test_to_uint8_refuses_what_is_not_a_clip(clips):
    with pytest.raises(InputError, match=f"{clips.dtype} array of shape .* must be float32"):
        rendering.to_uint8(clips)


# video_grid


def test_video_grid_of_three_one_pixel_clips_is_the_hand_worked_one():
    clips = np.array([[1, 2], [3, 4], [5, 6]], np.uint8).reshape(3, 2, 1, 1, 1)
    g = GAP_GREY
    expected = [
        [[1, g, g, 3], [g, g, g, g], [g, g, g, g], [5, g, g, g]],
        [[2, g, g, 4], [g, g, g, g], [g, g, g, g], [6, g, g, g]],
    ]
    np.testing.assert_array_equal(rendering.video_grid(clips)[..., 0], expected)


def test_video_grid_puts_each_clip_in_its_cell():
    clips = noise(5, 2, 4, 6, 3)
    grid = rendering.video_grid(clips, columns=2)
    assert grid.shape == (2, 3 * 6 - 2, 2 * 8 - 2, 3)
    for n, clip in enumerate(clips):
        top, left = n // 2 * 6, n % 2 * 8
        np.testing.assert_array_equal(grid[:, top : top + 4, left : left + 6], clip)
    assert (grid[:, 12:, 6:] == GAP_GREY).all()


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (4, 2, 2), (5, 2, 3), (12, 3, 4), (32, 6, 6)],
)
def test_video_grid_is_near_square_by_default(count, rows, columns):
    grid = rendering.video_grid(noise(count, 1, 8, 8, 1))
    assert grid.shape == (1, rows * 10 - 2, columns * 10 - 2, 1)


@pytest.mark.parametrize("columns", [0, -1, 2.0, True, "2"])
def test_video_grid_refuses_columns_that_are_not_a_count(columns):
    with pytest.raises(InputError, match="columns="):
        rendering.video_grid(noise(2, 1, 8, 8, 1), columns)


# contact_sheet


def test_contact_sheet_has_a_row_a_clip_and_a_column_a_frame():
    clips = np.array([[1, 2, 3], [4, 5, 6]], np.uint8).reshape(2, 3, 1, 1, 1)
    g = GAP_GREY
    expected = [
        [1, g, g, 2, g, g, 3],
        [g, g, g, g, g, g, g],
        [g, g, g, g, g, g, g],
        [4, g, g, 5, g, g, 6],
    ]
    np.testing.assert_array_equal(rendering.contact_sheet(clips)[..., 0], expected)


def test_contact_sheet_has_the_size_that_the_module_docstring_promises():
    assert rendering.contact_sheet(noise(32, 16, 64, 64, 1)).shape == (2110, 1054, 1)


# encode_gif


@pytest.mark.parametrize("shape", [(5, 16, 24, 1), (3, 7, 5, 1), (1, 8, 8, 1)])
def test_gif_keeps_every_grey_pixel(shape):
    video = noise(*shape)
    frames, _, _ = read_gif(rendering.encode_gif(video))
    np.testing.assert_array_equal(frames, video.repeat(3, axis=-1))


def test_gif_shows_the_same_pixels_to_ffmpeg():
    video = noise(4, 16, 24, 1)
    frames = read_ffmpeg(rendering.encode_gif(video))
    np.testing.assert_array_equal(frames, video.repeat(3, axis=-1))


def test_gif_keeps_colours_when_there_are_at_most_256():
    colours = noise(256, 3)
    video = colours[np.random.default_rng(1).integers(0, 256, (6, 20, 30))]
    frames, _, _ = read_gif(rendering.encode_gif(video))
    np.testing.assert_array_equal(frames, video)


def test_gif_of_many_colours_is_much_closer_than_with_a_fixed_palette_of_216():
    y, x = np.mgrid[96:160, 96:160].astype(np.uint8)
    video = np.stack([np.stack([x, y, np.full_like(x, 96 + 16 * t)], axis=-1) for t in range(4)])
    frames, _, _ = read_gif(rendering.encode_gif(video))
    fixed = np.rint(video / 51) * 51  # the nearest of 6 levels a channel
    assert np.abs(frames - video.astype(int)).mean() < np.abs(fixed - video).mean() / 2


def test_gif_does_not_flicker_where_a_colour_video_stands_still():
    video = np.repeat(noise(1, 32, 32, 3), 4, axis=0)
    video[:, :, 16:] = noise(4, 32, 16, 3)
    frames, _, _ = read_gif(rendering.encode_gif(video))
    np.testing.assert_array_equal(frames[1:, :, :16], frames[:-1, :, :16])


def test_gif_keeps_identical_frames_and_their_durations():
    video = noise(7, 8, 8, 1)
    video[2:5] = video[1]
    frames, durations, _ = read_gif(rendering.encode_gif(video))
    np.testing.assert_array_equal(frames, video.repeat(3, axis=-1))
    assert durations == [100] * 7


@pytest.mark.parametrize("channels", [1, 3])
def test_gif_of_a_video_in_which_nothing_moves_has_all_its_frames(channels):
    frames, durations, _ = read_gif(rendering.encode_gif(np.full((16, 8, 8, channels), 7, "u1")))
    assert frames.shape == (16, 8, 8, 3)
    assert (frames == 7).all()
    assert durations == [100] * 16


def test_gif_plays_for_ever():
    _, _, loops = read_gif(rendering.encode_gif(noise(2, 8, 8, 1)))
    assert loops == 0


def test_gif_keeps_time_at_a_rate_that_hundredths_of_a_second_do_not_fit():
    _, durations, _ = read_gif(rendering.encode_gif(noise(24, 8, 8, 1), frames_per_second=24))
    assert sum(durations) == 1000
    assert set(durations) == {40, 50}


def test_gif_enlarges_each_pixel_to_a_square():
    video = noise(2, 3, 4, 1)
    frames, _, _ = read_gif(rendering.encode_gif(video, scale=3))
    np.testing.assert_array_equal(frames[..., :1], np.kron(video, np.ones((1, 3, 3, 1), "u1")))


@pytest.mark.parametrize("rate", [0, -1, 51, float("nan"), "10"])
def test_gif_refuses_a_rate_that_it_cannot_show(rate):
    with pytest.raises(
        InputError, match="frames_per_second=.*: must be a .*number ≥ 0.01 and ≤ 50"
    ):
        rendering.encode_gif(noise(2, 8, 8, 1), frames_per_second=rate)


@pytest.mark.parametrize("scale", [0, 1.5, True])
def test_gif_refuses_a_scale_that_is_not_a_count(scale):
    with pytest.raises(InputError, match="scale="):
        rendering.encode_gif(noise(2, 8, 8, 1), scale=scale)


def test_a_scale_that_no_picture_can_have_is_refused():
    with pytest.raises(InputError, match=r"scale=10000000: the pictures would have over 16384"):
        rendering.encode_png(noise(1, 8, 8, 1)[0], scale=10**7)


# encode_mp4


def test_mp4_has_the_frames_rate_size_and_format_asked_for():
    data = rendering.encode_mp4(noise(16, 32, 48, 1), frames_per_second=12.5, scale=2)
    with av.open(io.BytesIO(data)) as container:
        (stream,) = container.streams
        assert sum(1 for _ in container.decode(stream)) == 16
        assert stream.average_rate == Fraction(25, 2)
        assert stream.duration * stream.time_base == 16 / Fraction(25, 2)
        assert (stream.height, stream.width) == (64, 96)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"


def test_mp4_keeps_grey_noise_within_6_levels():
    video = noise(16, 64, 64, 1)
    assert largest_difference(read_ffmpeg(rendering.encode_mp4(video)), video) <= 6


def test_mp4_keeps_plain_colours_within_4_levels():
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [200, 50, 120], [0, 0, 0]]
    video = np.tile(np.array(colours, np.uint8).repeat(16, axis=0), (3, 32, 1, 1))
    frames = read_ffmpeg(rendering.encode_mp4(video))
    centres = slice(8, None, 16)
    assert largest_difference(frames[:, :, centres], video[:, :, centres]) <= 4


def test_mp4_says_which_colour_matrix_and_range_it_uses():
    with av.open(io.BytesIO(rendering.encode_mp4(noise(2, 16, 16, 3)))) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)  # BT.601, 16..235


def test_mp4_of_odd_sizes_repeats_the_last_row_and_column():
    video = np.full((3, 15, 21, 1), 30, np.uint8)
    video[:, -1], video[:, :, -1] = 90, 200
    frames = read_ffmpeg(rendering.encode_mp4(video))
    assert frames.shape == (3, 16, 22, 3)
    padded = np.concatenate([video, video[:, -1:]], axis=1)
    padded = np.concatenate([padded, padded[:, :, -1:]], axis=2)
    assert largest_difference(frames, padded) <= 6


def test_mp4_of_one_frame_of_one_pixel_can_be_read():
    assert read_ffmpeg(rendering.encode_mp4(noise(1, 1, 1, 1))).shape == (1, 2, 2, 3)


def test_mp4_without_pyav_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        InputError, match=r"^MP4: needs av, .*pip install 'tgan_tf\[data\]', or make a GIF$"
    ):
        rendering.encode_mp4(noise(2, 8, 8, 1))


# encode_png


@pytest.mark.parametrize("channels", [1, 3])
def test_png_keeps_every_pixel(channels):
    image = noise(9, 13, channels)
    pixels = np.asarray(Image.open(io.BytesIO(rendering.encode_png(image))))
    np.testing.assert_array_equal(pixels.reshape(image.shape), image)


def test_png_enlarges_each_pixel_to_a_square():
    image = noise(3, 4, 3)
    pixels = np.asarray(Image.open(io.BytesIO(rendering.encode_png(image, scale=2))))
    np.testing.assert_array_equal(pixels, np.kron(image, np.ones((2, 2, 1), "u1")))


# save_gif, save_mp4, save_png


SAVERS = pytest.mark.parametrize(
    ("save", "encode", "pixels"),
    [
        (rendering.save_gif, rendering.encode_gif, noise(3, 8, 8, 3)),
        (rendering.save_mp4, rendering.encode_mp4, noise(3, 8, 8, 3)),
        (rendering.save_png, rendering.encode_png, noise(8, 8, 3)),
    ],
    ids=["gif", "mp4", "png"],
)


@SAVERS
def test_save_writes_the_encoded_bytes_and_nothing_else(save, encode, pixels, tmp_path):
    save(tmp_path / "clips", pixels)
    assert [file.name for file in tmp_path.iterdir()] == ["clips"]
    assert (tmp_path / "clips").read_bytes() == encode(pixels)


@SAVERS
def test_save_refuses_to_overwrite_and_leaves_the_file_as_it_was(save, encode, pixels, tmp_path):
    path = tmp_path / "clips"
    path.write_bytes(b"the work of a week")
    with pytest.raises(InputError, match=re.escape(f"{path}: already exists: give another path")):
        save(path, pixels)
    assert path.read_bytes() == b"the work of a week"
    assert list(tmp_path.iterdir()) == [path]


@SAVERS
def test_save_into_a_missing_directory_names_it(save, encode, pixels, tmp_path):
    with pytest.raises(
        InputError, match=re.escape(f"there is no directory {tmp_path / 'nowhere'}")
    ):
        save(tmp_path / "nowhere" / "clips", pixels)
    assert not list(tmp_path.iterdir())


@SAVERS
@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels.astype(np.float32),
        lambda pixels: pixels[..., :2],
        lambda pixels: pixels[0],
        lambda pixels: pixels[None],
        lambda pixels: pixels[:0],
    ],
    ids=["float32", "two_channels", "rank_too_low", "rank_too_high", "empty"],
)
def test_save_refuses_what_is_not_pixels_before_any_file_is_touched(
    save, encode, pixels, change, tmp_path
):
    bad = change(pixels)
    with pytest.raises(InputError, match=f"{bad.dtype} array of shape .* must be uint8 of shape"):
        save(tmp_path / "clips", bad)
    assert not list(tmp_path.iterdir())


@SAVERS
def test_save_that_fails_half_way_leaves_no_file(save, encode, pixels, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The operating system itself ends the write, as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(tmp_path / "clips", pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_save_whose_rename_fails_leaves_no_file(monkeypatch, tmp_path):
    def refuse(source, target):
        raise PermissionError(1, "not allowed")

    monkeypatch.setattr(rendering.os, "replace", refuse)
    with pytest.raises(PermissionError, match="not allowed"):
        rendering.save_png(tmp_path / "sheet.png", noise(8, 8, 1))
    assert not list(tmp_path.iterdir())
