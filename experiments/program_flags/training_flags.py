"""The flags of a training: its model, its data, its schedule and its devices.

flags.adopt_module_key_flags(training_flags)
"""

from __future__ import annotations

import sys
from typing import Any

from program_flags import (
    checked_flags,
    configuration_flags,
    data_flags,
    evaluation_flags,
    strategy_flags,
)

from absl import flags

FLAGS = flags.FLAGS

checked_flags.output_directory(
    "run_dir",
    None,
    "Directory of the run, made if missing, also in gs:// or s3://. Required, except with "
    "--flagfile=RUN_DIR/flags.cfg, which implies it.",
    remote=True,
    required=True,
)

data_flags.define_videos()
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)

flags.adopt_module_key_flags(configuration_flags)

checked_flags.text(
    "initial_run",
    None,
    "Directory of another run, also in gs:// or s3://, whose weights a new run starts with; its "
    "critic may see fewer frames.",
)
checked_flags.integer(
    "batch_size", 32, "Clips per update, over all replicas together (paper: 32).", 1, 65536
)
checked_flags.integer(
    "train_steps", 100_000, "Total number of generator updates (reference: 100000).", at_least=1
)
checked_flags.number(
    "max_minutes",
    None,
    "Stop after this many minutes of training, at the next step; default: no limit.",
    above=0,
    at_most=1e6,
)
checked_flags.integer(
    "checkpoint_interval", 1000, "Steps from one checkpoint to the next.", at_least=1
)
checked_flags.integer("keep_checkpoints", 3, "Number of newest checkpoints to keep.", at_least=1)
checked_flags.integer(
    "sample_interval", 1000, "Steps from one set of samples to the next.", at_least=1
)
checked_flags.integer(
    "summary_interval", 100, "Steps from one report to the next, which is an epoch.", at_least=1
)

checked_flags.integer(
    "evaluate_every",
    None,
    "Steps from one evaluation to the next, as evaluate.py does it; default: no evaluation.",
    at_least=1,
)
evaluation_flags.define_metrics("evaluate_metrics", ["fvd512", "kvd512"])
evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)

flags.adopt_module_key_flags(strategy_flags)
flags.DEFINE_bool(
    "deterministic", False, "Use only operations that give bit-identical results; slower on GPUs."
)

# A run may be resumed with other values of these flags, but not of the rest.
RESUMABLE = {
    "train_steps",
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
    "communication",
    "num_gpus",
    "logical_cpus",
    "verify_shards",
}


# The place of a flagfile gives the run's directory, only the command line can consent, and a time
# limit applies to one call.
NOT_KEPT = {"run_dir", "allow_unpickling", "max_minutes"}

FLAGS_OF_ARGUMENTS = {
    **configuration_flags.FLAGS_OF_ENTRIES,
    **evaluation_flags.FLAGS_OF_ARGUMENTS,
}
"""The flags for arguments in messages whose names differ."""


def of_run() -> list[flags.Flag]:
    """The flags that define a run and how it is resumed, sorted by name."""
    own = FLAGS.get_key_flags_for_module(sys.modules[__name__])
    return sorted((flag for flag in own if flag.name not in NOT_KEPT), key=lambda flag: flag.name)


def flagfile() -> str:
    """The text of a flagfile with the run's flags that have a value."""
    return "".join(f"{flag.serialize()}\n" for flag in of_run() if flag.value is not None)


def values() -> dict[str, Any]:
    """The values of a run's flags by name, without those that have none."""
    return {flag.name: flag.value for flag in of_run() if flag.value is not None}
