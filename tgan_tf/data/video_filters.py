"""Converts decoded frames to those of a recipe with FFmpeg's filters.

One filter graph per file makes the frames upright (phones store videos rotated, with a flag),
restores their displayed proportions (films for television have pixels that are not square),
converts them to RGB and resizes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from tgan_tf.data.recordings import Recipe, UnreadableRecording

# If it is missing, `video_decoding` says what to install before there is a frame.
with contextlib.suppress(ImportError):
    import av

# Averages colour over the same area as brightness; by default swscale takes every second sample.
_CHROMA = "full_chroma_int+full_chroma_inp"


class ShownFrame(NamedTuple):
    """A frame, and the aspect ratio (width to height) of its pixels on a screen."""

    frame: av.VideoFrame
    aspect: Fraction


def converted(
    frames: Iterable[ShownFrame], recipe: Recipe, frame_rate: float | None
) -> Iterator[np.ndarray]:
    """Converts frames, with one frame in memory at a time.

    Args:
        frames: frames with increasing times from 0; without a frame rate the times do not matter.
        recipe: how to resize frames.
        frame_rate: frames per second to resample to, by dropping and repeating frames; None keeps
            all frames.

    Yields:
        uint8 `recipe.frame_shape`.

    Raises:
        UnreadableRecording: FFmpeg cannot resize frames of this size.
    """
    rows, columns, _ = recipe.frame_shape
    graph: av.filter.Graph | None = None
    form: tuple[int, int, str, Fraction] | None = None

    def pulled(graph: av.filter.Graph) -> np.ndarray:
        image = graph.pull().to_ndarray()
        # Not cropped by a filter, which would round the offset to whole chroma samples.
        top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
        return image[top : top + rows, left : left + columns]

    def finished(graph: av.filter.Graph) -> Iterator[np.ndarray]:
        while True:
            try:
                yield pulled(graph)
            except (BlockingIOError, EOFError):
                return

    for frame, aspect in frames:
        if graph is None or (frame.width, frame.height, frame.format.name, aspect) != form:
            if graph is not None:
                graph.push(None)
                yield from finished(graph)
            form = frame.width, frame.height, frame.format.name, aspect
            graph = _graph(frame, aspect, recipe, frame_rate)
        graph.push(frame)
        if frame_rate is None:  # one comes out for each; checking for another would take time
            yield pulled(graph)
        else:
            yield from finished(graph)
    if graph is not None:
        graph.push(None)
        yield from finished(graph)


def _graph(
    frame: av.VideoFrame, aspect: Fraction, recipe: Recipe, frame_rate: float | None
) -> av.filter.Graph:
    """A filter graph that makes frames like this one upright, resized and RGB."""
    graph = av.filter.Graph()
    height, width = frame.height, frame.width
    shown_height, shown_width = Fraction(height), width * aspect
    steps = [
        graph.add_buffer(width=width, height=height, format=frame.format, time_base=frame.time_base)
    ]
    if frame_rate is not None:
        steps.append(graph.add("fps", f"{frame_rate}"))
    # The stubs know no side data except motion vectors.
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        # A pixel's position (x, y, 1) times the matrix is its position on the screen.
        (xx, xy), (yx, yy) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2]
        if abs(xx) < abs(xy):
            # Rows become columns; the bits of dir then mirror left and right, top and bottom.
            steps.append(graph.add("transpose", f"dir={(yx < 0) + 2 * (xy < 0)}"))
            height, width = width, height
            shown_height, shown_width = shown_width, shown_height
        else:
            if xx < 0:
                steps.append(graph.add("hflip"))
            if yy < 0:
                steps.append(graph.add("vflip"))
    to_height, to_width = recipe.resized(shown_height, shown_width)
    becomes_smaller = to_height <= height and to_width <= width
    flags = f"{'area' if becomes_smaller else 'bilinear'}+{_CHROMA}"
    # Threads cost more than they gain here: frames are small, and files are read in parallel.
    steps.append(graph.add("scale", f"{to_width}:{to_height}:flags={flags}:threads=1"))
    # Scaling to planar RGB takes FFmpeg two thirds of the time. Without scaling its conversion of
    # yuv420p to planar RGB spoils the last columns if the width is not a multiple of 16.
    form = "rgb24" if (to_height, to_width) == (height, width) else "gbrp"
    steps += [graph.add("format", form), graph.add("buffersink")]
    try:
        graph.link_nodes(*steps).configure()
    except av.FFmpegError as error:
        raise UnreadableRecording(
            f"frames of {width} x {height} cannot become {to_width} x {to_height}"
        ) from error
    return graph
