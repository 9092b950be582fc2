"""Trains a TGAN.

    python experiments/train.py --flagfile=experiments/configs/moving_mnist_small.cfg

Everything of the run is kept in --run_dir: its flags (flags.cfg, itself a flagfile), the networks'
configuration (model.json), checkpoints, TensorBoard's events and samples. The same command goes on
where the run has stopped; SIGINT (Ctrl-C) and SIGTERM save a checkpoint first.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import command_line
import data_flags
import evaluation_flags
import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tgan_tf import __version__, callbacks, checkpoints, objectives
from tgan_tf.constraints import BatchNormScaleClipping, SingularValueClipping
from tgan_tf.data.corpus import Corpus
from tgan_tf.data.pipeline import Source, batches, normalise
from tgan_tf.errors import InputError
from tgan_tf.evaluation.metrics import parse
from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.tgan import TGAN, rmsprop

FLAGS = flags.FLAGS

INITIALIZERS = {
    # As in the configurations of pfnet-research/tgan; Keras scales LeCun normal as Chainer does.
    "uniform": {"class_name": "RandomUniform", "config": {"minval": -0.01, "maxval": 0.01}},
    "lecun_normal": {"class_name": "LecunNormal", "config": {}},
}

flags.DEFINE_string(
    "run_dir", None, "Directory of the run, made if missing. Required.", required=True
)

data_flags.define_videos()
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)

flags.DEFINE_integer("z0_dim", 100, "Entries of a video's latent z0 (paper: 100).")
flags.DEFINE_integer("z1_dim", 100, "Entries of a frame's latent z1 (paper: 100).")
flags.DEFINE_integer("temporal_filters", 512, "Temporal generator's widest layer (paper: 512).")
flags.DEFINE_integer("image_filters", 512, "Image generator's widest layer (paper: 512).")
flags.DEFINE_integer("critic_filters", 64, "Critic's first layer, doubled by each (paper: 64).")
for network in ("temporal", "image", "critic"):
    flags.DEFINE_enum(
        f"{network}_initializer",
        "uniform",
        sorted(INITIALIZERS),
        f"Initial kernels of the {network} network: Uniform(-0.01, 0.01) (reference: Moving "
        "MNIST) or LeCun normal (reference: UCF-101, all but the image generator).",
    )

flags.DEFINE_enum(
    "objective", "wasserstein", sorted(objectives.OBJECTIVES), "What the two minimise."
)
flags.DEFINE_integer("batch_size", 32, "Clips in an update, of all replicas together (paper: 32).")
flags.DEFINE_integer("n_critic", 1, "Critic's updates for one of the generator (reference: 1).")
flags.DEFINE_float("learning_rate", 5e-5, "Learning rate of both RMSprop (paper: 5e-5).")
flags.DEFINE_float(
    "max_singular_value", 1.0, "Largest of each critic kernel after clipping (paper: 1)."
)
flags.DEFINE_integer("clipping_interval", 5, "Critic's updates between clippings (paper: 5).")
flags.DEFINE_integer("seed", 0, "Of initial weights, latents and data, 0 to 2^31 - 1.")

flags.DEFINE_integer("train_steps", 100_000, "Updates of the generator in all (reference).")
flags.DEFINE_float(
    "max_minutes",
    None,
    "Stop at the first report (--summary_interval) after this many minutes, if given.",
)
flags.DEFINE_integer("checkpoint_interval", 1000, "Steps from one checkpoint to the next.")
flags.DEFINE_integer("keep_checkpoints", 3, "How many of the newest checkpoints are kept.")
flags.DEFINE_integer("sample_interval", 1000, "Steps from one set of samples to the next.")
flags.DEFINE_integer("summary_interval", 100, "Steps from one report to the next: an epoch.")

flags.DEFINE_integer(
    "evaluate_every", None, "Steps from one evaluation to the next, as by evaluate.py; none if not."
)
flags.DEFINE_list(
    "evaluate_metrics",
    ["fvd512", "kvd512"],
    f"What is measured, {evaluation_flags.metrics_help()}.",
)
evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)

flags.DEFINE_enum(
    "distribution_strategy",
    "one_device",
    ["one_device", "mirrored"],
    "one_device: the first GPU, or the CPU. mirrored: each batch shared by several devices.",
)
flags.DEFINE_integer("num_gpus", None, "mirrored: how many GPUs; default all of the machine.")
flags.DEFINE_integer(
    "logical_cpus",
    None,
    "mirrored: replicas on this many parts of the CPU, to try it without GPUs.",
)
flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Keras policy: what the layers compute in; weights and clipping stay float32.",
)
flags.DEFINE_bool(
    "deterministic", False, "Only operations that give the same bits each time, slower on GPUs."
)

# A run may go on with other values of these; with others of the rest it would be another run.
RESUMABLE = {
    "train_steps",
    "max_minutes",
    "checkpoint_interval",
    "keep_checkpoints",
    "sample_interval",
    "summary_interval",
    "evaluate_every",
    "evaluate_metrics",
    "extractor",
    "extractor_weights",
    "c3d_mean",
    "distribution_strategy",
    "num_gpus",
    "logical_cpus",
    "run_dir",
    "verify_shards",
}


def main(_) -> int:
    check_flags()
    strategy = make_strategy()
    if FLAGS.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={FLAGS.batch_size} does not divide by the "
            f"{strategy.num_replicas_in_sync} replicas: give a multiple of them"
        )
    corpus = data_flags.open_data()
    source = data_flags.make_source(corpus, "train")
    run_dir = Path(FLAGS.run_dir)
    evaluation = make_evaluation(corpus, run_dir)
    flags_text = run_flags_text()
    if (run_dir / "flags.cfg").exists():
        refuse_another_run(run_dir / "flags.cfg")

    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(FLAGS.mixed_precision)
    with strategy.scope():
        tgan = make_tgan(source)
    if evaluation is not None:
        evaluation.set_model(tgan)
        evaluation.check()
    prepare_run_dir(run_dir, flags_text, tgan)
    if checkpoints.restore(tgan, run_dir / "checkpoints") is not None:
        print(f"{run_dir}: going on at step {tgan.step}", flush=True)
    start = tgan.step
    if start >= FLAGS.train_steps:
        print(f"{run_dir}: all {FLAGS.train_steps} steps are made; more with --train_steps")
        return 0

    clips_a_step = FLAGS.batch_size * FLAGS.n_critic
    dataset = batches(source, clips_a_step, seed=FLAGS.seed, start=start * clips_a_step)
    saver = callbacks.CheckpointSaver(
        run_dir / "checkpoints", FLAGS.checkpoint_interval, FLAGS.keep_checkpoints
    )
    tgan.fit(
        dataset,
        steps_per_epoch=FLAGS.summary_interval,
        initial_epoch=start // FLAGS.summary_interval,
        epochs=-(-FLAGS.train_steps // FLAGS.summary_interval),
        verbose=0,
        callbacks=[
            callbacks.StopWhenNotFinite(),
            callbacks.StopAtStep(FLAGS.train_steps),
            saver,
            callbacks.TrainingSummary(
                run_dir,
                run_dir / "samples",
                real_clips=held_out_clips(corpus, 16),
                latents=tf.random.stateless_uniform(
                    [16, FLAGS.z0_dim], [FLAGS.seed, 0], -1.0, 1.0
                ).numpy(),
                sample_interval=FLAGS.sample_interval,
                batch_size=FLAGS.batch_size,
                text="".join(f"    {line}\n" for line in flags_text.splitlines()),
            ),
            progress(start),
            *([] if evaluation is None else [evaluation]),
            *([] if FLAGS.max_minutes is None else [callbacks.time_limit(FLAGS.max_minutes)]),
        ],
    )
    if saver.stopped_by is not None:
        name = saver.stopped_by.name
        print(f"{run_dir}: {name} at step {tgan.step}, saved; the same command goes on")
        return 128 + saver.stopped_by
    if tgan.step < FLAGS.train_steps:
        print(
            f"{run_dir}: --max_minutes={FLAGS.max_minutes} ended it at step {tgan.step} of "
            f"{FLAGS.train_steps}, saved; the same command goes on"
        )
    else:
        print(f"{run_dir}: step {tgan.step}, all are made")
    return 0


def check_flags() -> None:
    """Raises an `InputError` for a value no run can have, before anything is made."""
    for name in (
        "batch_size",
        "n_critic",
        "train_steps",
        "checkpoint_interval",
        "keep_checkpoints",
        "sample_interval",
        "summary_interval",
    ):
        if FLAGS[name].value < 1:
            raise InputError(f"--{name}={FLAGS[name].value}: give a whole number of at least 1")
    if not 0.0 < FLAGS.learning_rate < float("inf"):
        raise InputError(f"--learning_rate={FLAGS.learning_rate}: give a positive, finite number")
    # NumPy takes seeds up to 2^32 and TensorFlow's stateless operations up to 2^31.
    if not 0 <= FLAGS.seed < 2**31:
        raise InputError(f"--seed={FLAGS.seed}: give a whole number from 0 to 2^31 - 1")
    if FLAGS.max_minutes is not None and not FLAGS.max_minutes > 0:
        raise InputError(f"--max_minutes={FLAGS.max_minutes}: give a positive number")


def make_strategy() -> tf.distribute.Strategy:
    """The strategy of the flags; call it before anything touches a device."""
    gpus = tf.config.list_physical_devices("GPU")
    if FLAGS.distribution_strategy == "one_device":
        for name in ("num_gpus", "logical_cpus"):
            if FLAGS[name].value is not None:
                raise InputError(
                    f"--{name}={FLAGS[name].value}: one_device has no use for it, "
                    "give --distribution_strategy=mirrored"
                )
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    if FLAGS.logical_cpus is not None:
        if FLAGS.num_gpus is not None:
            raise InputError("--num_gpus and --logical_cpus: give one of the two")
        if FLAGS.logical_cpus < 1:
            raise InputError(f"--logical_cpus={FLAGS.logical_cpus}: give at least 1")
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * FLAGS.logical_cpus,
        )
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(FLAGS.logical_cpus)])
    num_gpus = len(gpus) if FLAGS.num_gpus is None else FLAGS.num_gpus
    if not 1 <= num_gpus <= len(gpus):
        raise InputError(
            f"--distribution_strategy=mirrored on {num_gpus} GPUs: this machine has {len(gpus)}; "
            "give --distribution_strategy=one_device, or --logical_cpus=2 to try it on the CPU"
        )
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(num_gpus)])


def held_out_clips(corpus: Corpus | None, count: int) -> np.ndarray:
    """Real clips to show beside generated ones, of the test videos if there are any.

    Returns:
        float32 [count, frames, size, size, channels].
    """
    subset = "train" if corpus is not None and "test" not in corpus.subsets else "test"
    source = data_flags.make_source(corpus, subset)
    return np.stack([normalise(source.clip(number)).numpy() for number in range(count)])


def make_tgan(source: Source) -> TGAN:
    """The model of the flags, compiled."""
    *_, channels = source.clip_shape
    generator = VideoGenerator(
        FLAGS.frames,
        FLAGS.size,
        channels,
        FLAGS.z0_dim,
        FLAGS.z1_dim,
        FLAGS.temporal_filters,
        FLAGS.image_filters,
        INITIALIZERS[FLAGS.temporal_initializer],
        INITIALIZERS[FLAGS.image_initializer],
    )
    critic = Critic(
        FLAGS.frames,
        FLAGS.size,
        channels,
        FLAGS.critic_filters,
        INITIALIZERS[FLAGS.critic_initializer],
        kernel_constraint=SingularValueClipping(FLAGS.max_singular_value, FLAGS.clipping_interval),
        gamma_constraint=BatchNormScaleClipping(FLAGS.clipping_interval),
    )
    tgan = TGAN(generator, critic, FLAGS.seed)
    tgan.compile(
        rmsprop(FLAGS.learning_rate), rmsprop(FLAGS.learning_rate), FLAGS.objective, FLAGS.n_critic
    )
    return tgan


def make_evaluation(corpus: Corpus | None, run_dir: Path) -> callbacks.Evaluate | None:
    """What evaluates while training, if it was asked for."""
    if FLAGS.evaluate_every is None:
        return None
    if FLAGS.evaluate_every < 1:
        raise InputError(f"--evaluate_every={FLAGS.evaluate_every}: give at least 1")
    return callbacks.Evaluate(
        evaluation_flags.make_evaluation(corpus, run_dir / "evaluation"),
        parse(FLAGS.evaluate_metrics, FLAGS.frames),
        FLAGS.evaluate_every,
        run_dir,
    )


def run_flags_text() -> str:
    """All flags of this program that have a value, as a flagfile."""
    return "".join(f"{flag.serialize()}\n" for flag in run_flags() if flag.value is not None)


def run_flags() -> list[flags.Flag]:
    """The flags that this program defines, by name."""
    return sorted(FLAGS.get_key_flags_for_module(sys.modules[__name__]), key=lambda flag: flag.name)


def refuse_another_run(path: Path) -> None:
    """Raises an `InputError` if the flags of the run at `path` are those of another run."""
    earlier = path.read_text().splitlines()
    for flag in run_flags():
        if flag.name in RESUMABLE:
            continue
        forms = (f"--{flag.name}", f"--no{flag.name}")
        before = [line for line in earlier if line.split("=")[0] in forms]
        now = [flag.serialize()] if flag.value is not None else []
        if before != now:
            raise InputError(
                f"{path.parent} holds a run with {' '.join(before) or f'no --{flag.name}'}, not "
                f"{' '.join(now) or f'without --{flag.name}'}: give that or another --run_dir"
            )


def prepare_run_dir(run_dir: Path, flags_text: str, tgan: TGAN) -> None:
    """Writes the flags and the networks' configuration, each whole or not at all."""
    model = {
        "tgan_tf": __version__,
        "generator": keras.saving.serialize_keras_object(tgan.generator),
        "critic": keras.saving.serialize_keras_object(tgan.critic),
    }
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        for name, text in (("flags.cfg", flags_text), ("model.json", json.dumps(model, indent=2))):
            temporary = run_dir / f".{name}.{os.getpid()}"
            temporary.write_text(text)
            temporary.replace(run_dir / name)
    except OSError as error:
        raise InputError(
            f"--run_dir={run_dir}: cannot be written ({error.strerror}): give a directory that can"
        ) from error


def progress(start: int) -> keras.callbacks.Callback:
    """A bar on a terminal, lines in a log."""
    if sys.stdout.isatty():
        return callbacks.progress_bar(FLAGS.train_steps, start)
    return callbacks.ProgressLines(FLAGS.train_steps, FLAGS.batch_size)


if __name__ == "__main__":
    command_line.run(main)
