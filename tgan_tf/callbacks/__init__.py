"""What a training run shows and keeps: Keras callbacks for a `TGAN`.

The step of a run is `TGAN.step`, the generator's updates, not Keras's epoch: an epoch is only how
many steps pass from one report to the next, see `AlignedEpochs`.

At a step where several are due, samples and the report come before the checkpoint and evaluations
after it, so put the callbacks into this order:

    [StopWhenNotFinite(), AlignedEpochs(...), CheckpointSaver(...), Evaluate(...), StopAtStep(n)]

Then whatever kills a training, nothing is lost but time. Of a step that has no checkpoint yet all
is made again; what is slow, and may be missing at a step that has one, is made up when training
resumes.

Of several workers each is to have the same callbacks, but for those in a `NotShared`.
"""

from __future__ import annotations

from tgan_tf.callbacks.evaluate import Evaluate
from tgan_tf.callbacks.progress import ProgressLines, progress_bar, time_limit
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
    "TrainingSummary",
    "progress_bar",
    "time_limit",
]
