"""What workers tell each other: each a thread here, connected as the processes are."""

import concurrent.futures
import socket
import threading
import time

import pytest
from clusters import addresses, tf_config

from tgan_tf import meeting, workers
from tgan_tf.cluster import from_tf_config
from tgan_tf.errors import InputError


@pytest.fixture(autouse=True)
def no_farewell(monkeypatch):
    # No process ends here, which the chief would wait for.
    monkeypatch.setattr(workers, "_FAREWELL", 0.0)


def each(count, work, configs=None, on_loss=lambda line: None):
    """What `work(peers, index)` gives or raises in each of several workers."""
    tasks = addresses(count)
    configs = configs or [tf_config(tasks, index) for index in range(count)]

    def worker(index):
        try:
            with workers.join(from_tf_config(configs[index]), on_loss) as peers:
                return work(peers, index)
        except (InputError, workers.Lost, RuntimeError) as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(worker, range(len(configs))))


def test_values_are_gathered_in_the_order_of_the_cluster_as_often_as_asked():
    def work(peers, index):
        return peers.is_chief, [peers.gather([index, number]) for number in range(3)]

    results = each(3, work)
    assert [is_chief for is_chief, _ in results] == [True, False, False]
    for _, gathered in results:
        assert gathered == [[[index, number] for index in range(3)] for number in range(3)]


def test_what_differs_is_refused_everywhere_by_the_same_line():
    results = each(3, lambda peers, index: peers.agree({"--seed": "1", "x": str(index // 2)}))
    assert {type(error) for error in results} == {InputError}
    lines = {str(error) for error in results}
    assert len(lines) == 1
    assert "x: worker 0 (127.0.0.1:" in lines.pop()


def test_a_fact_that_one_worker_lacks_differs():
    results = each(2, lambda peers, index: peers.agree({"x": "1"} if index else {}))
    assert all("has nothing, worker 1" in str(error) for error in results)


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_all_stop_after_the_same_step_whoever_was_asked(asked):
    barrier = threading.Barrier(3)

    def work(peers, index):
        for step in range(1, 200):
            # As in a step of all workers: none ends it before the last one has begun it.
            barrier.wait(10)
            signal = 15 if index == asked and step >= 5 else 0
            stop = peers.stop(step, signal, wanted=False)
            if stop is not None:
                return step, stop
            if step >= 6:
                time.sleep(0.02)  # What was said has time to come.

    results = each(3, work)
    assert len(set(results)) == 1
    step, signal = results[0]
    assert 6 <= step < 200
    assert signal == 15


def test_the_chief_can_end_it_for_another_reason():
    barrier = threading.Barrier(2)

    def work(peers, index):
        for step in range(1, 10):
            barrier.wait(10)
            stop = peers.stop(step, 0, wanted=index == 0 and step == 3)
            if stop is not None:
                return step, stop

    assert each(2, work) == [(4, 0), (4, 0)]


def test_the_one_process_of_a_training_stops_at_once():
    assert workers.ALONE.stop(3, 0, wanted=False) is None
    assert workers.ALONE.stop(3, 0, wanted=True) == 0
    assert workers.ALONE.stop(3, 15, wanted=False) == 15


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_of_one_is_told_by_the_others_at_once(failing):
    def work(peers, index):
        if index == failing:
            raise RuntimeError("no such file")
        peers.gather(index)

    begun = time.monotonic()
    results = each(3, work)
    assert time.monotonic() - begun < 5
    for index, error in enumerate(results):
        if index == failing:
            assert str(error) == "no such file"
        else:
            assert isinstance(error, workers.Lost)
            assert f"worker {failing} (127.0.0.1:" in str(error)
            assert str(error).endswith("has ended: no such file")


def test_one_that_says_nothing_is_lost_after_the_time_that_is_stated(monkeypatch):
    monkeypatch.setattr(workers, "SILENCE", 0.5)
    monkeypatch.setattr(workers, "_BEAT", 0.1)
    hang = threading.Event()

    def work(peers, index):
        if index == 1:
            peers._send = lambda message: None
            hang.wait(10)
            raise RuntimeError("went on")
        try:
            peers.gather(index)
        finally:
            hang.set()

    chief, _ = each(2, work)
    assert isinstance(chief, workers.Lost)
    assert "worker 1 (127.0.0.1:" in str(chief)
    assert "hangs or is cut off" in str(chief)


def test_a_main_thread_that_waits_elsewhere_is_told_by_the_function_that_ends_it(monkeypatch):
    monkeypatch.setattr(workers, "_GRACE", 0.1)
    told = threading.Event()

    def on_loss(line):
        assert "has ended: gone" in line
        told.set()

    def work(peers, index):
        if index == 1:
            raise RuntimeError("gone")
        assert told.wait(10)
        raise RuntimeError("was told")

    chief, _ = each(2, work, on_loss=on_loss)
    assert str(chief) == "was told"


def test_two_that_say_they_are_the_same_are_refused_all(monkeypatch):
    tasks = addresses(3)
    configs = [tf_config(tasks, index) for index in (0, 1, 1)]
    found = meeting.listening
    # The second one is on another machine, where the port is free.
    monkeypatch.setattr(
        meeting, "listening", lambda one: found(one if one == tasks[0] else addresses(1)[0])
    )
    for error in each(3, lambda peers, index: None, configs):
        assert isinstance(error, InputError)
        assert "two tasks say that they are worker 1 (127.0.0.1:" in str(error)


def test_tasks_of_other_clusters_are_refused_both():
    first, second, third = addresses(3)
    configs = [tf_config([first, second], 0), tf_config([first, third], 1)]
    for error in each(2, lambda peers, index: None, configs):
        assert isinstance(error, InputError)
        assert f"has {first}, {second}, worker 1" in str(error)
        assert f"has {first}, {third}" in str(error)


def test_another_version_of_the_package_is_refused_on_both(monkeypatch):
    hello = meeting._hello
    monkeypatch.setattr(meeting, "_hello", lambda cluster: {**hello(cluster), "version": "9.9"})
    for error in each(2, lambda peers, index: None):
        assert "tgan_tf: worker 0" in str(error)
        assert "has 9.9" in str(error)


def test_what_comes_to_the_port_and_is_no_worker_is_left_alone():
    tasks = addresses(2)
    configs = [tf_config(tasks, index) for index in range(2)]
    host, port = tasks[0].split(":")

    def stranger():
        for _ in range(100):
            try:
                with socket.create_connection((host, int(port)), 1) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    return
            except OSError:
                time.sleep(0.05)

    def late(index):
        if index == 1:
            stranger()
            time.sleep(0.2)
        with workers.join(from_tf_config(configs[index]), lambda line: None) as peers:
            return peers.gather(index)

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        assert list(threads.map(late, range(2))) == [[0, 1], [0, 1]]


@pytest.mark.parametrize("present", [0, 1])
def test_one_that_never_comes_is_named(present, monkeypatch):
    monkeypatch.setattr(meeting, "START", 0.3)
    monkeypatch.setattr(meeting, "_ASK", 0.2)
    tasks = addresses(2)
    with pytest.raises(InputError, match=f"worker {1 - present} .* has not (come|answered) within"):
        meeting.meet(from_tf_config(tf_config(tasks, present)))
