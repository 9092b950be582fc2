"""Writes a run's report: one HTML page to send to a colleague or attach to a paper.

    python experiments/report.py --run_dir=runs/moving_mnist

The page has animated samples; the metrics of evaluate.py, also on real clips; the losses; the
critic's singular values; the signs of a failing training; the flags; and the commands that
reproduce the run. It is a single file that loads nothing and runs no scripts, and it fits a phone.
It states what the run does not have.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from program_flags import checked_flags, command_line

from absl import flags

from tgan_tf import checkpoints, run_page, runs
from tgan_tf.data import storage
from tgan_tf.errors import InputError, one_line
from tgan_tf.evaluation import records

FLAGS = flags.FLAGS

checked_flags.existing(
    "run_dir",
    "Directory of a run of train.py.",
    kind="directory",
    remedy="give the --run_dir of a training",
    required=True,
)
checked_flags.new_file(
    "output",
    None,
    "New HTML file for the page; default: RUN_DIR/report.html.",
    suffixes=(".html",),
)


def main(_) -> None:
    run_dir = Path(FLAGS.run_dir)
    run = runs.read(run_dir)
    output = Path(FLAGS.output or run_dir / "report.html")
    if os.path.lexists(output):
        raise InputError(f"{output}: already exists: give another --output")
    lines = flag_lines(run, run_dir)
    path = run_dir / "evaluation" / records.FILE
    kept = records.read(path) if path.exists() else []
    html = run_page.page(run_dir, kept, lines, commands(run, run_dir, kept), facts(run))
    # File names may not be valid UTF-8.
    storage.write(str(output), html.encode(errors="backslashreplace"))
    print(f"page: {output}")


def flag_lines(run: runs.Run, run_dir: Path) -> list[str]:
    """The flags of a run's training, as the lines of a flagfile."""
    if run.flags is not None:
        return [flag_line(name, value) for name, value in run.flags.items()]
    if run.flag_lines is None and (run_dir / runs.FLAGS_FILE).exists():
        return runs.flag_lines(run_dir)
    return run.flag_lines or []


def flag_line(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"


def commands(run: runs.Run, run_dir: Path, kept: list[dict[str, Any]]) -> list[str]:
    """Shell commands that reproduce a run and its results."""
    name = run_dir.resolve().name
    flagfile = shlex.quote(f"--flagfile={name}.cfg")
    again = shlex.quote(f"--run_dir=runs/{name}")
    steps = checkpoints.steps(run_dir / "checkpoints")
    train = f"python experiments/train.py {flagfile} {again}"
    if steps and run.flags is not None and steps[-1] != run.flags.get("train_steps"):
        train += f" --train_steps={steps[-1]}"
    lines = [one_line(f"# The flags above, saved as {name}.cfg:"), train]
    if not any(run_dir.glob("events.out.tfevents.*")):
        lines = ["# The run has no events of a training: its weights may come from elsewhere."]
    evaluated = [
        str(one["command"]) for one in kept if one["of"] == "checkpoint" and "command" in one
    ]
    if evaluated:
        lines += ["# The run was evaluated with:"]
        lines += [one_line(f"python experiments/{line}") for line in dict.fromkeys(evaluated)]
    else:
        lines += [f"python experiments/evaluate.py {again}"]
    return [
        *lines,
        f"python experiments/generate.py {again}",
        f"python experiments/report.py {again}",
    ]


def facts(run: runs.Run) -> dict[str, str]:
    """The data and the batch size, by the run's flags."""
    if run.flags is None:
        return {}
    known = run.flags.get
    digits = f"Moving MNIST, clips with {known('num_digits')} of its digits"
    return {"Data": str(known("data_path") or digits), "Batch": f"{known('batch_size')} clips"}


if __name__ == "__main__":
    command_line.run(main)
