"""Runs work on Apache Beam, quietly; its workers end with the program that started them.

run = on_beam(["--direct_num_workers=4"])
run(work, elements, show)                     # calls work(element) in some process
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Callable, TextIO

from tgan_tf.errors import Argument, InputError
from tgan_tf.extras import extra

#: Beam's default flags: all cores of this machine. DirectRunner would choose the same runner, but
#: first tries to download another, which starts no worker processes.
DEFAULTS = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=0",
)

#: Calls `work` with each element, in any order and process, and `show` in this process about once a
#: second until all are done. If some fail it raises an exception with a message for the user.
Run = Callable[[Callable[[bytes], None], Sequence[bytes], Callable[[], None]], None]

# Tells a worker process the process ID and a port of the process that started it.
_MAIN_PROCESS = "TGAN_TF_PREPARATION"


def on_beam(arguments: Sequence[str] = ()) -> Run:
    """Returns a `Run` that uses Beam's workers.

    Args:
        arguments: flags of Apache Beam, added to `DEFAULTS`.

    Raises:
        InputError: Apache Beam is missing or does not accept the flags.
    """
    with quiet():
        options = _options(arguments)
    return functools.partial(_run, options)


def _run(
    options: Any,
    work: Callable[[bytes], None],
    elements: Sequence[bytes],
    show: Callable[[], None],
) -> None:
    import apache_beam as beam

    failures: list[BaseException] = []

    def run() -> None:
        try:
            pipeline = beam.Pipeline(options=options)
            pipeline | beam.Create(elements) | beam.Reshuffle() | beam.Map(_in_worker, work)
            pipeline.run().wait_until_finish()
        except BaseException as error:
            failures.append(error)

    def died(failed: Any) -> None:
        if isinstance(failed.exc_value, RuntimeError):
            failures.append(RuntimeError("a worker process died: is there enough memory?"))

    # Not restored: a failed run leaves threads behind that may log at any time.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
    thread = threading.Thread(target=run, daemon=True)
    # When a worker process dies Beam waits for ever; only an error in one of its threads shows it.
    hook, threading.excepthook = threading.excepthook, died
    try:
        # It is always closed at the end; worker processes that are still running end then.
        with socket.create_server(("localhost", 0)) as server:
            os.environ[_MAIN_PROCESS] = f"{os.getpid()} {server.getsockname()[1]}"
            thread.start()
            while thread.is_alive() and not failures:
                thread.join(1)
                show()
    finally:
        thread.join(5)
        threading.excepthook = hook
        del os.environ[_MAIN_PROCESS]
    if failures:
        raise RuntimeError(_last_line(failures[0])) from failures[0]


def _in_worker(element: bytes, work: Callable[[bytes], None]) -> None:
    _end_with_main_process()
    work(element)


@functools.cache
def _end_with_main_process() -> None:
    """Makes a worker process of this machine end as soon as the main process ends or gives up.

    Otherwise Beam's workers would go on until they have written all their shards.
    """
    number, _, port = os.environ.get(_MAIN_PROCESS, "").partition(" ")
    if not port or int(number) == os.getpid():
        return

    def watch() -> None:
        with contextlib.suppress(OSError):
            # Nothing is ever sent: `recv` returns when the other side is closed.
            socket.create_connection(("localhost", int(port))).recv(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _options(arguments: Sequence[str]) -> Any:
    """Beam's options, `apache_beam.options.pipeline_options.PipelineOptions`."""
    with extra("prepare", "Apache Beam"):
        from apache_beam.options.pipeline_options import PipelineOptions
    given = Argument("beam_arguments", " ".join(arguments))
    try:
        options = PipelineOptions([*DEFAULTS, *arguments])
        known = options.get_all_options()
        retained = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        raise InputError(
            given, ": Apache Beam does not accept them: see its documentation"
        ) from error
    # Beam ignores flags it does not know, since they may belong to another runner's server.
    unknown = [name for name in retained if name not in known]
    if unknown and f"--runner={known['runner']}" in DEFAULTS:
        raise InputError(given, f": {', '.join(unknown)} is not a flag of Apache Beam")
    return options


@contextlib.contextmanager
def quiet() -> Iterator[TextIO]:
    """Silences Beam's pages of stderr, in worker processes too. Yields the real stderr."""
    sys.stderr.flush()
    with open(os.dup(2), "w") as stderr, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield stderr
        finally:
            sys.stderr.flush()
            os.dup2(stderr.fileno(), 2)


def _last_line(error: BaseException) -> str:
    """The message of an error that Beam passes on with the tracebacks of two processes."""
    text = re.sub(r"\[while running [^]]*\]", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
