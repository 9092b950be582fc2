"""Decodes video files with PyAV: all frames, or a window of them.

See `tgan_tf.data.video_filters` for the form of the frames. A file is used whole or not at all: a
damaged or truncated file raises `UnreadableRecording`.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
import tensorflow as tf

from tgan_tf.data import storage
from tgan_tf.data.recordings import Recipe, UnreadableRecording
from tgan_tf.data.video_filters import ShownFrame, converted
from tgan_tf.errors import reason
from tgan_tf.extras import extra

# `_open`, which runs first, says what to install.
with contextlib.suppress(ImportError):
    import av


# An encoder needs a few bytes for an unchanged frame; some decoders then output no frame.
_SMALLEST_PACKET = 16

# The largest ratio of a pixel's sides; a larger one means that the file is damaged.
_LONGEST_PIXEL = 8


def read(path: str, recipe: Recipe, frame_rate: float | None) -> tuple[float, Iterator[np.ndarray]]:
    """Reads a video file from its first frame to its last; see `Recording.read`.

    One thread decodes, with one frame in memory at a time. A file counts as truncated if it ends
    inside a packet, or if it lacks more of its stated duration than a tenth of a second and than
    twice the longest pause between two of its frames. A GIF states no duration.

    Args:
        path: the file, local or in an object store.
        recipe: how to resize frames.
        frame_rate: frames per second to resample to, by dropping and repeating frames; None keeps
            all frames.

    Returns:
        The frame rate (the file's average if none is given; 0 if unknown), and an iterator of uint8
        `recipe.frame_shape`.

    Raises:
        UnreadableRecording: the file is empty, not a video, of an unknown codec, damaged or
            truncated; the iterator may raise it later.
    """
    container, stream = _open(path)
    rate = frame_rate or float(stream.average_rate or 0)
    return rate, _whole(container, stream, recipe, frame_rate)


class Index(NamedTuple):
    """Where the frames of a file are.

    Attributes:
        length: frames in the file.
        times: int64 [length], presentation times in ticks of the stream.
        keyframes: numbers of the frames at which decoding can begin, ascending; empty if the times
            do not tell frames apart.
    """

    length: int
    times: np.ndarray
    keyframes: list[int]


def index(path: str) -> Index:
    """Finds the frames of a file; decodes all of them only if their number is in doubt.

    Raises:
        UnreadableRecording: see `read`; some damage shows only when frames are decoded.
    """
    container, stream = _open(path)
    smallest: float = math.inf
    first: av.VideoFrame | None = None
    stamps: list[int | None] = []
    keys: list[int] = []
    with container:
        is_vp8 = stream.codec_context.name == "vp8"
        for packet in _packets(container, stream):
            if first is None:
                first = next(iter(_decode(packet, 0)), None)
            if packet.size and not packet.is_discard:
                stamps.append(packet.pts)
                smallest = min(smallest, packet.size)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
    if first is None:
        raise UnreadableRecording("no frame in it")
    begin = first.pts
    times = [stamp for stamp in stamps if stamp is not None]
    are_distinct = len(set(times)) == len(stamps)
    is_certain = are_distinct and not is_vp8 and smallest >= _SMALLEST_PACKET
    if begin is not None and begin in times and is_certain:
        # Frames shown before the first decoded one refer to what was cut off and are not decoded.
        times = sorted(time for time in times if time >= begin)
        length = len(times)
    else:
        container, stream = _open(path)
        with container:
            stamps = [frame.pts for frame, _ in _decoded(container, stream)]
        length = len(stamps)
        times = [stamp for stamp in stamps if stamp is not None]
        if len(times) < length or any(one >= other for one, other in zip(times, times[1:])):
            times = []
    numbers = {time: number for number, time in enumerate(times)}
    return Index(
        length,
        np.array(times, np.int64),
        sorted(numbers[key] for key in keys if key in numbers),
    )


def window(path: str, recipe: Recipe, index: Index, wanted: range) -> np.ndarray:
    """Decodes some frames of a file, from the preceding keyframe on.

    Args:
        path: the file.
        recipe: how to resize frames.
        index: the index of the file.
        wanted: numbers of the frames, ascending.

    Returns:
        uint8 [len(wanted), *recipe.frame_shape].

    Raises:
        UnreadableRecording: the frames are damaged, or the file has too few.
    """
    place = bisect.bisect(index.keyframes, wanted[0])
    keyframe = index.keyframes[place - 1] if place else 0
    # If the file does not continue properly after the keyframe, decode from the beginning.
    for start in dict.fromkeys((keyframe, 0)):
        frames = converted(_chosen(path, index, start, wanted), recipe, None)
        try:
            clip = list(itertools.islice(frames, len(wanted)))
        except UnreadableRecording:
            if not start:
                raise
            continue
        if len(clip) == len(wanted):
            return np.stack(clip)
    raise UnreadableRecording(f"has fewer than {wanted[-1] + 1} frames")


def _whole(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    recipe: Recipe,
    frame_rate: float | None,
) -> Iterator[np.ndarray]:
    with container:
        frames = _in_time(_decoded(container, stream), container.format.name == "avi")
        yield from converted(frames, recipe, frame_rate)


def _open(path: str) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Opens a file: the container, and its video stream."""
    with extra("data", path):
        import av

    # PyAV silences FFmpeg's log by default; names in the metadata may have any encoding.
    try:
        container = av.open(
            storage.open_file(path) if storage.is_remote(path) else f"file:{path}",
            metadata_errors="replace",
        )
    except (tf.errors.NotFoundError, tf.errors.PermissionDeniedError) as error:
        raise UnreadableRecording(f"cannot be opened ({reason(error)})") from error
    except (FileNotFoundError, PermissionError) as error:
        raise UnreadableRecording(f"cannot be opened ({error.strerror})") from error
    except av.FFmpegError as error:
        raise UnreadableRecording(
            "not a video, or its header is truncated" if storage.size(path) else "empty file"
        ) from error
    stream = cast("av.VideoStream | None", container.streams.best("video"))
    if stream is None:
        container.close()
        raise UnreadableRecording("no video stream")
    if stream.codec_context is None:
        container.close()
        raise UnreadableRecording("unknown codec")
    stream.codec_context.thread_count = 1
    try:
        _check_pixels(stream.sample_aspect_ratio)
    except UnreadableRecording:
        container.close()
        raise
    return container, stream


def _check_pixels(aspect: Fraction | None) -> None:
    """Raises if a pixel's aspect ratio (width to height) is impossible; None or 0: unknown."""
    if aspect and not 1 / _LONGEST_PIXEL <= aspect <= _LONGEST_PIXEL:
        raise UnreadableRecording(
            f"damaged: its pixel aspect ratio is {aspect.numerator}:{aspect.denominator}"
        )


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of the video in decoding order; the last is empty."""
    is_avi = container.format.name == "avi"
    # AVI and MP4 state the length of each stream, Matroska only that of the longest.
    knows_stream = is_avi or stream.duration is not None
    time_base = stream.time_base or Fraction(0)
    if is_avi:  # its `duration` also depends on the size of the file
        promised = float(stream.frames * time_base)
    elif stream.duration is not None:
        promised = float(stream.duration * time_base)
    else:
        promised = (container.duration or 0) / av.time_base
    # A longer pause means damage, which resampling would fill with frames.
    longest = min(promised + 1, 3600) if promised > 0 else 3600
    ticks = {each.index: float(each.time_base or 0) for each in container.streams}
    last, pause, end = None, 0.0, 0.0
    try:
        for packet in container.demux():
            index = packet.stream.index
            is_video = index == stream.index
            pts = packet.pts
            time = pts if packet.dts is None else packet.dts
            if time is not None and (is_video or not knows_stream):
                until = max(time, time if pts is None else pts) + (packet.duration or 0)
                end = max(end, until * ticks[index])
                if is_video:
                    last = time if last is None else last
                    if (until - last) * ticks[index] > longest:
                        raise UnreadableRecording(f"damaged: lasts {end:.0f} seconds")
                    pause, last = max(pause, (time - last) * ticks[index]), time
            if packet.is_corrupt:  # the file ends inside the packet
                raise UnreadableRecording(f"truncated after {end:.2f} seconds")
            if is_video:
                yield packet
    except av.FFmpegError as error:
        raise UnreadableRecording(f"damaged after {end:.2f} seconds") from error
    if promised - end > max(0.1, 2 * pause):
        raise UnreadableRecording(f"truncated after {end:.2f} of {promised:.2f} seconds")


def _decode(packet: av.Packet, number: int) -> list[av.VideoFrame]:
    """Decodes a packet to frames; `number` of frames were decoded before."""
    try:
        frames = packet.decode()
    except av.FFmpegError as error:
        raise UnreadableRecording(f"damaged after {number} frames") from error
    # The decoder has concealed what it could not read.
    for place, frame in enumerate(frames):
        if frame.is_corrupt:
            raise UnreadableRecording(f"damaged after {number + place} frames")
    return frames


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[ShownFrame]:
    """The frames of the video, in presentation order."""
    number = 0
    codec = stream.codec_context
    # The container's aspect ratio has priority over the codec's, which may change on the way.
    of_container = stream.sample_aspect_ratio or None
    if of_container == codec.sample_aspect_ratio:
        of_container = None
    aspects: dict[int | None, Fraction | None] = {}
    for packet in _packets(container, stream):
        frames = _decode(packet, number)
        # The decoder outputs a frame after later packets went in.
        aspects[packet.pts] = codec.sample_aspect_ratio
        for frame in frames:
            aspect = of_container or aspects.pop(frame.pts, codec.sample_aspect_ratio)
            _check_pixels(aspect)
            yield ShownFrame(frame, aspect or Fraction(1))
            number += 1


def _in_time(frames: Iterable[ShownFrame], is_avi: bool) -> Iterator[ShownFrame]:
    """Frames with strictly increasing times from 0; raises if there is no frame."""
    start = 0
    last: int | None = None
    for frame, aspect in frames:
        # An AVI has no times of presentation, and FFmpeg's guesses are out of order where a packet
        # holds several frames, as DivX and XviD write them.
        time = frame.dts if is_avi else frame.pts
        if last is None:
            start = time = time or 0
        elif time is None or time <= last:
            time = last + 1
        last, frame.pts = time, time - start
        yield ShownFrame(frame, aspect)
    if last is None:
        raise UnreadableRecording("no frame in it")


def _chosen(path: str, index: Index, start: int, wanted: range) -> Iterator[ShownFrame]:
    """The wanted frames, decoded from the keyframe `start` on; fewer if one is missing."""
    container, stream = _open(path)
    with container:
        if start:
            try:
                container.seek(int(index.times[start]), stream=stream)
            except av.FFmpegError:
                return
        number = start
        for frame, aspect in _decoded(container, stream):
            # Counting is enough from the beginning; after a seek the times tell where it led.
            if start:
                if number == start and frame.pts is not None and frame.pts < index.times[start]:
                    continue
                if number == index.length or frame.pts != index.times[number]:
                    return
            if number in wanted:
                yield ShownFrame(frame, aspect)
            number += 1
