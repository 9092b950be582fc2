"""What a metric returns: a number, its error, and what the error is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

GROUPS = 10
"""Of clips, one of which the jackknife leaves out at a time."""


class Estimate(NamedTuple):
    """A measured number.

    Attributes:
        value: the number.
        error: one standard deviation or standard error of it; None if it has none.
        error_of: what `error` is, in a few words, such as "standard deviation of 10 splits".
        details: what else was measured, of JSON's types: curves, ratios, parameters.
    """

    value: float
    error: float | None = None
    error_of: str | None = None
    details: dict[str, Any] = {}


def jackknifed(value: float, without: Sequence[float], details: dict[str, Any]) -> Estimate:
    """A number with the error of the delete-a-group jackknife.

    Args:
        value: of all clips.
        without: the same without each of the `GROUPS` groups of clips.
        details: as of `Estimate`.
    """
    error = np.sqrt((GROUPS - 1) * np.var(without))
    return Estimate(float(value), float(error), f"jackknife over {GROUPS} groups of clips", details)
