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


class TestRead:
    def test_gives_successive_frames_of_the_sequence(self, path):
        file, whole = MovingMNISTFile(path), np.load(path)
        for video, first in ((0, 0), (7, 3), (11, 15)):
            window = file.read(video, first, frames=5, stride=1)
            assert window.dtype == tf.uint8
            np.testing.assert_array_equal(window[..., 0], whole[first : first + 5, video])

    def test_with_a_stride_passes_over_frames(self, path):
        window = MovingMNISTFile(path).read(2, 1, frames=4, stride=6)
        np.testing.assert_array_equal(window[..., 0], np.load(path)[[1, 7, 13, 19], 2])

    def test_reads_the_same_from_many_threads(self, path):
        file, whole = MovingMNISTFile(path), np.load(path)
        numbers = tf.data.Dataset.range(48)
        windows = numbers.map(lambda n: file.read(n % 12, n % 5, 16, 1), num_parallel_calls=4)
        for number, window in enumerate(windows):
            first = number % 5
            np.testing.assert_array_equal(window[..., 0], whole[first : first + 16, number % 12])


class TestFile:
    def test_is_not_read_as_a_whole(self, tmp_path):
        np.save(tmp_path / "large.npy", np.zeros((20, 1000, 32, 32), np.uint8))
        tracemalloc.start()
        try:
            MovingMNISTFile(tmp_path / "large.npy").read(0, 0, 16, 1)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # The file holds 20 MB, the clip 16 kB.
        assert peak < 2e6

    def test_states_lengths_and_the_shape_of_its_frames(self, path):
        file = MovingMNISTFile(str(path))
        assert file.lengths.tolist() == [LENGTH] * SEQUENCES
        assert file.frame_shape == (8, 10, 1)
        assert len(file.names) == len(set(file.names)) == SEQUENCES


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


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
