"""Renders clips as grids and contact sheets, and writes GIF, MP4 and PNG files.

All functions take NumPy arrays. Clips come from the model as float32 in [-1, 1]; `to_uint8`
converts them, and everything else is uint8 with 1 (grey) or 3 (RGB) channels:

    clips [N, T, H, W, C]  --video_grid-->     video [T, height, width, C]  --> GIF, MP4
                           --contact_sheet-->  image [height, width, C]     --> PNG

For example, 32 clips of 16 frames of 64 x 64 make a video of 16 frames of 394 x 394 (6 x 6 cells
with 5 gaps of 2 pixels) and a contact sheet of 2110 rows x 1054 columns.

Each `encode_*` function returns the bytes of a file, as TensorBoard needs them; each `save_*`
function writes the same bytes to a new file, which appears whole or not at all.
"""

from __future__ import annotations

import io
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from tgan_tf import file_locks
from tgan_tf.arguments import Integer, Number, check
from tgan_tf.capacity import check_memory
from tgan_tf.errors import Argument, InputError
from tgan_tf.extras import extra

_CLIPS = "clips, frames, height, width, channels"
_VIDEO = "frames, height, width, channels"
_IMAGE = "height, width, channels"

LONGEST_SIDE = 16384
"""The most rows or columns of an enlarged picture, the limit of H.264."""

_GAP = 2  # pixels between two cells
# Differs from the black of Moving MNIST and from the 128 of an untrained generator.
_GAP_GREY = 80


def to_uint8(clips: np.ndarray) -> np.ndarray:
    """Converts the model's values to pixels: the inverse of the normalisation (x - 128) / 128.

    The result is 128 x + 128, rounded to the nearest integer (halves to the even one) and clipped
    to 0..255, so that 1.0 becomes 255. Every pixel value survives normalisation and its inverse.

    Args:
        clips: floating array [..., height, width, channels] in [-1, 1], or uint8 in 0..255, which
            is returned unchanged.

    Returns:
        uint8 array of the same shape.

    Raises:
        InputError: the array is empty, of another dtype or of rank below 3, has neither 1 nor 3
            channels, or holds a NaN or an infinity.
    """
    clips = np.asarray(clips)
    pixels = clips.dtype == np.uint8
    if (
        not (pixels or np.issubdtype(clips.dtype, np.floating))
        or clips.ndim < 3
        or clips.size == 0
        or clips.shape[-1] not in (1, 3)
    ):
        raise InputError(
            f"clips: {_describe(clips)}: must be float32 in [-1, 1] or uint8 of shape [..., "
            "height, width, channels], not empty, with 1 or 3 channels"
        )
    if pixels:
        return clips
    broken = clips.size - np.count_nonzero(np.isfinite(clips))
    if broken:
        raise InputError(
            f"clips: {broken} of {clips.size} values are NaN or infinite: must be finite values in "
            "[-1, 1] (a generator that has diverged makes others)"
        )
    # At least float32: float16 would round the sum to eighths before it is rounded to an integer.
    clips = clips.astype(np.promote_types(clips.dtype, np.float32), copy=False)
    return np.clip(np.rint(clips * 128 + 128), 0, 255).astype(np.uint8)


def video_grid(clips: np.ndarray, columns: int | None = None, num_classes: int = 0) -> np.ndarray:
    """Arranges clips in a grid, in one video in which they all play at once.

    Gaps of 2 grey pixels separate the clips; empty cells in the last row have the same grey.

    Args:
        clips: uint8 [N, T, H, W, C], C 1 or 3.
        columns: clips per row, at least 1; by default the square root of N, rounded up.
        num_classes: if given instead of `columns`, clip i has class i modulo `num_classes`, and
            each class has a row.

    Returns:
        uint8 [T, rows * (H + 2) - 2, columns * (W + 2) - 2, C].

    Raises:
        InputError: `clips` or `columns` is not as described.
    """
    clips = _checked_pixels("clips", clips, _CLIPS)
    count = len(clips)
    if num_classes:
        rows = min(num_classes, count)
        columns = math.ceil(count / rows)
    else:
        columns = math.ceil(math.sqrt(count)) if columns is None else columns
        check(Integer(1), columns=columns)
        rows = math.ceil(count / columns)
    missing = rows * columns - count
    cells = np.pad(clips, [(0, missing)] + [(0, 0)] * 4, constant_values=_GAP_GREY)
    if num_classes:
        cells = cells.reshape(columns, rows, *clips.shape[1:]).swapaxes(0, 1)
    else:
        cells = cells.reshape(rows, columns, *clips.shape[1:])
    return _joined(cells.transpose(2, 0, 1, 3, 4, 5))


def contact_sheet(clips: np.ndarray) -> np.ndarray:
    """Arranges clips in one image, with a row for each clip and a column for each frame.

    Gaps of 2 grey pixels separate the frames.

    Args:
        clips: uint8 [N, T, H, W, C], C 1 or 3.

    Returns:
        uint8 [N * (H + 2) - 2, T * (W + 2) - 2, C].

    Raises:
        InputError: `clips` is not as described.
    """
    return _joined(_checked_pixels("clips", clips, _CLIPS)[None])[0]


def encode_gif(video: np.ndarray, frames_per_second: float = 10, scale: int = 1) -> bytes:
    """Encodes a video as an animated GIF that plays for ever.

    Every frame of the video is a frame of the GIF, even if nothing moves. Grey videos keep their
    values exactly. Colour videos keep them if they have no more than 256 colours; otherwise 256 are
    chosen for the whole video (median cut). All frames share one palette without dithering, so that
    still parts of the video do not flicker.

    Args:
        video: uint8 [T, H, W, C], C 1 or 3.
        frames_per_second: frame rate in [0.01, 50]. A GIF counts in hundredths of a second; if the
            rate does not fit, frames' durations differ by one hundredth to keep the total time.
            Browsers show faster GIFs at 10 frames per second.
        scale: each pixel becomes scale x scale pixels.

    Returns:
        The bytes of a GIF file.

    Raises:
        InputError: an argument is not as described.
    """
    video = _checked_pixels("video", video, _VIDEO)
    check(Number(at_least=0.01, at_most=50), frames_per_second=frames_per_second)
    indices, palette = _indexed_colours(video)
    images = [Image.fromarray(frame) for frame in _enlarged(indices, scale)]
    for image in images:
        image.putpalette(palette)
    delays = np.diff(np.rint(np.arange(len(images) + 1) * (100 / frames_per_second)).astype(int))

    # Image.save(save_all=True) would merge equal successive frames; Pillow's functions for the
    # parts of a GIF keep every frame.
    parts, _ = GifImagePlugin.getheader(images[0], info={"loop": 0})
    for image, delay in zip(images, delays):
        parts += GifImagePlugin.getdata(image, duration=10 * int(delay))
    return b"".join(parts) + b";"


def encode_mp4(video: np.ndarray, frames_per_second: float = 10, scale: int = 1) -> bytes:
    """Encodes a video as MP4 (H.264, yuv420p, which browsers and players show).

    Brightness is nearly lossless: grey values come back within about 5 of 255. Colour has half the
    resolution in yuv420p; an even `scale` avoids most of that loss. An odd height or width grows by
    one pixel, a copy of the last row or column, since yuv420p needs even sizes.

    Args:
        video: uint8 [T, H, W, C], C 1 or 3.
        frames_per_second: frame rate in [0.01, 1000].
        scale: each pixel becomes scale x scale pixels.

    Returns:
        The bytes of an MP4 file.

    Raises:
        InputError: an argument is not as described, or PyAV is not installed.
    """
    video = _checked_pixels("video", video, _VIDEO)
    check(Number(at_least=0.01, at_most=1000), frames_per_second=frames_per_second)
    frames = _enlarged(video, scale)
    with extra("data", "MP4", otherwise="make a GIF"):
        import av

    height, width = frames.shape[1:3]
    frames = np.pad(frames, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        # A crf below 1 means the lossless profile, which browsers do not play.
        options = {"crf": "5"}
        rate = Fraction(float(frames_per_second)).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # FFmpeg converts with the matrix of BT.601 but does not record it in the file; players then
        # guess by the size of the picture, wrongly for a large grid. 6 is BT.601 with 525 lines.
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = 6
        for frame in frames:
            rgb = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def encode_png(image: np.ndarray, scale: int = 1) -> bytes:
    """Encodes an image as PNG, losslessly.

    Args:
        image: uint8 [H, W, C], C 1 or 3.
        scale: each pixel becomes scale x scale pixels.

    Returns:
        The bytes of a PNG file.

    Raises:
        InputError: an argument is not as described.
    """
    image = _enlarged(_checked_pixels("image", image, _IMAGE)[None], scale)[0]
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, format="PNG")
    return file.getvalue()


def save_gif(
    path: str | os.PathLike[str], video: np.ndarray, frames_per_second: float = 10, scale: int = 1
) -> None:
    """Writes a video to a new GIF file; for the arguments see `encode_gif`.

    Raises:
        InputError: an argument is not as described, `path` exists, or its directory does not.
        OSError: the file cannot be written; nothing of it is left.
    """
    path = _checked_path(path)
    _write(path, encode_gif(video, frames_per_second, scale))


def save_mp4(
    path: str | os.PathLike[str], video: np.ndarray, frames_per_second: float = 10, scale: int = 1
) -> None:
    """Writes a video to a new MP4 file; for the arguments see `encode_mp4`.

    Raises:
        InputError: an argument is not as described, PyAV is not installed, `path` exists, or its
            directory does not.
        OSError: the file cannot be written; nothing of it is left.
    """
    path = _checked_path(path)
    _write(path, encode_mp4(video, frames_per_second, scale))


def save_png(path: str | os.PathLike[str], image: np.ndarray, scale: int = 1) -> None:
    """Writes an image to a new PNG file; for the arguments see `encode_png`.

    Raises:
        InputError: an argument is not as described, `path` exists, or its directory does not.
        OSError: the file cannot be written; nothing of it is left.
    """
    path = _checked_path(path)
    _write(path, encode_png(image, scale))


def check_scale(scale: int, side: int) -> None:
    """Raises an `InputError` if a picture of `side` rows or columns becomes too large."""
    largest = max(LONGEST_SIDE // side, 1)
    if scale > largest:
        raise InputError(
            Argument("scale", scale),
            f": the pictures would have over {LONGEST_SIDE} rows or columns: must be an integer "
            f"≤ {largest}",
        )


def _joined(cells: np.ndarray) -> np.ndarray:
    """Joins [B, rows, columns, H, W, C] into [B, height, width, C], with gaps between the cells."""
    batch, rows, columns, height, width, channels = cells.shape
    padding = [(0, 0)] * 3 + [(0, _GAP), (0, _GAP), (0, 0)]
    cells = np.pad(cells, padding, constant_values=_GAP_GREY)
    joined = cells.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, rows * (height + _GAP), columns * (width + _GAP), channels
    )
    return joined[:, :-_GAP, :-_GAP]


def _indexed_colours(video: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Converts a video to indices [T, H, W] and one palette, a flat list of R, G and B."""
    frames, height, width, channels = video.shape
    if channels == 1:
        return video[..., 0], np.repeat(np.arange(256), 3).tolist()
    stacked = Image.fromarray(video.reshape(frames * height, width, 3))
    # Not refined by k-means (kmeans=1): it lowers the error on film by a tenth to a fifth, but
    # takes minutes for a large grid of noise, which an untrained generator may make.
    indexed = stacked.quantize(256, method=Image.Quantize.MEDIANCUT)
    palette = indexed.getpalette()
    assert palette is not None  # quantised images have one
    return np.asarray(indexed).reshape(frames, height, width), palette


def _enlarged(frames: np.ndarray, scale: int) -> np.ndarray:
    """Repeats the pixels of [T, H, W, ...] in both directions."""
    check(Integer(1), scale=scale)
    check_scale(scale, max(frames.shape[1:3]))
    check_memory(
        2 * frames.size * scale**2,
        [
            Argument("scale", scale),
            f": {len(frames)} of {frames.shape[1]} x {frames.shape[2]}, enlarged",
        ],
        "give a lower one",
    )
    return frames.repeat(scale, axis=1).repeat(scale, axis=2)


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} array of shape {array.shape}"


def _checked_pixels(name: str, array: np.ndarray, axes: str) -> np.ndarray:
    array = np.asarray(array)
    if (
        array.dtype != np.uint8
        or array.ndim != len(axes.split(","))
        or array.size == 0
        or array.shape[-1] not in (1, 3)
    ):
        raise InputError(
            f"{name}: {_describe(array)}: must be uint8 of shape [{axes}], not empty, with 1 or 3 "
            "channels (tgan_tf.rendering.to_uint8 converts float32 in [-1, 1])"
        )
    return array


def _checked_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if os.path.lexists(path):
        raise InputError(f"{path}: already exists: give another path")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no directory {path.parent}: create it first")
    return path


def _write(path: Path, data: bytes) -> None:
    try:
        with file_locks.replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        # The error for a full disk does not name the file.
        raise OSError(error.errno, error.strerror, str(path)) from error
