"""Locks that are objects in a store; a folder by its file:// URL stands for one."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest

from tgan_tf import store_locks
from tgan_tf.cluster import Cluster
from tgan_tf.errors import InputError
from tgan_tf.store_locks import exclusive

CLUSTER = Cluster(("worker 0", "worker 1"), ("a:1", "b:1"), 0)
OTHER = {"holder": "train.py, process 7 of elsewhere", "token": "x", "cluster": None}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """The times of a lock, a hundredth of what they are."""
    for name in ("RENEWAL", "STALE", "_SETTLE", "_POLL"):
        monkeypatch.setattr(store_locks, name, getattr(store_locks, name) / 100)


@pytest.fixture
def store(tmp_path):
    return f"file://{tmp_path}"


def write(tmp_path, **entries):
    (tmp_path / ".lock").write_text(json.dumps({**OTHER, **entries}))


def held(tmp_path):
    while True:
        try:
            return json.loads((tmp_path / ".lock").read_text())
        except json.JSONDecodeError:  # A file is seen half written, unlike an object.
            continue


def test_is_there_with_the_holders_name_as_long_as_it_is_held(tmp_path, store):
    with exclusive(store, "is used"):
        name = f"process {os.getpid()} of {socket.gethostname()}, since 2"
        assert name in held(tmp_path)["holder"]
    assert not list(tmp_path.iterdir())


def test_is_written_anew_while_it_is_held(tmp_path, store):
    with exclusive(store, "is used") as lock:
        first, end = held(tmp_path), time.monotonic() + 10
        while held(tmp_path) == first:
            assert time.monotonic() < end
        assert held(tmp_path)["token"] == first["token"] == store_locks.token(store)
        lock.check()


def test_of_another_that_renews_it_refuses_by_the_holders_name(store, monkeypatch):
    with exclusive(store, "is being trained"):
        monkeypatch.setattr(store_locks, "STALE", 10)
        with pytest.raises(InputError) as error:
            with exclusive(store, "is being trained"):
                pass
        assert f"{store}: is being trained by " in str(error.value)
        assert f"process {os.getpid()} of" in str(error.value)
        assert "wait until it has ended, stop it, or give another directory" in str(error.value)


def test_that_is_not_renewed_is_taken_over_after_the_time_that_is_stated(tmp_path, store, capsys):
    write(tmp_path)
    begun = time.monotonic()
    with exclusive(store, "is used"):
        assert time.monotonic() - begun >= store_locks.STALE
        assert held(tmp_path)["token"] != OTHER["token"]
    assert "is used by train.py, process 7 of elsewhere" in capsys.readouterr().out


def test_that_is_given_back_meanwhile_is_taken_then(tmp_path, store, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(store_locks, "STALE", 1000)
    monkeypatch.setattr(store_locks.time, "sleep", lambda _: (tmp_path / ".lock").unlink())
    with pytest.raises(InputError, match="is used by another process"):
        # It removes that of this process too, before it is read back.
        with exclusive(store, "is used"):
            pass


def test_of_the_same_cluster_on_this_machine_is_taken_over_at_once(tmp_path, store, monkeypatch):
    monkeypatch.setattr(store_locks, "STALE", 1000)
    write(tmp_path, cluster=f"{socket.gethostname()} a:1 b:1")
    with exclusive(store, "is used", CLUSTER):
        assert held(tmp_path)["token"] != OTHER["token"]


@pytest.mark.parametrize("other", ["elsewhere a:1 b:1", f"{socket.gethostname()} a:1", None])
def test_of_another_cluster_is_waited_for(tmp_path, store, other):
    write(tmp_path, cluster=other)
    begun = time.monotonic()
    with exclusive(store, "is used", CLUSTER):
        assert time.monotonic() - begun >= store_locks.STALE


def test_of_two_that_come_at_once_the_last_that_wrote_has_it(tmp_path, store, monkeypatch):
    monkeypatch.setattr(store_locks.time, "sleep", lambda _: write(tmp_path))
    with pytest.raises(InputError, match="is used by train.py, process 7 of elsewhere"):
        with exclusive(store, "is used"):
            pass
    assert held(tmp_path) == OTHER


def test_that_another_has_taken_over_is_noticed_and_left_to_it(tmp_path, store):
    with exclusive(store, "is used") as lock:
        write(tmp_path)
        with pytest.raises(InputError, match="taken over by train.py, process 7 of elsewhere: no"):
            lock.check()
        time.sleep(3 * store_locks.RENEWAL)
        assert held(tmp_path) == OTHER
    assert held(tmp_path) == OTHER


def test_that_was_removed_is_no_longer_held(tmp_path, store):
    with exclusive(store, "is used") as lock:
        (tmp_path / ".lock").unlink()
        with pytest.raises(FileNotFoundError, match="its lock is gone, or it does not answer"):
            lock.check()


def test_that_is_damaged_counts_as_another_processs(tmp_path, store):
    (tmp_path / ".lock").write_bytes(b'{"holder": "\xff')
    assert store_locks.token(store) is None
    with exclusive(store, "is used"):
        pass
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"file/run: cannot be (written to|read) \(.*\): give a pl"
    ):
        with exclusive(f"file://{tmp_path}/file/run", "is used"):
            pass
