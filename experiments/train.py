"""Trains a TGAN.

    python experiments/train.py --flagfile=experiments/configs/moving_mnist_small.cfg

--run_dir holds everything of the run: its flags (flags.cfg, itself a flagfile), the model's
configuration (configuration.json), checkpoints, TensorBoard events and samples. The same command
resumes a stopped run; SIGINT (Ctrl-C) and SIGTERM save a checkpoint first. The run may be in an
object store, such as s3://bucket/runs/mine, see docs/several_machines.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from program_flags import (
    command_line,
    configuration_flags,
    data_flags,
    evaluation_flags,
    flagfiles,
    strategy_flags,
    training_flags,
)

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tgan_tf import callbacks, checkpoints, remote_runs, runs, workers
from tgan_tf.configuration import build
from tgan_tf.data import storage
from tgan_tf.data.corpus import Corpus
from tgan_tf.data.pipeline import Source, batches, normalise
from tgan_tf.errors import Argument, InputError
from tgan_tf.latents import generator_latents
from tgan_tf.models.sizes import doublings_to_frames, doublings_to_size
from tgan_tf.remote_runs import OpenRun
from tgan_tf.tgan import TGAN
from tgan_tf.warm_start import warm_start
from tgan_tf.workers import ALONE, Alone, Workers

FLAGS = flags.FLAGS

flags.adopt_module_key_flags(training_flags)


def main(_) -> int:
    # Errors that only the networks can find are raised once the data are open.
    doublings_to_frames(FLAGS.frames)
    doublings_to_size(FLAGS.size)
    configuration_flags.configuration()
    cluster = strategy_flags.cluster()
    num_gpus = strategy_flags.check_devices()
    strategy_flags.check_batch_size(cluster, num_gpus)
    if cluster is None:
        return run(ALONE, strategy_flags.make_strategy(cluster, num_gpus))
    with workers.join(cluster, command_line.end) as peers:
        peers.agree({**versions(), "the number of GPUs": str(num_gpus), **shown_flags()})
        return run(peers, strategy_flags.make_strategy(cluster, num_gpus))


def run(peers: Alone | Workers, strategy: tf.distribute.Strategy) -> int:
    """Opens the data and the run, trains, and returns the exit code."""
    with remote_runs.opened(FLAGS.run_dir, peers) as opened:
        run_dir = opened.directory
        if peers.is_chief:
            refuse_another_run(opened)
        corpus = data_flags.open_data()
        source = data_flags.make_source(corpus, "train")
        evaluation = make_evaluation(corpus, opened) if peers.is_chief else None
        keras.utils.set_random_seed(FLAGS.seed)
        if FLAGS.deterministic:
            tf.config.experimental.enable_op_determinism()
        configuration = configuration_flags.configuration(
            source.clip_shape[-1], num_classes(source)
        )
        with strategy.scope():
            tgan = build(configuration)
        if evaluation is not None:
            evaluation.set_model(tgan)
            evaluation.check()
        # Everything that may raise an error comes before the run's own files are written.
        kept = run_dir / "checkpoints"
        if checkpoints.restore_together(tgan, kept, peers, opened.fetch) is not None:
            print(f"{opened.place}: resuming at step {tgan.step}", flush=True)
            if peers.is_chief:
                checkpoints.prune(kept, FLAGS.keep_checkpoints, tgan.step)
        else:
            if FLAGS.initial_run is not None:
                with strategy.scope():
                    step = warm_start(tgan, FLAGS.initial_run)
                taken = f"starting with the weights of {FLAGS.initial_run}, step {step}"
                print(f"{opened.place}: {taken}", flush=True)
            first = min(FLAGS.summary_interval, FLAGS.train_steps)
            first_report = f"the first report comes at step {first}"
            print(f"{opened.place}: starting; {first_report}", flush=True)
        peers.agree({"the weights to begin with": checkpoints.digest(tgan)})
        if peers.is_chief:
            runs.write(run_dir, configuration, training_flags.values(), training_flags.flagfile())
            opened.upload()
        return train(tgan, opened, corpus, source, evaluation, peers)


def train(
    tgan: TGAN,
    opened: OpenRun,
    corpus: Corpus | None,
    source: Source,
    evaluation: callbacks.Evaluate | None,
    peers: Alone | Workers,
) -> int:
    """Trains from the model's step on, and returns the exit code."""
    start, run_dir = tgan.step, opened.directory
    summary = make_summary(tgan, run_dir, corpus) if peers.is_chief else None
    if start >= FLAGS.train_steps:
        # The training may have been killed between its last checkpoint and the work after that.
        if summary is not None:
            summary.set_model(tgan)
            if summary.lacks_samples():
                summary.on_train_begin()
                summary.on_train_end()
        if evaluation is not None:
            evaluation.make_up()
        print(
            f"{opened.place}: all {FLAGS.train_steps} steps are done; for more give a larger "
            "--train_steps"
        )
        return 0

    saver = callbacks.CheckpointSaver(
        run_dir / "checkpoints",
        FLAGS.checkpoint_interval,
        FLAGS.keep_checkpoints,
        peers,
        then=opened.upload,
    )
    reporters = [] if summary is None else [summary, progress(start)]
    if FLAGS.max_minutes is not None and peers.is_chief:
        reporters.append(callbacks.TimeLimit(FLAGS.max_minutes))
    evaluations = [] if evaluation is None else [evaluation]
    if peers.size > 1:
        reporters = [callbacks.NotShared(reporters)]
        evaluations = [callbacks.NotShared(evaluations)]
    tgan.fit(
        dataset(tgan, source, start, peers),
        steps_per_epoch=FLAGS.train_steps - start,
        verbose=0,
        callbacks=[
            callbacks.StopWhenNotFinite(),
            callbacks.AlignedEpochs(reporters, FLAGS.summary_interval, FLAGS.train_steps),
            saver,
            *evaluations,
            callbacks.StopAtStep(FLAGS.train_steps),
        ],
    )
    if saver.stopped_by is not None:
        name = saver.stopped_by.name
        print(f"{opened.place}: {name} at step {tgan.step}, saved; the same command resumes")
        return 128 + saver.stopped_by
    if tgan.step < FLAGS.train_steps:
        print(
            f"{opened.place}: stopped by --max_minutes={FLAGS.max_minutes} at step {tgan.step} of "
            f"{FLAGS.train_steps}, saved; the same command resumes"
        )
    else:
        print(f"{opened.place}: all {tgan.step} steps are done")
    return 0


def versions() -> dict[str, str]:
    """The versions of the packages that must be the same on all workers, by name."""
    return {"TensorFlow": tf.__version__, "Keras": keras.__version__, "NumPy": np.__version__}


def shown_flags() -> dict[str, str]:
    """The flags that must be the same on all workers, by name, as messages show them."""
    return {
        f"--{flag.name}": _shown(flag, flag.value)
        for flag in (*training_flags.of_run(), FLAGS["max_minutes"])
    }


def dataset(
    tgan: TGAN, source: Source, start: int, peers: Alone | Workers
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """The batches of all steps from `start` on; with several workers, this one's part of each."""
    clips_a_step = FLAGS.batch_size * FLAGS.n_critic

    def part(context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        return batches(
            source,
            clips_a_step,
            seed=FLAGS.seed,
            start=start * clips_a_step,
            labels=FLAGS.conditional,
            input_context=context,
        )

    if peers.size == 1:
        return part()
    return tgan.distribute_strategy.distribute_datasets_from_function(part)


def make_summary(tgan: TGAN, run_dir: Path, corpus: Corpus | None) -> callbacks.TrainingSummary:
    """Makes the callback that writes TensorBoard's events and the samples."""
    real_clips, real_labels = held_out_clips(corpus, 16)
    return callbacks.TrainingSummary(
        run_dir,
        run_dir / "samples",
        real_clips=real_clips,
        latents=generator_latents(
            tgan.generator, FLAGS.seed, max(16, 4 * min(tgan.generator.num_classes, 10))
        ),
        sample_interval=FLAGS.sample_interval,
        train_steps=FLAGS.train_steps,
        batch_size=FLAGS.batch_size,
        text="".join(f"    {line}\n" for line in training_flags.flagfile().splitlines()),
        real_labels=real_labels,
    )


def held_out_clips(corpus: Corpus | None, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Real clips to show beside generated ones, from the test videos if there are any.

    Returns:
        float32 [count, frames, size, size, channels], and with --conditional their classes, int32
        [count].
    """
    subset = "train" if corpus is not None and "test" not in corpus.subsets else "test"
    source = data_flags.make_source(corpus, subset)
    clips = np.stack([normalise(source.clip(number)).numpy() for number in range(count)])
    if not FLAGS.conditional:
        return clips, None
    return clips, np.array([source.label(number) for number in range(count)])


def num_classes(source: Source) -> int:
    """The number of classes of conditional networks, 0 for unconditional ones.

    Raises:
        InputError: the clips have no classes.
    """
    if not FLAGS.conditional:
        return 0
    classes = getattr(source, "classes", None)
    if classes is None:
        raise InputError(
            "--conditional: the clips have no classes: give --num_digits=1, UCF-101, or videos in "
            "one folder per class"
        )
    return len(classes)


def make_evaluation(corpus: Corpus | None, opened: OpenRun) -> callbacks.Evaluate | None:
    """Makes the callback that evaluates during training, if requested."""
    if FLAGS.evaluate_every is None:
        return None
    return callbacks.Evaluate(
        evaluation_flags.make_evaluation(corpus, opened.directory / "evaluation"),
        evaluation_flags.requests(
            "evaluate_metrics", FLAGS.frames, critic_frames=FLAGS.critic_frames
        ),
        FLAGS.evaluate_every,
        opened.directory,
        place=opened.place,
    )


def refuse_another_run(opened: OpenRun) -> None:
    """Raises an `InputError` if the flags differ from those of the run in the directory.

    It also raises one if the directory holds other files and no run.
    """
    run_dir = opened.directory
    if not runs.exists(run_dir) and not (run_dir / runs.FLAGS_FILE).exists():
        refuse_other_files(opened.place)
        return
    run = runs.read(run_dir) if runs.exists(run_dir) else None
    trained = run.flags if run is not None else None
    if trained is None:
        # A run of version 1, or one that was stopped before it started.
        trained = flagfiles.values(
            run_dir / runs.FLAGS_FILE,
            training_flags.of_run(),
            lines=run.flag_lines if run is not None else None,
        )
    for flag in training_flags.of_run():
        # A flag that was added later had its default.
        before = trained.get(flag.name, flag.default)
        if flag.name not in training_flags.RESUMABLE and before != flag.value:
            given = command_line.is_given(flag.name) or flag.using_default_value
            raise InputError(
                f"{run_dir} holds a run with {_shown(flag, before)}, not "
                f"{_shown(flag, flag.value)}{'' if given else ', which the flagfile has'}: give "
                "that or another --run_dir"
            )


def refuse_other_files(place: str) -> None:
    """Raises an `InputError` if a directory holds files, but none from a training."""
    names = sorted(name for name in storage.names(place) if not name.startswith("."))
    # Left by a training that was killed before it started, or whose flags were lost.
    if {"checkpoints", "evaluation"} & set(names):
        return
    # Logs of this program's output by a shell or a scheduler.
    others = [name for name in names if not name.endswith((".err", ".log", ".out", ".txt"))]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(
            f"--run_dir={place}: holds {others[0]}{more} but no run: give a new directory, or "
            "the directory of a run"
        )


def _shown(flag: flags.Flag, value: Any) -> str:
    """A flag with a value, in command line form."""
    if value is None:
        return f"no --{flag.name}"
    return command_line.as_flag(Argument(flag.name, value))


def progress(start: int) -> keras.callbacks.Callback:
    """Makes the progress display: a bar on a terminal, lines in a log."""
    if sys.stdout.isatty():
        return callbacks.progress_bar(FLAGS.train_steps, start)
    return callbacks.ProgressLines(FLAGS.train_steps, FLAGS.batch_size)


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=training_flags.FLAGS_OF_ARGUMENTS)
