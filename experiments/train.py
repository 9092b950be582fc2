"""Trains a TGAN.

    python experiments/train.py --flagfile=experiments/configs/moving_mnist_small.cfg

--run_dir holds everything of the run: its flags (flags.cfg, itself a flagfile), the model's
configuration (configuration.json), checkpoints, TensorBoard events and samples. The same command
resumes a stopped run; SIGINT (Ctrl-C) and SIGTERM save a checkpoint first.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from program_flags import (
    command_line,
    configuration_flags,
    data_flags,
    evaluation_flags,
    flagfiles,
    training_flags,
)

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tgan_tf import callbacks, checkpoints, runs
from tgan_tf.configuration import build
from tgan_tf.data.corpus import Corpus
from tgan_tf.data.pipeline import Source, batches, normalise
from tgan_tf.errors import Argument, InputError
from tgan_tf.latents import generator_latents
from tgan_tf.models.sizes import doublings_to_frames, doublings_to_size
from tgan_tf.tgan import TGAN
from tgan_tf.warm_start import warm_start

FLAGS = flags.FLAGS

flags.adopt_module_key_flags(training_flags)


def main(_) -> int:
    # Errors that only the networks can find are raised once the data are open.
    doublings_to_frames(FLAGS.frames)
    doublings_to_size(FLAGS.size)
    configuration_flags.configuration()
    strategy = make_strategy()
    if FLAGS.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={FLAGS.batch_size}: must be a multiple of the "
            f"{strategy.num_replicas_in_sync} replicas"
        )
    run_dir = Path(FLAGS.run_dir)
    with runs.exclusive(run_dir):
        refuse_another_run(run_dir)
        corpus = data_flags.open_data()
        source = data_flags.make_source(corpus, "train")
        evaluation = make_evaluation(corpus, run_dir)
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
        if checkpoints.restore(tgan, run_dir / "checkpoints") is not None:
            print(f"{run_dir}: resuming at step {tgan.step}", flush=True)
            checkpoints.prune(run_dir / "checkpoints", FLAGS.keep_checkpoints, tgan.step)
        else:
            if FLAGS.initial_run is not None:
                with strategy.scope():
                    step = warm_start(tgan, FLAGS.initial_run)
                taken = f"starting with the weights of {FLAGS.initial_run}, step {step}"
                print(f"{run_dir}: {taken}", flush=True)
            first = min(FLAGS.summary_interval, FLAGS.train_steps)
            print(f"{run_dir}: starting; the first report comes at step {first}", flush=True)
        runs.write(run_dir, configuration, training_flags.values(), training_flags.flagfile())
        return train(tgan, run_dir, corpus, source, evaluation)


def train(
    tgan: TGAN,
    run_dir: Path,
    corpus: Corpus | None,
    source: Source,
    evaluation: callbacks.Evaluate | None,
) -> int:
    """Trains from the model's step on, and returns the exit code."""
    start = tgan.step
    summary = callbacks.TrainingSummary(
        run_dir,
        run_dir / "samples",
        real_clips=held_out_clips(corpus, 16),
        latents=generator_latents(
            tgan.generator, FLAGS.seed, max(16, 4 * min(tgan.generator.num_classes, 10))
        ),
        sample_interval=FLAGS.sample_interval,
        train_steps=FLAGS.train_steps,
        batch_size=FLAGS.batch_size,
        text="".join(f"    {line}\n" for line in training_flags.flagfile().splitlines()),
    )
    if start >= FLAGS.train_steps:
        # The training may have been killed between its last checkpoint and the work after that.
        summary.set_model(tgan)
        if summary.lacks_samples():
            summary.on_train_begin()
            summary.on_train_end()
        if evaluation is not None:
            evaluation.make_up()
        print(
            f"{run_dir}: all {FLAGS.train_steps} steps are done; for more give a larger "
            "--train_steps"
        )
        return 0

    clips_a_step = FLAGS.batch_size * FLAGS.n_critic
    dataset = batches(
        source,
        clips_a_step,
        seed=FLAGS.seed,
        start=start * clips_a_step,
        labels=FLAGS.conditional,
    )
    saver = callbacks.CheckpointSaver(
        run_dir / "checkpoints", FLAGS.checkpoint_interval, FLAGS.keep_checkpoints
    )
    reporters = [summary, progress(start)]
    if FLAGS.max_minutes is not None:
        reporters.append(callbacks.time_limit(FLAGS.max_minutes))
    tgan.fit(
        dataset,
        steps_per_epoch=FLAGS.train_steps - start,
        verbose=0,
        callbacks=[
            callbacks.StopWhenNotFinite(),
            callbacks.StopAtStep(FLAGS.train_steps),
            callbacks.AlignedEpochs(reporters, FLAGS.summary_interval, FLAGS.train_steps),
            saver,
            *([] if evaluation is None else [evaluation]),
        ],
    )
    if saver.stopped_by is not None:
        name = saver.stopped_by.name
        print(f"{run_dir}: {name} at step {tgan.step}, saved; the same command resumes")
        return 128 + saver.stopped_by
    if tgan.step < FLAGS.train_steps:
        print(
            f"{run_dir}: stopped by --max_minutes={FLAGS.max_minutes} at step {tgan.step} of "
            f"{FLAGS.train_steps}, saved; the same command resumes"
        )
    else:
        print(f"{run_dir}: all {tgan.step} steps are done")
    return 0


def make_strategy() -> tf.distribute.Strategy:
    """Makes the strategy of the flags; call it before anything touches a device."""
    check_cluster()
    gpus = tf.config.list_physical_devices("GPU")
    if FLAGS.distribution_strategy == "one_device":
        for name in ("num_gpus", "logical_cpus"):
            if FLAGS[name].value is not None:
                raise InputError(
                    f"--{name}={FLAGS[name].value}: has no effect with one_device: give "
                    "--distribution_strategy=mirrored"
                )
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    if FLAGS.logical_cpus is not None:
        if FLAGS.num_gpus is not None:
            raise InputError("--num_gpus and --logical_cpus: give one of the two")
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * FLAGS.logical_cpus,
        )
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(FLAGS.logical_cpus)])
    num_gpus = len(gpus) if FLAGS.num_gpus is None else FLAGS.num_gpus
    if not 1 <= num_gpus <= len(gpus):
        raise InputError(
            f"--distribution_strategy=mirrored on {num_gpus} GPUs: this machine has {len(gpus)}: "
            "give --distribution_strategy=one_device, or --logical_cpus=2 to try it on the CPU"
        )
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(num_gpus)])


def check_cluster() -> None:
    """Raises an `InputError` if TF_CONFIG makes this one of several tasks."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster") or {}
        # An evaluator does not train, and a job without a list of tasks is invalid.
        tasks = sum(len(tasks) for job, tasks in cluster.items() if job != "evaluator")
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"TF_CONFIG={text}: is not a cluster description ({error}): unset it, since training "
            "uses one machine"
        ) from error
    if tasks > 1:
        raise InputError(
            f"TF_CONFIG has a cluster of {tasks} tasks, each of which would train a separate run "
            "in the same directory: unset it, since training on several machines is not supported "
            "yet"
        )


def held_out_clips(corpus: Corpus | None, count: int) -> np.ndarray:
    """Real clips to show beside generated ones, from the test videos if there are any.

    Returns:
        float32 [count, frames, size, size, channels].
    """
    subset = "train" if corpus is not None and "test" not in corpus.subsets else "test"
    source = data_flags.make_source(corpus, subset)
    return np.stack([normalise(source.clip(number)).numpy() for number in range(count)])


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


def make_evaluation(corpus: Corpus | None, run_dir: Path) -> callbacks.Evaluate | None:
    """Makes the callback that evaluates during training, if requested."""
    if FLAGS.evaluate_every is None:
        return None
    return callbacks.Evaluate(
        evaluation_flags.make_evaluation(corpus, run_dir / "evaluation"),
        evaluation_flags.requests(
            "evaluate_metrics", FLAGS.frames, critic_frames=FLAGS.critic_frames
        ),
        FLAGS.evaluate_every,
        run_dir,
    )


def refuse_another_run(run_dir: Path) -> None:
    """Raises an `InputError` if the flags differ from those of the run in the directory.

    It also raises one if the directory holds other files and no run.
    """
    if not runs.exists(run_dir) and not (run_dir / runs.FLAGS_FILE).exists():
        refuse_other_files(run_dir)
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


def refuse_other_files(run_dir: Path) -> None:
    """Raises an `InputError` if a directory holds files, but none from a training."""
    names = sorted(path.name for path in run_dir.iterdir() if not path.name.startswith("."))
    # Left by a training that was killed before it started, or whose flags were lost.
    if {"checkpoints", "evaluation"} & set(names):
        return
    # Logs of this program's output by a shell or a scheduler.
    others = [name for name in names if not name.endswith((".err", ".log", ".out", ".txt"))]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(
            f"--run_dir={run_dir}: holds {others[0]}{more} but no run: give a new directory, or "
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
