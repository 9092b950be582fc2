"""A shard of a preparation: the recordings in it, and how it is written.

The main process plans the shards and any process may write them: a shard can be pickled, and
`write` takes the bytes. A finished shard leaves a sidecar in `.progress` with its rows of
videos.csv and the recordings that were skipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tgan_tf.arguments import Integer, Number, OneOf, check
from tgan_tf.data import storage, tfrecords
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.errors import Argument, InputError, reason


class Settings(NamedTuple):
    """How recordings become records.

    Attributes:
        recipe: how to resize frames.
        frame_rate: frames per second to resample to; None keeps all frames.
        encoding: encoding of the frames, "jpeg" or "raw".
        quality: quality of the JPEGs, 1 to 100.
        min_frames: a recording with fewer frames is left out, and so is the rest of one that is
            cut.
        max_frames: a longer recording is cut into several records. No video of UCF-101 has more
            than 1,776 frames.
        videos_per_shard: recordings per shard.
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
        if self.frame_rate is not None:
            check(Number(above=0), frame_rate=self.frame_rate)
        check(OneOf(tfrecords.ENCODINGS), encoding=self.encoding)
        check(Integer(1, 100), quality=self.quality)
        check(Integer(1), min_frames=self.min_frames, videos_per_shard=self.videos_per_shard)
        check(Integer(1), max_frames=self.max_frames)
        if self.max_frames < self.min_frames:
            raise InputError(
                Argument("max_frames", self.max_frames),
                ": must be at least ",
                Argument("min_frames", self.min_frames),
            )


class Shard(NamedTuple):
    """A shard to write.

    Attributes:
        output_dir: directory of the preparation.
        file: name of the shard in it.
        subset: "train" or "test".
        recordings: the recordings in it.
        settings: how it is written.
        labels: numbers of the classes, by name.
        plan: a digest of the preparation's plan; a sidecar of another plan is ignored.
    """

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


def planned(
    recordings: Sequence[Recording],
    output_dir: str,
    settings: Settings,
    classes: Sequence[str] | None,
    plan: str,
) -> list[Shard]:
    """Plans the shards of all subsets; the recordings' names alone determine what is in each."""
    labels = {name: label for label, name in enumerate(classes or ())}
    shards = []
    for subset in sorted({recording.subset for recording in recordings}):
        # Sorted by a hash, so that a shard holds videos of all classes.
        mine = sorted(
            (recording for recording in recordings if recording.subset == subset),
            key=lambda recording: digest(recording.name),
        )
        count = -(-len(mine) // settings.videos_per_shard)
        shards += [
            Shard(
                output_dir=output_dir,
                file=f"{subset}-{number:05d}-of-{count:05d}.tfrecord",
                subset=subset,
                # Nearly equal sizes, with no small last shard.
                recordings=mine[number::count],
                settings=settings,
                labels=labels,
                plan=plan,
            )
            for number in range(count)
        ]
    return shards


def finished(shard: Shard) -> dict[str, Any] | None:
    """The contents of a shard's sidecar if the shard is finished, else None."""
    try:
        sidecar = json.loads(storage.read(shard.sidecar))
        if sidecar["plan"] != shard.plan:
            return None
        if sidecar["shard"] is not None:
            if storage.size(shard.path) != sidecar["shard"]["bytes"]:
                return None
    except (FileNotFoundError, tf.errors.NotFoundError):
        return None
    return sidecar


def write(element: bytes) -> None:
    """Writes a shard, given as a pickle, and then its sidecar."""
    shard: Shard = pickle.loads(element)
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
    storage.write(shard.sidecar, to_json(sidecar))


def _encoded(shard: Shard, skipped: list[tuple[str, str]]) -> Iterator[tfrecords.EncodedVideo]:
    """The encoded videos of a shard; recordings that cannot be used are added to `skipped`."""
    settings = shard.settings
    encode = tfrecords.encoder(settings.encoding, settings.quality)
    for recording in shard.recordings:
        # All of it is encoded before the first record is written, so a late failure leaves nothing.
        try:
            frame_rate, frames = recording.read(settings.recipe, settings.frame_rate)
            encoded = [encode(frame) for frame in frames]
            if len(encoded) < settings.min_frames:
                raise UnreadableRecording(
                    f"only {len(encoded)} frames, fewer than {settings.min_frames}"
                )
        except Exception as error:  # of any library that reads it
            why = str(error) if isinstance(error, UnreadableRecording) else reason(error)
            skipped.append((recording.name, why))
            continue
        for first in range(0, len(encoded), settings.max_frames):
            part = encoded[first : first + settings.max_frames]
            if len(part) >= settings.min_frames:
                category = recording.category
                yield tfrecords.EncodedVideo(
                    recording.name,
                    category,
                    -1 if category is None else shard.labels.get(category, -1),
                    first,
                    frame_rate,
                    part,
                )
        # Not kept in memory while the next recording is read.
        del encoded, part


def to_json(value: Any) -> bytes:
    """JSON as a preparation's files have it."""
    return json.dumps(value, indent=1).encode()


def digest(value: Any) -> str:
    """A hash of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
