"""Arrays and messages for the tests of the client."""

from __future__ import annotations

import io

import model_servers
import numpy as np
from PIL import Image
from tiny_tgan import Z0_DIM

PROTOCOLS = ("grpc", "rest")
METADATA = model_servers.metadata()
"""Of no signatures."""


def random_latents(count):
    return np.random.default_rng(1).uniform(-1, 1, [count, Z0_DIM]).astype(np.float32)


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def server(protocol, models):
    servers = {"grpc": model_servers.grpc_server, "rest": model_servers.rest_server}
    return servers[protocol](models)


def png(rows, columns, mode="L"):
    with io.BytesIO() as file:
        Image.new(mode, (columns, rows)).save(file, "PNG")
        return file.getvalue()
