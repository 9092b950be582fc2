r"""Runs the paper's comparison on a small scale, or with --paper as in the paper.

It compares TGAN with singular value clipping, TGAN with weight clipping, a normal GAN and the 3D
model, each with the same number of steps and several seeds:

    python experiments/studies/reproduce.py --output_dir=results/moving_mnist
    python experiments/studies/reproduce.py --output_dir=results/ucf101 --paper \
        --data_path=prepared/ucf101 --extractor_weights=conv3d_deepnetA_ucf.npz \
        --c3d_mean=mean2.npz

For each run it calls train.py with the configuration of the variant, then evaluate.py for all
checkpoints. Flags after a lone -- go to every train.py. The same command resumes a stopped
comparison; on SIGINT (Ctrl-C) and SIGTERM, running trainings save first. --output_dir gets:

    results.md       a table: each metric at the last step, mean ± deviation over the seeds
    results.json     each number, with everything needed to repeat it
    metrics.png      each metric over the steps
    samples.png      videos from the same latents by each variant, real ones below
    runs/, logs/     the runs, as from train.py, and the output of their programs
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line, data_flags

from absl import flags

import reproduction_report
from reproduction_jobs import Run, cores, make_runs
from tgan_tf.data import storage
from tgan_tf.data.pipeline import Source
from tgan_tf.errors import InputError, reason, remedy

FLAGS = flags.FLAGS

ROOT = Path(__file__).resolve().parents[2]

VARIANTS = {
    "svc": "singular value clipping",
    "weight_clipping": "weight clipping",
    "normal": "normal GAN",
    "conv3d": "3D model, singular value clipping",
}

checked_flags.output_directory(
    "output_dir", None, "Directory for results, runs and logs, made if missing.", required=True
)
checked_flags.names(
    "variants", list(VARIANTS), f"Variants to compare, of {', '.join(VARIANTS)}.", tuple(VARIANTS)
)
checked_flags.integers("seeds", [0, 1, 2], "Seeds of the runs of each variant.", at_least=0)
checked_flags.integer(
    "seed", 0, "Seed of the latents and real clips of all evaluations.", at_least=0
)
checked_flags.integer(
    "train_steps", None, "Steps of each run; default: 3000, with --paper 100,000.", at_least=1
)
checked_flags.integer(
    "checkpoint_interval",
    None,
    "Steps between checkpoints, which are all evaluated; default: a fifth of the steps.",
    at_least=1,
)
flags.DEFINE_bool(
    "paper",
    False,
    "Use the paper's networks and protocol on UCF-101, which need a GPU, --data_path, "
    "--extractor_weights and --c3d_mean; otherwise a small model on digits.",
)
data_flags.define_videos()
data_flags.define_clips()
flags.declare_key_flag("data_path")
checked_flags.text(
    "extractor_weights", None, "Path or URL of conv3d_deepnetA_ucf.npz, for --paper."
)
checked_flags.text("c3d_mean", None, "Path or URL of mean2.npz, for --paper.")
checked_flags.integer(
    "jobs",
    None,
    "Parallel runs, each on its own share of the cores; default: one per core, with --paper one.",
    at_least=1,
    at_most=1024,
)
flags.DEFINE_bool("dry_run", False, "Only print the commands.")

_PAPER_FILES = ("data_path", "extractor_weights", "c3d_mean")


def main(arguments: list[str]) -> int:
    check_flags()
    output_dir = Path(from_root(FLAGS.output_dir))
    # The configurations have paths relative to this directory.
    os.chdir(ROOT)
    train_flags = [*paper_flags("data_path"), *arguments[1:]]
    # All variants of one seed come first, so that they can be compared before the other seeds.
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
    stopped_by = make_runs(every, FLAGS.jobs)
    if stopped_by is not None:
        print(f"{output_dir}: {stopped_by.name}, finished work is saved; the same command resumes")
        return 128 + stopped_by
    titles = {name: VARIANTS[name] for name in FLAGS.variants}
    real = real_clips(every[0].directory)
    reproduction_report.write(output_dir, every, titles, settings, real, FLAGS.seed)
    return 0


def check_flags() -> None:
    """Sets defaults that depend on other flags; raises an `InputError` for flags without effect."""
    for flag in FLAGS.get_key_flags_for_module(data_flags):
        if flag.present and flag.name != "data_path":
            raise InputError(f"--{flag.name}: is a flag of train.py: give it after a lone --")
    for name in _PAPER_FILES:
        if FLAGS.paper and FLAGS[name].value is None:
            raise InputError(f"--paper: needs --{name}: see docs/reproduction.md")
        if not FLAGS.paper and FLAGS[name].value is not None:
            raise InputError(
                f"--{name}={FLAGS[name].value}: has no effect without --paper: also give --paper"
            )
    if FLAGS.train_steps is None:
        FLAGS.train_steps = 100_000 if FLAGS.paper else 3000
    if FLAGS.checkpoint_interval is None:
        FLAGS.checkpoint_interval = max(FLAGS.train_steps // 5, 1)
    if FLAGS.jobs is None:
        FLAGS.jobs = 1 if FLAGS.paper else len(cores())


def from_root(path: str) -> str:
    """A path relative to the repository's root, or a URL unchanged."""
    return path if storage.is_remote(path) else os.path.relpath(path, ROOT)


def paper_flags(*names: str) -> list[str]:
    """The given files of the paper, as flags of other programs."""
    return [f"--{name}={from_root(FLAGS[name].value)}" for name in names if FLAGS[name].value]


def configuration(variant: str) -> str:
    """The flagfile of a variant."""
    base = "ucf101" if FLAGS.paper else "moving_mnist_digits_conditional"
    return f"experiments/configs/{base}{'' if variant == 'svc' else f'_{variant}'}.cfg"


def make_run(output_dir: Path, variant: str, seed: int, train_flags: list[str], floor: bool) -> Run:
    """The run of a variant and a seed, with the commands that make it."""
    name = f"{variant}-seed-{seed}"
    directory = output_dir / "runs" / name
    train = [
        "experiments/train.py",
        f"--flagfile={configuration(variant)}",
        f"--run_dir={directory}",
        f"--seed={seed}",
        f"--train_steps={FLAGS.train_steps}",
        f"--checkpoint_interval={FLAGS.checkpoint_interval}",
        # Each interruption adds a checkpoint.
        "--keep_checkpoints=1000000",
        # The rate of the small models falls to zero at the last step, however many there are.
        *([] if FLAGS.paper else [f"--learning_rate_decay_steps={FLAGS.train_steps}"]),
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
    return Run(
        variant,
        seed,
        directory,
        output_dir / f"logs/{name}.log",
        train,
        evaluate,
        floor,
        metrics(),
        evaluated_steps(),
    )


def metrics() -> list[str]:
    """The metrics; a Fréchet distance needs more clips than features, and C3D has 4096."""
    if FLAGS.paper:
        return ["is_whole10000", "fvd10000"]
    return ["is2000", "fvd2048", "class_accuracy2000"]


def evaluated_steps() -> list[int]:
    """The steps of the checkpoints that are compared."""
    return [*range(FLAGS.checkpoint_interval, FLAGS.train_steps, FLAGS.checkpoint_interval)] + [
        FLAGS.train_steps
    ]


def real_clips(run_dir: Path) -> Source:
    """The real clips of a run, held-out ones if available."""
    # The command line's paths are not relative to this directory.
    data_flags.take_from_run(run_dir, "data_path", over_the_command_line=True)
    corpus = data_flags.open_data()
    has_test = corpus is None or "test" in corpus.subsets
    return data_flags.make_source(corpus, "test" if has_test else "train")


def all_settings(train_flags: list[str]) -> list[str]:
    """Everything that affects the results: the flags, and each variant's configuration."""
    run = make_run(Path(), "svc", 0, train_flags, floor=False)
    lines = [
        f"{configuration(name)}: {line}"
        for name in VARIANTS
        for line in FLAGS.read_flags_from_files([f"--flagfile={configuration(name)}"])
    ]
    return [*run.train, *run.evaluate, *lines]


def refuse_other_settings(output_dir: Path, settings: list[str]) -> None:
    """Raises an `InputError` if the directory holds results with other settings, or other files."""
    path = output_dir / "settings.json"
    if not path.exists():
        if output_dir.exists() and any(output_dir.iterdir()):
            raise InputError(f"--output_dir={output_dir}: holds other files: give a new directory")
        return
    try:
        earlier = json.loads(path.read_text())
        if not isinstance(earlier, list) or not all(isinstance(line, str) for line in earlier):
            raise TypeError("it is not a list of flags")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): {remedy(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged ({reason(error)}): restore it from a copy, or give a new "
            "--output_dir"
        ) from error
    if earlier != settings:
        before = " ".join(line for line in earlier if line not in settings)
        now = " ".join(line for line in settings if line not in earlier)
        raise InputError(
            f"--output_dir={output_dir}: holds results with {before or 'less'}, not "
            f"{now or 'less'}: give these or another directory"
        )


if __name__ == "__main__":
    command_line.run(main, passes_flags_on=True)
