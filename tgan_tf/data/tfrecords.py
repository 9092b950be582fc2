"""Prepared videos: TFRecord shards, and a table of where each video lies in them.

A prepared directory, local or in an object store, holds

    train-00000-of-00012.tfrecord  records of `tf.train.Example`: a video, or a part of a long one
    videos.csv                     one row per record: `Row`
    skipped.csv                    recordings that could not be used, and why
    info.json                      recipe, counts, classes and a hash of each file; written last

An example has the features `frames` (one byte string per frame: a JPEG, or its uint8 values),
`encoding` ("jpeg" or "raw"), `shape` (rows, columns, channels), `num_frames`, `first_frame` (its
number in the whole video), `frame_rate`, `name`, `category` and `label` (-1: none).
`tf.data.TFRecordDataset` reads the shards one record after another:

    dataset = tf.data.TFRecordDataset(tf.io.gfile.glob("ucf101/train-*.tfrecord"))
    dataset = dataset.map(lambda record: tf.io.parse_single_example(record, FEATURES))

`tgan_tf.data.tfrecord_videos` reads any window of any video, in any order.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf.data import storage
from tgan_tf.errors import InputError, reason
from tgan_tf.extras import extra

#: Version of the format; later versions are refused.
FORMAT = 1

ENCODINGS = ("jpeg", "raw")

#: The features of a record, for `tf.io.parse_single_example`.
FEATURES = {
    "frames": tf.io.RaggedFeature(tf.string),
    "encoding": tf.io.FixedLenFeature([], tf.string),
    "shape": tf.io.FixedLenFeature([3], tf.int64),
    "num_frames": tf.io.FixedLenFeature([], tf.int64),
    "first_frame": tf.io.FixedLenFeature([], tf.int64),
    "frame_rate": tf.io.FixedLenFeature([], tf.float32),
    "name": tf.io.FixedLenFeature([], tf.string),
    "category": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}

# The remedy for damage.
PREPARE_AGAIN = "prepare the videos again"

# Bytes around a record in the file: its length (8), and checksums (4 each) of length and record.
FRAMING = 16


class EncodedVideo(NamedTuple):
    """A video to write: `frames` are encoded; for the rest see `Row`."""

    name: str
    category: str | None
    label: int
    first_frame: int
    frame_rate: float
    frames: Sequence[bytes]


class Row(NamedTuple):
    """A record's row in videos.csv.

    Attributes:
        subset: "train" or "test".
        shard: name of the file.
        offset: position of the record in the file, bytes.
        bytes: size of the record with its framing in the file.
        name: name of the video.
        category: name of its class; "" if there are no classes.
        label: number of its class; -1 if there are no classes.
        first_frame: number of the record's first frame in the video; more than 0 only in a later
            part of a video that was too long for one record.
        num_frames: frames in the record.
        frame_rate: frames per second; 0 if unknown.
    """

    subset: str
    shard: str
    offset: int
    bytes: int
    name: str
    category: str
    label: int
    first_frame: int
    num_frames: int
    frame_rate: float


def encoder(encoding: str, quality: int) -> Callable[[np.ndarray], bytes]:
    """Returns a function that encodes a frame, uint8 [rows, columns, 3].

    Args:
        encoding: "jpeg", with the colours at full resolution, or "raw", which is exact.
        quality: quality of the JPEG, 1 to 100.

    Raises:
        InputError: the package that encodes JPEGs is missing.
    """
    if encoding == "raw":
        return np.ndarray.tobytes
    with extra("prepare", "encoding='jpeg'"):
        import simplejpeg

    def encode(frame: np.ndarray) -> bytes:
        return simplejpeg.encode_jpeg(
            np.ascontiguousarray(frame), quality, colorspace="RGB", colorsubsampling="444"
        )

    return encode


def write_shard(
    path: str,
    subset: str,
    encoding: str,
    frame_shape: tuple[int, int, int],
    videos: Iterable[EncodedVideo],
) -> tuple[list[Row], dict[str, Any] | None]:
    """Writes a shard one video at a time; the file appears whole or not at all.

    Returns:
        The rows of its records, and the file's entry for info.json: file, bytes, sha256, records.
        Without videos no file is written and the entry is None.

    Raises:
        OSError or tf.errors.OpError: it cannot be written.
    """
    shard, rows, offset = os.path.basename(path), [], 0
    with storage.replacing(path) as temporary:
        with tf.io.TFRecordWriter(temporary) as writer:
            for video in videos:
                example = _example(video, encoding, frame_shape).SerializeToString(
                    deterministic=True
                )
                writer.write(example)
                row = Row(
                    subset=subset,
                    shard=shard,
                    offset=offset,
                    bytes=len(example) + FRAMING,
                    name=video.name,
                    category=video.category or "",
                    label=video.label,
                    first_frame=video.first_frame,
                    num_frames=len(video.frames),
                    frame_rate=video.frame_rate,
                )
                rows.append(row)
                offset += row.bytes
                # Not kept in memory while the next video is read.
                del video, example
        # Read back from the file, which shows what did not arrive.
        size, sha256 = storage.size(temporary), file_hash(temporary)
        if size != offset:
            raise OSError(errno.EIO, f"{size} of {offset} bytes were written", path)
    if not rows:
        storage.remove(path)
        return [], None
    return rows, {"file": shard, "bytes": size, "sha256": sha256, "records": len(rows)}


def _example(
    video: EncodedVideo, encoding: str, frame_shape: tuple[int, int, int]
) -> tf.train.Example:
    def feature(*values: bytes | float) -> tf.train.Feature:
        if isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "frames": feature(*video.frames),
        "encoding": feature(encoding.encode()),
        "shape": feature(*frame_shape),
        "num_frames": feature(len(video.frames)),
        "first_frame": feature(video.first_frame),
        "frame_rate": feature(float(video.frame_rate)),
        "name": feature(video.name.encode(errors="surrogateescape")),
        "category": feature((video.category or "").encode(errors="surrogateescape")),
        "label": feature(video.label),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def file_hash(path: str) -> str:
    digest = hashlib.sha256()
    with storage.open_file(path) as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def example_in(record: bytes) -> bytes | None:
    """The example in a raw record of the file; None if its checksum is wrong.

    TensorFlow reads and checks records itself, but only in files that it can open.

    Raises:
        InputError: the package that computes the checksum is missing.
    """
    with extra("storage", "a record of TFRecords"):
        import google_crc32c
    example = record[12:-4]
    checksum = google_crc32c.value(example)
    # "Masked" as in TensorFlow's `tensorflow/core/lib/hash/crc32c.h`.
    masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return example if record[-4:] == masked.to_bytes(4, "little") else None


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A CSV file: the columns' names, then the rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")


def read_table(data: bytes) -> list[list[str]]:
    """The rows of a CSV file, without the columns' names."""
    text = data.decode(errors="surrogateescape")
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


def read_info(path: str) -> dict[str, Any]:
    """Reads the info.json of a prepared directory.

    Raises:
        InputError: it is missing, or this version cannot read it.
    """
    file = os.path.join(path, "info.json")
    try:
        data = storage.read(file)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{file}: cannot be read ({reason(error)}): give a directory whose preparation has "
            "finished"
        ) from error
    try:
        info = json.loads(data)
        newer = info["format"] > FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is damaged: {PREPARE_AGAIN}") from error
    if newer:
        raise InputError(
            f"{file}: has format {info['format']}, made by tgan_tf {info.get('tgan_tf')}; this "
            f"version reads formats up to {FORMAT}: use that version"
        )
    return info
