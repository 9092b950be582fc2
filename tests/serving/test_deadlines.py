"""The deadline of a call, whatever a server does."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time

import model_servers
import pytest
from client_cases import one_line

from tgan_tf.errors import InputError
from tgan_tf.serving import Client


def drip(start, piece):
    return itertools.chain([start], itertools.repeat(piece, 200))


OK = b"HTTP/1.1 200 OK\r\n"
# HTTP/2's frames SETTINGS and PING.
SETTINGS, PING = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)


@pytest.mark.parametrize(
    ("scheme", "pieces"),
    [
        ("http://", lambda: drip(OK + b"Content-Length: 99999\r\n\r\n", b" " * 10)),
        ("http://", lambda: drip(OK, b"X: 1\r\n")),
        ("http://", lambda: drip(OK, b"x")),
        ("http://", lambda: drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        ("", lambda: drip(b"", b"x")),
        ("", lambda: drip(SETTINGS, PING)),
    ],
    ids=["body", "headers", "a header", "continue", "no HTTP/2", "pings"],
)
def test_a_drip_is_left_at_the_deadline(scheme, pieces):
    threads = threading.active_count()
    with model_servers.raw_server(pieces(), pause=0.02) as (address, _):
        with Client(f"{scheme}{address}", timeout=0.2) as client:
            start = time.monotonic()
            with pytest.raises(InputError) as error:
                client.metadata()
            assert time.monotonic() - start < 2
        assert "give a longer timeout" in one_line(error)
        if scheme:  # No thread goes on with it; those left are the server's two.
            for _ in range(50):
                if threading.active_count() <= threads + 2:
                    break
                time.sleep(0.01)
            assert threading.active_count() <= threads + 2


def test_the_deadline_is_that_of_all_requests_of_a_call():
    ends = []

    def call(kind, path, most_bytes, end, body=None):
        ends.append(end)
        return json.dumps(model_servers.metadata(**model_servers.SIGNATURES)).encode()

    with Client("http://a:1", timeout=50) as client, pytest.raises(InputError):
        client._protocol._call = call
        start = time.monotonic()
        client.generate([1])
    assert len(ends) == 2
    assert ends[0] == ends[1] == pytest.approx(start + 50, abs=10)


def test_a_name_that_is_slow_to_resolve_is_left_at_the_deadline(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(5) and [])
    start = time.monotonic()
    with Client("http://slow.invalid:1", timeout=0.1) as client:
        with pytest.raises(InputError, match="no answer within 0.1 s: give a longer timeout"):
            client.metadata()
    assert time.monotonic() - start < 2
    answered.set()
