"""Optional packages, and the extra in setup.py that installs each.

with extra("data", "clip.mp4"):
    import av
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tgan_tf.errors import InputError


@contextlib.contextmanager
def extra(name: str, what: str, otherwise: str | None = None) -> Iterator[None]:
    """Says what to install if an import inside fails.

    Args:
        name: name of the extra in setup.py, such as "data".
        what: what needs the package, such as "MP4" or a path: the beginning of the message.
        otherwise: what the user can do instead, such as "make a GIF".

    Raises:
        InputError: an import fails.
    """
    try:
        yield
    except ImportError as error:
        remedy = f"pip install 'tgan_tf[{name}]'" + (f", or {otherwise}" if otherwise else "")
        missing = (error.name or str(error)).split(".")[0]
        raise InputError(f"{what}: needs {missing}, which is not installed: {remedy}") from error
