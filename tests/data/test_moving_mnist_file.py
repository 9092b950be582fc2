"""Windows of the sequences in a file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.data.moving_mnist_file import MovingMNISTFile
from tgan_tf.errors import InputError

LENGTH, SEQUENCES = 20, 12


@pytest.fixture
def path(tmp_path) -> Path:
    """A file in which every pixel of frame t of sequence n is 12 t + n."""
    values = np.arange(LENGTH * SEQUENCES, dtype=np.uint8).reshape(LENGTH, SEQUENCES, 1, 1)
    np.save(tmp_path / "seq.npy", np.tile(values, (1, 1, 8, 10)))
    return tmp_path / "seq.npy"


def _first(clip: tf.Tensor) -> int:
    """The frame of the sequence that a clip starts with."""
    return int(clip[0, 0, 0, 0]) // SEQUENCES


class TestClip:
    def test_is_uint8_of_the_shape_that_the_source_states(self, path):
        source = MovingMNISTFile(path)
        assert source.clip_shape == (16, 8, 10, 1)
        assert source.clip(0).dtype == tf.uint8
        assert tuple(source.clip(0).shape) == source.clip_shape

    def test_is_successive_frames_of_the_sequence_with_its_number(self, path):
        source = MovingMNISTFile(path, frames=5)
        whole = np.load(path)
        for number in range(source.num_clips):
            clip = source.clip(number)
            first = _first(clip)
            np.testing.assert_array_equal(clip[..., 0], whole[first : first + 5, number])

    def test_starts_anywhere_from_the_first_frame_to_the_last_that_leaves_enough(self, path):
        source = MovingMNISTFile(path)
        assert {_first(source.clip(n)) for n in range(100)} == {0, 1, 2, 3, 4}

    def test_of_all_frames_is_the_whole_sequence(self, path):
        clip = MovingMNISTFile(path, frames=LENGTH).clip(7)
        np.testing.assert_array_equal(clip[..., 0], np.load(path)[:, 7])

    def test_of_a_later_epoch_shows_the_sequence_through_another_window(self, path):
        source = MovingMNISTFile(path)
        epochs = [source.clip(7 + SEQUENCES * epoch) for epoch in range(20)]
        assert {int(clip[0, 0, 0, 0]) % SEQUENCES for clip in epochs} == {7}
        assert len({_first(clip) for clip in epochs}) == 5

    def test_is_the_same_for_the_same_seed_and_number(self, path):
        numbers = tf.data.Dataset.range(30)
        mapped = numbers.map(MovingMNISTFile(path, seed=3).clip, num_parallel_calls=4)
        again = MovingMNISTFile(path, seed=3)
        for number, clip in enumerate(mapped):
            np.testing.assert_array_equal(clip, again.clip(number))

    def test_differs_by_seed(self, path):
        one, other = MovingMNISTFile(path, seed=0), MovingMNISTFile(path, seed=1)
        assert [_first(one.clip(n)) for n in range(20)] != [
            _first(other.clip(n)) for n in range(20)
        ]


class TestFile:
    def test_is_not_read_as_a_whole(self, tmp_path):
        np.save(tmp_path / "large.npy", np.zeros((20, 1000, 32, 32), np.uint8))
        tracemalloc.start()
        try:
            MovingMNISTFile(tmp_path / "large.npy").clip(0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # The file holds 20 MB, the clip 16 kB.
        assert peak < 2e6

    def test_may_be_given_as_a_string(self, path):
        np.testing.assert_array_equal(
            MovingMNISTFile(str(path)).clip(0), MovingMNISTFile(path).clip(0)
        )


def _archive(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), np.zeros((20, 3, 4, 4), np.uint8))
    path.with_suffix(".npz").rename(path)


def _half(path: Path) -> None:
    np.save(path, np.zeros((20, 3, 4, 4), np.uint8))
    path.write_bytes(path.read_bytes()[:500])


def _broken_header(path: Path) -> None:
    np.save(path, np.zeros((20, 3, 4, 4), np.uint8))
    path.write_bytes(path.read_bytes().replace(b"fortran_order", b"fortran(order"))


BAD_FILES = {
    "missing": lambda path: None,
    "a folder": Path.mkdir,
    "empty": lambda path: path.write_bytes(b""),
    "not an array": lambda path: path.write_bytes(b"GIF89a" * 100),
    "an archive": _archive,
    "cut off": _half,
    "damaged": _broken_header,
    "of floats": lambda path: np.save(path, np.zeros((20, 3, 4, 4), np.float32)),
    "without a sequence axis": lambda path: np.save(path, np.zeros((20, 4, 4), np.uint8)),
    "with a channel axis": lambda path: np.save(path, np.zeros((20, 3, 4, 4, 1), np.uint8)),
    "without sequences": lambda path: np.save(path, np.zeros((20, 0, 4, 4), np.uint8)),
    "of short sequences": lambda path: np.save(path, np.zeros((15, 3, 4, 4), np.uint8)),
}


class TestBadInput:
    @pytest.mark.parametrize("write", BAD_FILES.values(), ids=BAD_FILES)
    def test_file_is_refused_in_one_line_that_names_it(self, write, tmp_path):
        path = tmp_path / "bad.npy"
        write(path)
        with pytest.raises(InputError) as error:
            MovingMNISTFile(path)
        assert str(path) in str(error.value)
        assert "give" in str(error.value)
        assert "\n" not in str(error.value)

    def test_pickled_file_is_refused_without_being_unpickled(self, tmp_path):
        np.save(tmp_path / "bad.npy", np.array([_Trap(tmp_path / "sprung")], object))
        with pytest.raises(InputError, match=r"bad\.npy"):
            MovingMNISTFile(tmp_path / "bad.npy")
        assert not (tmp_path / "sprung").exists()

    def test_short_file_is_refused_with_the_frames_it_has(self, tmp_path):
        np.save(tmp_path / "short.npy", np.zeros((15, 3, 4, 4), np.uint8))
        with pytest.raises(InputError, match="frames=16.* have 15 frames"):
            MovingMNISTFile(tmp_path / "short.npy")

    def test_number_of_frames_below_1_is_refused(self, path):
        with pytest.raises(InputError, match="frames=0"):
            MovingMNISTFile(path, frames=0)


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
