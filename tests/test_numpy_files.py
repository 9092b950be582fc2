"""Arrays of files that may come from anyone."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from tgan_tf import numpy_files

WEIGHTS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_were_saved_and_asked_for(tmp_path, save):
    save(tmp_path / "w.npz", **{"a/W": WEIGHTS, "a/N": np.array(3), "b": WEIGHTS})
    arrays = numpy_files.read_npz(tmp_path / "w.npz", "a/")
    assert list(arrays) == ["a/W", "a/N"]
    np.testing.assert_array_equal(arrays["a/W"], WEIGHTS)
    assert arrays["a/N"] == 3


def test_python_objects_are_refused_and_may_lie_beside(tmp_path):
    np.savez(tmp_path / "w.npz", a=WEIGHTS, state=np.array([{}], object))
    assert list(numpy_files.read_npz(tmp_path / "w.npz", "a$")) == ["a"]
    with pytest.raises(ValueError, match="state: it holds Python objects"):
        numpy_files.read_npz(tmp_path / "w.npz")


def test_arrays_far_larger_than_their_file_are_refused_with_both_sizes(tmp_path):
    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(2**24, np.uint8))
    with pytest.raises(
        ValueError, match=r"its arrays would take 16\.8 MB, but the file has 16\.\d kB"
    ):
        numpy_files.read_npz(tmp_path / "w.npz")


def test_an_array_shorter_than_its_shape_is_refused_unread(tmp_path):
    array = io.BytesIO()
    np.save(array, WEIGHTS)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", array.getvalue().replace(b"(3, 4)", b"(9, 9)"))
    with pytest.raises(ValueError, match="a: its length does not match its shape"):
        numpy_files.read_npz(tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("|O", (3,), "Python objects"),
        ([("a", "<f4"), ("b", "|O")], (3,), "Python objects"),
        ("<f4", (-1, -3), "negative shape"),
    ],
)
def test_a_head_that_must_not_be_mapped_is_refused(dtype, shape, message):
    file = io.BytesIO()
    head = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    file.seek(0)
    with pytest.raises(ValueError, match=message):
        numpy_files.read_header(file)
