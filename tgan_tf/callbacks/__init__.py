"""Keras callbacks that show and keep the results of training a `TGAN`.

A run counts steps by `TGAN.step`, the generator's updates. An epoch is only the number of steps
from one report to the next, see `AlignedEpochs`.

If several are due at the same step, samples and the report come before the checkpoint, and
evaluations after it. So give the callbacks in this order:

    [StopWhenNotFinite(), AlignedEpochs(...), CheckpointSaver(...), Evaluate(...), StopAtStep(n)]

Then a killed training loses only time. A resumed training repeats everything since the last
checkpoint, and makes up an evaluation that is missing at the checkpoint's step.

Several workers need the same callbacks, except for those inside a `NotShared`.
"""

from __future__ import annotations

from tgan_tf.callbacks.evaluate import Evaluate
from tgan_tf.callbacks.progress import ProgressLines, TimeLimit, progress_bar
from tgan_tf.callbacks.steps import (
    AlignedEpochs,
    CheckpointSaver,
    NotShared,
    StopAtStep,
    StopWhenNotFinite,
)
from tgan_tf.callbacks.training_summary import TrainingSummary

__all__ = [
    "AlignedEpochs",
    "CheckpointSaver",
    "Evaluate",
    "NotShared",
    "ProgressLines",
    "StopAtStep",
    "StopWhenNotFinite",
    "TimeLimit",
    "TrainingSummary",
    "progress_bar",
]
