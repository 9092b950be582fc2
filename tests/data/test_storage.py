"""Files that appear whole or not at all, and paths that are URLs."""

from __future__ import annotations

import pytest

from tgan_tf.data import storage
from tgan_tf.errors import InputError


class TestRemote:
    @pytest.mark.parametrize("path", ["gs://bucket/a", "s3://bucket", "file:///tmp/a"])
    def test_is_a_url(self, path):
        assert storage.is_remote(path)

    @pytest.mark.parametrize("path", ["a", "/a/b", "./a:b", "C://a"])
    def test_is_no_local_path(self, path):
        assert not storage.is_remote(path)


class TestFiles:
    def test_are_all_under_a_directory_sorted(self, tmp_path):
        for name in ("b", "a/c", "a/b/d"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        assert storage.files(str(tmp_path)) == ["a/b/d", "a/c", "b"]
        assert storage.files(f"{tmp_path}/") == ["a/b/d", "a/c", "b"]

    def test_of_no_directory_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="missing: cannot be read"):
            storage.files(str(tmp_path / "missing"))


class TestWrite:
    def test_replaces_a_file(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        storage.write(str(path), b"new")
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]

    def test_that_fails_leaves_what_was_there_and_nothing_else(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with pytest.raises(ValueError, match="on the way"):
            with storage.replacing(str(path)) as temporary:
                with open(temporary, "wb") as file:
                    file.write(b"half")
                raise ValueError("on the way")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_that_was_killed_by_an_earlier_version_is_swept(self, tmp_path):
        for name in (f".a.tfrecord.{'0' * 32}", ".hidden.tfrecord", "a.tfrecord"):
            (tmp_path / name).touch()
        storage.sweep(str(tmp_path))
        assert {path.name for path in tmp_path.iterdir()} == {".hidden.tfrecord", "a.tfrecord"}
