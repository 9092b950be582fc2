"""Runs in object stores; a folder by its file:// URL stands for a store."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf

from tgan_tf import checkpoints, remote_runs, runs, store_locks
from tgan_tf.data import storage
from tgan_tf.errors import InputError
from tgan_tf.workers import ALONE

FILES = ("means.json", "tgan.data-00000-of-00001", "tgan.index")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary files lie; nothing may be left there."""
    monkeypatch.setattr(store_locks, "_SETTLE", 0)
    monkeypatch.setattr(remote_runs, "_PAUSE", 0)
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield
    assert not list(directory.iterdir())


@pytest.fixture
def store(tmp_path):
    """The folder that stands for a store."""
    (tmp_path / "store/mine").mkdir(parents=True)
    return tmp_path / "store/mine"


@pytest.fixture
def place(store):
    return f"file://{store}"


def write(run_dir, *steps, text=None, files=FILES):
    """Writes checkpoints that hold their step."""
    for step in steps:
        directory = run_dir / f"checkpoints/step-{step}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name in files:
            (directory / name).write_text(text or str(step))


def listed(directory):
    paths = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(str(path.relative_to(directory)) for path in paths)


def of_step(step):
    return [f"checkpoints/step-{step}/{name}" for name in FILES]


class TestOpened:
    def test_folder_is_worked_on_where_it_is(self, tmp_path):
        with remote_runs.opened(str(tmp_path / "run"), ALONE) as run:
            assert run.directory == tmp_path / "run"
            assert (tmp_path / "run/.lock").exists()
            run.upload()

    def test_copy_has_what_a_training_goes_on_from(self, store, place):
        write(store, 4, 8)
        needed = [*of_step(4), *of_step(8), "configuration.json", "evaluation/metrics.jsonl"]
        needed += ["evaluation/real/a.npy", "flags.cfg", "samples/step-8.gif"]
        others = ["events.out.tfevents.1", "evaluation/events.out.tfevents.2", "samples/step-3.gif"]
        for name in (*needed[6:], *others, "generated/a.gif", "notes.txt"):
            (store / name).parent.mkdir(parents=True, exist_ok=True)
            (store / name).write_text(name)
        before = listed(store)
        with remote_runs.opened(f"{place}/", ALONE) as run:
            assert listed(run.directory) == sorted(needed)
            assert run.directory.name == "mine"
            assert run.place == place
            (run.directory / "events.out.tfevents.3").touch()
        assert listed(store) == sorted([*before, "events.out.tfevents.3"])

    def test_incomplete_checkpoint_is_ignored_and_removed_with_the_next_upload(self, store, place):
        write(store, 4)
        write(store, 8, files=FILES[1:])
        with remote_runs.opened(place, ALONE) as run:
            assert checkpoints.steps(run.directory / "checkpoints") == [4]
            run.upload()
            assert listed(store) == of_step(4)

    def test_at_the_end_what_is_new_is_uploaded_and_the_lock_given_back(self, store, place):
        with remote_runs.opened(place, ALONE) as run:
            (run.directory / "flags.cfg").write_text("--size=16")
            (run.directory / ".hidden").touch()
            assert not listed(store)
        assert listed(store) == ["flags.cfg"]
        assert not (store / ".lock").exists()

    def test_also_after_an_error_in_which_the_run_has_its_own_name(self, store, place):
        with pytest.raises(InputError) as error:
            with remote_runs.opened(place, ALONE) as run:
                (run.directory / "flags.cfg").touch()
                runs.read(run.directory)
        assert f"{place}: has no configuration.json" in str(error.value)
        assert listed(store) == ["flags.cfg"]

    def test_nothing_is_written_if_it_ends_before_anything_is(self, store, place):
        with pytest.raises(InputError, match="early"):
            with remote_runs.opened(place, ALONE):
                raise InputError("early")
        assert not list(store.iterdir())

    def test_listing_without_the_lock_is_not_taken_for_a_new_run(self, store, place, monkeypatch):
        write(store, 4)
        monkeypatch.setattr(storage, "files", lambda directory: [])
        with pytest.raises(InputError, match="mine: cannot be read: see that it can be reached"):
            with remote_runs.opened(place, ALONE):
                pass

    def test_bucket_alone_is_refused(self):
        for place in ("s3://", "s3://bucket", "s3://bucket/"):
            with pytest.raises(InputError, match="must be a directory in a bucket"):
                with remote_runs.opened(place, ALONE):
                    pass

    def test_run_of_version_1_is_refused(self, store, place):
        (store / "model.json").touch()
        with pytest.raises(InputError, match="is a run of version 1: copy it to a folder"):
            with remote_runs.opened(place, ALONE):
                pass
        assert listed(store) == ["model.json"]


class TestUpload:
    def test_old_checkpoints_go_once_the_new_one_is_there(self, store, place, monkeypatch):
        done = []
        for name in ("upload", "remove"):
            function = getattr(storage, name)

            def called(*arguments, name=name, function=function):
                file = arguments[-1].removeprefix(f"{place}/")
                if file != ".lock":
                    done.append(f"{name} {file}")
                function(*arguments)

            monkeypatch.setattr(storage, name, called)
        with remote_runs.opened(place, ALONE) as run:
            write(run.directory, 4)
            run.upload()
            assert [line.split("/")[-1] for line in done] == [*FILES[1:], FILES[0]]
            done.clear()
            shutil.rmtree(run.directory / "checkpoints/step-4")
            write(run.directory, 8)
            (run.directory / "samples").mkdir()
            (run.directory / "samples/step-8.gif").touch()
            run.upload()
            assert done[0] == "upload samples/step-8.gif"
            assert done[3:5] == [
                "upload checkpoints/step-8/means.json",
                "remove checkpoints/step-4/means.json",
            ]
            done.clear()
            run.upload()
        assert not done
        assert listed(store) == [*of_step(8), "samples/step-8.gif"]

    @pytest.mark.parametrize("number", range(14))
    def test_that_is_cut_short_anywhere_leaves_whole_checkpoints(
        self, store, place, monkeypatch, number
    ):
        """Step 8 replaces a damaged checkpoint of that step, and step 4 is removed."""
        write(store, 4)
        write(store, 8, text="damaged")

        class Killed(BaseException):
            pass

        left = number

        def counted(function):
            def called(*arguments):
                nonlocal left
                if not arguments[-1].endswith(".lock"):
                    if left == 0:
                        raise Killed
                    left -= 1
                function(*arguments)

            return called

        with pytest.raises((Killed, SystemExit)):
            with remote_runs.opened(place, ALONE) as run:
                with monkeypatch.context() as patch:
                    patch.setattr(storage, "upload", counted(storage.upload))
                    patch.setattr(storage, "remove", counted(storage.remove))
                    shutil.rmtree(run.directory / "checkpoints/step-4")
                    write(run.directory, 8, 12)
                    run._failed = True  # At the end of a killed process nothing is uploaded.
                    run._upload(run._lock)
                raise SystemExit
        with remote_runs.opened(place, ALONE) as run:
            steps = checkpoints.steps(run.directory / "checkpoints")
            assert steps in ([4], [4, 8], [4, 8, 12], [8, 12])
            for step in steps:
                texts = {(run.directory / name).read_text() for name in of_step(step)}
                assert texts == {str(step)} or (number == 0 and texts == {"damaged"})

    def test_that_fails_is_tried_again(self, store, place, monkeypatch):
        upload, failures = storage.upload, [OSError(5, "gone"), tf.errors.UnavailableError]

        def failing(local, path):
            if "flags" in path and failures:
                failure = failures.pop()
                raise failure if isinstance(failure, OSError) else failure(None, None, "gone")
            upload(local, path)

        monkeypatch.setattr(storage, "upload", failing)
        with remote_runs.opened(place, ALONE) as run:
            (run.directory / "flags.cfg").touch()
            run.upload()
        assert listed(store) == ["flags.cfg"]

    def test_that_fails_for_long_ends_the_training_with_what_is_left(
        self, store, place, monkeypatch
    ):
        write(store, 4)
        monkeypatch.setattr(remote_runs, "_PAUSE", 1000)
        upload, tries = storage.upload, []

        def failing(local, path):
            if "step-8" in path:
                tries.append(path)
                raise OSError(5, "Connection was closed")
            upload(local, path)

        monkeypatch.setattr(storage, "upload", failing)
        with pytest.raises(InputError) as error:
            with remote_runs.opened(place, ALONE) as run:
                write(run.directory, 8)
                run.upload()
        assert str(error.value) == (
            f"{place}: could not be written to for 60 s (Connection was closed): see that it can "
            "be reached and written to; then run the same command again, which finds the "
            "checkpoint of step 4 there"
        )
        assert len(tries) == 1
        assert listed(store) == of_step(4)

    def test_ends_when_another_has_the_lock(self, store, place):
        with pytest.raises(InputError, match="the lock was taken over by B: nothing more"):
            with remote_runs.opened(place, ALONE) as run:
                (run.directory / "flags.cfg").touch()
                (store / ".lock").write_text(json.dumps({"holder": "B", "token": "b"}))
                run.upload()
        assert not listed(store)
        assert (store / ".lock").exists()


class TestCopied:
    def test_folder_is_itself(self):
        with remote_runs.copied("runs/mine") as directory:
            assert directory == Path("runs/mine")

    @pytest.mark.parametrize(
        ("choice", "steps"), [({}, [8]), ({"step": 4}, [4]), ({"every_step": True}, [4, 8])]
    )
    def test_has_the_checkpoints_that_are_asked_for(self, store, place, choice, steps):
        write(store, 4, 8)
        write(store, 12, files=FILES[1:])
        (store / "configuration.json").touch()
        (store / "evaluation/real").mkdir(parents=True)
        (store / "evaluation/real/real-1.npy").touch()
        before = listed(store)
        with remote_runs.copied(place, **choice) as directory:
            assert directory.name == "mine"
            found = [name for step in steps for name in of_step(step)]
            assert listed(directory) == sorted([*found, "configuration.json"])
        assert listed(store) == before

    def test_what_is_not_there_is_refused(self, store, place):
        write(store, 4)
        with pytest.raises(InputError, match=r"mine: no checkpoint of step 5: there are \[4\]$"):
            with remote_runs.copied(place, 5):
                pass
        with pytest.raises(InputError, match=r"mine/none: no such directory, or it cannot"):
            with remote_runs.copied(f"{place}/none"):
                pass

    def test_checkpoint_that_its_training_removes_meanwhile_is_not_missed(
        self, store, place, monkeypatch
    ):
        write(store, 4)
        download = storage.download

        def late(path, local):
            if path.endswith("step-4/tgan.index"):
                shutil.rmtree(store / "checkpoints/step-4")
                write(store, 8)
            download(path, local)

        monkeypatch.setattr(storage, "download", late)
        with remote_runs.copied(place) as directory:
            assert listed(directory) == of_step(8)


def test_names_in_a_store_lead_nowhere_else():
    names = [
        "../a",
        "checkpoints/step-4/../../../a",
        "checkpoints/step-4/..",
        "evaluation/..",
        "evaluation/real/../../../a",
        "samples/step-4.gif/../../a",
    ]
    assert remote_runs._of_steps("s3://a/b", names, [4]) == []
