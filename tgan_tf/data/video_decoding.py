"""Video files, decoded with PyAV: from the first frame to the last, or a window of frames.

`tgan_tf.data.video_filters` says how the frames come. A file is used whole or not at all: one that
is damaged or ends before its time raises `UnreadableRecording`.
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

# `_open`, which all else comes after, says what to install.
with contextlib.suppress(ImportError):
    import av


# An encoder needs a few bytes to say that nothing changed; some decoders then show no frame.
_SMALLEST_PACKET = 16

# A pixel is never that many times as wide as it is high, or as high as it is wide: damage.
_LONGEST_PIXEL = 8


def read(path: str, recipe: Recipe, frame_rate: float | None) -> tuple[float, Iterator[np.ndarray]]:
    """Reads a video file from its first frame to its last; see `Recording.read`.

    One thread decodes, and one frame is in memory at a time. A file is cut short if, of the
    duration that it states itself, more than a tenth of a second and more than twice the longest
    pause between two of its frames is missing, or if it ends inside a packet. A GIF states none.

    Args:
        path: of the file, local or in an object store.
        recipe: what becomes of a frame.
        frame_rate: frames a second, by dropping and repeating frames; None for all as they are.

    Returns:
        The frame rate (of the file on average if none is given; 0 where unknown), and an iterator
        of uint8 `recipe.frame_shape`.

    Raises:
        UnreadableRecording: the file is empty, no video, of an unknown codec, damaged or too short;
            in part only found out as the iterator goes on.
    """
    container, stream = _open(path)
    rate = frame_rate or float(stream.average_rate or 0)
    return rate, _whole(container, stream, recipe, frame_rate)


class Index(NamedTuple):
    """Where the frames of a file are.

    Attributes:
        length: frames in the file.
        times: int64 [length], when each is shown, in ticks of the stream.
        keyframes: numbers of frames from which decoding can begin, ascending; none if the times
            do not tell frames apart.
    """

    length: int
    times: np.ndarray
    keyframes: list[int]


def index(path: str) -> Index:
    """Finds the frames of a file; decodes all of them only where their number is in doubt.

    Raises:
        UnreadableRecording: as `read`, as far as it shows without decoding.
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
        # What is shown before the first frame refers to what was cut off, and is not decoded.
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
    """Decodes some frames of a file, from the keyframe before them on.

    Args:
        path: of the file.
        recipe: what becomes of a frame.
        index: of the file.
        wanted: numbers of the frames, ascending.

    Returns:
        uint8 [len(wanted), *recipe.frame_shape].

    Raises:
        UnreadableRecording: the frames are damaged, or the file has fewer.
    """
    place = bisect.bisect(index.keyframes, wanted[0])
    keyframe = index.keyframes[place - 1] if place else 0
    # From the beginning, too, where the file does not go on after the keyframe as it should.
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

    # By default PyAV keeps FFmpeg's log to itself; names in it are of any encoding.
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
            "not a video, or cut short where it says what it holds"
            if storage.size(path)
            else "empty file"
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
    """Raises if pixels cannot be that many times as wide as they are high; None or 0: not known."""
    if aspect and not 1 / _LONGEST_PIXEL <= aspect <= _LONGEST_PIXEL:
        raise UnreadableRecording(
            f"damaged: its pixels are of {aspect.numerator}:{aspect.denominator}"
        )


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of the video, in the order of decoding; the last is empty."""
    is_avi = container.format.name == "avi"
    # An AVI or MP4 says how long each stream is, Matroska only how long the longest.
    knows_stream = is_avi or stream.duration is not None
    time_base = stream.time_base or Fraction(0)
    if is_avi:  # `duration` follows from the size of the file, too
        promised = float(stream.frames * time_base)
    elif stream.duration is not None:
        promised = float(stream.duration * time_base)
    else:
        promised = (container.duration or 0) / av.time_base
    # A frame that is shown for longer is damage, which a frame rate would fill with frames.
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
                        raise UnreadableRecording(f"damaged: goes on for {end:.0f} seconds")
                    pause, last = max(pause, (time - last) * ticks[index]), time
            if packet.is_corrupt:  # the file ends inside it
                raise UnreadableRecording(f"cut short after {end:.2f} seconds")
            if is_video:
                yield packet
    except av.FFmpegError as error:
        raise UnreadableRecording(f"damaged after {end:.2f} seconds") from error
    if promised - end > max(0.1, 2 * pause):
        raise UnreadableRecording(f"cut short after {end:.2f} of {promised:.2f} seconds")


def _decode(packet: av.Packet, number: int) -> list[av.VideoFrame]:
    """The frames that come out when a packet goes in; `number` of them came out before."""
    try:
        frames = packet.decode()
    except av.FFmpegError as error:
        raise UnreadableRecording(f"damaged after {number} frames") from error
    # The decoder has painted over what it could not read.
    for place, frame in enumerate(frames):
        if frame.is_corrupt:
            raise UnreadableRecording(f"damaged after {number + place} frames")
    return frames


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[ShownFrame]:
    """The frames of the video, in the order they are shown."""
    number = 0
    codec = stream.codec_context
    # What the container says goes before what the codec does, which may change on the way.
    of_container = stream.sample_aspect_ratio or None
    if of_container == codec.sample_aspect_ratio:
        of_container = None
    aspects: dict[int | None, Fraction | None] = {}
    for packet in _packets(container, stream):
        frames = _decode(packet, number)
        # A frame comes out after later ones went in.
        aspects[packet.pts] = codec.sample_aspect_ratio
        for frame in frames:
            aspect = of_container or aspects.pop(frame.pts, codec.sample_aspect_ratio)
            _check_pixels(aspect)
            yield ShownFrame(frame, aspect or Fraction(1))
            number += 1


def _in_time(frames: Iterable[ShownFrame], is_avi: bool) -> Iterator[ShownFrame]:
    """Frames with times from 0 that increase from one to the next; raises if there is none."""
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
    """Frames of the wanted numbers, decoded from the keyframe `start`; none if one is missing."""
    container, stream = _open(path)
    with container:
        if start:
            try:
                container.seek(int(index.times[start]), stream=stream)
            except av.FFmpegError:
                return
        number = start
        for frame, aspect in _decoded(container, stream):
            # From the beginning on it is enough to count; after a seek, times tell where it led.
            if start:
                if number == start and frame.pts is not None and frame.pts < index.times[start]:
                    continue
                if number == index.length or frame.pts != index.times[number]:
                    return
            if number in wanted:
                yield ShownFrame(frame, aspect)
            number += 1
