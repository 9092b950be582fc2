"""Decoded frames into those of a recipe, by FFmpeg's filters.

Frames come upright (phones write videos on their side, with a note which side is up) and in their
proportions on a screen (pixels of films for television are not square), as RGB, and resized, by one
filter graph a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from tgan_tf.data.recordings import Recipe, UnreadableRecording

# Where it is missing, `video_decoding` has said what to install before there is a frame.
with contextlib.suppress(ImportError):
    import av

# Colours are averaged over the same area as brightness: by default swscale takes every second one.
_CHROMA = "full_chroma_int+full_chroma_inp"


class ShownFrame(NamedTuple):
    """A frame, and how many times as wide as they are high a screen shows its pixels."""

    frame: av.VideoFrame
    aspect: Fraction


def converted(
    frames: Iterable[ShownFrame], recipe: Recipe, frame_rate: float | None
) -> Iterator[np.ndarray]:
    """Converts frames, with one of them in memory at a time.

    Args:
        frames: with times from 0 that increase; without a frame rate the times do not matter.
        recipe: what becomes of a frame.
        frame_rate: frames a second, by dropping and repeating frames; None for one each.

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
        # Not by a filter, which would round the place to whole samples of colour.
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
        if frame_rate is None:  # one comes out for each; to find that no other does takes time
            yield pulled(graph)
        else:
            yield from finished(graph)
    if graph is not None:
        graph.push(None)
        yield from finished(graph)


def _graph(
    frame: av.VideoFrame, aspect: Fraction, recipe: Recipe, frame_rate: float | None
) -> av.filter.Graph:
    """A filter graph that takes frames like this one and gives them upright, resized, as RGB."""
    graph = av.filter.Graph()
    height, width = frame.height, frame.width
    shown_height, shown_width = Fraction(height), width * aspect
    steps = [
        graph.add_buffer(width=width, height=height, format=frame.format, time_base=frame.time_base)
    ]
    if frame_rate is not None:
        steps.append(graph.add("fps", f"{frame_rate}"))
    # The stubs know of no side data but motion vectors.
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        # A pixel's place (x, y, 1) times the matrix is its place on the screen.
        (xx, xy), (yx, yy) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2]
        if abs(xx) < abs(xy):
            # Rows become columns; then, by the bits of dir, left becomes right and top bottom.
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
    # Threads cost more here than they win: a frame is small, and files are read side by side.
    steps.append(graph.add("scale", f"{to_width}:{to_height}:flags={flags}:threads=1"))
    # Scaling into planes takes FFmpeg two thirds of the time; without scaling, its conversion of
    # yuv420p into planes spoils the last columns of a width that does not divide by 16.
    form = "rgb24" if (to_height, to_width) == (height, width) else "gbrp"
    steps += [graph.add("format", form), graph.add("buffersink")]
    try:
        graph.link_nodes(*steps).configure()
    except av.FFmpegError as error:
        raise UnreadableRecording(
            f"frames of {width} x {height} cannot become {to_width} x {to_height}"
        ) from error
    return graph
