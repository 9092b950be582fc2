"""Windows of the sequences in a file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.data.moving_mnist import MovingMNIST
from tgan_tf.data.moving_mnist_file import MovingMNISTFile
from tgan_tf.errors import InputError

LENGTH, SEQUENCES = 20, 24


@pytest.fixture
def path(tmp_path) -> Path:
    """A file in which every pixel of frame t of sequence n is t + 20 n, modulo 251."""
    values = np.arange(LENGTH * SEQUENCES).reshape(SEQUENCES, LENGTH, 1, 1) % 251
    values = values.astype(np.uint8).transpose(1, 0, 2, 3)
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

    @pytest.mark.slow
    def test_reads_the_same_from_many_threads(self, path):
        file, whole = MovingMNISTFile(path), np.load(path)
        numbers = tf.data.Dataset.range(48)
        windows = numbers.map(lambda n: file.read(n % 24, n % 5, 16, 1), num_parallel_calls=4)
        for number, window in enumerate(windows):
            first = number % 5
            np.testing.assert_array_equal(window[..., 0], whole[first : first + 16, number % 24])


class TestAxes:
    CLIPS = np.random.default_rng(0).integers(0, 256, (5, 9, 8, 10, 3), np.uint8)

    @pytest.mark.parametrize("axes", ["nthwc", "tnhwc", "ntchw", "cntwh"])
    def test_of_colour_are_in_the_order_given(self, tmp_path, axes):
        order = ["nthwc".index(letter) for letter in axes]
        np.save(tmp_path / "a.npy", self.CLIPS.transpose(order))
        file = MovingMNISTFile(tmp_path / "a.npy", axes)
        assert (file.frame_shape, file.lengths.tolist()) == ((8, 10, 3), [9] * 5)
        np.testing.assert_array_equal(file.read(3, 2, 4, 2), self.CLIPS[3, 2:10:2])

    @pytest.mark.parametrize("axes", ["nthw", "tnhw", "hwtn"])
    def test_without_colour_are_in_the_order_given(self, tmp_path, axes):
        order = ["nthw".index(letter) for letter in axes]
        np.save(tmp_path / "a.npy", self.CLIPS[..., 0].transpose(order))
        file = MovingMNISTFile(tmp_path / "a.npy", axes)
        np.testing.assert_array_equal(file.read(3, 2, 4, 2), self.CLIPS[3, 2:10:2, ..., :1])

    @pytest.mark.parametrize("axes", ["thw", "nthh", "NTHW", "nthwcx", "", "n,t,h,w"])
    def test_that_name_no_array_are_refused(self, path, axes):
        with pytest.raises(InputError, match=f"array_axes={axes!r}: must name each axis once"):
            MovingMNISTFile(path, axes)

    def test_of_another_number_are_refused(self, path):
        with pytest.raises(InputError, match=r"\[20, 24, 8, 10\], array_axes='nthwc' names 5 axes"):
            MovingMNISTFile(path, "nthwc")

    def test_with_other_channels_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", self.CLIPS)
        with pytest.raises(InputError, match="array_axes='nchwt' of 9 channels"):
            MovingMNISTFile(tmp_path / "a.npy", "nchwt")


@pytest.fixture(scope="module")
def sequences():
    """Moving digits, sequences first."""
    source = MovingMNIST(20, 64)
    return np.stack([source.clip(number).numpy()[..., 0] for number in range(24)])


class TestAxesInDoubt:
    @pytest.mark.slow
    def test_are_frames_first_as_in_the_reference(self, sequences, tmp_path):
        np.save(tmp_path / "a.npy", sequences.transpose(1, 0, 2, 3))
        file = MovingMNISTFile(tmp_path / "a.npy")
        assert file.reading == "24 clips of 20 frames of 64x64, 1 channel"
        np.testing.assert_array_equal(file.read(3, 2, 4, 1)[..., 0], sequences[3, 2:6])

    @pytest.mark.slow
    @pytest.mark.parametrize("lengths", [(24, 20), (20, 20), (12, 20)])
    def test_are_refused_where_sequences_come_first(self, sequences, tmp_path, lengths):
        np.save(tmp_path / "a.npy", sequences[: lengths[0], : lengths[1]])
        with pytest.raises(InputError) as error:
            MovingMNISTFile(tmp_path / "a.npy")
        assert f"a.npy: holds uint8 {[*lengths, 64, 64]}" in str(error.value)
        assert "array_axes='nthw' if clips come first" in str(error.value)

    @pytest.mark.parametrize("shape", [(20, 100, 64, 3), (20, 100, 1, 64), (100, 20, 8, 8, 1)])
    def test_are_refused_where_they_may_be_channels(self, tmp_path, shape):
        np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
        with pytest.raises(InputError, match="give its axes as array_axes="):
            MovingMNISTFile(tmp_path / "a.npy")


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
