"""The REST protocol, against servers of bytes."""

from __future__ import annotations

import gzip

import model_servers
import pytest
from client_cases import METADATA, one_line
from model_servers import http, http_json

from tgan_tf.errors import InputError
from tgan_tf.serving import Client

BROKEN_ANSWERS = {
    "no HTTP": (b"garbage\r\n\r\n", "the answer cannot be read: BadStatusLine: garbage"),
    "cut": (http(b"{}", "Content-Length: 100"), "the answer cannot be read: IncompleteRead"),
    "declared huge": (http(b"{}", "Content-Length: 999999999999"), "larger than"),
    "bomb": (
        http(gzip.compress(bytes(2**25)), "Content-Encoding: gzip"),
        "larger than",
    ),
    "no gzip": (http(b"{}", "Content-Encoding: gzip"), "the answer cannot be read: "),
    "two lengths": (http(b"{}", "Content-Length: 2", "Content-Length: 3"), "cannot be read"),
    "no chunk": (http(b"xyz\r\n", "Transfer-Encoding: chunked"), "the answer cannot be read: "),
    "header too long": (http(b"{}", f"X: {'x' * 70000}"), "cannot be read: LineTooLong"),
    "no UTF-8": (http(b'{"\xff": 1}'), "the reply is not TensorFlow Serving's: "),
    "deep": (http(b"[" * 100_000), "the reply is not TensorFlow Serving's: '[[[[["),
    "digits": (http(b"1" * 5000), "the reply is not TensorFlow Serving's: '11111"),
    "twice": (http(b'{"metadata": 1, "metadata": 2}'), "the reply is not TensorFlow Serving's"),
    "list": (http(b"[]"), "the reply is not TensorFlow Serving's: '[]'"),
    "signatures of a list": (
        http(b'{"model_spec": {"version": "1"}, "metadata": {"signature_def": [1]}}'),
        "the reply is not TensorFlow Serving's",
    ),
    "no words": (http(b'{"error": {}}', status="400 No"), "HTTP 400 No: the reply is not"),
    "redirect": (
        http(b"", "Location: http://elsewhere.invalid/", status="307 Moved"),
        "HTTP 307 Moved, to http://elsewhere.invalid/: give",
    ),
}


class TestBrokenRest:
    @pytest.mark.parametrize("name", BROKEN_ANSWERS)
    def test_answers_are_named_and_not_asked_for_again(self, name):
        answer, words = BROKEN_ANSWERS[name]
        with model_servers.raw_server([answer]) as (address, requests):
            with Client(f"http://{address}") as client, pytest.raises(InputError) as error:
                client.metadata()
        message = one_line(error)
        assert words in message and len(message) < 700
        assert len(requests) == 1

    @pytest.mark.parametrize(
        "spec", [{"version": "1"}, {"name": "other"}, {"version": "-1"}, {"version": "x"}]
    )
    def test_answers_of_another_model_are_refused(self, spec):
        answer = http_json({**METADATA, "model_spec": {**METADATA["model_spec"], **spec}})
        with model_servers.raw_server([answer]) as (address, _):
            with Client(f"http://{address}", version=3) as client, pytest.raises(InputError):
                client.metadata()

    @pytest.mark.parametrize(
        "first",
        [[], [http(b"<html>", status="503 Busy")]],
        ids=["closed before it answers", "not available"],
    )
    def test_connections_are_made_again(self, first):
        with model_servers.raw_server(first, [http_json(METADATA)]) as (address, requests):
            with Client(f"http://{address}") as client:
                assert client.metadata().version == 3
        assert len(requests) == 2

    def test_connections_that_were_kept_are_made_again(self):
        with model_servers.raw_server([http_json(METADATA)]) as (address, requests):
            with Client(f"http://{address}") as client:
                client.metadata()
                client._metadata = None
                client.metadata()
        assert len(requests) == 2

    def test_no_credentials_and_no_proxy_of_another_machine_are_used(self, monkeypatch, tmp_path):
        (tmp_path / "netrc").write_text("default login me password secret")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
        with model_servers.raw_server([http_json(METADATA)]) as (address, requests):
            with Client(f"http://{address}") as client:
                client.metadata()
        assert b"Authorization" not in requests[0]


@pytest.mark.parametrize(
    ("scheme", "variable", "value"),
    [
        ("http", "http_proxy", "http://[bad"),
        ("http", "http_proxy", "socks9://127.0.0.1:1"),
        ("https", "REQUESTS_CA_BUNDLE", "missing.pem"),
    ],
)
def test_an_environment_that_nothing_can_be_sent_with_is_one_line(
    monkeypatch, scheme, variable, value
):
    monkeypatch.setenv(variable, value)
    with Client(f"{scheme}://nowhere.invalid:1") as client, pytest.raises(InputError) as error:
        client.metadata()
    assert "the request cannot be sent: " in one_line(error)
