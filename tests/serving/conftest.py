"""Exported generators, and servers of both protocols that run them.

The same tests run against TensorFlow Serving itself where it is installed.
"""

from __future__ import annotations

import model_servers
import pytest
from client_cases import PROTOCOLS
from tiny_tgan import make_generator

from tgan_tf.errors import InputError
from tgan_tf.export import export_generator
from tgan_tf.serving import Client


@pytest.fixture(scope="session")
def generators():
    """By the numbers of their versions."""
    return {1: make_generator(1), 2: make_generator(2)}


@pytest.fixture(scope="session")
def export_dir(generators, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("saved_models") / "tiny"
    for generator in generators.values():
        export_generator(generator, export_dir)
    return export_dir


@pytest.fixture(scope="session")
def conditional():
    return make_generator(3, num_classes=3)


@pytest.fixture(scope="session")
def conditional_dir(conditional, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("saved_models") / "conditional"
    export_generator(conditional, export_dir)
    return export_dir


@pytest.fixture(scope="session")
def models(export_dir, conditional_dir):
    models = model_servers.Models(tiny=export_dir, conditional=conditional_dir)
    yield models
    models.close()


@pytest.fixture(scope="session")
def ours(models):
    with model_servers.grpc_server(models) as grpc, model_servers.rest_server(models) as rest:
        yield {"grpc": grpc, "rest": rest}


@pytest.fixture(scope="session")
def theirs(export_dir, conditional_dir, tmp_path_factory):
    if not model_servers.binary():
        pytest.skip("no tensorflow_model_server on the PATH nor in TF_SERVING_BINARY")
    scratch = tmp_path_factory.mktemp("server")
    served = {"tiny": export_dir, "conditional": conditional_dir}
    with model_servers.binary_server(scratch, **served) as (grpc, rest):
        for _ in range(60):
            try:
                with Client(grpc, "tiny", 1) as client, Client(grpc, "tiny", 2) as newest:
                    client.metadata(), newest.metadata()
                break
            except InputError as error:
                last = error
        else:
            raise last
        yield {"grpc": grpc, "rest": rest}


@pytest.fixture(
    scope="session", params=[(kind, name) for kind in ("ours", "theirs") for name in PROTOCOLS]
)
def address(request):
    kind, protocol = request.param
    return request.getfixturevalue(kind)[protocol]


@pytest.fixture(scope="session")
def client(address):
    with Client(address, "tiny") as client:
        yield client
