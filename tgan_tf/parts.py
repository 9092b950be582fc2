"""Work on many rows in parts: files of successive rows, each written in any process.

    parts = planned("generated", "clips", ".npz", total=10**6, rows=1024)
    write(parts, functools.partial(clip_writer, generator), is_whole, on_beam(), "video")

The parts are written by a `Run`, like a preparation's shards, see `tgan_tf.data.beam`. A part is
written to a temporary name and renamed. Whole parts are skipped, so the same call resumes after an
interruption.
"""

from __future__ import annotations

import functools
import os
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

from tqdm import tqdm

from tgan_tf import file_locks
from tgan_tf.data.beam import Run, quiet
from tgan_tf.errors import InputError, reason
from tgan_tf.extras import extra


class Part(NamedTuple):
    """Successive rows, and the file they are written to.

    Attributes:
        path: path of the file.
        first: number of the first row.
        count: number of rows.
    """

    path: str
    first: int
    count: int  # type: ignore[assignment]  # hides `tuple.count`, which is not used


def planned(
    directory: str | os.PathLike[str], name: str, suffix: str, total: int, rows: int
) -> list[Part]:
    """Divides rows into parts of `rows` rows; the last part may be smaller.

    Args:
        directory: directory of the files.
        name: beginning of the files' names.
        suffix: end of the files' names.
        total: total number of rows.
        rows: number of rows of a part.
    """
    count = -(-total // rows)
    return [
        Part(
            os.path.join(directory, f"{name}-{number:05d}-of-{count:05d}{suffix}"),
            number * rows,
            min(rows, total - number * rows),
        )
        for number in range(count)
    ]


def write(
    parts: Sequence[Part],
    writer: Callable[[], Callable[[Part], None]],
    is_whole: Callable[[Part], bool],
    run: Run,
    unit: str,
) -> int:
    """Writes the missing parts and shows the progress on stderr.

    Args:
        parts: the parts, all in one directory, which exists.
        writer: returns the function that writes a part. It is pickled, and called once in each
            worker process.
        is_whole: whether a part exists and is what would be written.
        run: calls the work in other processes, such as `on_beam(["--direct_num_workers=2"])`.
        unit: name of a row.

    Returns:
        The number of parts that existed before.

    Raises:
        InputError: `writer` cannot be pickled, or some parts could not be written. The next call
            skips those that were.
    """
    directory = Path(parts[0].path).parent
    todo = [part for part in parts if not is_whole(part)]
    if not todo:
        return len(parts)
    with extra("prepare", "Apache Beam"):
        import cloudpickle
    try:
        pickled = cloudpickle.dumps(writer)
    except Exception as error:  # any, depending on the objects pickled
        raise InputError(
            f"{directory}: the work cannot be passed to other processes ({reason(error)}): do it "
            "without Beam"
        ) from error
    # A separate file, which each process reads once: it may hold a network's weights.
    with file_locks.unfinished(directory / "writer") as temporary:
        job = os.path.join(temporary, "writer")
        Path(job).write_bytes(pickled)
        with _progress(parts, todo, unit) as show:
            try:
                run(_work, [pickle.dumps((job, part)) for part in todo], show)
            except Exception as error:
                raise InputError(
                    f"{directory}: not finished ({reason(error)}): correct that and start again; "
                    "finished parts are kept"
                ) from error
            finally:
                file_locks.sweep(directory)
    missing = [part for part in todo if not is_whole(part)]
    if missing:
        raise InputError(f"{missing[0].path}: was not written: start again to resume")
    return len(parts) - len(todo)


def _work(element: bytes) -> None:
    """Writes a part; called in a worker process."""
    job, part = pickle.loads(element)
    _writer(job)(part)


@functools.lru_cache(maxsize=1)
def _writer(job: str) -> Callable[[Part], None]:
    return pickle.loads(Path(job).read_bytes())()


@contextmanager
def _progress(
    parts: Sequence[Part], todo: Sequence[Part], unit: str
) -> Iterator[Callable[[], None]]:
    """Shows how many rows are written: a bar on a terminal, lines in a log.

    Yields the function that updates it.
    """
    total, directory = sum(part.count for part in parts), os.path.dirname(parts[0].path)
    before = total - sum(part.count for part in todo)
    looked = time.monotonic()

    def count() -> int:
        there = set(os.listdir(directory))
        return before + sum(part.count for part in todo if os.path.basename(part.path) in there)

    with (
        quiet() as stderr,
        tqdm(
            total=total, initial=before, unit=unit, file=stderr, disable=not stderr.isatty()
        ) as bar,
    ):

        def show() -> None:
            nonlocal looked
            if not bar.disable:
                bar.n = count()
                bar.refresh()
            elif time.monotonic() - looked >= 60:
                looked = time.monotonic()
                print(f"{directory}: {count()} of {total} {unit}s", file=stderr, flush=True)

        yield show
        if not bar.disable:
            bar.n = count()
