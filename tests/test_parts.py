"""Work in parts, each a file: planned, passed over where they are there, and tried again."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import pytest

from tgan_tf import parts
from tgan_tf.data.beam import on_beam
from tgan_tf.errors import InputError


def here(work, elements, show):
    """Has work done in this process."""
    for element in elements:
        work(element)
        show()


def numbers(broken, called):
    """Writes a part's numbers; the file `called` gets a line for each call."""
    with open(called, "a") as file:
        file.write("called\n")

    def write(part):
        if part.first == broken:
            raise ValueError("broken")
        text = " ".join(map(str, range(part.first, part.first + part.count)))
        Path(part.path).write_text(text)

    return write


def is_whole(part):
    return Path(part.path).exists() and len(Path(part.path).read_text().split()) == part.count


def write(directory, broken=None, run=here):
    planned = parts.planned(directory, "numbers", ".txt", total=10, rows=4)
    writer = functools.partial(numbers, broken, str(directory / "called"))
    return parts.write(planned, writer, is_whole, run, "number")


def texts(directory):
    return {path.name: path.read_text() for path in sorted(directory.glob("numbers*"))}


ALL = {
    "numbers-00000-of-00003.txt": "0 1 2 3",
    "numbers-00001-of-00003.txt": "4 5 6 7",
    "numbers-00002-of-00003.txt": "8 9",
}


def test_has_every_part_written(tmp_path):
    assert write(tmp_path) == 0
    assert texts(tmp_path) == ALL


def test_makes_what_writes_once_in_a_process(tmp_path):
    write(tmp_path)
    assert (tmp_path / "called").read_text() == "called\n"


def test_passes_over_what_is_whole_and_nothing_else(tmp_path):
    write(tmp_path)
    (tmp_path / "numbers-00001-of-00003.txt").write_text("4 5")
    (tmp_path / "numbers-00002-of-00003.txt").unlink()
    kept = tmp_path / "numbers-00000-of-00003.txt"
    before = kept.stat().st_mtime_ns
    assert write(tmp_path) == 1
    assert texts(tmp_path) == ALL and kept.stat().st_mtime_ns == before
    assert write(tmp_path) == 3


def test_keeps_what_is_written_when_a_part_fails_and_goes_on_from_there(tmp_path):
    with pytest.raises(InputError, match=r"not finished \(broken\): correct that and start again"):
        write(tmp_path, broken=4)
    assert list(texts(tmp_path)) == ["numbers-00000-of-00003.txt"]
    assert write(tmp_path) == 1
    assert texts(tmp_path) == ALL


def test_tells_of_a_part_that_was_not_written(tmp_path):
    with pytest.raises(InputError, match="numbers-00000-of-00003.txt: was not written"):
        write(tmp_path, run=lambda work, elements, show: None)


def test_says_so_if_what_writes_cannot_get_to_another_process(tmp_path):
    planned = parts.planned(tmp_path, "numbers", ".txt", total=10, rows=4)
    writer = functools.partial(numbers, threading.Lock(), str(tmp_path / "called"))
    with pytest.raises(InputError, match="cannot be passed to other processes .*lock"):
        parts.write(planned, writer, is_whole, here, "number")
    assert list(tmp_path.iterdir()) == []


def test_leaves_nothing_but_the_parts(tmp_path):
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*ALL, "called"}


@pytest.mark.slow
def test_beam_writes_the_same(tmp_path):
    write(tmp_path, run=on_beam(["--direct_running_mode=in_memory", "--direct_num_workers=1"]))
    assert texts(tmp_path) == ALL
