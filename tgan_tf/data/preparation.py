"""From recordings to a prepared directory (see `tgan_tf.data.tfrecords`): plan, shards, table.

The recordings are first assigned to shards. Apache Beam then writes the shards, each in one worker,
on all cores of this machine or wherever it runs. A finished shard leaves its rows of videos.csv in
`.progress` beside the shards, so that a stopped preparation resumes with the other shards. When all
are finished, videos.csv and the other files are written from their rows.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

import tensorflow as tf
from tqdm import tqdm

from tgan_tf import __version__, file_locks
from tgan_tf.data import storage, tfrecords
from tgan_tf.data.beam import Run, on_beam, quiet
from tgan_tf.data.recordings import Recording
from tgan_tf.data.shards import Settings, Shard, digest, finished, planned, to_json, write
from tgan_tf.errors import Argument, InputError, reason


class Summary(NamedTuple):
    """The result of `prepare`.

    Attributes:
        already: whether the preparation had been finished before.
        info: the contents of info.json.
        skipped: the name of each recording that could not be used, and the reason.
    """

    already: bool
    info: dict[str, Any]
    skipped: list[tuple[str, str]]


def prepare(
    recordings: Sequence[Recording],
    output_dir: str | os.PathLike[str],
    settings: Settings,
    classes: Sequence[str] | None = None,
    source: Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> Summary:
    """Writes recordings as TFRecord shards; resumes where an earlier call was stopped.

    Progress is shown on stderr.

    Args:
        recordings: the recordings to write, in any order; their names must differ.
        output_dir: a directory, local or in an object store, made if missing.
        settings: how they are written.
        classes: names of the classes; each recording's category is one of them. None: no labels.
        source: where the recordings come from, such as kind and split, for info.json.
        run: runs the writing of the shards, such as `on_beam(["--direct_num_workers=1"])`. Default:
            Apache Beam on all cores of this machine.

    Raises:
        InputError: an argument is out of range, a package is missing, the directory holds
            something else, no recording can be used, or a worker failed.
    """
    settings.check()
    tfrecords.encoder(settings.encoding, settings.quality)
    run = on_beam() if run is None else run
    output_dir = storage.register(output_dir)
    _check_recordings(recordings, classes)
    plan = {
        "recipe": {
            **settings.recipe._asdict(),
            **{name: value for name, value in settings._asdict().items() if name != "recipe"},
            "source": dict(source or {}),
        },
        "classes": None if classes is None else list(classes),
        "recordings": {
            "count": len(recordings),
            "sha256": digest(sorted((r.name, r.category, r.subset) for r in recordings)),
        },
    }
    # Object stores have no locks.
    held: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if not storage.is_remote(output_dir):
        held = file_locks.exclusive(output_dir, "videos are being prepared there")
    with held:
        info = _begin(output_dir, plan)
        if info is not None:
            return Summary(True, info, _read_skipped(output_dir))
        shards = planned(recordings, output_dir, settings, classes, digest(plan))
        todo = [shard for shard in shards if finished(shard) is None]
        with _progress(shards) as show:
            if todo:
                _write(todo, run, show)
        return _end(output_dir, plan, settings, shards)


def _check_recordings(recordings: Sequence[Recording], classes: Sequence[str] | None) -> None:
    if not recordings:
        raise InputError("recordings: must not be empty")
    names = collections.Counter(recording.name for recording in recordings)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise InputError(f"recordings: {count} are called {name!r}: give each a different name")
    if classes is None:
        return
    for recording in recordings:
        if recording.category not in classes:
            raise InputError(
                f"{recording.name}: its category {recording.category!r} is not one of the "
                f"{len(classes)} classes: add it to them"
            )


def _begin(output_dir: str, plan: dict[str, Any]) -> dict[str, Any] | None:
    """Prepares the output directory for a plan.

    Returns:
        The contents of info.json if the plan is already finished, else None.

    Raises:
        InputError: the directory holds something else.
    """
    progress = os.path.join(output_dir, ".progress")
    plan_file = os.path.join(progress, "plan.json")
    try:
        if storage.exists(output_dir) and not storage.is_directory(output_dir):
            raise InputError(f"{output_dir}: is not a directory: give one")
        _sweep(output_dir)
        files = storage.names(output_dir) - {file_locks.LOCK}
        if "info.json" in files:
            info = tfrecords.read_info(output_dir)
            _refuse_another(output_dir, info, plan)
            for shard in info["shards"]:
                path = os.path.join(output_dir, shard["file"])
                if shard["file"] not in files or storage.size(path) != shard["bytes"]:
                    raise InputError(
                        f"{path}: is missing or truncated: restore it from a copy, or give "
                        "another ",
                        Argument("output_dir"),
                        " to prepare the videos in",
                    )
            storage.remove_tree(progress)
            return info
        if "plan.json" in storage.names(progress):
            # The plan may change until the first shard is finished.
            if len(storage.names(progress)) > 1:
                _refuse_another(output_dir, json.loads(storage.read(plan_file)), plan)
        elif files - {".progress"}:
            raise InputError(
                f"{output_dir}: holds {min(files)} but no prepared videos: give an empty directory"
            )
        storage.make_directories(progress)
        storage.write(plan_file, to_json(plan))
    except (
        AttributeError,
        KeyError,
        TypeError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:
        raise InputError(
            f"{output_dir}: the record of its preparation is damaged: give another ",
            Argument("output_dir"),
        ) from error
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{output_dir}: cannot be written ({reason(error)}): give a writable directory"
        ) from error
    return None


def _refuse_another(output_dir: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Raises an `InputError` that names what differs between two plans."""
    differences = [
        f"{name} is {there['recipe'].get(name)!r} there but {value!r} now"
        for name, value in json.loads(to_json(here["recipe"])).items()
        if there["recipe"].get(name) != value
    ]
    if there["recordings"] != here["recordings"]:
        counts = there["recordings"]["count"], here["recordings"]["count"]
        differences.append(
            "its recordings or their subsets differ ({} recordings there, {} now)".format(*counts)
        )
    if there["classes"] != here["classes"]:
        differences.append("its classes differ")
    if differences:
        raise InputError(
            f"{output_dir}: holds videos that were prepared differently: {', '.join(differences)}: "
            "give another ",
            Argument("output_dir"),
        )


def _write(shards: list[Shard], run: Run, show: Callable[[], None]) -> None:
    """Writes shards.

    Raises:
        InputError: not all of them were written.
    """
    output_dir = shards[0].output_dir
    try:
        run(write, [pickle.dumps(shard) for shard in shards], show)
    except Exception as error:
        # A worker may fail only as its process ends, as with S3's file system; its work is then
        # done.
        if any(finished(shard) is None for shard in shards):
            raise InputError(
                f"{output_dir}: not finished ({reason(error)}): correct that and start again; "
                "finished shards are kept"
            ) from error
    finally:
        _sweep(output_dir)


@contextlib.contextmanager
def _progress(shards: list[Shard]) -> Iterator[Callable[[], None]]:
    """Shows the number of recordings in finished shards: a bar on a terminal, lines in a log.

    Yields the function that updates it.
    """
    total = sum(len(shard.recordings) for shard in shards)
    output_dir = shards[0].output_dir
    looked = time.monotonic()

    def count() -> int:
        there = storage.names(os.path.dirname(shards[0].sidecar))
        return sum(len(s.recordings) for s in shards if os.path.basename(s.sidecar) in there)

    with (
        quiet() as stderr,
        tqdm(
            total=total, initial=count(), unit="video", file=stderr, disable=not stderr.isatty()
        ) as bar,
    ):
        # Listing an object store's files costs time and money.
        pause = 60 if bar.disable else 30 if storage.is_remote(output_dir) else 0

        def show() -> None:
            nonlocal looked
            if time.monotonic() - looked < pause:
                return
            looked = time.monotonic()
            if bar.disable:
                print(f"{output_dir}: {count()} of {total} videos", file=stderr, flush=True)
            else:
                bar.n = count()
                bar.refresh()

        yield show
        if not bar.disable:
            bar.n = count()


def _end(output_dir: str, plan: dict[str, Any], settings: Settings, shards: list[Shard]) -> Summary:
    """Writes the files that describe the directory from the sidecars, info.json last."""
    sidecars = []
    for shard in shards:
        sidecar = finished(shard)
        if sidecar is None:
            raise InputError(f"{output_dir}: {shard.file} was not written: start again to resume")
        sidecars.append(sidecar)
    rows = [tfrecords.Row(*row) for sidecar in sidecars for row in sidecar["rows"]]
    skipped = [(name, why) for sidecar in sidecars for name, why in sidecar["skipped"]]
    if not rows:
        first = "; ".join(f"{name}: {why}" for name, why in skipped[:3])
        storage.remove_tree(os.path.join(output_dir, ".progress"))
        raise InputError(f"none of the {len(skipped)} recordings can be used: {first}")
    videos_csv = tfrecords.table(tfrecords.Row._fields, rows)
    info = {
        "format": tfrecords.FORMAT,
        "tgan_tf": __version__,
        **plan,
        "frame_shape": settings.recipe.frame_shape,
        "counts": {
            subset: {
                "videos": len({row.name for row in rows if row.subset == subset}),
                "records": sum(row.subset == subset for row in rows),
                "frames": sum(row.num_frames for row in rows if row.subset == subset),
            }
            for subset in sorted({row.subset for row in rows})
        },
        "skipped": dict(collections.Counter(why for _, why in skipped).most_common()),
        "videos_csv_sha256": hashlib.sha256(videos_csv).hexdigest(),
        "shards": [sidecar["shard"] for sidecar in sidecars if sidecar["shard"]],
    }
    storage.write(os.path.join(output_dir, "videos.csv"), videos_csv)
    storage.write(
        os.path.join(output_dir, "skipped.csv"), tfrecords.table(("name", "reason"), skipped)
    )
    storage.write(os.path.join(output_dir, "info.json"), to_json(info))
    storage.remove_tree(os.path.join(output_dir, ".progress"))
    return Summary(False, json.loads(to_json(info)), skipped)


def _read_skipped(output_dir: str) -> list[tuple[str, str]]:
    data = storage.read(os.path.join(output_dir, "skipped.csv"))
    return [(name, why) for name, why in tfrecords.read_table(data)]


def _sweep(output_dir: str) -> None:
    """Removes the partial files of a killed process."""
    for directory in (output_dir, os.path.join(output_dir, ".progress")):
        if storage.is_directory(directory):
            storage.sweep(directory)
