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

import checked_flags
import command_line
import data_flags
import evaluation_flags
import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tgan_tf import callbacks, checkpoints, objectives, runs
from tgan_tf.constraints import (
    NORMS,
    BatchNormScaleClipping,
    SingularValueClipping,
    WeightClipping,
)
from tgan_tf.data.corpus import Corpus
from tgan_tf.data.pipeline import Source, batches, normalise
from tgan_tf.errors import InputError
from tgan_tf.latents import of_generator
from tgan_tf.models import CRITICS, GENERATORS
from tgan_tf.models.critic import HEADS
from tgan_tf.models.network import LATENT_DISTRIBUTIONS, CriticNetwork, Generator
from tgan_tf.models.sizes import doublings_to_frames, doublings_to_size
from tgan_tf.tgan import TGAN, rmsprop

FLAGS = flags.FLAGS

INITIALIZERS = {
    # As in the configurations of pfnet-research/tgan; Keras scales LeCun normal as Chainer does.
    "uniform": {"class_name": "RandomUniform", "config": {"minval": -0.01, "maxval": 0.01}},
    "lecun_normal": {"class_name": "LecunNormal", "config": {}},
}

checked_flags.output_directory(
    "run_dir",
    None,
    "Directory of the run, made if missing. Required, but with --flagfile=RUN_DIR/flags.cfg: a run "
    "is where its flagfile lies.",
    required=True,
)

data_flags.define_videos()
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)

flags.DEFINE_enum(
    "generator",
    "tgan",
    sorted(GENERATORS),
    "tgan: temporal and image generator (paper). conv3d: 3-D transposed convolutions (the paper's "
    "3D model). two_stream: the same with a mask and a static background (Vondrick et al. 2016).",
)
flags.DEFINE_enum(
    "critic",
    "tgan",
    sorted(CRITICS),
    "tgan: 3-D convolutions (paper). frames_as_channels: 2-D ones with max pooling. "
    "video_and_frame: 3-D ones and 2-D ones, their losses added (reference).",
)
flags.DEFINE_bool(
    "conditional", False, "Give generator and critic the class of a clip: digit, or data set's."
)
checked_flags.integer("z0_dim", 100, "Entries of a video's latent z0 (paper: 100).", 1, 65536)
checked_flags.integer("z1_dim", 100, "Entries of a frame's latent z1 (paper: 100).", 1, 65536)
flags.DEFINE_enum(
    "latent_distribution",
    "uniform",
    LATENT_DISTRIBUTIONS,
    "z0 of Uniform(-1, 1) (paper) or Normal(0, 1) (PyTorch TGAN).",
)
checked_flags.integer(
    "temporal_filters", 512, "Temporal generator's widest layer (paper: 512).", 1, 65536
)
checked_flags.integer(
    "gru_layers",
    0,
    "Temporal generator of that many recurrent layers (GRU); 0: transposed convolutions (paper).",
    at_least=0,
    at_most=100,
)
checked_flags.integer(
    "image_filters",
    512,
    "Widest layer of image generator, conv3d or two_stream (paper: 512).",
    at_least=1,
    at_most=65536,
)
checked_flags.integer(
    "critic_filters", 64, "Critic's first layer, doubled by each (paper: 64).", 1, 65536
)
for network in ("temporal", "image", "critic"):
    flags.DEFINE_enum(
        f"{network}_initializer",
        "uniform",
        sorted(INITIALIZERS),
        f"Initial kernels of the {network} network: Uniform(-0.01, 0.01) (reference: Moving "
        "MNIST) or LeCun normal (reference: UCF-101, all but the image generator).",
    )

flags.DEFINE_bool(
    "temporal_offset", False, "Offset in temporal generator's batch normalisations (paper: none)."
)
flags.DEFINE_bool("critic_offset", False, "Offset in critic's batch normalisations (paper: none).")
checked_flags.number(
    "batch_norm_epsilon", 2e-5, "Of all batch normalisations (reference: 2e-5).", above=0
)
checked_flags.number(
    "critic_slope", 0.2, "Of the critic's leaky ReLU (reference: 0.2).", at_least=0, at_most=1
)
flags.DEFINE_enum(
    "critic_head",
    "convolution",
    HEADS,
    "The tgan critic's score: convolution (paper) or mean (PyTorch TGAN) of the last features.",
)
checked_flags.number(
    "critic_noise",
    0.0,
    "Deviation of Gaussian noise before the critic's leaky ReLU (reference's normal GAN: 0.3).",
    at_least=0,
)

flags.DEFINE_enum(
    "objective", "wasserstein", sorted(objectives.OBJECTIVES), "What generator and critic minimise."
)
checked_flags.integer(
    "batch_size", 32, "Clips in an update, of all replicas together (paper: 32).", 1, 65536
)
checked_flags.integer(
    "n_critic", 1, "Critic's updates for one of the generator (reference: 1).", 1, 1000
)
flags.DEFINE_enum(
    "optimizer",
    "rmsprop",
    ["rmsprop", "adam"],
    "Of generator and critic: RMSprop (paper), or Adam with 0.5 and 0.9 (gradient penalty).",
)
checked_flags.number("learning_rate", 5e-5, "Of both optimizers (paper: 5e-5).", above=0)
checked_flags.integer(
    "learning_rate_decay_steps",
    None,
    "The rates fall linearly to 0 over so many updates of the generator; constant if not given.",
    at_least=1,
)
checked_flags.number(
    "ema_momentum",
    None,
    "Keep a moving average of the generator's weights, such as 0.999, and show, evaluate and "
    "export that one.",
    at_least=0,
    below=1,
)
checked_flags.number(
    "shuffle_frames",
    0.0,
    "Probability that a step's clips are seen in a random order of frames.",
    at_least=0,
    at_most=1,
)
flags.DEFINE_enum(
    "lipschitz",
    "singular_value_clipping",
    ["singular_value_clipping", "weight_clipping", "spectral_normalization", "none"],
    "What keeps the critic Lipschitz: singular_value_clipping (paper); weight_clipping (Arjovsky "
    "et al. 2017); spectral_normalization (Miyato et al. 2018); none.",
)
checked_flags.number(
    "max_singular_value", 1.0, "Largest of each critic kernel after clipping (paper: 1).", above=0
)
flags.DEFINE_enum(
    "clipped_norm",
    "matrix",
    NORMS,
    "What singular value clipping clips: matrix, the kernel's (paper), or operator, the "
    "convolution's own.",
)
checked_flags.integer(
    "clipping_interval",
    5,
    "Critic's updates between clippings of singular values and of the scales of batch "
    "normalisations (paper: 5).",
    at_least=1,
)
checked_flags.number(
    "weight_limit", 0.01, "weight_clipping: of each entry (reference: 0.01).", above=0
)
checked_flags.number(
    "gradient_penalty",
    0.0,
    "Weight of the critic's gradient penalty (Gulrajani et al. 2017: 10); with --lipschitz=none.",
    at_least=0,
)
checked_flags.integer("seed", 0, "Of initial weights, latents and data, 0 to 2^31 - 1.", at_least=0)

checked_flags.integer(
    "train_steps", 100_000, "Updates of the generator in all (reference).", at_least=1
)
checked_flags.number(
    "max_minutes",
    None,
    "Stop at the first report (--summary_interval) after this many minutes, if given.",
    above=0,
    at_most=1e6,
)
checked_flags.integer(
    "checkpoint_interval", 1000, "Steps from one checkpoint to the next.", at_least=1
)
checked_flags.integer(
    "keep_checkpoints", 3, "How many of the newest checkpoints are kept.", at_least=1
)
checked_flags.integer(
    "sample_interval", 1000, "Steps from one set of samples to the next.", at_least=1
)
checked_flags.integer(
    "summary_interval", 100, "Steps from one report to the next: an epoch.", at_least=1
)

checked_flags.integer(
    "evaluate_every",
    None,
    "Steps from one evaluation to the next, as by evaluate.py; none if not.",
    at_least=1,
)
evaluation_flags.define_metrics("evaluate_metrics", ["fvd512", "kvd512"])
evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)

flags.DEFINE_enum(
    "distribution_strategy",
    "one_device",
    ["one_device", "mirrored"],
    "one_device: the first GPU, or the CPU. mirrored: each batch shared by several devices.",
)
checked_flags.integer(
    "num_gpus", None, "mirrored: how many GPUs; default all of the machine.", at_least=1
)
checked_flags.integer(
    "logical_cpus",
    None,
    "mirrored: replicas on this many parts of the CPU, to try it without GPUs.",
    at_least=1,
    at_most=1024,
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
    "verify_shards",
}


# Where a run lies its flagfile says by lying there, and only the command line can consent.
NOT_KEPT = {"run_dir", "allow_unpickling"}


def main(_) -> int:
    check_flags()
    strategy = make_strategy()
    if FLAGS.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={FLAGS.batch_size} does not divide by the "
            f"{strategy.num_replicas_in_sync} replicas: give a multiple of them"
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
        keras.mixed_precision.set_global_policy(FLAGS.mixed_precision)
        with strategy.scope():
            tgan = make_tgan(source.clip_shape[-1], num_classes(source))
        if evaluation is not None:
            evaluation.set_model(tgan)
            evaluation.check()
        # All that may be refused comes before the run's own files are written.
        if checkpoints.restore(tgan, run_dir / "checkpoints") is not None:
            print(f"{run_dir}: going on at step {tgan.step}", flush=True)
            checkpoints.prune(run_dir / "checkpoints", FLAGS.keep_checkpoints, tgan.step)
        runs.write(run_dir, run_flags_text(), tgan)
        return train(tgan, run_dir, corpus, source, evaluation)


def train(
    tgan: TGAN,
    run_dir: Path,
    corpus: Corpus | None,
    source: Source,
    evaluation: callbacks.Evaluate | None,
) -> int:
    """Trains from the model's step on, and gives the exit code."""
    start = tgan.step
    summary = callbacks.TrainingSummary(
        run_dir,
        run_dir / "samples",
        real_clips=held_out_clips(corpus, 16),
        latents=of_generator(
            tgan.generator, FLAGS.seed, max(16, 4 * min(tgan.generator.num_classes, 10))
        ),
        sample_interval=FLAGS.sample_interval,
        train_steps=FLAGS.train_steps,
        batch_size=FLAGS.batch_size,
        text="".join(f"    {line}\n" for line in run_flags_text().splitlines()),
    )
    if start >= FLAGS.train_steps:
        # It may have been killed between its last checkpoint and what comes after that.
        summary.set_model(tgan)
        if summary.lacks_samples():
            summary.on_train_begin()
            summary.on_train_end()
        if evaluation is not None:
            evaluation.make_up()
        print(f"{run_dir}: all {FLAGS.train_steps} steps are made; more with --train_steps")
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
    """Raises an `InputError` for flags that make no sense together, before anything is made."""
    doublings_to_frames(FLAGS.frames)
    doublings_to_size(FLAGS.size)
    check_variant()


def check_variant() -> None:
    """Raises an `InputError` for flags of a variant that cannot be, or have no use, together."""
    penalised = FLAGS.gradient_penalty > 0.0
    if penalised and FLAGS.lipschitz != "none":
        raise InputError(
            f"--gradient_penalty={FLAGS.gradient_penalty} with --lipschitz={FLAGS.lipschitz}: both "
            "keep the critic Lipschitz: give --lipschitz=none with the penalty"
        )
    if FLAGS.objective == "wasserstein" and FLAGS.lipschitz == "none" and not penalised:
        raise InputError(
            "--objective=wasserstein --lipschitz=none: its critic's loss has no lower bound: give "
            "a method, or --gradient_penalty=10"
        )
    # Sizes and beats are left out: a flagfile has them for the other variants.
    needed = {
        "max_singular_value": ("lipschitz", ["singular_value_clipping"]),
        "clipped_norm": ("lipschitz", ["singular_value_clipping"]),
        "weight_limit": ("lipschitz", ["weight_clipping"]),
        "gru_layers": ("generator", ["tgan"]),
        "temporal_offset": ("generator", ["tgan"]),
        "critic_head": ("critic", ["tgan"]),
    }
    for name, (other, values) in needed.items():
        flag = FLAGS[name]
        if flag.value != flag.default and FLAGS[other].value not in values:
            raise InputError(
                f"--{name}={flag.value} has no use with --{other}={FLAGS[other].value}: leave it "
                f"out, or give --{other}={' or '.join(values)}"
            )


def make_strategy() -> tf.distribute.Strategy:
    """The strategy of the flags; call it before anything touches a device."""
    check_cluster()
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


def check_cluster() -> None:
    """Raises an `InputError` where TF_CONFIG says that this is one of several tasks."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster") or {}
        # An evaluator trains nothing, and a job with no list of tasks is none.
        tasks = sum(len(tasks) for job, tasks in cluster.items() if job != "evaluator")
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"TF_CONFIG={text}: describes no cluster ({error}): unset it, training is on one "
            "machine"
        ) from error
    if tasks > 1:
        raise InputError(
            f"TF_CONFIG has a cluster of {tasks} tasks, each of which would train a run of its own "
            "in the same directory: unset it, training on several machines does not exist yet"
        )


def held_out_clips(corpus: Corpus | None, count: int) -> np.ndarray:
    """Real clips to show beside generated ones, of the test videos if there are any.

    Returns:
        float32 [count, frames, size, size, channels].
    """
    subset = "train" if corpus is not None and "test" not in corpus.subsets else "test"
    source = data_flags.make_source(corpus, subset)
    return np.stack([normalise(source.clip(number)).numpy() for number in range(count)])


def num_classes(source: Source) -> int:
    """The classes that the networks are conditioned on, 0 if they are not.

    Raises:
        InputError: the clips have no classes, or not all of them.
    """
    if not FLAGS.conditional:
        return 0
    classes = getattr(source, "classes", None)
    if classes is None:
        raise InputError(
            "--conditional: the clips have no classes: give --num_digits=1, UCF-101 or videos in "
            "one folder a class"
        )
    return len(classes)


def make_tgan(channels: int, num_classes: int = 0) -> TGAN:
    """The model of the flags, compiled, for clips of so many channels and classes."""
    tgan = TGAN(
        make_generator(channels, num_classes), make_critic(channels, num_classes), FLAGS.seed
    )
    tgan.compile(
        make_optimizer(1, FLAGS.ema_momentum),
        make_optimizer(FLAGS.n_critic),
        FLAGS.objective,
        FLAGS.n_critic,
        FLAGS.gradient_penalty,
        FLAGS.shuffle_frames,
    )
    return tgan


def make_generator(channels: int, num_classes: int) -> Generator:
    """The generator of the flags."""
    own = {
        "filters": FLAGS.image_filters,
        "kernel_initializer": INITIALIZERS[FLAGS.image_initializer],
    }
    if FLAGS.generator == "tgan":
        own = {
            "z1_dim": FLAGS.z1_dim,
            "temporal_filters": FLAGS.temporal_filters,
            "image_filters": FLAGS.image_filters,
            "temporal_initializer": INITIALIZERS[FLAGS.temporal_initializer],
            "image_initializer": INITIALIZERS[FLAGS.image_initializer],
            "gru_layers": FLAGS.gru_layers,
            "center": FLAGS.temporal_offset,
        }
    return GENERATORS[FLAGS.generator](
        frames=FLAGS.frames,
        size=FLAGS.size,
        channels=channels,
        z0_dim=FLAGS.z0_dim,
        epsilon=FLAGS.batch_norm_epsilon,
        num_classes=num_classes,
        latent_distribution=FLAGS.latent_distribution,
        **own,
    )


def make_critic(channels: int, num_classes: int) -> CriticNetwork:
    """The critic of the flags."""
    scale_clipping = BatchNormScaleClipping(FLAGS.clipping_interval)
    weight_clipping = WeightClipping(FLAGS.weight_limit)
    constraints = {
        "singular_value_clipping": {
            "kernel_constraint": SingularValueClipping(
                FLAGS.max_singular_value, FLAGS.clipping_interval, norm=FLAGS.clipped_norm
            ),
            "gamma_constraint": scale_clipping,
        },
        "weight_clipping": {
            "kernel_constraint": weight_clipping,
            "bias_constraint": weight_clipping,
            "gamma_constraint": weight_clipping,
        },
        # Kernels of norm 1 alone would leave the scales to grow.
        "spectral_normalization": {
            "spectral_normalization": True,
            "gamma_constraint": scale_clipping,
        },
        "none": {},
    }[FLAGS.lipschitz]
    head = {"head": FLAGS.critic_head} if FLAGS.critic == "tgan" else {}
    return CRITICS[FLAGS.critic](
        FLAGS.frames,
        FLAGS.size,
        channels,
        FLAGS.critic_filters,
        INITIALIZERS[FLAGS.critic_initializer],
        center=FLAGS.critic_offset,
        epsilon=FLAGS.batch_norm_epsilon,
        slope=FLAGS.critic_slope,
        noise=FLAGS.critic_noise,
        num_classes=num_classes,
        **head,
        **constraints,
    )


def make_optimizer(updates: int, ema_momentum: float | None = None) -> keras.optimizers.Optimizer:
    """An optimiser of the flags, which makes so many updates a step."""
    rate = FLAGS.learning_rate
    if FLAGS.learning_rate_decay_steps is not None:
        rate = keras.optimizers.schedules.PolynomialDecay(
            rate, FLAGS.learning_rate_decay_steps * updates, end_learning_rate=0.0
        )
    average = {} if ema_momentum is None else {"use_ema": True, "ema_momentum": ema_momentum}
    if FLAGS.optimizer == "adam":
        return keras.optimizers.Adam(rate, beta_1=0.5, beta_2=0.9, **average)
    return rmsprop(rate, **average)


def make_evaluation(corpus: Corpus | None, run_dir: Path) -> callbacks.Evaluate | None:
    """What evaluates while training, if it was asked for."""
    if FLAGS.evaluate_every is None:
        return None
    return callbacks.Evaluate(
        evaluation_flags.make_evaluation(corpus, run_dir / "evaluation"),
        evaluation_flags.requests("evaluate_metrics", FLAGS.frames),
        FLAGS.evaluate_every,
        run_dir,
    )


def run_flags_text() -> str:
    """All flags of this program that have a value, as a flagfile."""
    return "".join(
        f"{flag.serialize()}\n"
        for flag in run_flags()
        if flag.value is not None and flag.name not in NOT_KEPT
    )


def run_flags() -> list[flags.Flag]:
    """The flags that this program defines, by name."""
    return sorted(FLAGS.get_key_flags_for_module(sys.modules[__name__]), key=lambda flag: flag.name)


def refuse_another_run(run_dir: Path) -> None:
    """Raises an `InputError` if the flags are not those that the run there was trained by."""
    earlier = runs.trained_flag_lines(run_dir)
    if earlier is None:
        return
    for flag in run_flags():
        if flag.name in RESUMABLE | NOT_KEPT:
            continue
        forms = (f"--{flag.name}", f"--no{flag.name}")
        before = [line for line in earlier if line.split("=")[0] in forms]
        now = [flag.serialize()] if flag.value is not None else []
        # A flag that came later was at its default.
        if before != now and (before or flag.value != flag.default):
            raise InputError(
                f"{run_dir} holds a run with {' '.join(before) or f'no --{flag.name}'}, not "
                f"{' '.join(now) or f'without --{flag.name}'}: give that or another --run_dir"
            )


def progress(start: int) -> keras.callbacks.Callback:
    """A bar on a terminal, lines in a log."""
    if sys.stdout.isatty():
        return callbacks.progress_bar(FLAGS.train_steps, start)
    return callbacks.ProgressLines(FLAGS.train_steps, FLAGS.batch_size)


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=evaluation_flags.FLAGS_OF_ARGUMENTS)
