"""The result of a metric: a number, its error, and what the error is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

GROUPS = 10
"""The number of groups of clips; the jackknife leaves out one at a time."""


class Estimate(NamedTuple):
    """A measured number.

    Attributes:
        value: the number.
        error: its standard deviation or standard error; None if it has none.
        error_of: what `error` is, in a few words, such as "standard deviation of 10 splits".
        details: other measured values, in JSON types: curves, ratios, parameters.
    """

    value: float
    error: float | None = None
    error_of: str | None = None
    details: dict[str, Any] = {}


def jackknifed(value: float, without: Sequence[float], details: dict[str, Any]) -> Estimate:
    """Returns a number with the error of the delete-a-group jackknife.

    Args:
        value: the number for all clips.
        without: the numbers without each of the `GROUPS` groups of clips.
        details: see `Estimate`.
    """
    error = np.sqrt((GROUPS - 1) * np.var(without))
    return Estimate(float(value), float(error), f"jackknife over {GROUPS} groups of clips", details)
