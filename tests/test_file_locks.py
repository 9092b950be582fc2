"""One writer a directory, and files and directories that appear whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tgan_tf import file_locks
from tgan_tf.errors import InputError

# Says that it is there, and waits to be killed.
WAIT = "print('ready', flush=True); sys.stdin.read()"


def another_process(code):
    """A process that runs code up to `WAIT`; it knows nothing of TensorFlow."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys\nfrom tgan_tf import file_locks\n{code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def entries(directory):
    return sorted(path.name for path in directory.iterdir())


class TestExclusive:
    def test_a_second_one_is_refused_and_told_who_holds_it(self, tmp_path):
        code = f"with file_locks.exclusive({str(tmp_path)!r}, 'is used'):\n    {WAIT}"
        process = another_process(code)
        with pytest.raises(InputError) as error:
            with file_locks.exclusive(tmp_path, "is used"):
                pass
        kill(process)
        assert f"{tmp_path}: is used by -c, process {process.pid} of " in str(error.value)
        assert "\n" not in str(error.value)

    def test_is_free_after_its_holder_was_killed(self, tmp_path):
        kill(another_process(f"with file_locks.exclusive({str(tmp_path)!r}, ''):\n    {WAIT}"))
        with file_locks.exclusive(tmp_path, ""):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()
        assert entries(tmp_path) == []

    def test_directories_made_for_nothing_are_removed_again(self, tmp_path):
        with pytest.raises(ZeroDivisionError):
            with file_locks.exclusive(tmp_path / "a/b", ""):
                raise ZeroDivisionError
        assert entries(tmp_path) == []

    def test_what_was_written_stays(self, tmp_path):
        with file_locks.exclusive(tmp_path / "a", ""):
            (tmp_path / "a/file").touch()
        assert entries(tmp_path / "a") == ["file"]

    def test_a_directory_that_cannot_be_written_to_is_refused(self):
        with pytest.raises(InputError, match="/dev/null/run: cannot be written to"):
            with file_locks.exclusive("/dev/null/run", ""):
                pass


class TestReplacing:
    def test_replaces_a_file_when_it_is_whole(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old")
        with file_locks.replacing(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert entries(tmp_path) == ["file"]

    def test_that_fails_leaves_what_was_there_and_nothing_else(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old")
        with pytest.raises(ZeroDivisionError):
            with file_locks.replacing(path) as temporary:
                temporary.write_text("half")
                raise ZeroDivisionError
        assert path.read_text() == "old"
        assert entries(tmp_path) == ["file"]


class TestNewDirectory:
    def test_appears_when_it_is_whole(self, tmp_path):
        with file_locks.new_directory(tmp_path / "deep/new") as partial:
            (partial / "file").touch()
            assert not (tmp_path / "deep/new").exists()
        assert entries(tmp_path / "deep") == ["new"]
        assert entries(tmp_path / "deep/new") == ["file"]

    def test_that_comes_to_nothing_leaves_no_directory(self, tmp_path):
        with pytest.raises(ZeroDivisionError):
            with file_locks.new_directory(tmp_path / "deep/new"):
                raise ZeroDivisionError
        assert entries(tmp_path) == []

    def test_does_not_take_the_place_of_another(self, tmp_path):
        (tmp_path / "new").mkdir()
        (tmp_path / "new/old").touch()
        with pytest.raises(OSError):
            with file_locks.new_directory(tmp_path / "new") as partial:
                (partial / "file").touch()
        assert entries(tmp_path) == ["new"]
        assert entries(tmp_path / "new") == ["old"]


class TestSweep:
    def test_removes_what_the_dead_have_left_and_not_what_the_living_write(self, tmp_path):
        code = f"with file_locks.new_directory({str(tmp_path)!r} + '/{{}}') as d:\n    {WAIT}"
        living, dead = (another_process(code.format(name)) for name in ("living", "dead"))
        kill(dead)
        assert len(entries(tmp_path)) == 2
        with file_locks.new_directory(tmp_path / "mine"):
            pass
        (left, mine) = entries(tmp_path)
        assert left.startswith(".living.unfinished-") and mine == "mine"
        kill(living)
        file_locks.sweep(tmp_path)
        assert entries(tmp_path) == ["mine"]

    def test_leaves_the_hidden_files_of_others(self, tmp_path):
        names = [".a.swp", ".a.unfinished-", ".a.unfinished-abcdefgh.txt", "a.unfinished-abcdefgh"]
        for name in names:
            (tmp_path / name).mkdir()
        (tmp_path / ".a.unfinished-abcdefgh").touch()
        file_locks.sweep(tmp_path)
        assert len(entries(tmp_path)) == 5
