"""Flagfiles, read as absl reads them, and refused in one line where it does not."""

from __future__ import annotations

import runpy

import pytest
from absl import flags
from programs import EXPERIMENTS

from tgan_tf.errors import InputError

read = runpy.run_path(str(EXPERIMENTS / "program_flags/flagfiles.py"))["read"]


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.cfg").write_text("--c=3\n")
    (tmp_path / "outer.cfg").write_text(
        "# a comment\n\n--a=1  \n// another\n--flagfile=inner.cfg\n--b=x y#z\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--first=0", "--flagfile=outer.cfg", "--last=9"],
        ["--flagfile", "outer.cfg", "-flagfile=inner.cfg", "path"],
        ["--flagfile=outer.cfg", "--flagfile=outer.cfg", "--", "--flagfile=missing.cfg"],
        ["--first"],
    ],
)
def test_are_put_in_their_place_as_by_absl(directory, arguments):
    assert read(arguments) == flags.FlagValues().read_flags_from_files(arguments)


def test_are_utf_8_with_or_without_a_byte_order_mark(directory):
    (directory / "windows.cfg").write_bytes("\ufeff--path=é漢\r\n--a=1\r\n".encode())
    assert read(["--flagfile=windows.cfg"]) == ["--path=é漢", "--a=1"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--flagfile=no.cfg"], r"^no\.cfg: cannot be read \(No such file or directory\): give a"),
        (["--flagfile=."], r"^\.: cannot be read \(Is a directory\): give a file"),
        (["--flagfile=latin.cfg"], r"^latin\.cfg: is not UTF-8 text \(byte 10 is 0xe9\): save"),
        (["--flagfile=nested.cfg"], r"^latin\.cfg: is not UTF-8 text"),
        (["--flagfile=loop.cfg"], r"^loop\.cfg: --flagfile=loop\.cfg leads back to itself: remove"),
        (["--flagfile="], "^--flagfile=: names no file: give one"),
        (["--flagfile"], "^--flagfile: names no file: give one"),
    ],
)
def test_that_cannot_be_read_are_refused(directory, arguments, message):
    (directory / "latin.cfg").write_bytes("--path=café\n".encode("latin-1"))
    (directory / "nested.cfg").write_text("--a=1\n--flagfile=latin.cfg\n")
    (directory / "loop.cfg").write_text("--flagfile=loop.cfg\n")
    with pytest.raises(InputError, match=message):
        read(arguments)
