"""Keras callbacks that show and keep the results of training a `TGAN`.

A run counts steps by `TGAN.step`, the generator's updates. An epoch is only the number of steps
from one report to the next, see `AlignedEpochs`.

If several are due at a step, samples and the report come before the checkpoint, and evaluations
after it. So give the callbacks in this order:

    [StopWhenNotFinite(), StopAtStep(n), AlignedEpochs(...), CheckpointSaver(...), Evaluate(...)]

Then a killed training loses only time. A resumed training makes again everything since the last
checkpoint, and evaluations that are missing at the checkpoint's step.
"""

from __future__ import annotations

from tgan_tf.callbacks.evaluate import Evaluate
from tgan_tf.callbacks.progress import ProgressLines, progress_bar, time_limit
from tgan_tf.callbacks.steps import AlignedEpochs, CheckpointSaver, StopAtStep, StopWhenNotFinite
from tgan_tf.callbacks.training_summary import TrainingSummary

__all__ = [
    "AlignedEpochs",
    "CheckpointSaver",
    "Evaluate",
    "ProgressLines",
    "StopAtStep",
    "StopWhenNotFinite",
    "TrainingSummary",
    "progress_bar",
    "time_limit",
]
