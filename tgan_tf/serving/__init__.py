"""A client of TensorFlow Serving for exported generators, over gRPC or REST.

    with Client("localhost:8500", model="moving_mnist") as client:  # REST: "http://localhost:8501"
        videos = client.generate([0, 1, 2])                         # uint8 [3, T, H, W, C]

It does not need TensorFlow. Its methods call the signatures of `tgan_tf.signatures`. Requests and
replies are checked against the shapes and dtypes that the server declares. So the size of an answer
is known beforehand, and no more than that is read.
"""

from __future__ import annotations

from tgan_tf.serving.client import Client, Rendered
from tgan_tf.serving.metadata import Metadata, Signature
from tgan_tf.serving.tensors import TensorSpec

__all__ = ["Client", "Metadata", "Rendered", "Signature", "TensorSpec"]
