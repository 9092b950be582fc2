"""Which frames and pixels of a video become a clip."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.data.pipeline import batches
from tgan_tf.data.windows import Windows
from tgan_tf.errors import InputError

CODES = 10  # a pixel is 10 times the number of its video plus that of its frame


class Videos:
    """Videos in which a pixel's channels tell the frame of the video, its row and its column."""

    path = "some/videos"

    def __init__(self, lengths, frame_shape=(6, 9, 3), classes=None, labels=None):
        self.names = [f"video {number}" for number in range(len(lengths))]
        self.lengths = np.array(lengths)
        self.frame_shape = frame_shape
        self.classes = classes
        self.labels = None if labels is None else np.array(labels, np.int32)

    def read(self, video, first, frames, stride):
        rows, columns, _ = self.frame_shape
        number = tf.cast(video * CODES + first, tf.int32) + tf.range(frames) * stride
        pixels = tf.meshgrid(number, tf.range(rows), tf.range(columns), indexing="ij")
        return tf.cast(tf.stack(pixels, axis=-1), tf.uint8)


def shown(clip) -> tuple[int, list[int], int, int, bool]:
    """The video, frames, first row and lowest column of a clip, and whether it is mirrored."""
    clip = np.asarray(clip).astype(int)
    number = clip[:, 0, 0, 0]
    columns = clip[0, 0, :, 2].tolist()
    step = columns[1] - columns[0]
    assert columns == list(range(columns[0], columns[0] + step * len(columns), step))
    rows = clip[0, :, 0, 1].tolist()
    assert rows == list(range(rows[0], rows[0] + len(rows)))
    frames = (number % CODES).tolist()
    return int(number[0]) // CODES, frames, rows[0], min(columns), step == -1


def shown_of(source, count=200):
    return [shown(source.clip(number)) for number in range(count)]


class TestWindow:
    @pytest.mark.slow
    def test_is_successive_frames_from_any_first_one_that_leaves_enough(self):
        source = Windows(Videos([7]), frames=4, size=6)
        assert {tuple(frames) for _, frames, *_ in shown_of(source)} == {
            (0, 1, 2, 3),
            (1, 2, 3, 4),
            (2, 3, 4, 5),
            (3, 4, 5, 6),
        }

    @pytest.mark.slow
    def test_with_a_stride_spans_more_frames_of_the_video(self):
        source = Windows(Videos([8]), frames=3, size=6, stride=3)
        assert {tuple(frames) for _, frames, *_ in shown_of(source)} == {(0, 3, 6), (1, 4, 7)}

    @pytest.mark.slow
    def test_first_frames_are_equally_frequent(self):
        source = Windows(Videos([7]), frames=4, size=6)
        counts = np.bincount([frames[0] for _, frames, *_ in shown_of(source, 400)])
        # Each is expected 100 times, with a standard deviation of 8.7.
        assert counts.min() > 65 and counts.max() < 135

    def test_of_clip_n_is_of_video_n_modulo_their_number(self):
        source = Windows(Videos([5, 9, 4]), frames=4, size=6)
        assert source.num_clips == 3
        assert [video for video, *_ in shown_of(source, 7)] == [0, 1, 2, 0, 1, 2, 0]

    @pytest.mark.slow
    def test_of_a_later_epoch_is_another(self):
        source = Windows(Videos([9, 9]), frames=4, size=6)
        first_frames = {frames[0] for video, frames, *_ in shown_of(source) if video == 1}
        assert first_frames == {0, 1, 2, 3, 4, 5}

    @pytest.mark.slow
    def test_is_the_same_in_a_graph_and_differs_by_seed(self):
        videos = Videos([9, 9])
        one, other = Windows(videos, 4, 6, seed=1), Windows(videos, 4, 6, seed=2)
        mapped = tf.data.Dataset.range(30).map(one.clip, num_parallel_calls=4)
        assert [shown(clip) for clip in mapped] == shown_of(one, 30)
        assert shown_of(one, 30) != shown_of(other, 30)


class TestFixedWindow:
    @pytest.mark.parametrize(
        ("window", "first_frames"), [("first", [0, 0, 0]), ("center", [0, 1, 2])]
    )
    def test_is_the_same_of_a_video_in_every_epoch(self, window, first_frames):
        source = Windows(Videos([4, 7, 8]), frames=4, size=6, window=window)
        for number, (video, frames, *_) in enumerate(shown_of(source, 12)):
            assert video == number % 3
            assert frames == list(range(first_frames[video], first_frames[video] + 4))

    def test_at_the_center_with_a_stride_leaves_as_many_frames_at_each_side(self):
        source = Windows(Videos([9]), frames=3, size=6, stride=3, window="center")
        assert shown(source.clip(0))[1] == [1, 4, 7]

    @pytest.mark.slow
    def test_is_cropped_at_random_all_the_same(self):
        source = Windows(Videos([9]), frames=2, size=5, crop="random", window="first")
        assert {(top, left) for _, _, top, left, _ in shown_of(source)} == set(
            itertools.product(range(2), range(5))
        )


class TestAllWindows:
    def test_are_clips_of_their_own_that_follow_without_overlap(self):
        source = Windows(Videos([9, 4, 7]), frames=4, size=6, window="all")
        assert source.num_clips == 4
        shown_clips = [(video, frames) for video, frames, *_ in shown_of(source, 8)]
        once = [(0, [0, 1, 2, 3]), (0, [4, 5, 6, 7]), (1, [0, 1, 2, 3]), (2, [0, 1, 2, 3])]
        assert shown_clips == once + once

    def test_with_a_stride_do_not_interleave(self):
        source = Windows(Videos([10]), frames=3, size=6, stride=2, window="all")
        assert [frames for _, frames, *_ in shown_of(source, 2)] == [[0, 2, 4], [5, 7, 9]]

    def test_have_the_labels_of_their_videos(self):
        with pytest.warns(UserWarning, match="1 of 4 videos"):
            source = Windows(
                Videos([9, 3, 4, 8], classes=("a", "b"), labels=[1, 1, 0, 1]), 4, 6, window="all"
            )
        assert source.num_clips == 5
        assert [int(source.label(number)) for number in range(6)] == [1, 1, 0, 1, 1, 1]
        assert [video for video, *_ in shown_of(source, 5)] == [0, 0, 2, 3, 3]

    @pytest.mark.slow
    def test_are_each_shown_once_an_epoch(self):
        source = Windows(Videos([9, 4, 8]), frames=4, size=6, window="all")
        (clips,) = batches(source, batch_size=source.num_clips).take(1)
        first_pixels = np.rint(clips[:, 0, 0, 0, 0] * 128 + 128)
        assert sorted(first_pixels) == [0, 4, 10, 20, 24]


class TestTooShortVideos:
    def test_are_left_out_with_a_warning(self):
        with pytest.warns(UserWarning, match="some/videos: 2 of 4 videos have fewer than the 7"):
            source = Windows(
                Videos([9, 6, 7, 1], classes=("a", "b"), labels=[0, 0, 1, 0]), 4, 6, stride=2
            )
        assert source.num_clips == 2
        assert [video for video, *_ in shown_of(source, 4)] == [0, 2, 0, 2]
        assert [int(source.label(number)) for number in range(4)] == [0, 1, 0, 1]

    def test_are_refused_if_all_are(self):
        with pytest.raises(InputError, match="frames=4, stride=3.* spans 10 frames.* has 9"):
            Windows(Videos([9, 6]), frames=4, size=6, stride=3)


class TestCrop:
    def test_center_of_64x85_is_columns_10_to_73_as_in_the_reference(self):
        source = Windows(Videos([9], frame_shape=(64, 85, 3)), frames=2)
        clip = source.clip(0)
        assert tuple(clip.shape) == source.clip_shape == (2, 64, 64, 3)
        np.testing.assert_array_equal(clip[0, 0, :, 2], range(10, 74))
        np.testing.assert_array_equal(clip[0, :, 0, 1], range(64))

    @pytest.mark.slow
    def test_random_is_from_anywhere(self):
        source = Windows(Videos([9]), frames=2, size=5, crop="random")
        assert {(top, left) for _, _, top, left, _ in shown_of(source)} == set(
            itertools.product(range(2), range(5))
        )

    @pytest.mark.slow
    def test_keeps_left_and_right_unless_mirrored(self):
        assert not any(mirrored for *_, mirrored in shown_of(Windows(Videos([9]), 2, 6)))

    @pytest.mark.slow
    def test_mirrors_half_of_the_clips_whole(self):
        source = Windows(Videos([9]), frames=2, size=6, mirror=True)
        mirrored = [mirrored for *_, mirrored in shown_of(source, 400)]
        # 200 are expected, with a standard deviation of 10.
        assert 150 < sum(mirrored) < 250
        clip = source.clip(mirrored.index(True))
        np.testing.assert_array_equal(clip[0, :, :, 2], clip[1, :, :, 2])


class TestLabels:
    @pytest.mark.slow
    def test_come_with_the_clips_of_their_videos(self):
        source = Windows(
            Videos([9, 9, 9], classes=("a", "b", "c"), labels=[2, 0, 1]), frames=2, size=6
        )
        clips, labels = next(iter(batches(source, batch_size=30, labels=True)))
        assert labels.dtype == tf.int32
        videos = np.rint(clips[:, 0, 0, 0, 0] * 128 + 128).astype(int) // CODES
        np.testing.assert_array_equal(labels, np.array([2, 0, 1])[videos])

    def test_missing_are_refused(self):
        with pytest.raises(InputError, match="no classes, which a conditional model needs"):
            batches(Windows(Videos([9]), frames=2, size=6), batch_size=2, labels=True)


def test_frames_that_the_memory_does_not_hold_are_refused():
    with pytest.raises(
        InputError, match="frames=2: frames of 100000000 x 100000000 .*: would take 60 PB"
    ):
        Windows(Videos([9], (10**8, 10**8, 3)), frames=2, size=6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"frames": 0}, "frames=0"),
        ({"size": 0}, "size=0"),
        ({"stride": 0}, "stride=0"),
        ({"crop": "corner"}, "crop='corner'.*center, random"),
        ({"window": "last"}, "window='last'.*random, first, center, all"),
        ({"size": 7}, "size=7.*some/videos have 6 rows and 9 columns.*give 6"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Windows(Videos([9]), **{"frames": 2, "size": 6, **arguments})
