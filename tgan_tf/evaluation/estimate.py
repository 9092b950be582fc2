"""What a metric returns: a number, its error, and what the error is."""

from __future__ import annotations

from typing import NamedTuple


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
    details: dict = {}
