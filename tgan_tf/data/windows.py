"""Cuts clips out of videos: a window of frames, a crop, a mirror image.

`Videos` reads frames by their numbers; `Windows` chooses the numbers. As in the reference
(`datasets/ucf_dataset.py` of pfnet-research/tgan) a clip is T successive frames of a video from a
random first frame. It takes columns 10 to 73 of 85; the augmented variant crops anywhere and
mirrors half of the clips. With the default arguments and UCF-101 a clip is uint8 [16, 64, 64, 3].
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tgan_tf import draws, pipeline_errors
from tgan_tf.arguments import Integer, OneOf, check
from tgan_tf.capacity import check_memory
from tgan_tf.draws import Draw
from tgan_tf.errors import Argument, InputError

CROPS = ("center", "random")
WINDOWS = ("random", "first", "center", "all")


class Videos(Protocol):
    """Videos of one frame size, read window by window.

    Attributes:
        path: the path as the user gave it, for messages.
        names: names of the videos, all different.
        lengths: int64 [videos], frames in each, at least 1.
        frame_shape: (rows, columns, channels) of a frame.
        labels: int32 [videos], numbers of the classes; None if there are no classes.
        classes: names of the classes; None if there are none.
    """

    @property
    def path(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def frame_shape(self) -> tuple[int, int, int]: ...

    @property
    def labels(self) -> np.ndarray | None: ...

    @property
    def classes(self) -> Sequence[str] | None: ...

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """Reads a window inside `tf.data.Dataset.map`, in several threads at a time.

        Args:
            video: int64 scalar, the number of the video.
            first: int64 scalar, the number of the window's first frame.
            frames: frames in the window, T.
            stride: step from one frame to the next; the last is `first + (frames - 1) * stride`.

        Returns:
            uint8 [T, *frame_shape].

        Raises:
            tf.errors.OpError: the data are damaged; it quotes the `InputError` that
                `tgan_tf.pipeline_errors.raised` returns.
        """


def read_in_python(
    function: Callable[..., np.ndarray | bytes],
    arguments: Sequence[tf.Tensor],
    shape: Sequence[int | None],
    dtype: tf.DType = tf.uint8,
) -> tf.Tensor:
    """Calls a Python function inside a pipeline, for data that TensorFlow cannot read.

    Args:
        function: takes the arguments as NumPy values. It may be called in several threads at a time
            and more than once, and must be deterministic. An `InputError` that it raises reaches
            the user, see `tgan_tf.pipeline_errors`.
        arguments: its arguments.
        shape: shape of its result.
        dtype: dtype of its result.

    Returns:
        A tensor of that shape and dtype.
    """

    def called(*values: np.ndarray) -> np.ndarray | bytes:
        with pipeline_errors.keeping():
            return function(*values)

    return tf.ensure_shape(tf.numpy_function(called, arguments, dtype, stateful=False), shape)


class Windows:
    """Clips cut out of videos: a `Source` for `tgan_tf.data.batches`.

    Clip n is from video n modulo `num_clips`; the seed and n determine its first frame, crop and
    mirroring if they are random. A later epoch has higher numbers and thus shows other windows of
    the same videos. Videos shorter than a window are left out with a warning. Unlike in the
    reference's code, the last window and the last crop are as likely as any other.

    Published evaluation protocols differ in the window. "all" divides each video into successive
    windows from its first frame on, each a clip: first those of the first video, then the others.
    Frames at the end that do not fill a window are left out.

    Args:
        videos: the videos.
        frames: frames of a clip T, at least 1.
        size: rows and columns of a clip, at most those of the videos' frames.
        stride: step in the video from one frame of the clip to the next, at least 1.
        crop: position of the crop, "center" or "random".
        mirror: whether half of the clips, chosen at random, are mirrored left to right.
        seed: another seed gives other windows.
        window: which frames of a video to take: "random", "first", "center" or "all".

    Attributes:
        clip_shape: (T, size, size, channels).
        num_clips: the number of videos that are long enough or, with window "all", of their
            windows.
        classes: names of the classes; None if the videos have none.

    Raises:
        InputError: an argument is out of range, all videos are too short, or a window exceeds the
            memory.

    Example:
        >>> Windows(TFRecordVideos("ucf101"), crop="random", mirror=True).clip(0).shape
        TensorShape([16, 64, 64, 3])
    """

    def __init__(
        self,
        videos: Videos,
        frames: int = 16,
        size: int = 64,
        stride: int = 1,
        crop: str = "center",
        mirror: bool = False,
        seed: int = 0,
        window: str = "random",
    ):
        check(Integer(1), frames=frames, size=size, stride=stride)
        check(OneOf(CROPS), crop=crop)
        check(OneOf(WINDOWS), window=window)
        rows, columns, channels = videos.frame_shape
        if size > min(rows, columns):
            raise InputError(
                Argument("size", size),
                f": the frames of {videos.path} have {rows} rows and {columns} columns: give "
                f"{min(rows, columns)} or less",
            )
        span = (frames - 1) * stride + 1
        wanted: list[str | Argument] = [Argument("frames", frames)]
        if stride > 1:
            wanted += [", ", Argument("stride", stride)]
        long_enough = np.flatnonzero(videos.lengths >= span)
        if not len(long_enough):
            raise InputError(
                *wanted,
                f": a clip spans {span} frames, the longest video of {videos.path} has "
                f"{max(videos.lengths)} frames: give fewer",
            )
        check_memory(
            frames * rows * columns * channels,
            [*wanted, f": frames of {rows} x {columns} of {videos.path}"],
            "give fewer, or prepare the videos at a smaller size",
        )
        left_out = len(videos.lengths) - len(long_enough)
        if left_out:
            warnings.warn(
                f"{videos.path}: {left_out} of {len(videos.lengths)} videos have fewer than the "
                f"{span} frames of a clip and are left out",
                stacklevel=2,
            )
        self.videos = videos
        self.frames = frames
        self.size = size
        self.stride = stride
        self.crop = crop
        self.mirror = mirror
        self.seed = seed
        self.window = window
        self.clip_shape = (frames, size, size, channels)
        # For each clip: its video, its first possible start, and the number of possible starts.
        numbers = long_enough
        first: int | np.ndarray
        choices: int | np.ndarray = 1
        spare = videos.lengths[numbers] - span
        if window == "random":
            first, choices = 0, spare + 1
        elif window == "first":
            first = 0
        elif window == "center":
            first = spare // 2
        else:
            windows = videos.lengths[numbers] // span
            numbers = np.repeat(numbers, windows)
            first = np.concatenate([np.arange(count) for count in windows]) * span
        self.num_clips = len(numbers)
        self.classes = videos.classes
        # tf.data runs on the CPU: a table on a GPU would be copied back for every clip.
        with tf.device("CPU:0"):
            self._numbers = tf.constant(numbers, tf.int64)
            self._first = tf.constant(first, tf.int64, numbers.shape)
            self._choices = tf.constant(choices, tf.int64, numbers.shape)
            if videos.labels is not None:
                self._labels = tf.constant(videos.labels[numbers], tf.int32)

    @tf.autograph.experimental.do_not_convert  # see `tgan_tf.models.network.Network`
    def clip(self, number: int | tf.Tensor) -> tf.Tensor:
        """Reads one clip.

        Args:
            number: int64 scalar, at least 0.

        Returns:
            uint8 [T, size, size, channels].
        """
        number = tf.cast(number, tf.int64)
        place = number % self.num_clips
        # In float64: a float32 below 1 times a large number may round up to that number.
        drawn = tf.random.stateless_uniform(
            [4],
            draws.seed(self.seed, number, Draw.CLIPS),
            dtype=tf.float64,
            alg=draws.ALGORITHM,
        )

        def choose(draw: int, choices: int | tf.Tensor) -> tf.Tensor:
            return tf.cast(drawn[draw] * tf.cast(choices, tf.float64), tf.int64)

        first = tf.gather(self._first, place) + choose(0, tf.gather(self._choices, place))
        clip = self.videos.read(tf.gather(self._numbers, place), first, self.frames, self.stride)
        rows, columns, channels = self.videos.frame_shape
        if self.crop == "random":
            top, left = choose(1, rows - self.size + 1), choose(2, columns - self.size + 1)
        else:
            top, left = (rows - self.size) // 2, (columns - self.size) // 2
        clip = tf.slice(clip, [0, top, left, 0], [self.frames, self.size, self.size, channels])
        if self.mirror:
            clip = tf.where(drawn[3] < 0.5, clip, tf.reverse(clip, [2]))
        return clip

    def label(self, number: int | tf.Tensor) -> tf.Tensor:
        """The class of a clip, for videos that have classes.

        Args:
            number: int64 scalar, at least 0.

        Returns:
            int32 scalar, an index into `classes`.
        """
        return tf.gather(self._labels, tf.cast(number, tf.int64) % self.num_clips)
