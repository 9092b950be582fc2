"""Training by several workers: real processes on this machine, side by side where they can be."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from checkpoint_tensors import assert_equal_tensors, tensors
from clusters import addresses, start_workers, tf_config
from programs import EXPERIMENTS, start
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tgan_tf import checkpoints, workers

pytestmark = pytest.mark.slow

STEPS = 5
TINY = {
    "frames": 4,
    "size": 16,
    "z0_dim": 6,
    "z1_dim": 5,
    "temporal_filters": 8,
    "image_filters": 8,
    "critic_filters": 4,
    # With the paper's small weights RMSprop makes much of a small gradient's rounding error.
    "temporal_initializer": "lecun_normal",
    "image_initializer": "lecun_normal",
    "critic_initializer": "lecun_normal",
    "batch_size": 12,
    "learning_rate": 1e-3,
    "clipping_interval": 2,
    "train_steps": STEPS,
    "checkpoint_interval": 2,
    "sample_interval": 100,
    "summary_interval": STEPS,
    "deterministic": True,
}


def arguments(run_dir, **changes):
    flags = {**TINY, "data_path": "sequences.npy", "run_dir": run_dir, **changes}
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("workers")
    values = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 16), dtype=np.uint8)
    np.save(path / "sequences.npy", values)
    return path


def report(run_dir):
    """The losses of a run's reports."""
    events = EventAccumulator(str(run_dir), {"tensors": 0}).Reload()
    return {
        tag: [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if tag.startswith("training/") and "second" not in tag
    }


def assert_ended(processes, code=0):
    for process in processes:
        assert process.finish() == code, process.printed


def assert_same_weights(run_dir, expected_dir):
    """Of both networks, but for biases whose gradient is zero and what follows them."""
    found, expected = tensors(run_dir, STEPS), tensors(expected_dir, STEPS)
    assert found.keys() == expected.keys()
    compared = 0
    for name, value in expected.items():
        if not name.startswith(("tgan/generator/", "tgan/critic/")) or _before_normalization(name):
            continue
        scale = max(np.max(np.abs(value)), 1e-3)
        if name.endswith("moving_mean"):  # A mean may be near zero: what is around it says how far.
            scale = np.sqrt(np.max(expected[name.replace("mean", "variance")]))
        assert np.max(np.abs(found[name] - value)) / scale <= 1e-5, name
        compared += 1
    assert compared > 20


def _before_normalization(name):
    return name.removeprefix("tgan/") in {
        "generator/temporal_generator/deconvolutions/0/bias",
        "generator/temporal_generator/normalizations/0/moving_mean",
        "generator/temporal_generator/deconvolutions/1/bias",
        "generator/temporal_generator/normalizations/1/moving_mean",
        "critic/convolutions/1/bias",
        "critic/normalizations/0/moving_mean",
    }


def wait_for_step(run_dir, step, processes):
    end = time.monotonic() + 300
    while not any(found >= step for found in checkpoints.steps(run_dir / "checkpoints")):
        for process in processes:
            assert process.poll() is None and time.monotonic() < end, process.printed
        time.sleep(0.02)


@pytest.fixture(scope="module")
def unbroken(directory):
    """Runs of one process, of two workers and of four, by the number of workers."""
    one = start("train.py", arguments("one"), directory, directory / "one.log", {})
    two = start_workers(2, arguments("two"), directory, "two")
    assert_ended([one, *two])
    assert_ended(start_workers(4, arguments("four"), directory, "four"))
    return {1: directory / "one", 2: directory / "two", 4: directory / "four"}


def test_workers_begin_with_the_weights_of_another_run(unbroken, directory):
    flags = arguments("later", initial_run="one", train_steps=1)
    processes = start_workers(2, flags, directory, "later")
    assert_ended(processes)  # They have compared the weights.
    for process in processes:
        assert "later: starting with the weights of one, step 5\n" in process.printed


@pytest.mark.parametrize("count", [2, 4])
def test_workers_compute_what_one_process_does(unbroken, count):
    assert_same_weights(unbroken[count], unbroken[1])
    found, expected = report(unbroken[count]), report(unbroken[1])
    assert len(found) == 3
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)


def test_kernels_are_clipped(unbroken):
    step = 4  # a multiple of the interval
    for name, kernel in tensors(unbroken[2], step).items():
        if name.startswith("tgan/critic/") and name.endswith("kernel"):
            values = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)
            assert values[0] <= 1 + 1e-5, name


def test_the_chief_alone_writes_what_one_process_does(unbroken, directory):
    def files(run_dir):
        return sorted(
            "events" if "tfevents" in path.name else str(path.relative_to(run_dir))
            for path in run_dir.rglob("*")
        )

    assert files(unbroken[2]) == files(unbroken[1])
    assert "clips/s" in (directory / "two-0.log").read_text()
    assert (directory / "two-1.log").read_text().splitlines()[1:] == [
        "two: starting; the first report comes at step 5",
        "two: all 5 steps are done",
    ]


@pytest.fixture(scope="module")
def moved(directory, unbroken):
    """A run of two workers, one of whom is killed, that goes on with one and ends with three."""
    flags = arguments("moved", train_steps=100_000, keep_checkpoints=1000)
    processes = start_workers(2, flags, directory, "moved-two")
    wait_for_step(directory / "moved", 2, processes)
    processes[1].send_signal(signal.SIGKILL)
    begun = time.monotonic()
    code = processes[0].finish()
    seconds = time.monotonic() - begun
    for step in checkpoints.steps(directory / "moved/checkpoints")[1:]:
        shutil.rmtree(directory / f"moved/checkpoints/step-{step}")
    shutil.copytree(directory / "moved", directory / "resumed")
    resumed = start_workers(2, arguments("resumed"), directory, "resumed")
    flags = [*arguments("moved", train_steps=3), "--distribution_strategy=one_device"]
    assert_ended([start("train.py", flags, directory, directory / "moved-one.log", {})])
    assert_ended(start_workers(3, arguments("moved"), directory, "moved-three"))
    assert_ended(resumed)
    return code, seconds, processes[0].printed


def test_a_killed_worker_ends_the_other_within_seconds_by_one_line(moved):
    code, seconds, printed = moved
    assert code == workers.EXIT_CODE
    assert seconds < 10
    *_, line = printed.splitlines()
    assert line.startswith("train.py: error: worker 1 (127.0.0.1:")
    assert "as if it was killed: the same command on every worker resumes at the last" in line
    assert "Traceback" not in printed


def test_a_run_goes_on_with_fewer_and_with_more_workers(moved, directory, unbroken):
    assert "resuming at step 2" in (directory / "moved-one.log").read_text()
    assert "resuming at step 3" in (directory / "moved-three-2.log").read_text()
    assert_same_weights(directory / "moved", unbroken[1])


def test_a_run_that_goes_on_ends_equal_to_the_bit_with_an_unbroken_one(moved, directory, unbroken):
    assert_equal_tensors(directory / "resumed", unbroken[2], STEPS)
    means = [
        path / "checkpoints/step-5/means.json" for path in (directory / "resumed", unbroken[2])
    ]
    assert means[0].read_bytes() == means[1].read_bytes()


@pytest.fixture(scope="module")
def variant(directory):
    """A run of two workers with much that a training can have, stopped by SIGTERM, and of one."""
    flags = {
        "data_path": None,
        "num_digits": 1,
        "digit_size": 6,
        "conditional": True,
        "critic_head": "projection",
        "lipschitz": "none",
        "gradient_penalty": 10,
        "n_critic": 2,
        "ema_momentum": 0.9,
        "shuffle_frames": 0.5,
        "evaluate_every": 2,
        "evaluate_metrics": "motion10",
        "checkpoint_interval": 1000,
    }
    lone = start("train.py", arguments("lone", **flags), directory, directory / "lone.log", {})
    many = arguments("variant", **{**flags, "train_steps": 100_000})
    # The step at which it will be stopped is not known: another run of one process ends there.
    processes = start_workers(2, many, directory, "variant")
    while "step 2: motion" not in processes[0].printed:
        assert all(process.poll() is None for process in processes), processes[0].printed
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    codes = [process.finish() for process in processes]
    assert_ended([lone])
    return codes, [process.printed for process in processes]


def test_a_signal_to_one_saves_and_ends_all_after_the_same_step(variant, directory):
    codes, printed = variant
    assert codes == [128 + signal.SIGTERM] * 2
    (step,) = checkpoints.steps(directory / "variant/checkpoints")
    for text in printed:
        line = f"variant: SIGTERM at step {step}, saved; the same command resumes"
        assert text.splitlines()[-1] == line


def test_the_chief_judges_what_one_process_does(variant, directory):
    first = [
        next(
            record["value"]
            for record in map(json.loads, (path / "evaluation/metrics.jsonl").open())
            if record.get("step") == 2
        )
        for path in (directory / "variant", directory / "lone")
    ]
    assert first[0] == pytest.approx(first[1], rel=1e-4)


@pytest.fixture(scope="module")
def hung(directory):
    """A worker that is stopped (SIGSTOP), and what the chief then does."""
    flags = arguments("hung", train_steps=100_000)
    processes = start_workers(2, flags, directory, "hung")
    wait_for_step(directory / "hung", 2, processes)
    processes[1].send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    code = processes[0].finish()
    seconds = time.monotonic() - begun
    processes[1].send_signal(signal.SIGKILL)
    return code, seconds, processes[0].printed.splitlines()[-1]


def test_a_worker_that_hangs_ends_the_others_within_the_time_that_is_stated(hung):
    code, seconds, line = hung
    assert code == workers.EXIT_CODE
    assert seconds < workers.SILENCE + 10
    assert "worker 1" in line and "has said nothing for 20 s, so it hangs" in line


@pytest.fixture(scope="module")
def refused(directory):
    """Each of the workers of clusters that were started wrongly, and how long they took."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    begun = time.monotonic()
    started = {
        "flags": start_workers(
            2, [arguments("r1"), arguments("r1", seed=1)], directory, "other flags"
        ),
        "directory": start_workers(
            2, [arguments("r2"), arguments(elsewhere / "r2")], directory, "other directory"
        ),
        "batch": start_workers(2, arguments("r3", batch_size=3), directory, "odd batch"),
    }
    config = tf_config(addresses(2), 2)
    for name, environment in {"nothing": {}, "index": {"TF_CONFIG": config}}.items():
        flags = [*arguments("r4"), "--distribution_strategy=multi_worker_mirrored"]
        started[name] = [
            start("train.py", flags, directory, directory / f"{name}.log", environment)
        ]
    config = tf_config(addresses(2), 0)
    started["unasked"] = [
        start("train.py", arguments("r5"), directory, directory / "u.log", {"TF_CONFIG": config})
    ]
    for processes in started.values():
        for process in processes:
            process.finish()
    return started, time.monotonic() - begun


LINES = {
    "flags": "--seed: worker 0 (127.0.0.1:",
    "directory": "does not show here what the chief has written there",
    "batch": "--batch_size=3 is not a multiple of the 2 replicas",
    "nothing": "--distribution_strategy=multi_worker_mirrored: TF_CONFIG names no workers",
    "index": "its task is worker 2, and its cluster has worker 0, worker 1",
    "unasked": "TF_CONFIG has a cluster of 2 tasks",
}


@pytest.mark.parametrize("case", LINES)
def test_bad_input_is_refused_by_each_worker_in_one_line_and_nothing_is_written(
    refused, directory, case
):
    for process in refused[0][case]:
        assert process.code != 0
        lines = [line for line in process.printed.splitlines() if ": read as " not in line]
        assert len(lines) == 1, lines
        assert LINES[case] in lines[0]
    assert not list(directory.glob("r[1-5]"))
    assert not list((directory / "elsewhere").iterdir())


def test_the_job_of_kubernetes_sets_what_workers_train_by(unbroken, directory):
    """The manifest's own shell makes TF_CONFIG; its addresses are then those of this machine."""
    path = EXPERIMENTS / "distributed/job.yaml"
    _, job = yaml.safe_load_all(path.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (directory / "bin").mkdir()
    python = directory / "bin/python"
    python.write_text('#!/bin/sh\necho "$TF_CONFIG"\nshift\necho "$@"\n')
    python.chmod(0o700)
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    configs = []
    for index in range(job["spec"]["completions"]):
        result = subprocess.run(
            [*container["command"], *container["args"]],
            env={
                "PATH": f"{directory}/bin:/bin:/usr/bin",
                "JOB_COMPLETION_INDEX": str(index),
                **environment,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        config, given = result.stdout.splitlines()
        assert given.split() == container["args"]
        configs.append(json.loads(config))
    hosts = ["tgan-0.tgan:2222", "tgan-1.tgan:2222"]
    assert [config["cluster"] for config in configs] == [{"worker": hosts}] * 2
    here = dict(zip(hosts, addresses(2)))
    processes = []
    for index, config in enumerate(configs):
        text = json.dumps(config)
        for host, address in here.items():
            text = text.replace(host, address)
        processes.append(
            start(
                "train.py",
                [*arguments("job", train_steps=1), *_flags(container["args"], "distribution")],
                directory,
                Path(directory, f"job-{index}.log"),
                {"TF_CONFIG": text},
            )
        )
    assert_ended(processes)


def _flags(given, name):
    return [argument for argument in given if argument.startswith(f"--{name}")]
