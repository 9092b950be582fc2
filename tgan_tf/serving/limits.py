"""The limits of a request to a served generator.

The exported graph refuses larger requests (`tgan_tf.signatures`). The client does not send them,
since a server's error fails all requests of a batch.
"""

from __future__ import annotations

MAX_FACTOR = 16
"""The largest factor of an interpolation."""
WALK_VIDEOS = 8
"""Videos of a latent walk."""
MAX_FRAMES = 16384
"""The most frames in a request: more might exceed a server's memory."""

LARGEST_MESSAGE = 2**31 - 1
"""The most bytes of a protobuf message."""
LARGEST_METADATA = 2**22
"""The most bytes of a model's metadata."""
