"""The flags that say which model server is asked, and the client that they describe.

server_flags.define_server()
flags.adopt_module_key_flags(server_flags)
"""

from __future__ import annotations

from absl import flags

from tgan_tf.serving import Client

FLAGS = flags.FLAGS


def define_server(required: bool) -> None:
    """Defines --server, --model_name, --model_version and --timeout.

    Args:
        required: whether the program has no other source than --server.
    """
    flags.DEFINE_string(
        "server",
        None,
        "TensorFlow Serving: HOST:PORT for gRPC, http://HOST:PORT for REST.",
        required=required,
    )
    flags.DEFINE_string(
        "model_name",
        "default",
        "Of the server: the model, which is called default if the server was given "
        "--model_base_path alone.",
    )
    flags.DEFINE_integer("model_version", None, "Of the model: a version; default the newest.")
    flags.DEFINE_float("timeout", 60.0, "Of the server: seconds to wait for an answer.")


def open_client() -> Client:
    """A client of the server; raises an `InputError` for flags that no client can be made of."""
    return Client(FLAGS.server, FLAGS.model_name, FLAGS.model_version, FLAGS.timeout)
