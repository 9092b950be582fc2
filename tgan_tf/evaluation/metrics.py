"""The metrics by name, and what a name such as "fvd2048_16f" asks for.

A name is a metric, the number of clips that are judged and their frames, as the field writes it;
left out, the number is the metric's own and the frames are all that the clips have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tgan_tf.errors import InputError
from tgan_tf.evaluation.class_accuracy import CLASS_ACCURACY
from tgan_tf.evaluation.frechet_video_distance import FVD, FVD_UNBIASED
from tgan_tf.evaluation.generative_adversarial_metric import GAM
from tgan_tf.evaluation.inception_score import IS, IS_WHOLE
from tgan_tf.evaluation.kernel_video_distance import KVD
from tgan_tf.evaluation.metric import Metric
from tgan_tf.evaluation.motion_energy import MOTION
from tgan_tf.evaluation.nearest_clips import NEAREST
from tgan_tf.evaluation.prdc import PRDC
from tgan_tf.evaluation.spectral_report import SPECTRUM
from tgan_tf.evaluation.wasserstein_estimate import WASSERSTEIN

METRICS = {
    metric.name: metric
    for metric in (
        IS,
        IS_WHOLE,
        CLASS_ACCURACY,
        FVD,
        FVD_UNBIASED,
        KVD,
        PRDC,
        MOTION,
        NEAREST,
        WASSERSTEIN,
        SPECTRUM,
        GAM,
    )
}

MOST_CLIPS = 10**7
"""How many clips a metric can be asked for. So many would take a GPU weeks to make."""


class Request(NamedTuple):
    """A metric as it was asked for.

    Attributes:
        metric: the metric.
        count: how many clips are judged; 0 by a metric that is of none.
        frames: how many frames of each.
    """

    metric: Metric
    count: int  # type: ignore[assignment]  # hides `tuple.count`, which is of no use here
    frames: int

    def name(self, part: str | None = None) -> str:
        """The full name of the metric, or of one of its estimates, such as "fvd2048_16f"."""
        part = part or self.metric.name
        return f"{part}{self.count}_{self.frames}f" if self.metric.num_clips else part


def parse_metrics(
    metrics: Sequence[str | Metric],
    frames: int,
    num_clips: int | None = None,
    critic_frames: int | None = None,
) -> list[Request]:
    """What metrics' names, or metrics themselves, ask for.

    Args:
        metrics: such as "fvd", "fvd2048", "fvd_16f" and "fvd2048_16f", or a `Metric`.
        frames: of the clips.
        num_clips: how many there are; a metric without a number judges no more than these.
        critic_frames: that the critic sees, if not all: a critic's metric is then of these.

    Raises:
        InputError: a name is unknown, asks for more frames than there are, or for a number of
            clips that the metric cannot judge. It names the metric.
    """
    requests = []
    for asked in metrics:
        name, metric, count_asked, frames_asked = _parts(asked)
        if not metric.num_clips:
            if count_asked or frames_asked:
                raise InputError(f"metric {name}: is of no clips: give {metric.name}")
            requests.append(Request(metric, 0, frames))
            continue
        count = min(metric.num_clips, num_clips or metric.num_clips)
        count = int(count_asked or max(1, count // metric.multiple) * metric.multiple)
        if not 2 <= count <= MOST_CLIPS:
            raise InputError(f"metric {name}: {count} clips: give 2 to {MOST_CLIPS}")
        usual = (critic_frames if metric.quantity.num_critics else None) or frames
        request = Request(metric, count, int(frames_asked or usual))
        if not 2 <= request.frames <= frames:
            raise InputError(f"metric {name}: the clips have {frames} frames: give 2 to {frames}")
        if count % metric.multiple:
            down = max(count // metric.multiple, 1) * metric.multiple
            raise InputError(
                f"metric {name}: {count} clips do not divide into {metric.multiple} splits: give "
                f"{metric.name}{down}"
            )
        requests.append(request)
    return requests


def _parts(asked: str | Metric) -> tuple[str, Metric, str | None, str | None]:
    """A name, its metric, and the numbers of clips and of frames in it."""
    if isinstance(asked, Metric):
        return asked.name, asked, None, None
    match = re.fullmatch(r"([a-z_]*[a-z])(\d{1,18})?(?:_(\d{1,18})f)?", asked)
    if match is None or match[1] not in METRICS:
        raise InputError(
            f"metric {asked!r}: unknown: give some of {', '.join(METRICS)}, or with the numbers of "
            "clips and frames, as fvd2048_16f"
        )
    return asked, METRICS[match[1]], match[2], match[3]
