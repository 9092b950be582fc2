"""The flags for a model server, and the client that they describe.

server_flags.define_server()
flags.adopt_module_key_flags(server_flags)
"""

from __future__ import annotations

from program_flags import checked_flags

from absl import flags

from tgan_tf.serving import Client

FLAGS = flags.FLAGS

FLAGS_OF_ARGUMENTS = {"address": "server", "model": "model_name", "version": "model_version"}
"""The flags for the client's arguments whose names differ."""


def define_server(required: bool) -> None:
    """Defines --server, --model_name, --model_version and --timeout.

    Args:
        required: whether --server is the program's only source.
    """
    checked_flags.text(
        "server",
        None,
        "Address of TensorFlow Serving: HOST:PORT for gRPC, http://HOST:PORT for REST.",
        required=required,
    )
    checked_flags.text(
        "model_name",
        "default",
        "Name of the model on the server; it is default if the server was started with only "
        "--model_base_path.",
    )
    checked_flags.integer(
        "model_version", None, "Version of the served model; default: the newest.", 0, 2**63 - 1
    )
    checked_flags.number(
        "timeout", 60.0, "Seconds to wait for the server's answer.", above=0, at_most=1e6
    )


def open_client() -> Client:
    """Makes the client of the flags; raises an `InputError` for invalid flags."""
    return Client(FLAGS.server, FLAGS.model_name, FLAGS.model_version, FLAGS.timeout)
