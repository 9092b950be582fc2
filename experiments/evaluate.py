r"""Evaluates a run's generator, or any videos, against real ones.

    python experiments/evaluate.py --run_dir=runs/moving_mnist
    python experiments/evaluate.py --run_dir=runs/moving_mnist --all_checkpoints --metrics=fvd2048
    python experiments/evaluate.py --fake_data=generated --real_data=UCF-101 --metrics=fvd256,kvd256

By default the real clips are those the run was trained on, by its own flags; flags given here
override them. A metric whose name has no number uses its default number of clips, mostly 2048.

With flags of Apache Beam after a lone --, several processes measure many clips, on any Beam runner
(--direct_num_workers=0: on all cores of this machine). The results are the same to the bit. The
same command resumes after an interruption:

    python experiments/evaluate.py --run_dir=runs/moving_mnist --metrics=fvd100000 \
        -- --direct_num_workers=0

Results go to --output_dir, by default RUN_DIR/evaluation:

    metrics.jsonl     one line per result, with everything needed to repeat it
    metrics.png       each metric over the steps evaluated so far, with real clips' value as a line
    nearest-….png     generated clips above their nearest real clips (--metrics=nearest)
    real/             the measurements of the real clips, which are used again
    events.…          the results for TensorBoard, which shows them with the run
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from program_flags import checked_flags, command_line, data_flags, evaluation_flags, run_flags

import numpy as np
from absl import flags

from tgan_tf import checkpoints, remote_runs, rendering, runs
from tgan_tf.data import storage
from tgan_tf.data.beam import Run, on_beam
from tgan_tf.data.windows import WINDOWS
from tgan_tf.errors import InputError
from tgan_tf.evaluation import nearest_clips, records
from tgan_tf.evaluation.clip_sets import ClipSet, GeneratedClips
from tgan_tf.evaluation.evaluation import Evaluation, Result
from tgan_tf.evaluation.metrics import Request

FLAGS = flags.FLAGS

run_flags.define_run(required=False)
flags.adopt_module_key_flags(run_flags)
flags.DEFINE_bool("all_checkpoints", False, "Evaluate every checkpoint of the run.")
checked_flags.existing(
    "fake_data",
    "Path of videos to evaluate instead of a run: a directory of videos, prepared TFRecords, an "
    ".npz file of clips or anything else that --real_data accepts.",
    kind="path",
    remote=True,
    remedy="give a file or a directory of videos",
)
data_flags.define_videos(path_flag="real_data")
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)
flags.DEFINE_enum("real_subset", "train", ["train", "test"], "Subset of the real videos.")
flags.DEFINE_enum(
    "window",
    "random",
    WINDOWS,
    "Frames of a video that make its clip: from a random frame on, the first ones, or those in the "
    "centre; all makes as many clips as fit without overlap.",
)
evaluation_flags.define_metrics("metrics", ["is", "fvd", "kvd", "prdc", "motion"])
evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)
checked_flags.integer(
    "draws",
    1,
    "Repetitions with other clips, generated or from --fake_data, to estimate the error.",
    at_least=1,
)
checked_flags.integer(
    "seed", 0, "Seed of the latents, and of the real clips' windows and order.", at_least=0
)
flags.DEFINE_bool(
    "floor", True, "Also evaluate other real clips: the best score a generator can expect."
)
checked_flags.kept_file(
    "real_statistics",
    "File for the measurements of the real clips, read if it exists; default: one in --output_dir.",
)
checked_flags.output_directory(
    "output_dir",
    None,
    "Directory for the results; default: RUN_DIR/evaluation or, with --fake_data, evaluation. "
    "A run in a store has no default.",
)


def main(arguments: list[str]) -> None:
    if (FLAGS.run_dir is None) == (FLAGS.fake_data is None):
        raise InputError("give either --run_dir or --fake_data: whose clips are to be evaluated?")
    run = on_beam(arguments[1:]) if arguments[1:] else None
    if FLAGS.run_dir is None:
        judge_clips(run)
    else:
        if FLAGS.output_dir is None and storage.is_remote(FLAGS.run_dir):
            raise InputError(f"--run_dir={FLAGS.run_dir}: is only read: give --output_dir")
        with remote_runs.copied(
            FLAGS.run_dir, FLAGS.checkpoint_step, FLAGS.all_checkpoints
        ) as run_dir:
            judge_run(run_dir, run)


def judge_run(run_dir: Path, run: Run | None) -> None:
    """Evaluates a run's checkpoints; `run` is passed to `Evaluation`."""
    generator, critic, step = runs.load_networks(run_dir, FLAGS.checkpoint_step)
    steps = [step]
    if FLAGS.all_checkpoints:
        if FLAGS.checkpoint_step is not None:
            raise InputError("--all_checkpoints and --checkpoint_step: give one of the two")
        steps = checkpoints.steps(run_dir / "checkpoints")
    data_flags.take_from_run(run_dir, "real_data")
    output_dir = Path(FLAGS.output_dir or run_dir / "evaluation")
    requests = evaluation_flags.requests("metrics", generator.frames, critic_frames=critic.frames)
    corpus = data_flags.open_data("real_data")
    evaluation = evaluation_flags.make_evaluation(
        corpus, output_dir, FLAGS.real_subset, FLAGS.window, FLAGS.real_statistics, run
    )
    evaluation.check(requests, GeneratedClips(generator, FLAGS.seed), critic)

    found = real_records(evaluation, requests)
    records.append(output_dir / records.FILE, found)
    for wanted in steps:
        if wanted != step:
            if wanted not in checkpoints.steps(run_dir / "checkpoints"):
                warnings.warn(f"step {wanted}: deleted by its training, left out", stacklevel=2)
                continue
            generator, critic, step = runs.load_networks(run_dir, wanted)
        fake = GeneratedClips(generator, FLAGS.seed)
        results = evaluation(requests, fake, critic, FLAGS.draws, f"step {step}")
        more = {"run_dir": FLAGS.run_dir, "step": step, "seed": FLAGS.seed, "command": command()}
        new = records.of_results(results, "checkpoint", evaluation, fake.description, **more)
        records.write_scalars(output_dir, new)
        records.append(output_dir / records.FILE, new)
        save_nearest(output_dir / f"nearest-step-{step}.png", results, evaluation, fake)
        found += new
    show(found, steps)
    print(f"plot: {records.plot_run(output_dir)}")
    print(f"records: {output_dir / records.FILE}")


def judge_clips(run: Run | None) -> None:
    """Evaluates the videos at --fake_data; `run` is passed to `Evaluation`."""
    for name in ("checkpoint_step", "all_checkpoints"):
        if FLAGS[name].present:
            raise InputError(f"--{name}: is for --run_dir, not for --fake_data")
    if FLAGS.real_data is None and not (FLAGS["num_digits"].present or FLAGS["digit_size"].present):
        raise InputError(
            "--fake_data: needs real clips to compare with: give --real_data, or --num_digits to "
            "compare with MNIST digits"
        )
    output_dir = Path(FLAGS.output_dir or "evaluation")
    judged = data_flags.open_path(FLAGS.fake_data)
    fake = evaluation_flags.clips_of(judged, judged.subsets[0], FLAGS.window, FLAGS.seed)
    requests = evaluation_flags.requests("metrics", FLAGS.frames, fake.num_clips)
    corpus = data_flags.open_data("real_data")
    evaluation = evaluation_flags.make_evaluation(
        corpus, output_dir, FLAGS.real_subset, FLAGS.window, FLAGS.real_statistics, run
    )
    evaluation.check(requests, fake)
    found = real_records(evaluation, requests)
    results = evaluation(requests, fake, None, FLAGS.draws, FLAGS.fake_data)
    more = {"seed": FLAGS.seed, "command": command()}
    found += records.of_results(results, "clips", evaluation, fake.description, **more)
    records.append(output_dir / records.FILE, found)
    name = Path(FLAGS.fake_data.rstrip("/")).name
    save_nearest(output_dir / f"nearest-{name}.png", results, evaluation, fake)
    show(found, [None])
    print(f"records: {output_dir / records.FILE}")


def real_records(evaluation: Evaluation, requests: Sequence[Request]) -> list[dict]:
    """The records of other real clips."""
    if not FLAGS.floor:
        return []
    results = evaluation.floor(requests)
    if not results and any(one.metric.is_of_clips_alone for one in requests):
        print(f"real clips: no values: {evaluation.other_real.num_clips} others are too few")
    return records.of_results(
        results,
        "real",
        evaluation,
        evaluation.other_real.description,
        seed=FLAGS.seed,
        command=command(),
    )


def save_nearest(
    path: Path, results: Sequence[Result], evaluation: Evaluation, fake: ClipSet
) -> None:
    """Writes the picture of generated clips above their nearest real ones, if requested."""
    for result in results:
        if "closest" not in result.estimate.details:
            continue
        closest = result.estimate.details["closest"][:4]
        places = np.array(result.estimate.details["nearest_real"])[: len(closest), :2]
        real = evaluation.real.clips(places.ravel(), 0)
        real = real.reshape(*places.shape, *real.shape[1:])[:, :, : result.frames]
        image = nearest_clips.picture(fake.clips(closest, 0)[:, : result.frames], real)
        # Small frames are hard to see.
        scale = max(1, 64 // evaluation.real.clip_shape[1])
        storage.write(str(path), rendering.encode_png(image, scale))
        print(f"nearest real clips: {path}")


def show(found: Sequence[dict], steps: Sequence[int | None]) -> None:
    """Prints one row per metric: each checkpoint's value, and that of real clips."""
    real = {record["metric"]: record for record in found if record["of"] == "real"}
    judged = [record for record in found if record["of"] != "real"]
    columns = ["clips" if step is None else f"step {step}" for step in steps]
    rows = [["metric", *columns, *(["real clips"] if real else []), "seconds"]]
    for metric in dict.fromkeys(record["metric"] for record in judged):
        own = {record.get("step"): record for record in judged if record["metric"] == metric}
        rows.append(
            [
                metric,
                *(records.shown(own.get(step)) for step in steps),
                *([records.shown(real.get(metric))] if real else []),
                f"{sum(record['seconds'] for record in own.values()):.0f}",
            ]
        )
    print(records.table(rows))


def command() -> str:
    """The command line, for the records."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


if __name__ == "__main__":
    command_line.run(
        main,
        passes_flags_on=True,
        flags_of_arguments={**evaluation_flags.FLAGS_OF_ARGUMENTS, "subset": "real_subset"},
    )
