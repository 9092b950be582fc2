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
    "Directory of the run, made if missing. Required, but with --flagfile=RUN_DIR/flags.cfg: a run "
    "is where its flagfile lies.",
    required=True,
)

data_flags.define_videos()
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)

flags.adopt_module_key_flags(configuration_flags)

checked_flags.text(
    "initial_run",
    None,
    "Directory of another run, whose weights a new run begins with; its critic may see fewer "
    "frames.",
)
checked_flags.integer(
    "batch_size", 32, "Clips in an update, of all replicas together (paper: 32).", 1, 65536
)
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

flags.adopt_module_key_flags(strategy_flags)
flags.DEFINE_bool(
    "deterministic", False, "Only operations that give the same bits each time, slower on GPUs."
)

# A run may go on with other values of these; with others of the rest it would be another run.
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


# Where a run lies its flagfile says by lying there, only the command line can consent, and a limit
# of time is that of one call.
NOT_KEPT = {"run_dir", "allow_unpickling", "max_minutes"}

FLAGS_OF_ARGUMENTS = {
    **configuration_flags.FLAGS_OF_ENTRIES,
    **evaluation_flags.FLAGS_OF_ARGUMENTS,
}
"""The flags of what messages speak of, where the two have not the same name."""


def of_run() -> list[flags.Flag]:
    """The flags that say what a run is and how it goes on, by name."""
    own = FLAGS.get_key_flags_for_module(sys.modules[__name__])
    return sorted((flag for flag in own if flag.name not in NOT_KEPT), key=lambda flag: flag.name)


def flagfile() -> str:
    """The flags of a run that have a value, as a flagfile."""
    return "".join(f"{flag.serialize()}\n" for flag in of_run() if flag.value is not None)


def values() -> dict[str, Any]:
    """The values of a run's flags by name, of those that have one."""
    return {flag.name: flag.value for flag in of_run() if flag.value is not None}
