"""What a server declares: only a generator's signatures are asked, within what a message holds."""

from __future__ import annotations

import json

import model_servers
import pytest
from client_cases import one_line

from tgan_tf.errors import InputError
from tgan_tf.serving import Client


def in_process(answer):
    """A client of REST that is given `answer(method)` in place of what a server sends."""
    client = Client("http://a:1")
    client._protocol._call = lambda method, *_: json.dumps(answer(method)).encode()
    return client


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "found"),
    [
        ("generate", {}, {"images": ["DT_UINT8", -1, 2, 2, 1]}, "images"),
        ("generate", {}, {"videos": ["DT_FLOAT", -1, 1, 2, 2, 1]}, "videos"),
        ("generate", {}, {"videos": ["DT_UINT8", -1, 2, 2, 1]}, "videos"),
        ("generate", {}, {"videos": ["DT_UINT8", -1, 1, -1, 2, 1]}, "videos"),
        ("generate", {}, {"videos": ["DT_UINT8", -1, 0, 2, 2, 1]}, "videos"),
        ("generate", {"seed": ["DT_STRING", -1]}, {}, "seed"),
        ("generate", {"seed": ["DT_INT64"]}, {}, "seed"),
        ("generate", {"other": ["DT_INT64", -1]}, {}, "other"),
        ("serving_default", {}, {"videos": ["DT_FLOAT", -1, 0, 2, 2, 1]}, "videos"),
        ("serving_default", {"z0": ["DT_FLOAT", -1, 2**40]}, {}, "z0"),
    ],
)
def test_a_signature_that_is_no_generators_is_refused(name, inputs, outputs, found):
    sound = model_servers.SIGNATURES[name]
    signature = inputs or sound[0], outputs or sound[1]
    metadata = model_servers.metadata(**{**model_servers.SIGNATURES, name: signature})
    with in_process(lambda _: metadata) as client, pytest.raises(InputError) as error:
        client.generate([1])
    message = one_line(error)
    assert f"http://a:1, model 'default': {name} declares " in message
    assert f" as {found}: serve a generator exported by tgan_tf.export" in message


def test_an_answer_that_no_message_can_hold_is_not_asked_for():
    outputs = {"videos": ["DT_UINT8", -1, 1, 40_000, 40_000, 1]}
    signature = model_servers.SIGNATURES["generate"][0], outputs
    metadata = model_servers.metadata(**{**model_servers.SIGNATURES, "generate": signature})
    asked = []
    with in_process(lambda method: asked.append(method) or metadata) as client:
        with pytest.raises(InputError, match="have 3.2 GB, .*: give fewer rows at once"):
            client.generate([1, 2])
    assert asked == ["GET"]
