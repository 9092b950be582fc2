"""Packages that not every user needs, and the extra of setup.py that installs each.

with extra("data", "a video file"):
    import av
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tgan_tf.errors import InputError


@contextlib.contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Says what to install where the imports within find no package.

    Args:
        name: of the extra in setup.py that has it, as "data".
        what: what it is needed for, as "a video file"; the subject of the message.

    Raises:
        InputError: an import failed.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{what}: needs {error.name or error}, which is not installed: pip install "
            f"'tgan_tf[{name}]'"
        ) from error
