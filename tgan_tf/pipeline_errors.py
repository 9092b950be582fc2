"""Lets an `InputError` that is raised inside a `tf.data` pipeline reach the user.

TensorFlow calls a pipeline's Python functions in its own threads. It quotes their errors, among
tracebacks, in an error of another class when the next batch is requested. So these functions keep
their `InputError`s here, and the reader raises them:

    with pipeline_errors.raised():
        tgan.fit(batches(source, 32))

There may be several pipelines, each several batches ahead of its reader. Of all kept errors the one
is raised that TensorFlow's error quotes in full; if there is none, TensorFlow's error is raised.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator

from tgan_tf.errors import InputError

# More than the threads that may fail before the first error is reported.
_kept: collections.deque[InputError] = collections.deque(maxlen=1000)


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Keeps an `InputError` that is raised inside for `raised`, and re-raises it."""
    try:
        yield
    except InputError as error:
        # Without its traceback, which would keep the clips being read in memory.
        _kept.append(InputError(*error.parts))
        raise


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raises a kept `InputError` in place of the TensorFlow error that quotes it.

    Raises:
        InputError: such an error is raised inside.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        for kept in tuple(_kept):
            if f"InputError: {kept}" in text:
                raise InputError(*kept.parts) from error
        raise
