"""Trainings whose run lies in an object store, s3:// of a server that runs here."""

import json
import signal
import time

import kill_trainings
import pytest
from checkpoint_tensors import assert_equal_tensors
from clusters import addresses, start_workers
from programs import run_all, start
from stores import served_bucket

from tgan_tf import workers

pytestmark = pytest.mark.slow

LAST = kill_trainings.FLAGS["train_steps"]
# Of two workers, without what test_several_machines.py tests.
SHARED = {
    **kill_trainings.NETWORK,
    "num_digits": 1,
    "digit_size": 6,
    "train_steps": 12,
    "checkpoint_interval": 2,
    "sample_interval": 100,
    "summary_interval": 3,
    "deterministic": True,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("remote")


@pytest.fixture(scope="module")
def bucket(directory):
    (directory / "temporary").mkdir()
    with served_bucket() as bucket, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory / "temporary"))
        yield bucket


def train(run_dir, directory, name):
    log = directory / f"{name}.log"
    return start("train.py", kill_trainings.arguments(run_dir), directory, log, {})


def shared(run_dir, **changes):
    return [
        f"--{name}={value}" for name, value in {**SHARED, **changes, "run_dir": run_dir}.items()
    ]


def wait_for(bucket, name, processes):
    end = time.monotonic() + 300
    while not bucket.names(name):
        for process in processes:
            assert process.poll() is None and time.monotonic() < end, process.printed
        time.sleep(0.02)


@pytest.fixture(scope="module")
def killed(bucket, directory):
    """A run that is killed and goes on, an unbroken local one, and one refused beside the first."""
    place = f"{bucket.url}/runs/mine"
    processes = [train(place, directory, "killed")]
    wait_for(bucket, "runs/mine/.lock", processes)
    second = train(place, directory, "second")
    wait_for(bucket, "runs/mine/checkpoints/step-8/means.json", processes)
    assert second.finish() == 1
    processes[0].send_signal(signal.SIGKILL)
    assert processes[0].finish() == -signal.SIGKILL
    processes += [train(place, directory, "resumed"), train("unbroken", directory, "unbroken")]
    for process in processes[1:]:
        assert process.finish() == 0, process.printed
    bucket.download("runs/mine/", directory / "mine")
    return second, processes[1]


def test_a_killed_run_goes_on_to_all_that_an_unbroken_local_one_has_written(killed, directory):
    assert "s3://bucket/runs/mine: resuming at step " in killed[1].printed
    unbroken = kill_trainings.written(directory / "unbroken")
    kill_trainings.assert_same(directory / "mine", unbroken)


def test_its_records_name_the_store_and_not_the_copy(killed, directory):
    for name in ("evaluation/metrics.jsonl", "flags.cfg", "configuration.json"):
        assert "unfinished" not in (directory / "mine" / name).read_text()
    lines = (directory / "mine/evaluation/metrics.jsonl").read_text().splitlines()
    places = {json.loads(line).get("run_dir") for line in lines}
    assert places == {None, "s3://bucket/runs/mine"}


def test_the_lock_of_the_killed_one_was_taken_over_after_a_while(killed):
    first, *_ = killed[1].printed.splitlines()
    assert first.startswith("s3://bucket/runs/mine: is being trained by train.py, process ")
    assert first.endswith("as its lock says: taking it over if it is not renewed within 30 s")


def test_a_run_has_one_training_at_a_time(killed):
    line = killed[0].printed.splitlines()[-1]
    assert line.startswith("train.py: error: s3://bucket/runs/mine: is being trained by train.py, ")
    assert line.endswith("wait until it has ended, stop it, or give another directory")
    assert "Traceback" not in killed[0].printed


@pytest.fixture(scope="module")
def workers_killed(bucket, directory, killed):
    """Two workers, of whom the chief is killed, and who go on at once; then two elsewhere."""
    tasks, flags = addresses(2), shared(f"{bucket.url}/runs/shared")
    processes = start_workers(2, flags, directory, "first", tasks)
    wait_for(bucket, "runs/shared/checkpoints/step-4/means.json", processes)
    processes[0].send_signal(signal.SIGKILL)
    codes = [process.finish() for process in processes]
    processes = start_workers(2, flags, directory, "again", tasks)
    unbroken = start_workers(2, shared("unbroken_shared"), directory, "unbroken_shared")
    for process in (*processes, *unbroken):
        assert process.finish() == 0, process.printed
    bucket.download("runs/shared/", directory / "shared")
    other = [shared(f"{bucket.url}/runs/{name}") for name in ("here", "there")]
    processes = start_workers(2, other, directory, "other")
    return codes, [process.finish() for process in processes]


def test_killed_workers_go_on_at_once_to_the_bits_of_an_unbroken_training(
    workers_killed, directory
):
    assert workers_killed[0] == [-signal.SIGKILL, workers.EXIT_CODE]
    for number in range(2):
        first = (directory / f"again-{number}.log").read_text().splitlines()[0]
        assert first.startswith("s3://bucket/runs/shared: resuming at step ")
    shared, unbroken = directory / "shared", directory / "unbroken_shared"
    assert_equal_tensors(shared, unbroken, 12, more_than=50)


def test_worker_that_does_not_see_the_chiefs_lock_ends_all(workers_killed, bucket, directory):
    assert workers_killed[1] == [workers.EXIT_CODE, 1]
    for number in range(2):
        line = (directory / f"other-{number}.log").read_text().splitlines()[-1]
        assert "does not show here what the chief has written there, .lock: give a" in line
    assert not bucket.names("runs/here") + bucket.names("runs/there")


@pytest.fixture(scope="module")
def ended(bucket, directory):
    """A training that SIGTERM ends, and goes on until another has its lock; the files then."""
    place, lock = f"{bucket.url}/runs/ended", "runs/ended/.lock"
    flags = [*kill_trainings.arguments(place), "--train_steps=100000", "--keep_checkpoints=1"]
    processes = [start("train.py", flags, directory, directory / "signal.log", {})]
    wait_for(bucket, "runs/ended/checkpoints/step-4/means.json", processes)
    processes[0].send_signal(signal.SIGTERM)
    assert processes[0].finish() == 128 + signal.SIGTERM
    saved = bucket.names("runs/ended/checkpoints/")
    flags = [f"--flagfile={place}/flags.cfg"]  # which implies the run's directory
    processes.append(start("train.py", flags, directory, directory / "lost.log", {}))
    wait_for(bucket, lock, processes[1:])
    while "resuming" not in processes[1].printed:
        assert processes[1].poll() is None, processes[1].printed
        time.sleep(0.02)
    for _ in range(2):
        # An upload of a file, or a renewal, may be under way.
        text = b'{"holder": "another one", "token": "another"}'
        bucket.client.put_object(Bucket="bucket", Key=lock, Body=text)
        time.sleep(1)
    before = bucket.names("runs/ended/")
    assert processes[1].finish() == 1
    yield saved, [process.printed for process in processes], before
    bucket.client.delete_object(Bucket="bucket", Key=lock)


def test_a_signal_saves_in_the_store(ended):
    saved, (printed, _), _ = ended
    line = printed.splitlines()[-1]
    step = int(line.split("SIGTERM at step ")[1].split(",")[0])
    assert f"step-{step}/means.json" in saved
    assert len(saved) == 3


def test_a_training_whose_lock_another_has_ends_in_one_line_and_uploads_no_more(ended, bucket):
    _, (_, printed), before = ended
    assert printed.splitlines()[-1].startswith(
        "train.py: error: s3://bucket/runs/ended: the lock was taken over by another one: nothing "
    )
    assert "Traceback" not in printed
    assert bucket.names("runs/ended/") == before


def test_no_copy_and_no_lock_is_left(killed, workers_killed, ended, bucket, directory):
    assert not bucket.names("runs/mine/.lock") + bucket.names("runs/shared/.lock")
    assert not list((directory / "temporary").glob(".tgan_tf-run*"))


READERS = {
    "generate.py": ["--num_videos=2", "--formats=npz"],
    "export.py": ["--export_dir=exported"],
    "lipschitz.py": ["--num_clips=2"],
    "evaluate.py": ["--metrics=motion10", "--output_dir=evaluated"],
}


@pytest.fixture(scope="module")
def read(killed, bucket, directory):
    """What programs that read a run make of one in a store."""
    flag = f"--run_dir={bucket.url}/runs/mine"
    return {
        program: run_all(program, {"": [flag, *others]}, directory)[""]
        for program, others in READERS.items()
    }


@pytest.mark.parametrize("program", READERS)
def test_a_run_is_read_from_there(read, program):
    assert read[program].code == 0, read[program].stderr
    assert f"step {LAST}" in read[program].stdout
    assert "unfinished" not in read[program].stdout


def test_the_videos_are_those_of_the_run(read, directory):
    local = ["--run_dir=mine", "--num_videos=2", "--formats=npz", "--output_dir=local"]
    assert run_all("generate.py", {"": local}, directory)[""].code == 0
    found = directory / f"generated/mine/step-{LAST}_seed-0/clips.npz"
    assert found.read_bytes() == (directory / "local/clips.npz").read_bytes()


def test_the_model_card_names_the_run(read, directory):
    card = json.loads((directory / "exported/1/model_card.json").read_text())
    assert card["training"]["run"] == "mine"


def test_a_run_begins_with_the_weights_of_one_in_a_store(killed, bucket, directory):
    flags = [*kill_trainings.arguments("begun"), "--train_steps=1", "--checkpoint_interval=1"]
    flags.append(f"--initial_run={bucket.url}/runs/mine")
    result = run_all("train.py", {"": flags}, directory)[""]
    assert result.code == 0, result.stderr
    assert f"starting with the weights of s3://bucket/runs/mine, step {LAST}" in result.stdout


MISTAKES = {
    "no bucket": (
        "train.py",
        [*kill_trainings.arguments("s3://none/runs/mine")],
        "s3://none/runs/mine: cannot be written to (",
    ),
    "other files": (
        "train.py",
        [*kill_trainings.arguments("s3://bucket/runs")],
        "--run_dir=s3://bucket/runs: holds ",
    ),
    "other flags": (
        "train.py",
        [*kill_trainings.arguments("s3://bucket/runs/mine"), "--batch_size=8"],
        "s3://bucket/runs/mine holds a run with --batch_size=4, not --batch_size=8",
    ),
    "no run": (
        "generate.py",
        ["--run_dir=s3://bucket/runs/none"],
        "s3://bucket/runs/none: no such directory, or it cannot be reached: give",
    ),
    "evaluations there": (
        "evaluate.py",
        ["--run_dir=s3://bucket/runs/mine"],
        "--run_dir=s3://bucket/runs/mine: is only read: give --output_dir",
    ),
    "report": (
        "report.py",
        ["--run_dir=s3://bucket/runs/mine"],
        "--run_dir=s3://bucket/runs/mine: must be a local path: copy it to a folder first",
    ),
    "compare": (
        "compare.py",
        ["s3://bucket/runs/mine", "mine"],
        "s3://bucket/runs/mine: must be a local path: copy it to a folder first",
    ),
}


@pytest.fixture(scope="module")
def mistaken(killed, bucket, directory):
    before = bucket.names("")
    results = {
        name: run_all(program, {"": flags}, directory)[""]
        for name, (program, flags, _) in MISTAKES.items()
    }
    assert bucket.names("") == before
    return results


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(mistaken, name):
    assert mistaken[name].code == 1
    (line,) = mistaken[name].stderr.splitlines()
    assert MISTAKES[name][2] in line
