"""Measurements: streamed into a file, mapped from it, kept for exactly what they are of."""

from __future__ import annotations

import resource
import signal

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.measurements import Measurements, measure_once, write
from tgan_tf.evaluation.measuring import measured

CLIPS = np.random.default_rng(0).uniform(-1, 1, (10, 4, 3, 3, 1)).astype(np.float32)


def batches(count):
    return (CLIPS[first : min(first + 4, count)] for first in range(0, count, 4))


def columns(clips):
    frames = tf.reduce_mean(clips, axis=[2, 3, 4])
    return {"features": frames, "scores": tf.reduce_max(clips, axis=[1, 2, 3, 4])}


def measure(path, clips, count, frames, columns, description, what):
    return write(path, measured(clips, frames, columns, what), count, description, what)


def once(directory, count=10, description=None, path=None, clips=batches):
    description = description or {"clips": {"path": "a", "seed": 0}}

    def rows(count):
        return measured(clips(count), 4, columns, "clips")

    return measure_once(directory, rows, count, 4, description, "clips", path)


def test_has_a_row_a_clip(tmp_path):
    measured = measure(tmp_path / "m.npy", batches(10), 10, 4, columns, {}, "clips")
    np.testing.assert_allclose(measured.columns["features"], CLIPS.mean((2, 3, 4)), atol=1e-6)
    np.testing.assert_array_equal(measured.columns["scores"], CLIPS.max((1, 2, 3, 4)))
    assert measured.count == 10


def test_measures_the_first_frames(tmp_path):
    measured = measure(tmp_path / "m.npy", batches(10), 10, 3, columns, {}, "clips")
    expected = CLIPS[:, :3].mean((2, 3, 4))
    np.testing.assert_allclose(measured.columns["features"], expected, atol=1e-6)


def test_numpy_reads_the_file(tmp_path):
    measure(tmp_path / "m.npy", batches(10), 10, 4, columns, {"n": 1}, "clips")
    with (tmp_path / "m.npy").open("rb") as file:
        description, rows = np.load(file), np.load(file)
    assert description.tobytes() == b'{"n": 1}'
    np.testing.assert_array_equal(rows["scores"], CLIPS.max((1, 2, 3, 4)))


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
    try:
        with pytest.raises(InputError, match="m.npy: cannot be written .* free some disk space"):
            measure(tmp_path / "m.npy", batches(10), 10, 4, columns, {}, "clips")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert not list(tmp_path.iterdir())


def test_leaves_no_file_where_clips_are_not_finite(tmp_path):
    broken = CLIPS.copy()
    broken[5, 0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or infinity in the clips from number 4 on"):
        measure(tmp_path / "m.npy", iter([broken[:4], broken[4:]]), 10, 4, columns, {}, "clips")
    assert not list(tmp_path.iterdir())


def test_measures_the_same_clips_once(tmp_path):
    first = once(tmp_path)
    again = once(tmp_path, clips=None)
    np.testing.assert_array_equal(first.columns["scores"], again.columns["scores"])


def test_uses_what_was_measured_of_more_clips(tmp_path):
    once(tmp_path, count=10)
    assert once(tmp_path, count=6, clips=None).count == 10


def test_measures_anew_for_more_clips(tmp_path):
    once(tmp_path, count=6)
    assert once(tmp_path, count=10).count == 10
    assert len(list(tmp_path.iterdir())) == 1


def test_other_clips_have_another_file(tmp_path):
    once(tmp_path)
    once(tmp_path, description={"clips": {"path": "b", "seed": 0}})
    assert len(list(tmp_path.iterdir())) == 2


def test_keeps_measurements_in_the_file_of_the_users_choice(tmp_path):
    once(tmp_path / "no", path=tmp_path / "mine.npy")
    assert Measurements(tmp_path / "mine.npy").count == 10
    assert not (tmp_path / "no").exists()


def test_refuses_a_file_of_other_data_and_says_what_differs(tmp_path):
    first = {"clips": {"first_clips_sha256": "0", "path": "a"}}
    once(tmp_path, description=first, path=tmp_path / "mine.npy")
    before = (tmp_path / "mine.npy").read_bytes()
    other = {"clips": {"first_clips_sha256": "1", "path": "b"}}
    with pytest.raises(InputError, match="has other data: clips.path is a, now b"):
        once(tmp_path, description=other, path=tmp_path / "mine.npy")
    assert (tmp_path / "mine.npy").read_bytes() == before


def test_refuses_a_file_of_too_few_clips(tmp_path):
    once(tmp_path, count=6, path=tmp_path / "mine.npy")
    with pytest.raises(InputError, match="has 6 clips, but 10 are needed"):
        once(tmp_path, path=tmp_path / "mine.npy")


def _head(file, dtype, count):
    head = {"descr": dtype, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_2_0(file, head)


def _rows(dtype, count):
    """A file with a description, of rows of another type or number than it holds."""

    def write(path):
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.frombuffer(b"{}", np.uint8))
            _head(file, dtype, count)
            file.write(bytes(800))

    return write


def _described(text, count=None):
    def write(path):
        with path.open("wb") as file:
            _head(file, "|u1", len(text) if count is None else count)
            file.write(text)
            _head(file, [("scores", "<f4")], 2)
            file.write(bytes(8))

    return write


OTHER_FILES = {
    "an empty one": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("--batch_size=32\n"),
    "an array": lambda path: np.save(path, np.zeros(3)),
    "one cut short": lambda path: (
        once(path.parent, path=path),
        path.write_bytes(path.read_bytes()[:-20]),
    ),
    "a folder": lambda path: path.mkdir(),
    # Mapped, it would end the process.
    "rows of Python objects": _rows("|O", 100),
    "columns of Python objects": _rows([("scores", "|O")], 100),
    "columns of text": _rows([("scores", "<U2")], 100),
    "rows without columns": _rows("<f4", 200),
    "more rows than it holds": _rows([("scores", "<f4")], 10**15),
    "fewer rows than none": _rows([("scores", "<f4")], -1),
    "a description that is a list": _described(b"[]"),
    "a description that never ends": _described(b"[" * 10**5),
    "a description longer than the file": _described(b"{}", 10**15),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_FILES)
def test_refuses_another_file_without_advice_to_delete_it(tmp_path, name):
    path = tmp_path / "mine.npy"
    OTHER_FILES[name](path)
    with pytest.raises(InputError, match=r"mine\.npy: (is not a file of meas|cannot be)") as error:
        once(tmp_path, path=path)
    assert "give another file, or one that does not exist yet" in str(error.value)
    assert "delete" not in str(error.value) and "\n" not in str(error.value)
    assert path.exists()


def test_measures_anew_what_is_broken_of_its_own(tmp_path):
    expected = np.array(once(tmp_path).columns["scores"])
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="damaged .*: measuring again"):
        np.testing.assert_array_equal(once(tmp_path).columns["scores"], expected)
    assert once(tmp_path, clips=None).count == 10


def test_refuses_more_than_the_disk_holds_at_the_first_clips(tmp_path):
    with pytest.raises(InputError, match=r"of 1,000.* clips: would take 20.* PB in .*free"):
        measure(tmp_path / "new" / "m.npy", batches(10), 10**18, 4, columns, {}, "clips")
    assert not list(tmp_path.iterdir())


def test_names_a_directory_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/m.npy: cannot be written"):
        measure(tmp_path / "file" / "m.npy", batches(4), 4, 4, columns, {}, "clips")
