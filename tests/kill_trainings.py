"""Kills trainings at random moments, and compares what comes of them with an unbroken one.

    python tests/kill_trainings.py --runs=20 --kills=2

A run is killed (SIGKILL) so many times, started again by the same command each time, and at last
left to end. Then all that it has written must be that of an unbroken run: every tensor of the last
checkpoint to the bit, the samples to the byte, every value of every report at the same steps, the
evaluations, and no file more. test_train.py does it with one run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from checkpoint_tensors import tensors

TRAIN = Path(__file__).parents[1] / "experiments/train.py"
# A network small enough to train in seconds.
NETWORK = {
    "frames": 4,
    "size": 8,
    "z0_dim": 6,
    "z1_dim": 5,
    "temporal_filters": 8,
    "image_filters": 8,
    "critic_filters": 2,
    "batch_size": 4,
    "clipping_interval": 2,
}
FLAGS = {
    **NETWORK,
    "num_digits": 1,
    "digit_size": 6,
    "learning_rate": 1e-3,
    "ema_momentum": 0.9,
    "train_steps": 42,
    # None of these divides another, so that each is due alone and with the others.
    "checkpoint_interval": 4,
    "sample_interval": 6,
    "summary_interval": 5,
    "evaluate_every": 7,
    "evaluate_metrics": "motion10",
    "deterministic": True,
}
# What says how fast it was, and nothing else, may differ.
_OF_TIME = "training/clips_per_second"


def arguments(run_dir: Path) -> list[str]:
    """What train.py is given to begin a training, or to go on with it."""
    return [*(f"--{name}={value}" for name, value in FLAGS.items()), f"--run_dir={run_dir}"]


def start(run_dir: Path) -> subprocess.Popen:
    """Starts a training, or goes on with it."""
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *arguments(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    """Waits for the end of a training that must end well, and gives what it has printed."""
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    return printed


def kill(process: subprocess.Popen, seconds: float) -> bool:
    """Kills a training after so many seconds, unless it has ended before."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def written(run_dir: Path) -> dict:
    """All that a run has written, by names, but for when it was."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {"files": sorted(str(p.relative_to(run_dir)) for p in _files(run_dir))}
    last = run_dir / f"checkpoints/step-{FLAGS['train_steps']}"
    for name, value in tensors(run_dir, FLAGS["train_steps"]).items():
        found[f"tensor {name}"] = value
    for path in (*(run_dir / "samples").iterdir(), last / "means.json", run_dir / "flags.cfg"):
        found[path.name] = path.read_bytes()
    for directory in (run_dir, run_dir / "evaluation"):
        events = EventAccumulator(str(directory), {"tensors": 0}).Reload()
        for tag in events.Tags()["tensors"]:
            if tag == _OF_TIME:
                found[tag] = sorted({event.step for event in events.Tensors(tag)})
                continue
            # A step may have been made twice, and must have come out the same. The flags are
            # written at each start.
            found[tag] = sorted(
                {
                    (-1 if tag == "flags" else event.step, event.tensor_proto.SerializeToString())
                    for event in events.Tensors(tag)
                }
            )
    lines = (run_dir / "evaluation/metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.endswith("}")]
    found["evaluations"] = sorted(
        {(r["metric"], r["of"], r.get("step", -1), r["value"]) for r in records}
    )
    return found


def _files(run_dir: Path):
    for path in run_dir.rglob("*"):
        if path.is_file() and "tfevents" not in path.name:
            yield path


def assert_same(run_dir: Path, unbroken: dict) -> None:
    """Raises an `AssertionError` that names the first thing that differs from the unbroken run."""
    found = written(run_dir)
    assert found.keys() == unbroken.keys(), found.keys() ^ unbroken.keys()
    assert len(found) > 100
    for name, value in unbroken.items():
        np.testing.assert_equal(found[name], value, err_msg=f"{run_dir}: {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=2, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as directory:
        begun = time.monotonic()
        process = start(Path(directory, "unbroken"))
        process.stdout.readline()
        first_report = time.monotonic() - begun
        finish(process)
        seconds = time.monotonic() - begun
        unbroken = written(Path(directory, "unbroken"))
        print(f"unbroken: {seconds:.1f} s, {len(unbroken)} things to compare", flush=True)
        killed = 0
        for number in range(options.runs):
            run_dir = Path(directory, f"run-{number}")
            for _ in range(options.kills):
                # Most of a short training is TensorFlow's start.
                moment = moments.uniform(0.8 * first_report, seconds)
                killed += kill(start(run_dir), moment)
                left = sorted(p.name for p in (run_dir / "checkpoints").glob("*"))
                print(f"run {number}: killed after {moment:.1f} s: {', '.join(left)}", flush=True)
            finish(start(run_dir))
            assert_same(run_dir, unbroken)
        print(f"{options.runs} runs, {killed} kills: all equal to the unbroken run")


if __name__ == "__main__":
    main()
