"""Windows of the clips in an .npz file."""

from __future__ import annotations

import math
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf import capacity
from tgan_tf.data.npz import ClipsFile
from tgan_tf.data.windows import Windows
from tgan_tf.errors import InputError

RNG = np.random.default_rng(0)
CLIPS = RNG.integers(0, 256, (5, 9, 8, 10, 3), np.uint8)
LATENTS = RNG.uniform(-1, 1, (5, 7)).astype(np.float32)


def _zip64(path: Path) -> None:
    # A member written through a stream: its local header has a field of sizes in 64 bits.
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a note.txt", "before the clips")
        with archive.open("clips.npy", "w", force_zip64=True) as member:
            np.save(member, CLIPS)


FILES = {
    "as generate.py writes it": lambda path: np.savez(path, clips=CLIPS, latents=LATENTS),
    "clips last": lambda path: np.savez(path, latents=LATENTS, clips=CLIPS),
    "the only array": lambda path: np.savez(path, CLIPS),
    "columns first": lambda path: np.savez(path, clips=np.asfortranarray(CLIPS)),
    "compressed": lambda path: np.savez_compressed(path, clips=CLIPS, latents=LATENTS),
    "64-bit sizes": _zip64,
}


class TestRead:
    @pytest.mark.parametrize("write", FILES.values(), ids=FILES)
    def test_gives_the_frames_of_the_clip(self, write, tmp_path):
        write(tmp_path / "clips.npz")
        file = ClipsFile(tmp_path / "clips.npz")
        for video, first, stride in ((0, 0, 1), (4, 5, 1), (2, 1, 2)):
            window = file.read(video, first, frames=4, stride=stride)
            assert window.dtype == tf.uint8
            expected = CLIPS[video, first : first + 3 * stride + 1 : stride]
            np.testing.assert_array_equal(window, expected)

    def test_of_clips_without_a_channel_axis_gives_one_channel(self, tmp_path):
        np.savez(tmp_path / "clips.npz", clips=CLIPS[..., 0])
        file = ClipsFile(tmp_path / "clips.npz")
        assert file.frame_shape == (8, 10, 1)
        np.testing.assert_array_equal(file.read(3, 2, 4, 1), CLIPS[3, 2:6, ..., :1])

    @pytest.mark.slow
    def test_goes_through_windows(self, tmp_path):
        np.savez(tmp_path / "clips.npz", clips=CLIPS)
        source = Windows(ClipsFile(tmp_path / "clips.npz"), frames=9, size=8)
        clips = list(tf.data.Dataset.range(5).map(source.clip, num_parallel_calls=4))
        np.testing.assert_array_equal(clips, CLIPS[:, :, :, 1:9])


class TestAxes:
    def test_are_those_given(self, tmp_path):
        np.savez(tmp_path / "clips.npz", clips=CLIPS.transpose(1, 0, 4, 2, 3))
        file = ClipsFile(tmp_path / "clips.npz", "tnchw")
        np.testing.assert_array_equal(file.read(3, 2, 4, 1), CLIPS[3, 2:6])

    @pytest.mark.parametrize("order", [(0, 1, 4, 2, 3), (0, 4, 1, 2, 3)])
    def test_are_asked_for_where_channels_are_not_last(self, tmp_path, order):
        np.savez(tmp_path / "clips.npz", clips=CLIPS.transpose(order))
        with pytest.raises(InputError, match="or give its axes as array_axes="):
            ClipsFile(tmp_path / "clips.npz")

    def test_are_asked_for_where_images_have_channels_but_no_frames(self, tmp_path):
        np.savez(tmp_path / "images.npz", CLIPS[0])
        with pytest.raises(InputError, match=r"\[9, 8, 10, 3\]: give .* array_axes="):
            ClipsFile(tmp_path / "images.npz")

    def test_are_asked_for_where_frames_come_first_and_nobody_named_the_array(self, tmp_path):
        ramp = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1, 1)  # changes along frames alone
        still = np.random.default_rng(0).integers(0, 200, (1, 6, 8, 8, 1), np.uint8)
        np.savez(tmp_path / "bare.npz", ramp + still)
        with pytest.raises(InputError, match="alike along its first axis .* array_axes="):
            ClipsFile(tmp_path / "bare.npz")
        np.savez(tmp_path / "clips.npz", clips=ramp + still)
        assert ClipsFile(tmp_path / "clips.npz").lengths.tolist() == [6] * 8


class TestFile:
    @pytest.mark.parametrize("clips", ["clips", "arr_0"])
    def test_is_not_read_as_a_whole(self, clips, tmp_path):
        np.savez(tmp_path / "large.npz", **{clips: np.zeros((1000, 20, 32, 32, 1), np.uint8)})
        tracemalloc.start()
        try:
            ClipsFile(tmp_path / "large.npz").read(0, 0, 16, 1)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # The file holds 20 MB, the clip 16 kB.
        assert peak < 2e6

    def test_states_lengths_and_the_shape_of_its_frames(self, tmp_path):
        np.savez(tmp_path / "clips.npz", clips=CLIPS)
        file = ClipsFile(str(tmp_path / "clips.npz"))
        assert file.lengths.tolist() == [9] * 5
        assert file.frame_shape == (8, 10, 3)
        assert len(file.names) == len(set(file.names)) == 5


def _half(path: Path) -> None:
    np.savez(path, clips=CLIPS)
    path.write_bytes(path.read_bytes()[:5000])


def _broken_header(path: Path) -> None:
    np.savez(path, clips=CLIPS)
    path.write_bytes(path.read_bytes().replace(b"fortran_order", b"fortran(order"))


def _too_many(path: Path) -> None:
    np.savez(path, clips=CLIPS)
    path.write_bytes(path.read_bytes().replace(b"(5, 9,", b"(9, 9,"))


def _flipped(path: Path) -> None:
    np.savez_compressed(path, clips=CLIPS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, CLIPS)


BAD_FILES = {
    "missing": lambda path: None,
    "a folder": Path.mkdir,
    "empty": lambda path: path.write_bytes(b""),
    "no archive": _array,
    "cut off": _half,
    "damaged header": _broken_header,
    "damaged numbers": _flipped,
    "shorter than its shape": _too_many,
    "without arrays": lambda path: zipfile.ZipFile(path, "w").close(),
    "with arrays of other names": lambda path: np.savez(path, a=CLIPS, b=CLIPS),
    "without a frame axis": lambda path: np.savez(path, clips=CLIPS[:, 0, ..., 0]),
    "of two channels": lambda path: np.savez(path, clips=CLIPS[..., :2]),
    "without clips": lambda path: np.savez(path, clips=CLIPS[:0]),
    "of integers": lambda path: np.savez(path, clips=CLIPS.astype(int)),
}


def _declared(path: Path, shape: tuple[int, ...]) -> None:
    """An array of zeros of a shape that need not be made in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("clips.npy", "w") as member:
            head = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, head)
            for _ in range(math.prod(shape) >> 20):
                member.write(bytes(2**20))


class TestBadInput:
    def test_of_compressed_clips_is_refused_with_the_memory_they_take(self, tmp_path, monkeypatch):
        _declared(tmp_path / "large.npz", (64, 16, 64, 64, 1))
        monkeypatch.setattr(capacity, "free_memory", lambda: 10**6)
        with pytest.raises(InputError, match="4.19 MB of memory, of which 1 MB are free") as error:
            ClipsFile(tmp_path / "large.npz")
        assert "np.savez" in str(error.value) and "whole" not in str(error.value)

    def test_that_numpy_has_no_memory_for_is_said_to_be_too_large(self, tmp_path, monkeypatch):
        def full(*_, **__):
            raise MemoryError

        _declared(tmp_path / "large.npz", (64, 16, 64, 64, 1))
        monkeypatch.setattr(np.lib.format, "read_array", full)
        with pytest.raises(InputError, match="takes 4.19 MB of memory"):
            ClipsFile(tmp_path / "large.npz")

    @pytest.mark.parametrize("write", BAD_FILES.values(), ids=BAD_FILES)
    def test_file_is_refused_in_one_line_that_names_it(self, write, tmp_path):
        path = tmp_path / "bad.npz"
        write(path)
        with pytest.raises(InputError) as error:
            ClipsFile(path)
        assert str(path) in str(error.value)
        assert "give" in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_floats_are_refused_with_the_function_that_makes_pixels(self, save, tmp_path):
        save(tmp_path / "bad.npz", clips=CLIPS.astype(np.float32))
        with pytest.raises(InputError, match=r"array clips is float32 .*rendering\.to_uint8"):
            ClipsFile(tmp_path / "bad.npz")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_pickled_file_is_refused_without_being_unpickled(self, save, tmp_path):
        save(tmp_path / "bad.npz", clips=np.array([_Trap(tmp_path / "sprung")], object))
        with pytest.raises(InputError, match=r"bad\.npz"):
            ClipsFile(tmp_path / "bad.npz")
        assert not (tmp_path / "sprung").exists()


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
