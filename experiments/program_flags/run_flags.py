"""The flags for the run, and its checkpoint, that a program opens.

run_flags.define_run(required=True)
flags.adopt_module_key_flags(run_flags)
"""

from __future__ import annotations

from program_flags import checked_flags


def define_run(required: bool) -> None:
    """Defines --run_dir and --checkpoint_step.

    Args:
        required: whether the program opens only runs.
    """
    checked_flags.existing(
        "run_dir",
        "Directory of a run that train.py has made.",
        kind="directory",
        remedy="give the --run_dir of a training",
        required=required,
    )
    checked_flags.integer(
        "checkpoint_step",
        None,
        "Training step of the run's checkpoint; default: the newest intact one.",
        at_least=0,
    )
