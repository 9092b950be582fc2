"""The metrics by name, and what a name such as "fvd2048_16f" means.

A name is a metric, the number of clips that are judged and their frames, as the field writes it;
left out, the number is the metric's own and the frames are all that the clips have. Each metric is
a function of what was measured of the clips judged and of the real ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

import numpy as np

from tgan_tf.errors import InputError
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.frechet_video_distance import frechet_video_distance
from tgan_tf.evaluation.inception_score import inception_score
from tgan_tf.evaluation.kernel_video_distance import kernel_video_distance
from tgan_tf.evaluation.motion_energy import motion_difference
from tgan_tf.evaluation.nearest_clips import nearest_distance
from tgan_tf.evaluation.prdc import prdc
from tgan_tf.evaluation.wasserstein_estimate import wasserstein_estimate


class Metric(NamedTuple):
    """A metric.

    Attributes:
        about: what it is, for help texts.
        column: which measurements it is a function of.
        num_clips: how many clips it judges if the name does not say.
        compute: from those of the clips judged and of the real ones to estimates by name.
        fewest: from the number of features to how few clips it can judge.
        multiple: what the number of clips divides by.
    """

    about: str
    column: str
    num_clips: int
    compute: Callable[[np.ndarray, np.ndarray], Mapping[str, Estimate]]
    fewest: Callable[[int], int] = lambda features: 10
    multiple: int = 1


METRICS = {
    "is": Metric(
        "Inception Score, mean over 10 splits; higher is better",
        "probabilities",
        10_000,
        lambda fake, real: {"is": inception_score(fake)},
        multiple=10,
    ),
    "is_whole": Metric(
        "Inception Score of all clips at once, as the paper's code gives it",
        "probabilities",
        10_000,
        lambda fake, real: {"is_whole": inception_score(fake, splits=1)},
    ),
    "fvd": Metric(
        "Fréchet Video Distance; lower is better",
        "features",
        2048,
        lambda fake, real: {"fvd": frechet_video_distance(fake, real)},
        # Fewer, and the covariance is singular.
        lambda features: max(10, features + 1),
    ),
    "fvd_unbiased": Metric(
        "the same, extrapolated to endless clips",
        "features",
        10_000,
        lambda fake, real: {"fvd_unbiased": frechet_video_distance(fake, real, unbiased=True)},
        lambda features: max(10, 2 * features + 2),
    ),
    "kvd": Metric(
        "Kernel Video Distance, MMD² of a cubic kernel; lower is better",
        "features",
        2048,
        lambda fake, real: {"kvd": kernel_video_distance(fake, real)},
    ),
    "prdc": Metric(
        "precision, recall, density, coverage; higher is better", "features", 2048, prdc
    ),
    "motion": Metric(
        "how far the change from frame to frame is from the real one; lower is better",
        "motion",
        2048,
        lambda fake, real: {"motion": motion_difference(fake, real)},
    ),
    "nearest": Metric(
        "distance to the nearest real clip, and a picture: is it memorised?",
        "features",
        2048,
        lambda fake, real: {"nearest": nearest_distance(fake, real)},
    ),
    "wasserstein": Metric(
        "mean D(real) - mean D(generated), on held-out clips",
        "scores",
        2048,
        lambda fake, real: {"wasserstein": wasserstein_estimate(real, fake)},
    ),
}


MOST_CLIPS = 10**7
"""How many clips a metric can be asked for. So many would take a GPU weeks to make."""


class Request(NamedTuple):
    """A metric as it was asked for.

    Attributes:
        metric: a name in `METRICS`.
        count: how many clips are judged.
        frames: how many frames of each.
    """

    metric: str
    count: int
    frames: int

    def name(self, part: str) -> str:
        """The full name of one of the metric's estimates, such as "fvd2048_16f"."""
        return f"{part}{self.count}_{self.frames}f"


def parse(names: Sequence[str], frames: int, num_clips: int | None = None) -> list[Request]:
    """What metrics' names ask for.

    Args:
        names: such as "fvd", "fvd2048", "fvd_16f" and "fvd2048_16f".
        frames: of the clips.
        num_clips: how many there are; a metric without a number judges no more than these.

    Raises:
        InputError: a name is unknown, asks for more frames than there are, or for a number of
            clips that the metric cannot judge. It names the metric.
    """
    requests = []
    for name in names:
        match = re.fullmatch(r"([a-z_]*[a-z])(\d{1,18})?(?:_(\d{1,18})f)?", name)
        if match is None or match[1] not in METRICS:
            raise InputError(
                f"metric {name!r}: unknown: give some of {', '.join(METRICS)}, or with the numbers "
                "of clips and frames, as fvd2048_16f"
            )
        metric = METRICS[match[1]]
        count = min(metric.num_clips, num_clips or metric.num_clips)
        count = int(match[2] or max(1, count // metric.multiple) * metric.multiple)
        if not 2 <= count <= MOST_CLIPS:
            raise InputError(f"metric {name}: {count} clips: give 2 to {MOST_CLIPS}")
        request = Request(match[1], count, int(match[3] or frames))
        if not 2 <= request.frames <= frames:
            raise InputError(f"metric {name}: the clips have {frames} frames: give 2 to {frames}")
        if request.count % metric.multiple:
            down = request.count // metric.multiple * metric.multiple
            raise InputError(
                f"metric {name}: {request.count} clips do not divide into {metric.multiple} "
                f"splits: give {match[1]}{max(down, metric.multiple)}"
            )
        requests.append(request)
    return requests
