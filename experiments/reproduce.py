r"""Runs the paper's comparison on a small scale, or with --paper as the paper did.

TGAN with singular value clipping, with weight clipping and as a normal GAN, and the 3D model, the
same number of steps and several seeds each:

    python experiments/reproduce.py --output_dir=results/moving_mnist
    python experiments/reproduce.py --output_dir=results/ucf101 --paper \
        --data_path=prepared/ucf101 --extractor_weights=conv3d_deepnetA_ucf.npz \
        --c3d_mean=mean2.npz

Each run is one of train.py with the configuration of its variant, then one of evaluate.py for all
its checkpoints. Flags after a lone -- go to every train.py. The same command goes on where it
stopped; SIGINT (Ctrl-C) and SIGTERM let the trainings under way save first. In --output_dir:

    results.md       a table: each metric at the last step, mean ± deviation over the seeds
    results.json     each number, with everything that is needed to repeat it
    metrics.png      each metric over the steps
    samples.png      videos of the same latents by each variant, real ones below
    runs/, logs/     the runs, as of train.py, and what their programs printed
"""

from __future__ import annotations

import concurrent.futures
import io
import itertools
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import checked_flags
import command_line
import data_flags
import numpy as np
from absl import flags

from tgan_tf import rendering, runs
from tgan_tf.data import storage
from tgan_tf.errors import InputError, reason, remedy
from tgan_tf.evaluation import records
from tgan_tf.evaluation.metrics import METRICS, parse
from tgan_tf.latents import of_generator

FLAGS = flags.FLAGS

ROOT = Path(__file__).resolve().parents[1]

VARIANTS = {
    "svc": "singular value clipping",
    "weight_clipping": "weight clipping",
    "normal": "normal GAN",
    "conv3d": "3D model, singular value clipping",
}

SAMPLES = 3  # clips of each variant in samples.png

checked_flags.output_directory(
    "output_dir", None, "Directory of it all, made if missing.", required=True
)
checked_flags.names("variants", list(VARIANTS), f"Which of {', '.join(VARIANTS)}.", tuple(VARIANTS))
checked_flags.integers("seeds", [0, 1, 2], "Seeds of the runs of each variant.", at_least=0)
checked_flags.integer(
    "seed", 0, "Of the latents and the real clips of all evaluations.", at_least=0
)
checked_flags.integer(
    "train_steps", None, "Steps of each run; default 2500, with --paper 100,000.", at_least=1
)
checked_flags.integer(
    "checkpoint_interval",
    None,
    "Steps from one checkpoint, and evaluation, to the next; default a fifth of all.",
    at_least=1,
)
flags.DEFINE_bool(
    "paper",
    False,
    "The paper's networks and protocol on UCF-101, for which a GPU is needed, --data_path, "
    "--extractor_weights and --c3d_mean; else a small model on digits.",
)
data_flags.define_videos()
data_flags.define_clips()
flags.declare_key_flag("data_path")
checked_flags.text("extractor_weights", None, "--paper: path or URL of conv3d_deepnetA_ucf.npz.")
checked_flags.text("c3d_mean", None, "--paper: path or URL of mean2.npz.")
checked_flags.integer(
    "jobs",
    None,
    "Runs at a time, each on its own share of the cores; default one a core, with --paper one.",
    at_least=1,
    at_most=1024,
)
flags.DEFINE_bool("dry_run", False, "Only print the commands.")

_PAPER_FILES = ("data_path", "extractor_weights", "c3d_mean")


class Run(NamedTuple):
    """A training and its evaluation.

    Attributes:
        variant: of `VARIANTS`.
        seed: of the training.
        directory: its run directory.
        log: the file of what its programs print.
        train: the arguments of Python that train it.
        evaluate: those that evaluate all its checkpoints.
        floor: whether it judges real clips as well.
    """

    variant: str
    seed: int
    directory: Path
    log: Path
    train: list[str]
    evaluate: list[str]
    floor: bool


class Children:
    """The programs under way, and the signal that has ended them.

    Attributes:
        stopped_by: the signal, or None.
    """

    def __init__(self):
        self.stopped_by: signal.Signals | None = None
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()

    def run(self, arguments: list[str], log: Path) -> int | None:
        """Runs Python to its end and gives its code; None if it is stopped, or was not begun."""
        with log.open("a") as file:
            print("$", shlex.join(["python", *arguments]), file=file, flush=True)
            with self._lock:
                if self.stopped_by is not None:
                    return None
                child = subprocess.Popen(
                    [sys.executable, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
                self._running.add(child)
            code = child.wait()
        with self._lock:
            self._running.remove(child)
            return code if self.stopped_by is None else None

    def stop(self, number: int, frame=None) -> None:
        """Ends all that runs and keeps more from being begun; a signal's handler, too."""
        with self._lock:
            self.stopped_by = signal.Signals(number)
            for child in self._running:
                child.send_signal(signal.SIGTERM)


def main(arguments: list[str]) -> int:
    check_flags()
    output_dir = Path(from_root(FLAGS.output_dir))
    # Configurations name each other from there.
    os.chdir(ROOT)
    train_flags = [*paper_flags("data_path"), *arguments[1:]]
    # All variants of a seed first: they can be compared before the other seeds are there.
    names = itertools.product(FLAGS.seeds, FLAGS.variants)
    every = [
        make_run(output_dir, variant, seed, train_flags, floor=number == 0)
        for number, (seed, variant) in enumerate(names)
    ]
    settings = all_settings(train_flags)
    refuse_other_settings(output_dir, settings)
    if FLAGS.dry_run:
        for run in every:
            for command in (run.train, run.evaluate):
                print(shlex.join(["python", *command]))
        return 0

    (output_dir / "logs").mkdir(parents=True, exist_ok=True)
    storage.write(str(output_dir / "settings.json"), json.dumps(settings, indent=1).encode())
    stopped_by = make_runs(every)
    if stopped_by is not None:
        print(f"{output_dir}: {stopped_by.name}, what was made is saved; the same command goes on")
        return 128 + stopped_by
    report(output_dir, every, settings)
    return 0


def check_flags() -> None:
    """Sets what follows from other flags; raises an `InputError` for what makes no sense."""
    for flag in FLAGS.get_key_flags_for_module(data_flags):
        if flag.present and flag.name != "data_path":
            raise InputError(f"--{flag.name}: is a flag of train.py, give it after a lone --")
    for name in _PAPER_FILES:
        if FLAGS.paper and FLAGS[name].value is None:
            raise InputError(f"--paper: needs --{name}, see docs/reproduction.md")
        if not FLAGS.paper and FLAGS[name].value is not None:
            raise InputError(f"--{name}={FLAGS[name].value}: is for --paper, give that as well")
    if FLAGS.train_steps is None:
        FLAGS.train_steps = 100_000 if FLAGS.paper else 2500
    if FLAGS.checkpoint_interval is None:
        FLAGS.checkpoint_interval = max(FLAGS.train_steps // 5, 1)
    if FLAGS.jobs is None:
        FLAGS.jobs = 1 if FLAGS.paper else len(cores())


def from_root(path: str) -> str:
    """A path, or an URL, as it is called from the repository's top level."""
    return path if storage.is_remote(path) else os.path.relpath(path, ROOT)


def paper_flags(*names: str) -> list[str]:
    """Those of the paper's files that are given, as flags of other programs."""
    return [f"--{name}={from_root(FLAGS[name].value)}" for name in names if FLAGS[name].value]


def configuration(variant: str) -> str:
    """The flagfile of a variant."""
    base = "ucf101" if FLAGS.paper else "moving_mnist_small"
    return f"experiments/configs/{base}{'' if variant == 'svc' else f'_{variant}'}.cfg"


def make_run(output_dir: Path, variant: str, seed: int, train_flags: list[str], floor: bool) -> Run:
    """The run of a variant and a seed, and the commands that make it."""
    name = f"{variant}-seed-{seed}"
    directory = output_dir / "runs" / name
    train = [
        "experiments/train.py",
        f"--flagfile={configuration(variant)}",
        f"--run_dir={directory}",
        f"--seed={seed}",
        f"--train_steps={FLAGS.train_steps}",
        f"--checkpoint_interval={FLAGS.checkpoint_interval}",
        # One more for each time that it was stopped.
        "--keep_checkpoints=1000000",
        *train_flags,
    ]
    evaluate = [
        "experiments/evaluate.py",
        f"--run_dir={directory}",
        "--all_checkpoints",
        f"--metrics={','.join(metrics())}",
        f"--seed={FLAGS.seed}",
        f"--real_statistics={output_dir / 'real.npy'}",
        *(["--extractor=c3d", "--draws=4"] if FLAGS.paper else []),
        *paper_flags("extractor_weights", "c3d_mean"),
        *([] if floor else ["--nofloor"]),
    ]
    return Run(variant, seed, directory, output_dir / f"logs/{name}.log", train, evaluate, floor)


def metrics() -> list[str]:
    """What is measured; a Fréchet distance needs more clips than features, and C3D has 4096."""
    return ["is_whole10000", "fvd10000"] if FLAGS.paper else ["is2000", "fvd2048"]


def evaluated_steps() -> list[int]:
    """The steps of the checkpoints that are compared."""
    return [*range(FLAGS.checkpoint_interval, FLAGS.train_steps, FLAGS.checkpoint_interval)] + [
        FLAGS.train_steps
    ]


def all_settings(train_flags: list[str]) -> list[str]:
    """All that the results depend on: the flags, and the lines of each variant's configuration."""
    run = make_run(Path(), "svc", 0, train_flags, floor=False)
    lines = [
        f"{configuration(name)}: {line}"
        for name in VARIANTS
        for line in FLAGS.read_flags_from_files([f"--flagfile={configuration(name)}"])
    ]
    return [*run.train, *run.evaluate, *lines]


def refuse_other_settings(output_dir: Path, settings: list[str]) -> None:
    """Raises an `InputError` if the directory holds results of other settings, or other files."""
    path = output_dir / "settings.json"
    if not path.exists():
        if output_dir.exists() and any(output_dir.iterdir()):
            raise InputError(f"--output_dir={output_dir}: holds other files: give a new directory")
        return
    try:
        earlier = json.loads(path.read_text())
        if not isinstance(earlier, list) or not all(isinstance(line, str) for line in earlier):
            raise TypeError("it is no list of flags")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): {remedy(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged ({reason(error)}): restore it from a copy, or give a new --output_dir"
        ) from error
    if earlier != settings:
        before = " ".join(line for line in earlier if line not in settings)
        now = " ".join(line for line in settings if line not in earlier)
        raise InputError(
            f"--output_dir={output_dir}: holds results with {before or 'less'}, not "
            f"{now or 'less'}: give these or another directory"
        )


def make_runs(every: list[Run]) -> signal.Signals | None:
    """Trains and evaluates what is not there yet; gives the signal that ended it, if one did.

    Raises:
        InputError: a program has failed; the others are stopped then.
    """
    children = Children()
    handlers = {
        number: signal.signal(number, children.stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    shares = queue.SimpleQueue()
    for job in range(FLAGS.jobs):
        shares.put(cores()[job :: FLAGS.jobs] or cores())

    def pin():
        # A thread's cores are those of the programs that it starts, too; a small model on one core
        # makes more of it than on two.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, shares.get())

    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs, initializer=pin) as pool:
        futures = [pool.submit(make, run, children) for run in every]
        try:
            for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                done = future.result()
                if children.stopped_by is None:
                    print(f"[{number}/{len(every)}] {done}", flush=True)
        except BaseException:
            children.stop(signal.SIGTERM)
            raise
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return children.stopped_by


def make(run: Run, children: Children) -> str:
    """Trains and evaluates a run, if that is not done yet; says so."""
    name = run.directory.name
    if is_evaluated(run):
        return f"{name}: is there already"
    for doing, arguments in (("training", run.train), ("evaluating", run.evaluate)):
        if children.stopped_by is not None:
            break
        print(f"{name}: {doing}, see {run.log}", flush=True)
        start = time.monotonic()
        code = children.run(arguments, run.log)
        minutes = (time.monotonic() - start) / 60
        if children.stopped_by is None:
            if code:
                lines = run.log.read_text(errors="replace").strip().splitlines()
                raise InputError(f"{name}: {doing} failed ({code}), see {run.log}: {lines[-1]}")
            print(f"{name}: {doing} took {minutes:.1f} min", flush=True)
    return f"{name}: done"


def cores() -> list[int]:
    """The cores that this program may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def kept_records(run: Run) -> list[dict]:
    """What evaluate.py has written of the comparison's metrics and steps."""
    file = run.directory / "evaluation" / records.FILE
    kept = records.read(file) if file.exists() else []
    return [
        record
        for record in kept
        # Without the frames that end a full name.
        if record["metric"].rsplit("_", 1)[0] in metrics()
        and (record["of"] == "real" or record.get("step") in evaluated_steps())
    ]


def is_evaluated(run: Run) -> bool:
    """Whether all records of a run are there."""
    kept = kept_records(run)
    found = {(one["metric"].rsplit("_", 1)[0], one.get("step")) for one in kept}
    steps = [*evaluated_steps(), *([None] if run.floor else [])]
    return found >= set(itertools.product(metrics(), steps))


def report(output_dir: Path, every: list[Run], settings: list[str]) -> None:
    """Writes the table, the numbers and the pictures of runs that are all evaluated."""
    kept = {run.directory: kept_records(run) for run in every}
    first = kept[every[0].directory]
    names = dict.fromkeys(one["metric"] for one in first if one["of"] == "checkpoint")
    real = {one["metric"]: one for one in first if one["of"] == "real"}
    found, panels = {}, []
    for metric in names:
        found[metric] = {"real": real.get(metric), "variants": {}}
        curves = {}
        for variant in FLAGS.variants:
            by_seed = {
                run.seed: records.curve(
                    [one for one in kept[run.directory] if one["metric"] == metric]
                )
                for run in every
                if run.variant == variant
            }
            summary = over_seeds(by_seed)
            found[metric]["variants"][variant] = summary
            curves[VARIANTS[variant]] = tuple(
                summary[name] for name in ("steps", "mean", "deviation")
            )
        panels.append(records.Panel(metric, curves, real.get(metric)))
    records.plot(output_dir / "metrics.png", panels)
    storage.write(str(output_dir / "samples.png"), samples(every))
    results = {
        "settings": settings,
        "metrics": found,
        "runs": {
            run.directory.name: {
                "variant": run.variant,
                "seed": run.seed,
                "train": shlex.join(["python", *run.train]),
                "evaluate": shlex.join(["python", *run.evaluate]),
                "flags": runs.flag_lines(run.directory),
                "records": kept[run.directory],
            }
            for run in every
        },
    }
    storage.write(str(output_dir / "results.json"), json.dumps(results, indent=1).encode())
    text = tables(found)
    storage.write(str(output_dir / "results.md"), text.encode())
    print(text)
    for name in ("results.md", "results.json", "metrics.png", "samples.png"):
        print(output_dir / name)


def over_seeds(by_seed: dict[int, tuple[list, list, list]]) -> dict:
    """Mean and deviation over seeds at each step.

    Args:
        by_seed: curves of the same steps, as of `records.curve`.

    Returns:
        steps, mean, deviation (of a sample: with n - 1; 0 of one seed), and seeds, each one's
        values.
    """
    steps = next(iter(by_seed.values()))[0]
    values = np.array([curve[1] for curve in by_seed.values()], float)
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
    return {
        "steps": steps,
        "mean": values.mean(axis=0).tolist(),
        "deviation": deviation.tolist(),
        "seeds": {seed: curve[1] for seed, curve in by_seed.items()},
    }


def tables(found: dict) -> str:
    """results.md, of the metrics of results.json."""
    step = f"{evaluated_steps()[-1]:,}"
    head, rows = ["variant"], [[VARIANTS[name]] for name in FLAGS.variants]
    real = ["real clips"]
    for metric, results in found.items():
        head += [metric, "each seed"]
        for row, name in zip(rows, FLAGS.variants):
            summary = results["variants"][name]
            of_seeds = {"value": summary["mean"][-1], "error": summary["deviation"][-1]}
            last = (values[-1] for values in summary["seeds"].values())
            row += [records.shown(of_seeds), ", ".join(f"{value:.4g}" for value in last)]
        real += [records.shown(results["real"]), ""]
    about = [f"- `{metric}`: {METRICS[parse([metric], 10**9)[0].metric].about}" for metric in found]
    lines = [
        f"# Results after {step} steps",
        "",
        records.table([head, *rows, real]),
        "",
        f"Mean ± standard deviation over the seeds {', '.join(map(str, FLAGS.seeds))}; real clips, "
        "held-out ones if there are any, are judged once: value ± its own error.",
        "",
        *about,
        "",
        "![Each metric over the steps, mean and deviation of the seeds](metrics.png)",
        "",
        f"![Videos of the same latents by each variant, seed {FLAGS.seeds[0]}](samples.png)",
        "",
    ]
    return "\n".join(lines)


def samples(every: list[Run]) -> bytes:
    """A picture of videos of the same latents by each variant's first run, and of real ones."""
    # Without pyplot, which keeps figures and asks for a display.
    from matplotlib.figure import Figure

    clips = {}
    for run in every[: len(FLAGS.variants)]:
        generator, _ = runs.load_generator(run.directory, FLAGS.train_steps)
        z0 = of_generator(generator, FLAGS.seed, SAMPLES)
        made = np.concatenate(list(runs.generate(generator, z0)))
        clips[VARIANTS[run.variant]] = rendering.to_uint8(made)
    # Not the paths of the command line, which are not of this directory.
    data_flags.take_from_run(every[0].directory, "data_path", over_the_command_line=True)
    corpus = data_flags.open_data()
    has_test = corpus is None or "test" in corpus.subsets
    source = data_flags.make_source(corpus, "test" if has_test else "train")
    clips["real clips"] = np.stack([source.clip(number).numpy() for number in range(SAMPLES)])

    sheets = {name: rendering.contact_sheet(group) for name, group in clips.items()}
    rows, columns, _ = next(iter(sheets.values())).shape
    # Pixel by pixel: a picture drawn to a size in inches would make some of them wider than others.
    scale, title, dpi = max(1, 1200 // columns), 28, 100
    width, height = columns * scale, len(sheets) * (title + rows * scale)
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    bottom = height
    for name, sheet in sheets.items():
        figure.text(0, (bottom - title + 8) / height, name)
        bottom -= title + rows * scale
        pixels = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
        figure.figimage(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), 0, bottom)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


if __name__ == "__main__":
    command_line.run(main, passes_flags_on=True)
