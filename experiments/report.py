"""Writes a run on one page: an HTML file to send to a colleague or attach to a paper.

    python experiments/report.py --run_dir=runs/moving_mnist

The page has the samples, moving; the metrics that evaluate.py has written, beside those of real
clips; the losses; the singular values of the critic; the signs of a training that goes wrong; the
flags, and the commands that make it all again. It stands by itself: it loads nothing, runs nothing
and is read on a phone as well. What a run does not have, the page says.
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
    "Directory of a run, as of train.py.",
    kind="directory",
    remedy="give the --run_dir of a training",
    required=True,
)
checked_flags.new_file(
    "output",
    None,
    "HTML file of the page, which must not exist yet; default RUN_DIR/report.html.",
    suffixes=(".html",),
)


def main(_) -> None:
    run_dir = Path(FLAGS.run_dir)
    run = runs.read(run_dir)
    output = Path(FLAGS.output or run_dir / "report.html")
    if os.path.lexists(output):
        raise InputError(f"{output} exists: give another --output")
    lines = flag_lines(run, run_dir)
    path = run_dir / "evaluation" / records.FILE
    kept = records.read(path) if path.exists() else []
    html = run_page.page(run_dir, kept, lines, commands(run, run_dir, kept), facts(run))
    # Names of files may hold what is no text in UTF-8.
    storage.write(str(output), html.encode(errors="backslashreplace"))
    print(f"page: {output}")


def flag_lines(run: runs.Run, run_dir: Path) -> list[str]:
    """The flags that a run was trained by, as the lines of a flagfile."""
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
    """What makes a run and its results again, as lines of a shell."""
    name = run_dir.resolve().name
    flagfile = shlex.quote(f"--flagfile={name}.cfg")
    again = shlex.quote(f"--run_dir=runs/{name}")
    steps = checkpoints.steps(run_dir / "checkpoints")
    train = f"python experiments/train.py {flagfile} {again}"
    if steps and run.flags is not None and steps[-1] != run.flags.get("train_steps"):
        train += f" --train_steps={steps[-1]}"
    lines = [one_line(f"# The flags above, saved as {name}.cfg:"), train]
    if not any(run_dir.glob("events.out.tfevents.*")):
        lines = ["# No events of a training lie in the run: its weights may come from elsewhere."]
    evaluated = [
        str(one["command"]) for one in kept if one["of"] == "checkpoint" and "command" in one
    ]
    if evaluated:
        lines += ["# As the run was evaluated:"]
        lines += [one_line(f"python experiments/{line}") for line in dict.fromkeys(evaluated)]
    else:
        lines += [f"python experiments/evaluate.py {again}"]
    return [
        *lines,
        f"python experiments/generate.py {again}",
        f"python experiments/report.py {again}",
    ]


def facts(run: runs.Run) -> dict[str, str]:
    """What the flags say that a reader asks first."""
    if run.flags is None:
        return {}
    known = run.flags.get
    digits = f"Moving MNIST, clips with {known('num_digits')} of its digits"
    return {"Data": str(known("data_path") or digits), "Batch": f"{known('batch_size')} clips"}


if __name__ == "__main__":
    command_line.run(main)
