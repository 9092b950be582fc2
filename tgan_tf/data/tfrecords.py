"""Prepared videos: TFRecord shards, and a table that says where in them each video lies.

A prepared directory, local or in an object store, holds

    train-00000-of-00012.tfrecord  a record is a `tf.train.Example`, a video or a part of a long one
    videos.csv                     a row a record: `Row`
    skipped.csv                    recordings that could not be used, and why
    info.json                      the recipe, counts, classes and a hash of each file, written last

An example has the features `frames` (bytes, one a frame: a JPEG, or its uint8 values), `encoding`
("jpeg" or "raw"), `shape` (rows, columns, channels), `num_frames`, `first_frame` (of the whole
video), `frame_rate`, `name`, `category` and `label` (-1: none). `tf.data.TFRecordDataset` reads the
shards one record after the other:

    dataset = tf.data.TFRecordDataset(tf.io.gfile.glob("ucf101/train-*.tfrecord"))
    dataset = dataset.map(lambda record: tf.io.parse_single_example(record, FEATURES))

`TFRecordVideos` reads any window of any video, in any order.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf.data import storage
from tgan_tf.errors import InputError, reason
from tgan_tf.extras import extra

#: Version of the format; a reader refuses a later one.
FORMAT = 1

ENCODINGS = ("jpeg", "raw")

#: What a record holds, for `tf.io.parse_single_example`.
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

# What a user can do about damage.
_PREPARE_AGAIN = "prepare the videos again with experiments/prepare_data.py"
_SKIP = f"{_PREPARE_AGAIN}, or leave the shard out with damaged_shards=skip"

# What frames a record in the file: its length (8 bytes), and checksums (4) of that and of it.
_FRAMING = 16


class EncodedVideo(NamedTuple):
    """A video to be written: `frames` are encoded, the rest is as in `Row`."""

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
        offset: of the record in the file, bytes.
        bytes: of the record, with what frames it in the file.
        name: of the video.
        category: name of its class; "" where there are none.
        label: number of its class; -1 where there are none.
        first_frame: number of the record's first frame in the video; more than 0 only in a later
            part of a video that was too long for one record.
        num_frames: frames in the record.
        frame_rate: frames a second; 0 where unknown.
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


_ROW_TYPES = (str, str, int, int, str, str, int, int, int, float)


def encoder(encoding: str, quality: int) -> Callable[[np.ndarray], bytes]:
    """A function that encodes a frame, uint8 [rows, columns, 3].

    Args:
        encoding: "jpeg", with the colours at full resolution, or "raw", which is exact.
        quality: of the JPEG, 1 to 100.

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
) -> tuple[list[Row], dict | None]:
    """Writes a shard, one video after the other; the file appears whole or not at all.

    Returns:
        The rows of its records, and what info.json says of the file: file, bytes, sha256, records.
        No videos make no file, and None.

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
                    bytes=len(example) + _FRAMING,
                    name=video.name,
                    category=video.category or "",
                    label=video.label,
                    first_frame=video.first_frame,
                    num_frames=len(video.frames),
                    frame_rate=video.frame_rate,
                )
                rows.append(row)
                offset += row.bytes
                # Not kept in memory while the next is read.
                del video, example
        # Of the file as it lies there: what did not arrive is found out here.
        size, sha256 = tf.io.gfile.stat(temporary).length, _sha256(temporary)
        if size != offset:
            raise OSError(errno.EIO, f"{size} of {offset} bytes were written", path)
    if not rows:
        tf.io.gfile.remove(path)
        return [], None
    return rows, {"file": shard, "bytes": size, "sha256": sha256, "records": len(rows)}


def _example(video: EncodedVideo, encoding: str, frame_shape) -> tf.train.Example:
    def feature(*values):
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


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def table(columns: Sequence[str], rows: Iterable[Sequence]) -> bytes:
    """A CSV file of rows under the columns' names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")


def read_table(data: bytes) -> list[list[str]]:
    """The rows of a CSV file, without the columns' names."""
    text = data.decode(errors="surrogateescape")
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


def read_info(path: str) -> dict:
    """Reads the info.json of a prepared directory.

    Raises:
        InputError: there is none, or none that this version can read.
    """
    file = os.path.join(path, "info.json")
    try:
        with tf.io.gfile.GFile(file, "rb") as opened:
            data = opened.read()
    except tf.errors.OpError as error:
        raise InputError(
            f"{file}: cannot be read ({reason(error)}): give a directory that "
            "experiments/prepare_data.py has finished"
        ) from error
    try:
        info = json.loads(data)
        newer = info["format"] > FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is damaged: {_PREPARE_AGAIN}") from error
    if newer:
        raise InputError(
            f"{file}: is of format {info['format']}, made by tgan_tf {info.get('tgan_tf')}; this "
            f"version reads formats up to {FORMAT}: use that version"
        )
    return info


class TFRecordVideos:
    """The videos of a prepared directory; implements `tgan_tf.data.windows.Videos`.

    A video that was too long for one record is several here, one a record.

    Args:
        path: the directory, local or in an object store.
        subset: "train" or "test".
        damaged_shards: what to do if a shard is not as it was written: "refuse" it, or "skip" it
            with a warning and go on with the other shards.
        verify: compare the shards with their hashes, which reads all of them. Without it only a
            missing or cut shard is found now; anything else when a record of it is read.

    Raises:
        InputError: the directory is no prepared one, has no such subset, or is damaged.

    Example:
        >>> Windows(TFRecordVideos("prepared/ucf101")).clip(0).shape
        TensorShape([16, 64, 64, 3])
    """

    def __init__(
        self,
        path: str | os.PathLike,
        subset: str = "train",
        damaged_shards: str = "refuse",
        verify: bool = True,
    ):
        if damaged_shards not in ("refuse", "skip"):
            raise InputError(f"damaged_shards={damaged_shards!r}: give refuse or skip")
        self.path = storage.register(path)
        info = read_info(self.path)
        try:
            rows = self._rows(info["videos_csv_sha256"])
            shards = {shard["file"]: shard for shard in info["shards"]}
            self._encoding = info["recipe"]["encoding"]
            self.frame_shape = tuple(info["frame_shape"])
            self.classes = info["classes"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.path}/info.json: is damaged: {_PREPARE_AGAIN}") from error

        mine = [row for row in rows if row.subset == subset]
        if not mine:
            there = ", ".join(sorted({row.subset for row in rows}))
            raise InputError(f"subset={subset!r}: {self.path} has none of it: give {there}")
        damaged = self._damaged(shards, mine, verify)
        if damaged and damaged_shards == "refuse":
            more = f" (and {len(damaged) - 1} more shards)" if len(damaged) > 1 else ""
            raise InputError(f"{next(iter(damaged.values()))}{more}: {_SKIP}")
        mine = [row for row in mine if row.shard not in damaged]
        if not mine:
            raise InputError(
                f"{next(iter(damaged.values()))}, and so are all shards of {subset!r}: "
                f"{_PREPARE_AGAIN}"
            )
        for message in damaged.values():
            warnings.warn(f"{message}: its videos are left out", stacklevel=2)

        self.names = [
            f"{row.name} from frame {row.first_frame}" if row.first_frame else row.name
            for row in mine
        ]
        self.lengths = np.array([row.num_frames for row in mine], np.int64)
        self.labels = (
            None if self.classes is None else np.array([row.label for row in mine], np.int32)
        )
        # tf.data runs on the CPU: a table on a GPU would be copied back for every clip.
        with tf.device("CPU:0"):
            self._paths = tf.constant([os.path.join(self.path, row.shard) for row in mine])
            self._offsets = tf.constant([row.offset for row in mine], tf.int64)

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """Reads a window; see `tgan_tf.data.windows.Videos`."""
        features = {"frames": FEATURES["frames"]}
        encoded = tf.io.parse_single_example(self._example(video), features)["frames"]
        encoded = encoded[first : first + (frames - 1) * stride + 1 : stride]
        if self._encoding == "raw":
            clip = tf.reshape(tf.io.decode_raw(encoded, tf.uint8), [frames, *self.frame_shape])
        else:
            # The exact transform, as Pillow's, whatever is TensorFlow's default.
            clip = tf.stack(
                [
                    tf.io.decode_jpeg(encoded[i], channels=3, dct_method="INTEGER_ACCURATE")
                    for i in range(frames)
                ]
            )
        return tf.ensure_shape(clip, [frames, *self.frame_shape])

    def _example(self, video: tf.Tensor) -> tf.Tensor:
        """The example of a record.

        TensorFlow reads it without Python: with `tf.numpy_function` the threads would wait for each
        other, and a program that ends while one of them reads would wait for ever.
        """
        path, offset = tf.gather(self._paths, video), tf.gather(self._offsets, video)
        records = tf.data.experimental.from_variant(
            tf.raw_ops.TFRecordDatasetV2(
                filenames=[path], compression_type="", buffer_size=1 << 20, byte_offsets=[offset]
            ),
            tf.TensorSpec([], tf.string),
        )
        # TensorFlow compares the record with its checksum, but does not say where it differs.
        records = records.ignore_errors().concatenate(tf.data.Dataset.from_tensors(""))
        example = records.take(1).get_single_element()
        message = tf.strings.join(
            [
                # As errors raised in Python say it: the programs show what comes after it.
                "InputError: ",
                path,
                ": the record at byte ",
                tf.strings.as_string(offset),
                f" is damaged or cannot be read: {_SKIP}",
            ]
        )
        with tf.control_dependencies([tf.debugging.Assert(example != "", [message])]):
            return tf.identity(example)

    def _rows(self, sha256: str) -> list[Row]:
        """The rows of videos.csv."""
        path = os.path.join(self.path, "videos.csv")
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                data = file.read()
        except tf.errors.OpError as error:
            raise InputError(
                f"{path}: cannot be read ({reason(error)}): {_PREPARE_AGAIN}"
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: is not the file that info.json describes: {_PREPARE_AGAIN}")
        return [
            Row(*(type_(value) for type_, value in zip(_ROW_TYPES, line)))
            for line in read_table(data)
        ]

    def _damaged(self, shards: dict[str, dict], rows: list[Row], verify: bool) -> dict[str, str]:
        """What is wrong with shards that are not as they were written, by the file's name."""
        rows_of = {}
        for row in rows:
            rows_of.setdefault(row.shard, []).append(row)

        def check(name: str) -> str | None:
            path, shard = os.path.join(self.path, name), shards[name]
            try:
                size = tf.io.gfile.stat(path).length
                if size != shard["bytes"]:
                    return f"{path}: is damaged, {size} bytes of {shard['bytes']}"
                if verify and _sha256(path) != shard["sha256"]:
                    return f"{path}: is damaged, its hash is not that of info.json"
                # TensorFlow ends the process where it cannot allocate what a record says it has.
                # From an object store only if all is read anyway: a request a record takes long.
                if (verify or not storage.is_remote(path)) and not _holds(
                    path, size, rows_of[name]
                ):
                    return f"{path}: is damaged, its records are not those of videos.csv"
            except (OSError, tf.errors.OpError) as error:
                return f"{path}: cannot be read ({reason(error)})"
            return None

        names = sorted(rows_of)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = zip(names, pool.map(check, names))
            return {name: message for name, message in found if message is not None}


def _holds(path: str, size: int, rows: list[Row]) -> bool:
    """Whether a shard's records are as long as their rows say, and lie within it."""
    # Locally a plain file is faster.
    opener = tf.io.gfile.GFile if storage.is_remote(path) else open
    with opener(path, "rb") as file:
        for row in rows:
            if not 0 <= row.offset <= row.offset + row.bytes <= size:
                return False
            file.seek(row.offset)
            if int.from_bytes(file.read(8), "little") != row.bytes - _FRAMING:
                return False
    return True
