"""How much a request to a served generator may ask for.

The exported graph refuses more (`tgan_tf.signatures`), and the client does not ask for it, since an
error of the server fails all requests that it has joined.
"""

from __future__ import annotations

MAX_FACTOR = 16
"""The largest factor of an interpolation."""
WALK_VIDEOS = 8
"""Videos of a latent walk."""
MAX_FRAMES = 16384
"""Frames of a request: more would take more memory than a server may have."""

LARGEST_MESSAGE = 2**31 - 1
"""Bytes of a message of protobuf."""
LARGEST_METADATA = 2**22
"""Bytes of what a server tells of a model."""
