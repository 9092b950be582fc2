"""What can become of a request, and what a user can do about it."""

from __future__ import annotations

# gRPC allows at most 5.
ATTEMPTS = 5
"""How often a server that is not available is asked."""
FIRST_WAIT = 0.1
"""Seconds before the second attempt."""
WAIT_FACTOR = 2.0
"""How much longer each further wait is than the one before."""

REMEDIES = {
    "NOT_FOUND": "give a model and a version that the server has",
    "UNAVAILABLE": "see whether TensorFlow Serving runs there and is ready",
    "DEADLINE_EXCEEDED": "give a longer timeout or ask for less at once",
    "LATE": "give a longer timeout or ask for less at once",
    "INVALID_ARGUMENT": "give inputs as the signature declares them",
    "FAILED_PRECONDITION": "give inputs as the signature declares them",
    "UNIMPLEMENTED": "give the address of TensorFlow Serving",
    "RESOURCE_EXHAUSTED": "ask for less at once, or see what runs there",
    "BROKEN": "see what runs there",
    "UNSENT": "see the proxies and REQUESTS_CA_BUNDLE in the environment",
    "TLS": "give http:// of a server without TLS, or its certificate by REQUESTS_CA_BUNDLE",
}
"""By gRPC's name of what has happened, or ours where it has none."""


class Failure(Exception):
    """A request that came to nothing.

    Attributes:
        code: a key of `REMEDIES`, or another one of gRPC's names or HTTP's status.
        words: on it; a server's may be any.
    """

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code, words)
        self.code, self.words = code, words


def late() -> Failure:
    """The answer was not there in time."""
    return Failure("LATE", "")


def foreign(reply: bytes | str, status: str = "") -> Failure:
    """The reply is none that TensorFlow Serving gives."""
    text = reply if isinstance(reply, str) else bytes(reply[:300]).decode("utf-8", "replace")
    words = f"the reply is not TensorFlow Serving's: {plain(text)[:60]!r}"
    return Failure("UNIMPLEMENTED", ": ".join(filter(None, [status, words])))


def broken(words: str) -> Failure:
    """The answer is TensorFlow Serving's by its form, but not what it would have been."""
    return Failure("BROKEN", words)


def plain(text: str) -> str:
    """A server's words on one line: it may send any, a terminal's commands among them."""
    printable = "".join(c if c.isprintable() else " " for c in text[:5000])
    return " ".join(printable.split())[:500]
