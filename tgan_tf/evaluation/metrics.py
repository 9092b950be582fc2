"""The metrics by name, and the meaning of names such as "fvd2048_16f".

A name gives a metric, the number of clips and their frames, as the field writes it. By default the
number is the metric's own and the frames are all that the clips have.
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
"""The largest number of clips; a GPU would take weeks to make them."""


class Request(NamedTuple):
    """A requested metric.

    Attributes:
        metric: the metric.
        count: number of clips; 0 for a metric without clips.
        frames: number of frames of each clip.
    """

    metric: Metric
    count: int  # type: ignore[assignment]  # hides `tuple.count`, which is not used
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
    """Parses names of metrics, or metrics themselves, to requests.

    Args:
        metrics: names such as "fvd", "fvd2048", "fvd_16f" and "fvd2048_16f", or `Metric`s.
        frames: frames of the clips.
        num_clips: number of clips that exist, the limit for metrics without a number.
        critic_frames: frames that the critic sees, if not all; then the default for metrics that
            use a critic.

    Raises:
        InputError: a name is unknown, or requests more frames than there are or an impossible
            number of clips. The message names the metric.
    """
    requests = []
    for asked in metrics:
        name, metric, count_asked, frames_asked = _parts(asked)
        if not metric.num_clips:
            if count_asked or frames_asked:
                raise InputError(f"metric {name}: uses no clips: give {metric.name}")
            requests.append(Request(metric, 0, frames))
            continue
        count = min(metric.num_clips, num_clips or metric.num_clips)
        count = int(count_asked or max(1, count // metric.multiple) * metric.multiple)
        if not 2 <= count <= MOST_CLIPS:
            raise InputError(f"metric {name}: {count} clips: must be 2 to {MOST_CLIPS}")
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
    """A name, its metric, and the numbers of clips and frames in it."""
    if isinstance(asked, Metric):
        return asked.name, asked, None, None
    match = re.fullmatch(r"([a-z_]*[a-z])(\d{1,18})?(?:_(\d{1,18})f)?", asked)
    if match is None or match[1] not in METRICS:
        raise InputError(
            f"metric {asked!r}: unknown: give some of {', '.join(METRICS)}, or with the numbers of "
            "clips and frames, such as fvd2048_16f"
        )
    return asked, METRICS[match[1]], match[2], match[3]
