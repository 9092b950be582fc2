"""From recordings to the TFRecord shards of `tgan_tf.data.tfrecords`: an Apache Beam pipeline.

Which recordings make a shard is planned first. The shards are then written, each by one worker,
on all cores of this machine or wherever else Beam runs. A finished shard leaves its rows of
videos.csv in `.progress` beside the shards, so that a preparation which was stopped goes on with
the others; when all are finished their rows become videos.csv and the rest of the directory.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import json
import logging
import os
import pickle
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

import tensorflow as tf
from tqdm import tqdm

from tgan_tf import __version__, file_locks
from tgan_tf.data import storage, tfrecords
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.errors import InputError, reason
from tgan_tf.extras import extra

#: Beam's flags unless others are given: all cores of this machine. DirectRunner would end up with
#: the same runner, but first tries to download another, which starts no worker processes.
BEAM_DEFAULTS = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=0",
)

# Where a worker process finds the process that started it: its number and a port.
_MAIN_PROCESS = "TGAN_TF_PREPARATION"


class Settings(NamedTuple):
    """How recordings become records.

    Attributes:
        recipe: from a frame as it is to one of the data set.
        frame_rate: frames a second to resample to; None keeps the frames as they are.
        encoding: of the frames, "jpeg" or "raw".
        quality: of the JPEGs, 1 to 100.
        min_frames: a recording of fewer is left out, and so is what is left of one that is cut.
        max_frames: a longer recording is cut into several records. No video of UCF-101 is longer
            than 1,776 frames.
        videos_per_shard: recordings in a shard.
    """

    recipe: Recipe
    frame_rate: float | None = None
    encoding: str = "jpeg"
    quality: int = 95
    min_frames: int = 16
    max_frames: int = 2000
    videos_per_shard: int = 64

    def check(self) -> None:
        """Raises an `InputError` for a value out of range."""
        if self.frame_rate is not None and not 0 < self.frame_rate < float("inf"):
            raise InputError(f"frame_rate={self.frame_rate}: give a positive, finite number")
        if self.encoding not in tfrecords.ENCODINGS:
            names = ", ".join(tfrecords.ENCODINGS)
            raise InputError(f"encoding={self.encoding!r}: give one of {names}")
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality={self.quality}: give a whole number from 1 to 100")
        for name in ("min_frames", "videos_per_shard"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: give a whole number of at least 1")
        if self.max_frames < self.min_frames:
            raise InputError(
                f"max_frames={self.max_frames}: give at least min_frames={self.min_frames}"
            )


class Summary(NamedTuple):
    """What `prepare` has done.

    Attributes:
        already: all of it had been done before.
        info: the contents of info.json.
        skipped: name and reason of each recording that could not be used.
    """

    already: bool
    info: dict[str, Any]
    skipped: list[tuple[str, str]]


class _Shard(NamedTuple):
    """A shard to be written, as it is sent to a worker."""

    output_dir: str
    file: str
    subset: str
    recordings: list[Recording]
    settings: Settings
    labels: dict[str, int]
    plan: str

    @property
    def path(self) -> str:
        return os.path.join(self.output_dir, self.file)

    @property
    def sidecar(self) -> str:
        return os.path.join(self.output_dir, ".progress", f"{self.file}.json")


def prepare(
    recordings: Sequence[Recording],
    output_dir: str | os.PathLike,
    settings: Settings,
    classes: Sequence[str] | None = None,
    source: Mapping[str, Any] | None = None,
    beam_arguments: Sequence[str] = (),
) -> Summary:
    """Writes recordings as TFRecord shards; goes on where an earlier call was stopped.

    Shows its progress on stderr.

    Args:
        recordings: what is written, in any order; their names differ.
        output_dir: directory, local or in an object store, made if missing.
        settings: how it is written.
        classes: names of the classes; each recording's category is one of them. None: no labels.
        source: what info.json is to say of where the recordings come from, such as kind and split.
        beam_arguments: flags of Apache Beam, of which `BEAM_DEFAULTS` are the others.

    Raises:
        InputError: an argument is out of range, a package is missing, the directory holds
            something else, no recording can be used, or a worker failed.
    """
    settings.check()
    tfrecords.encoder(settings.encoding, settings.quality)
    with _quiet():
        options = _beam_options(beam_arguments)
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
            "sha256": _digest(sorted((r.name, r.category, r.subset) for r in recordings)),
        },
    }
    # An object store knows no locks.
    held = contextlib.nullcontext()
    if not storage.is_remote(output_dir):
        held = file_locks.exclusive(output_dir, "videos are being prepared there")
    with held:
        info = _begin(output_dir, plan)
        if info is not None:
            return Summary(True, info, _read_skipped(output_dir))
        shards = _shards(recordings, output_dir, settings, classes, _digest(plan))
        todo = [shard for shard in shards if _finished(shard) is None]
        with _progress(shards) as show:
            if todo:
                _run(todo, options, show)
        return _end(output_dir, plan, settings, shards)


def _check_recordings(recordings: Sequence[Recording], classes: Sequence[str] | None) -> None:
    if not recordings:
        raise InputError("recordings: there are none: give at least one")
    names = collections.Counter(recording.name for recording in recordings)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise InputError(f"recordings: {count} are called {name!r}: give each a name of its own")
    for recording in recordings if classes is not None else ():
        if recording.category not in classes:
            raise InputError(
                f"{recording.name}: its category {recording.category!r} is none of the "
                f"{len(classes)} classes: add it to them"
            )


def _begin(output_dir: str, plan: dict) -> dict | None:
    """Makes the directory ready for a plan.

    Returns:
        The contents of info.json if the plan has been carried out.

    Raises:
        InputError: the directory holds something else.
    """
    progress = os.path.join(output_dir, ".progress")
    plan_file = os.path.join(progress, "plan.json")
    try:
        if tf.io.gfile.exists(output_dir) and not tf.io.gfile.isdir(output_dir):
            raise InputError(f"{output_dir}: is no directory: give one")
        _sweep(output_dir)
        files = storage.names(output_dir) - {file_locks.LOCK}
        if "info.json" in files:
            info = tfrecords.read_info(output_dir)
            _refuse_another(output_dir, info, plan)
            for shard in info["shards"]:
                path = os.path.join(output_dir, shard["file"])
                if shard["file"] not in files or tf.io.gfile.stat(path).length != shard["bytes"]:
                    raise InputError(
                        f"{path}: is missing or cut short: restore it from a copy, or give "
                        "another output_dir to prepare the videos in"
                    )
            _remove(progress)
            return info
        if "plan.json" in storage.names(progress):
            # Until a shard is finished the plan may still change.
            if len(storage.names(progress)) > 1:
                with tf.io.gfile.GFile(plan_file, "rb") as file:
                    _refuse_another(output_dir, json.loads(file.read()), plan)
        elif files - {".progress"}:
            raise InputError(
                f"{output_dir}: holds {min(files)}, and no prepared videos: give an empty directory"
            )
        tf.io.gfile.makedirs(progress)
        storage.write(plan_file, _json(plan))
    except (
        AttributeError,
        KeyError,
        TypeError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:
        raise InputError(
            f"{output_dir}: what it says of its preparation is damaged: give another output_dir"
        ) from error
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{output_dir}: cannot be written ({reason(error)}): give a directory that can"
        ) from error
    return None


def _refuse_another(output_dir: str, there: dict, here: dict) -> None:
    """Raises an `InputError` that names what differs between two plans."""
    differences = [
        f"{name} is {there['recipe'].get(name)!r} there and {value!r} now"
        for name, value in json.loads(_json(here["recipe"])).items()
        if there["recipe"].get(name) != value
    ]
    if there["recordings"] != here["recordings"]:
        counts = there["recordings"]["count"], here["recordings"]["count"]
        differences.append("its recordings are others ({} there, {} now)".format(*counts))
    if there["classes"] != here["classes"]:
        differences.append("its classes are others")
    if differences:
        raise InputError(
            f"{output_dir}: holds videos prepared in another way: {', '.join(differences)}: give "
            "another output_dir"
        )


def _shards(
    recordings: Sequence[Recording],
    output_dir: str,
    settings: Settings,
    classes: Sequence[str] | None,
    plan: str,
) -> list[_Shard]:
    """The shards of all subsets; which recordings are in which depends on their names alone."""
    labels = {name: label for label, name in enumerate(classes or ())}
    shards = []
    for subset in sorted({recording.subset for recording in recordings}):
        # By a hash, so that a shard holds videos of all classes.
        mine = sorted(
            (recording for recording in recordings if recording.subset == subset),
            key=lambda recording: _digest(recording.name),
        )
        count = -(-len(mine) // settings.videos_per_shard)
        shards += [
            _Shard(
                output_dir=output_dir,
                file=f"{subset}-{number:05d}-of-{count:05d}.tfrecord",
                subset=subset,
                # As equal as can be: there is no small last one.
                recordings=mine[number::count],
                settings=settings,
                labels=labels,
                plan=plan,
            )
            for number in range(count)
        ]
    return shards


def _finished(shard: _Shard) -> dict | None:
    """What the sidecar of a shard says, if the shard is finished."""
    try:
        with tf.io.gfile.GFile(shard.sidecar, "rb") as file:
            sidecar = json.loads(file.read())
        if sidecar["plan"] != shard.plan:
            return None
        if sidecar["shard"] is not None:
            if tf.io.gfile.stat(shard.path).length != sidecar["shard"]["bytes"]:
                return None
    except tf.errors.NotFoundError:
        return None
    return sidecar


def _write_shard(element: bytes) -> None:
    """Writes a shard and then its sidecar, in a worker."""
    _end_with_main_process()
    shard: _Shard = pickle.loads(element)
    storage.register(shard.output_dir)
    skipped: list[tuple[str, str]] = []
    rows, written = tfrecords.write_shard(
        shard.path,
        shard.subset,
        shard.settings.encoding,
        shard.settings.recipe.frame_shape,
        _encoded(shard, skipped),
    )
    sidecar = {"plan": shard.plan, "shard": written, "rows": rows, "skipped": skipped}
    storage.write(shard.sidecar, _json(sidecar))


def _encoded(shard: _Shard, skipped: list[tuple[str, str]]) -> Iterator[tfrecords.EncodedVideo]:
    """The videos of a shard, encoded; what cannot be used is added to `skipped`."""
    settings = shard.settings
    encode = tfrecords.encoder(settings.encoding, settings.quality)
    for recording in shard.recordings:
        # All of it before the first record is written: what fails later leaves nothing behind.
        try:
            frame_rate, frames = recording.read(settings.recipe, settings.frame_rate)
            encoded = [encode(frame) for frame in frames]
            if len(encoded) < settings.min_frames:
                raise UnreadableRecording(
                    f"only {len(encoded)} frames, fewer than {settings.min_frames}"
                )
        except Exception as error:  # of whatever library reads it
            why = str(error) if isinstance(error, UnreadableRecording) else reason(error)
            skipped.append((recording.name, why))
            continue
        for first in range(0, len(encoded), settings.max_frames):
            part = encoded[first : first + settings.max_frames]
            if len(part) >= settings.min_frames:
                yield tfrecords.EncodedVideo(
                    recording.name,
                    recording.category,
                    shard.labels.get(recording.category, -1),
                    first,
                    frame_rate,
                    part,
                )
        # Not kept in memory while the next is read.
        del encoded, part


def _run(shards: list[_Shard], options, show: Callable[[], None]) -> None:
    """Has Beam write shards.

    Raises:
        InputError: a worker failed.
    """
    import apache_beam as beam

    output_dir = shards[0].output_dir
    failures: list[BaseException] = []
    elements = [pickle.dumps(shard) for shard in shards]

    def run() -> None:
        try:
            pipeline = beam.Pipeline(options=options)
            pipeline | beam.Create(elements) | beam.Reshuffle() | beam.Map(_write_shard)
            pipeline.run().wait_until_finish()
        except BaseException as error:
            failures.append(error)

    def died(failed) -> None:
        if isinstance(failed.exc_value, RuntimeError):
            failures.append(RuntimeError("a worker process died: is there enough memory?"))

    # For good: of a run that has failed, threads are left that may log at any time.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL + 1)
    thread = threading.Thread(target=run, daemon=True)
    # When a worker process dies Beam waits for ever; only an error in one of its threads tells.
    hook, threading.excepthook = threading.excepthook, died
    try:
        # Closed at the end, whatever happens: worker processes that are still there end then.
        with socket.create_server(("localhost", 0)) as server:
            os.environ[_MAIN_PROCESS] = f"{os.getpid()} {server.getsockname()[1]}"
            thread.start()
            while thread.is_alive() and not failures:
                # A list of an object store's files costs time and money.
                thread.join(30 if storage.is_remote(output_dir) else 1)
                show()
    finally:
        thread.join(5)
        threading.excepthook = hook
        del os.environ[_MAIN_PROCESS]
        _sweep(output_dir)
    # A worker whose process fails as it ends, as with S3's file system, has done its work.
    if failures and any(_finished(shard) is None for shard in shards):
        raise InputError(
            f"{output_dir}: not finished ({_last_line(failures[0])}): start again once that is "
            "mended, finished shards are kept"
        ) from failures[0]


@functools.cache
def _end_with_main_process() -> None:
    """Lets a worker process of this machine end as soon as the main process ends or gives up.

    Beam's own would go on until they have written all their shards.
    """
    number, _, port = os.environ.get(_MAIN_PROCESS, "").partition(" ")
    if not port or int(number) == os.getpid():
        return

    def watch() -> None:
        with contextlib.suppress(OSError):
            # Nothing is ever sent: it returns when the other side is closed.
            socket.create_connection(("localhost", int(port))).recv(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _beam_options(arguments: Sequence[str]):
    """Beam's options, `apache_beam.options.pipeline_options.PipelineOptions`."""
    with extra("prepare", "preparing videos"):
        from apache_beam.options.pipeline_options import PipelineOptions
    given = " ".join(arguments)
    try:
        options = PipelineOptions([*BEAM_DEFAULTS, *arguments])
        known = options.get_all_options()
        retained = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        raise InputError(
            f"beam_arguments={given!r}: Apache Beam does not take them: see its documentation"
        ) from error
    # Beam passes over flags it does not know: those of other runners may be their servers'.
    unknown = [name for name in retained if name not in known]
    if unknown and f"--runner={known['runner']}" in BEAM_DEFAULTS:
        raise InputError(
            f"beam_arguments={given!r}: {', '.join(unknown)} is no flag of Apache Beam"
        )
    return options


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Silences stderr, of worker processes too: pages of Beam's. Gives the real one."""
    sys.stderr.flush()
    with open(os.dup(2), "w") as stderr, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield stderr
        finally:
            sys.stderr.flush()
            os.dup2(stderr.fileno(), 2)


@contextlib.contextmanager
def _progress(shards: list[_Shard]) -> Iterator[Callable[[], None]]:
    """Shows how many recordings are in finished shards: a bar on a terminal, lines in a log.

    Gives the function that looks.
    """
    total = sum(len(shard.recordings) for shard in shards)
    told = time.monotonic()

    def count() -> int:
        there = storage.names(os.path.dirname(shards[0].sidecar))
        return sum(len(s.recordings) for s in shards if os.path.basename(s.sidecar) in there)

    with (
        _quiet() as stderr,
        tqdm(
            total=total, initial=count(), unit="video", file=stderr, disable=not stderr.isatty()
        ) as bar,
    ):

        def show() -> None:
            nonlocal told
            if not bar.disable:
                bar.n = count()
                bar.refresh()
            elif time.monotonic() - told >= 60:
                told = time.monotonic()
                line = f"{shards[0].output_dir}: {count()} of {total} videos"
                print(line, file=stderr, flush=True)

        yield show


def _end(output_dir: str, plan: dict, settings: Settings, shards: list[_Shard]) -> Summary:
    """Makes of the sidecars what describes the directory; info.json is written last."""
    sidecars = {shard.file: _finished(shard) for shard in shards}
    for file, sidecar in sidecars.items():
        if sidecar is None:
            raise InputError(f"{output_dir}: {file} was not written: start again, it goes on")
    rows = [tfrecords.Row(*row) for sidecar in sidecars.values() for row in sidecar["rows"]]
    skipped = [(name, why) for sidecar in sidecars.values() for name, why in sidecar["skipped"]]
    if not rows:
        first = "; ".join(f"{name}: {why}" for name, why in skipped[:3])
        _remove(os.path.join(output_dir, ".progress"))
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
        "shards": [sidecar["shard"] for sidecar in sidecars.values() if sidecar["shard"]],
    }
    storage.write(os.path.join(output_dir, "videos.csv"), videos_csv)
    storage.write(
        os.path.join(output_dir, "skipped.csv"), tfrecords.table(("name", "reason"), skipped)
    )
    storage.write(os.path.join(output_dir, "info.json"), _json(info))
    _remove(os.path.join(output_dir, ".progress"))
    return Summary(False, json.loads(_json(info)), skipped)


def _read_skipped(output_dir: str) -> list[tuple[str, str]]:
    with tf.io.gfile.GFile(os.path.join(output_dir, "skipped.csv"), "rb") as file:
        return [(name, why) for name, why in tfrecords.read_table(file.read())]


def _remove(directory: str) -> None:
    if tf.io.gfile.exists(directory):
        tf.io.gfile.rmtree(directory)


def _sweep(output_dir: str) -> None:
    """Removes what a killed process was writing."""
    for directory in (output_dir, os.path.join(output_dir, ".progress")):
        if tf.io.gfile.isdir(directory):
            storage.sweep(directory)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _last_line(error: BaseException) -> str:
    """What happened, of an error that Beam hands on with the tracebacks of two processes."""
    text = re.sub(r"\[while running [^]]*\]", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return reason(RuntimeError(lines[-1])) if lines else type(error).__name__
