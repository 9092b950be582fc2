"""Packages that not every user needs, and the extra of setup.py that installs each.

with extra("data", "clip.mp4"):
    import av
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tgan_tf.errors import InputError


@contextlib.contextmanager
def extra(name: str, what: str, otherwise: str | None = None) -> Iterator[None]:
    """Says what to install where the imports within find no package.

    Args:
        name: of the extra in setup.py that has it, as "data".
        what: it is needed for, as "MP4" or a path; the message begins with it.
        otherwise: what a user can do instead, as "make a GIF".

    Raises:
        InputError: an import failed.
    """
    try:
        yield
    except ImportError as error:
        remedy = f"pip install 'tgan_tf[{name}]'" + (f", or {otherwise}" if otherwise else "")
        missing = (error.name or str(error)).split(".")[0]
        raise InputError(f"{what}: needs {missing}, which is not installed: {remedy}") from error
