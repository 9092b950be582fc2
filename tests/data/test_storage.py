"""Files that appear whole or not at all, and paths that are URLs."""

from __future__ import annotations

import os

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


class TestRegister:
    def test_refuses_a_path_that_is_not_utf_8(self):
        with pytest.raises(InputError, match=r"caf\\xe9/a: .* rename"):
            storage.register("caf\udce9/a")


class TestReadText:
    @pytest.mark.parametrize("scheme", ["", "file://"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_takes_utf_8_with_or_without_a_byte_order_mark(self, tmp_path, scheme, mark):
        (tmp_path / "a").write_bytes(mark + "é\r\n漢".encode())
        assert storage.read_text(f"{scheme}{tmp_path}/a", "give it") == "é\r\n漢"

    @pytest.mark.parametrize(
        "data, place",
        [
            ("ab\ncafé".encode("latin-1"), "byte 6 is 0xe9"),
            (b"\xef\xbb\xbfa\xff", "byte 4 is 0xff"),
            ("ab".encode("utf-16"), "byte 0 is 0xff"),
            ("ab".encode("utf-16-le"), "byte 1 is 0x00"),
            (b"\x00" * 100, "byte 0 is 0x00"),
            ("é".encode()[:1], "byte 0 is 0xc3"),
        ],
    )
    def test_refuses_what_is_no_text_by_its_first_such_byte(self, tmp_path, data, place):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(InputError) as error:
            storage.read_text(tmp_path / "a", "give a list")
        assert str(error.value) == (
            f"{tmp_path}/a: is not UTF-8 text ({place}): save it as UTF-8, or give a list"
        )

    @pytest.mark.parametrize("name", ["none", ""])
    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_refuses_what_cannot_be_read(self, tmp_path, scheme, name):
        path = f"{scheme}{tmp_path}/{name}"
        with pytest.raises(InputError, match=r"cannot be read \(.*\): give a list$"):
            storage.read_text(path, "give a list")


class TestFiles:
    def test_are_all_under_a_directory_sorted(self, tmp_path):
        for name in ("b", "a/c", "a/b/d"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        assert storage.files(str(tmp_path)) == ["a/b/d", "a/c", "b"]
        assert storage.files(f"{tmp_path}/") == ["a/b/d", "a/c", "b"]

    def test_may_have_names_that_are_not_utf_8(self, tmp_path):
        with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9"), "wb"):
            pass
        assert storage.files(str(tmp_path)) == ["caf\udce9"]
        assert storage.names(str(tmp_path)) == {"caf\udce9"}
        for listed in (storage.files, storage.names):
            with pytest.raises(InputError) as error:
                listed(f"file://{tmp_path}")
            assert f"file://{tmp_path}: the name caf\\xe9" in str(error.value)
            assert "rename it" in str(error.value)

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
