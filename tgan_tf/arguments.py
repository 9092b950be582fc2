"""The values that an argument takes, for constructors and for the flags of experiments/.

    check(Integer(1), frames=frames, size=size)        # frames=0: must be an integer ≥ 1
    check(Number(at_least=0, below=1), share=share)    # share=nan: must be a finite number

All of them refuse a NaN, an infinity, a Boolean in place of a number, a string and None.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

from tgan_tf.errors import Argument, InputError


def _is_of(kind: type, value: Any) -> bool:
    """Whether a value is a number of a kind; Booleans, which are numbers in Python, are not."""
    return isinstance(value, kind) and not isinstance(value, bool)


class Integer(NamedTuple):
    """The integers from `at_least` to `at_most`.

    Attributes:
        at_least: the lower bound.
        at_most: the upper bound, or None.
    """

    at_least: int
    at_most: int | None = None

    def refusal(self, value: Any) -> str:
        """Returns the requirement that a value violates; empty if the value is valid."""
        if _is_of(numbers.Integral, value):
            if self.at_most is not None and value > self.at_most:
                return f"must be an integer ≤ {self.at_most}"
            if value >= self.at_least:
                return ""
        return f"must be an integer ≥ {self.at_least}"


class Number(NamedTuple):
    """The finite numbers between two bounds, each inclusive or exclusive.

    Attributes:
        at_least: the inclusive lower bound, or None.
        above: the exclusive lower bound, or None.
        at_most: the inclusive upper bound, or None.
        below: the exclusive upper bound, or None.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def refusal(self, value: Any) -> str:
        """Returns the requirement that a value violates; empty if the value is valid."""
        if not _is_of(numbers.Real, value):
            return f"must be a number{self._bounds()}"
        if not abs(value) < math.inf:
            return f"must be a finite number{self._bounds()}"
        within = (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )
        return "" if within else f"must be a number{self._bounds()}"

    def _bounds(self) -> str:
        signs = {"≥": self.at_least, ">": self.above, "≤": self.at_most, "<": self.below}
        given = [f"{sign} {bound:g}" for sign, bound in signs.items() if bound is not None]
        return f" {' and '.join(given)}" if given else ""


class Boolean(NamedTuple):
    """True and False."""

    def refusal(self, value: Any) -> str:
        """Returns the requirement that a value violates; empty if the value is valid."""
        return "" if isinstance(value, bool) else "must be True or False"


class OneOf(NamedTuple):
    """One of several names.

    Attributes:
        names: the names.
    """

    names: tuple[str, ...]

    def refusal(self, value: Any) -> str:
        """Returns the requirement that a value violates; empty if the value is valid."""
        if isinstance(value, str) and value in self.names:
            return ""
        return f"must be one of {', '.join(self.names)}"


def check(kind: Integer | Number | Boolean | OneOf, **values: Any) -> None:
    """Raises an `InputError` for the first value that is not of a kind."""
    for name, value in values.items():
        refusal = kind.refusal(value)
        if refusal:
            raise InputError(Argument(name, value), f": {refusal}")
