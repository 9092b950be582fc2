"""Kills workers at random moments, and compares what comes of it with an unbroken training.

    python tests/kill_workers.py --workers=2 --kills=10

Of a training by several workers one is killed (SIGKILL), any of them; the others must end by
themselves within `LIMIT` seconds with code 138, and the same command on every worker goes on. At
last it is left to end: every tensor of its last checkpoint must be that of an unbroken training to
the bit. test_several_machines.py does it once.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

from checkpoint_tensors import assert_equal_tensors
from clusters import start_workers
from kill_trainings import NETWORK

from tgan_tf import checkpoints, workers

STEPS = 60
LIMIT = 30.0  # seconds; 5 on an idle machine


def arguments(run_dir: Path) -> list[str]:
    """What every worker is given."""
    flags = {
        **NETWORK,
        "num_digits": 1,
        "digit_size": 6,
        "train_steps": STEPS,
        "checkpoint_interval": 4,
        "sample_interval": 1000,
        "summary_interval": 5,
        "run_dir": run_dir,
    }
    return ["--deterministic", *(f"--{name}={value}" for name, value in flags.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the workers")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        begun = time.monotonic()
        processes = start_workers(
            options.workers, arguments(directory / "unbroken"), directory, "unbroken"
        )
        codes = [process.finish(1200) for process in processes]
        assert codes == [0] * options.workers, [process.printed for process in processes]
        seconds = time.monotonic() - begun
        print(f"unbroken: {seconds:.1f} s", flush=True)
        run_dir, killed = directory / "killed", 0
        while killed < options.kills:
            processes = start_workers(options.workers, arguments(run_dir), directory, "killed")
            time.sleep(moments.uniform(0.1, 0.95) * seconds)
            victim = moments.randrange(options.workers)
            if processes[victim].poll() is not None:
                # It has ended before: once more from the beginning.
                codes = [process.finish() for process in processes]
                assert codes == [0] * options.workers, [process.printed for process in processes]
                shutil.rmtree(run_dir)
                continue
            processes[victim].send_signal(signal.SIGKILL)
            moment = time.monotonic()
            codes = [process.finish(LIMIT) for process in processes]
            lasted = time.monotonic() - moment
            expected = [workers.EXIT_CODE] * options.workers
            expected[victim] = -signal.SIGKILL
            assert codes == expected, [process.printed for process in processes]
            killed += 1
            steps = checkpoints.steps(run_dir / "checkpoints")
            print(f"worker {victim} killed, all ended {lasted:.1f} s later: {steps}", flush=True)
            for log in directory.glob("killed-*.log"):
                log.unlink()
        processes = start_workers(options.workers, arguments(run_dir), directory, "killed")
        assert [process.finish(1200) for process in processes] == [0] * options.workers
        assert_equal_tensors(run_dir, directory / "unbroken", STEPS)
        print(f"{killed} kills: all tensors equal to the unbroken training's")


if __name__ == "__main__":
    main()
