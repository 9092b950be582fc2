"""The flags that say which model server is asked, and the client that they describe.

server_flags.define_server()
flags.adopt_module_key_flags(server_flags)
"""

from __future__ import annotations

from program_flags import checked_flags

from absl import flags

from tgan_tf.serving import Client

FLAGS = flags.FLAGS

FLAGS_OF_ARGUMENTS = {"address": "server", "model": "model_name", "version": "model_version"}
"""The flags by the names of the client's arguments, where they differ."""


def define_server(required: bool) -> None:
    """Defines --server, --model_name, --model_version and --timeout.

    Args:
        required: whether the program has no other source than --server.
    """
    checked_flags.text(
        "server",
        None,
        "TensorFlow Serving: HOST:PORT for gRPC, http://HOST:PORT for REST.",
        required=required,
    )
    checked_flags.text(
        "model_name",
        "default",
        "Of the server: the model, which is called default if the server was given "
        "--model_base_path alone.",
    )
    checked_flags.integer(
        "model_version", None, "Of the model: a version; default the newest.", 0, 2**63 - 1
    )
    checked_flags.number(
        "timeout", 60.0, "Of the server: seconds to wait for an answer.", above=0, at_most=1e6
    )


def open_client() -> Client:
    """A client of the server; raises an `InputError` for flags that no client can be made of."""
    return Client(FLAGS.server, FLAGS.model_name, FLAGS.model_version, FLAGS.timeout)
