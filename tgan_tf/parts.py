"""Work on many rows in parts: each a file of successive rows, written in any process.

    parts = planned("generated", "clips", ".npz", total=10**6, rows=1024)
    write(parts, functools.partial(clip_writer, generator), is_whole, on_beam(), "video")

What has the parts written is what has a preparation's shards written, see `tgan_tf.data.beam`. A
part is written to a temporary name and renamed; one that is there and whole is passed over, so that
the same call goes on where another was stopped.
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
    """Successive rows, and the file that they are written to.

    Attributes:
        path: of the file.
        first: number of the first row.
        count: how many rows.
    """

    path: str
    first: int
    count: int  # type: ignore[assignment]  # hides `tuple.count`, which is of no use here


def planned(
    directory: str | os.PathLike[str], name: str, suffix: str, total: int, rows: int
) -> list[Part]:
    """The parts of a number of rows, all of `rows` but the last one, which is of what is left.

    Args:
        directory: where their files are.
        name: that the files' names begin with.
        suffix: that they end with.
        total: how many rows in all.
        rows: of a part.
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
    """Has those parts written that are not there; shows its progress on stderr.

    Args:
        parts: of one directory, which is there.
        writer: gives the function that writes a part. It is called once in each process that
            works, and gets there by pickle.
        is_whole: whether a part is there, and is what would be written.
        run: what has them written, such as `on_beam(["--direct_num_workers=2"])`.
        unit: what a row is called.

    Returns:
        How many parts were there before.

    Raises:
        InputError: `writer` cannot be pickled, or not all parts are there at the end; those that
            are will be passed over.
    """
    directory = Path(parts[0].path).parent
    todo = [part for part in parts if not is_whole(part)]
    if not todo:
        return len(parts)
    with extra("prepare", "Apache Beam"):
        import cloudpickle
    try:
        pickled = cloudpickle.dumps(writer)
    except Exception as error:  # of whatever library an object is of
        raise InputError(
            f"{directory}: what is to be done cannot be handed to other processes "
            f"({reason(error)}): do it in this one, without Beam"
        ) from error
    # A file of its own, which each process reads once: it may hold a network's weights.
    with file_locks.unfinished(directory / "writer") as temporary:
        job = os.path.join(temporary, "writer")
        Path(job).write_bytes(pickled)
        with _progress(parts, todo, unit) as show:
            try:
                run(_work, [pickle.dumps((job, part)) for part in todo], show)
            except Exception as error:
                raise InputError(
                    f"{directory}: not finished ({reason(error)}): start again once that is "
                    "mended, what is finished is kept"
                ) from error
            finally:
                file_locks.sweep(directory)
    missing = [part for part in todo if not is_whole(part)]
    if missing:
        raise InputError(f"{missing[0].path}: was not written: start again, it goes on")
    return len(parts) - len(todo)


def _work(element: bytes) -> None:
    """Writes a part, in whichever process this is."""
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

    Gives the function that looks.
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
