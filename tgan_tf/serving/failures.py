"""How a request can fail, and the remedies."""

from __future__ import annotations

# gRPC allows at most 5.
ATTEMPTS = 5
"""The number of attempts to reach an unavailable server."""
FIRST_WAIT = 0.1
"""Seconds before the second attempt."""
WAIT_FACTOR = 2.0
"""The ratio of each further wait to the one before."""

REMEDIES = {
    "NOT_FOUND": "give a model and a version that the server has",
    "UNAVAILABLE": "check that TensorFlow Serving runs there and is ready",
    "DEADLINE_EXCEEDED": "give a longer timeout or ask for less at once",
    "LATE": "give a longer timeout or ask for less at once",
    "INVALID_ARGUMENT": "give inputs as the signature declares them",
    "FAILED_PRECONDITION": "give inputs as the signature declares them",
    "UNIMPLEMENTED": "give the address of TensorFlow Serving",
    "RESOURCE_EXHAUSTED": "ask for less at once, or check what runs there",
    "BROKEN": "check what runs there",
    "UNSENT": "check the proxies and REQUESTS_CA_BUNDLE in the environment",
    "TLS": "give http:// for a server without TLS, or its certificate in REQUESTS_CA_BUNDLE",
}
"""What the user can do, by gRPC's status code, or by our own where gRPC has none."""


class Failure(Exception):
    """A request failed.

    Attributes:
        code: a key of `REMEDIES`, another status code of gRPC, or an HTTP status.
        words: a description; a server's may hold any characters.
    """

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code, words)
        self.code, self.words = code, words


def late() -> Failure:
    """The answer did not arrive in time."""
    return Failure("LATE", "")


def foreign(reply: bytes | str, status: str = "") -> Failure:
    """The reply does not come from TensorFlow Serving."""
    text = reply if isinstance(reply, str) else bytes(reply[:300]).decode("utf-8", "replace")
    words = f"the reply is not TensorFlow Serving's: {plain(text)[:60]!r}"
    return Failure("UNIMPLEMENTED", ": ".join(filter(None, [status, words])))


def broken(words: str) -> Failure:
    """The answer has TensorFlow Serving's form but wrong contents."""
    return Failure("BROKEN", words)


def plain(text: str) -> str:
    """A server's words on one line; they may hold anything, even terminal commands."""
    printable = "".join(c if c.isprintable() else " " for c in text[:5000])
    return " ".join(printable.split())[:500]
