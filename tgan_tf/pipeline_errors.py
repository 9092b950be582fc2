"""An `InputError` that is raised inside a `tf.data` pipeline reaches the user as what it is.

TensorFlow calls a pipeline's Python functions in threads of its own. What one raises, TensorFlow
quotes in an error of another class, among tracebacks, to whoever asks for the next batch. So these
functions keep their `InputError`s here, and whoever reads has them raised:

    with pipeline_errors.raised():
        tgan.fit(batches(source, 32))

There may be several pipelines, each several batches ahead of what was asked of it: of all that is
kept, the one is raised that TensorFlow's error quotes in full, and else TensorFlow's error is left.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator

from tgan_tf.errors import InputError

# More than there are threads that fail before one of them is heard.
_kept: collections.deque[InputError] = collections.deque(maxlen=1000)


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Keeps an `InputError` that is raised within, for `raised`; it goes on as well."""
    try:
        yield
    except InputError as error:
        # Without its traceback, which would hold on to the clips that are being read.
        _kept.append(InputError(*error.parts))
        raise


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raises a kept `InputError` in place of the error of TensorFlow's that quotes it.

    Raises:
        InputError: such an error comes out of what is within.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        for kept in tuple(_kept):
            if f"InputError: {kept}" in text:
                raise InputError(*kept.parts) from error
        raise
