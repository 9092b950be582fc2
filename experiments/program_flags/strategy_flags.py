"""The flags that choose the devices and machines of a training.

flags.adopt_module_key_flags(strategy_flags)
"""

from __future__ import annotations

import os

from program_flags import checked_flags

import tensorflow as tf
from absl import flags

from tgan_tf.cluster import Cluster, from_tf_config
from tgan_tf.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "distribution_strategy",
    "one_device",
    ["one_device", "mirrored", "multi_worker_mirrored"],
    "Devices to train on. one_device: the first GPU, or the CPU. mirrored: several devices share "
    "each batch. multi_worker_mirrored: several machines share it, those in TF_CONFIG.",
)
flags.DEFINE_enum(
    "communication",
    "auto",
    ["auto", "ring", "nccl"],
    "How machines add up gradients with multi_worker_mirrored: ring by gRPC, nccl between GPUs, or "
    "auto.",
)
checked_flags.integer(
    "num_gpus",
    None,
    "Number of GPUs of each machine; default: all, or one with one_device.",
    at_least=1,
)
checked_flags.integer(
    "logical_cpus",
    None,
    "Number of parts of the CPU to use as replicas with mirrored, to try it without GPUs.",
    at_least=1,
    at_most=1024,
)


_BYTES_PER_PACK = 16 << 20
"""Gradients are summed in messages of this size, each sent while earlier layers are computed."""


def cluster() -> Cluster | None:
    """The cluster in TF_CONFIG, for the multi-worker strategy; None for the others.

    Raises:
        InputError: TF_CONFIG is missing, is malformed, or has several tasks but the strategy is for
            one machine.
    """
    found = from_tf_config(os.environ.get("TF_CONFIG", ""))
    if FLAGS.distribution_strategy == "multi_worker_mirrored":
        if found is None:
            raise InputError(
                "--distribution_strategy=multi_worker_mirrored: TF_CONFIG names no workers: set "
                "it, see docs/several_machines.md, or give --distribution_strategy=mirrored"
            )
        return found
    if FLAGS.communication != "auto":
        raise InputError(
            f"--communication={FLAGS.communication}: has no effect with "
            f"{FLAGS.distribution_strategy}: leave it out, or give "
            "--distribution_strategy=multi_worker_mirrored"
        )
    if found is not None and found.size > 1:
        raise InputError(
            f"TF_CONFIG has a cluster of {found.size} tasks, each of which would train a run of "
            "its own in the same directory: give --distribution_strategy=multi_worker_mirrored, "
            "or unset it"
        )
    return None


def check_devices() -> int:
    """The number of this machine's GPUs to train on. It initialises none of them.

    Raises:
        InputError: the flags ask for devices that do not exist or that the strategy does not use.
    """
    strategy, gpus = FLAGS.distribution_strategy, tf.config.list_physical_devices("GPU")
    useless = {
        "one_device": ("num_gpus", "logical_cpus"),
        "multi_worker_mirrored": ("logical_cpus",),
    }
    for name in useless.get(strategy, ()):
        if FLAGS[name].value is not None:
            raise InputError(
                f"--{name}={FLAGS[name].value}: has no effect with {strategy}: leave it out, or "
                "give --distribution_strategy=mirrored"
            )
    if strategy == "one_device":
        return min(len(gpus), 1)
    if FLAGS.logical_cpus is not None:
        if FLAGS.num_gpus is not None:
            raise InputError("--num_gpus and --logical_cpus: give one of the two")
        return 0
    num_gpus = len(gpus) if FLAGS.num_gpus is None else FLAGS.num_gpus
    if num_gpus > len(gpus) or (strategy == "mirrored" and not num_gpus):
        raise InputError(
            f"--distribution_strategy={strategy} on {num_gpus} GPUs: this machine has {len(gpus)}; "
            "give --distribution_strategy=one_device, or --logical_cpus=2 to try it on the CPU"
        )
    if FLAGS.communication == "nccl" and not num_gpus:
        raise InputError(
            "--communication=nccl: needs GPUs, and this machine has none: give --communication=ring"
        )
    return num_gpus


def check_batch_size(cluster: Cluster | None, num_gpus: int) -> None:
    """Raises an `InputError` if the batch size is not a multiple of the number of replicas."""
    replicas = (FLAGS.logical_cpus or max(num_gpus, 1)) * (cluster.size if cluster else 1)
    if FLAGS.batch_size % replicas:
        raise InputError(
            f"--batch_size={FLAGS.batch_size} is not a multiple of the {replicas} "
            "replicas: give a multiple of them"
        )


def multi_worker_strategy(communication: str) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Makes the strategy of the workers in TF_CONFIG.

    Args:
        communication: a value of --communication.
    """
    # An operation that sums over workers holds a thread until all of them have come to it. With
    # one thread, TensorFlow's default on one core, workers would compute in turns. The strategy's
    # server does not read `tf.config.threading`.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(max(4, os.cpu_count() or 1)))
    options = tf.distribute.experimental.CommunicationOptions(
        bytes_per_pack=_BYTES_PER_PACK,
        implementation=tf.distribute.experimental.CommunicationImplementation(
            communication.upper()
        ),
    )
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def make_strategy(cluster: Cluster | None, num_gpus: int) -> tf.distribute.Strategy:
    """Makes the strategy of the flags. Call it before anything uses a device.

    Args:
        cluster: what `cluster` returned; all its workers have started.
        num_gpus: what `check_devices` returned.
    """
    if FLAGS.distribution_strategy == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if num_gpus else "CPU:0")
    if cluster is not None and cluster.size > 1:
        gpus = tf.config.list_physical_devices("GPU")
        tf.config.set_visible_devices(gpus[:num_gpus], "GPU")
        return multi_worker_strategy(FLAGS.communication)
    if FLAGS.logical_cpus is not None:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * FLAGS.logical_cpus,
        )
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(FLAGS.logical_cpus)])
    if not num_gpus:  # A cluster of one.
        return tf.distribute.OneDeviceStrategy("CPU:0")
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(num_gpus)])
