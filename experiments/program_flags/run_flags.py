"""The flags for the run, and its checkpoint, that a program opens.

run_flags.define_run(required=True)
flags.adopt_module_key_flags(run_flags)
"""

from __future__ import annotations

from pathlib import Path

from program_flags import checked_flags

from absl import flags

from tgan_tf import remote_runs, runs
from tgan_tf.data import storage
from tgan_tf.models.network import GeneratorNetwork

FLAGS = flags.FLAGS


def define_run(required: bool) -> None:
    """Defines --run_dir and --checkpoint_step.

    Args:
        required: whether the program opens only runs.
    """
    checked_flags.existing(
        "run_dir",
        "Directory of a run that train.py has made, also in gs:// or s3://.",
        kind="directory",
        remote=True,
        remedy="give the --run_dir of a training",
        required=required,
    )
    checked_flags.integer(
        "checkpoint_step",
        None,
        "Training step of the run's checkpoint; default: the newest intact one.",
        at_least=0,
    )


def load_generator() -> tuple[GeneratorNetwork, int]:
    """The generator of the flags, and the training step of its weights."""
    with remote_runs.copied(FLAGS.run_dir, FLAGS.checkpoint_step) as run_dir:
        return runs.load_generator(run_dir, FLAGS.checkpoint_step)


def generated() -> Path:
    """The directory for a run's videos: in the run, or generated/NAME for a run in a store."""
    run_dir = Path(FLAGS.run_dir)
    if storage.is_remote(FLAGS.run_dir):
        return Path("generated", run_dir.name)
    return run_dir / "generated"
