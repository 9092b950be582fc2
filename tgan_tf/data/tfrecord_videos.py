"""Reads windows of prepared videos from their TFRecord shards, in any order.

See `tgan_tf.data.tfrecords` for the files of a prepared directory.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from tgan_tf.arguments import OneOf, check
from tgan_tf.data import storage, subsets
from tgan_tf.data.kind import Corpus, Kind, ordered_subsets
from tgan_tf.data.tfrecords import (
    FEATURES,
    FRAMING,
    PREPARE_AGAIN,
    Row,
    example_in,
    file_hash,
    read_info,
    read_table,
)
from tgan_tf.data.windows import read_in_python
from tgan_tf.errors import Argument, InputError, reason

# The remedy for a damaged shard.
_SKIP = (
    f"{PREPARE_AGAIN}, or leave the shard out with ",
    Argument("damaged_shards", "skip"),
)

#: What to do with damaged shards.
DAMAGED_SHARDS = ("refuse", "skip")

_ROW_TYPES = (str, str, int, int, str, str, int, int, int, float)


class TFRecordVideos:
    """The videos of a prepared directory; implements `tgan_tf.data.windows.Videos`.

    A video that was too long for one record is several videos here, one per record.

    Args:
        path: the directory, local or in an object store.
        subset: "train" or "test".
        damaged_shards: what to do with a shard that has changed since it was written: "refuse"
            raises an error, "skip" leaves it out with a warning.
        verify: whether to compare the shards with their hashes, which reads all of them. Otherwise
            only missing or truncated shards are found now; other damage is found when a record is
            read.

    Raises:
        InputError: the directory is not a prepared one, has no such subset, or is damaged.

    Example:
        >>> Windows(TFRecordVideos("prepared/ucf101")).clip(0).shape
        TensorShape([16, 64, 64, 3])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        subset: str = "train",
        damaged_shards: str = "refuse",
        verify: bool = True,
    ):
        check(OneOf(DAMAGED_SHARDS), damaged_shards=damaged_shards)
        self.path = storage.register(path)
        info = read_info(self.path)
        try:
            rows = self._read_rows(info["videos_csv_sha256"])
            shards = {shard["file"]: shard for shard in info["shards"]}
            self._encoding = info["recipe"]["encoding"]
            self.frame_shape = tuple(info["frame_shape"])
            self.classes = info["classes"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.path}/info.json: is damaged: {PREPARE_AGAIN}") from error

        mine = [row for row in rows if row.subset == subset]
        if not mine:
            there = ", ".join(sorted({row.subset for row in rows}))
            raise InputError(
                Argument("subset", subset), f": {self.path} does not have it: give {there}"
            )
        damaged = self._damaged(shards, mine, verify)
        if damaged and damaged_shards == "refuse":
            more = f" (and {len(damaged) - 1} more shards)" if len(damaged) > 1 else ""
            raise InputError(f"{next(iter(damaged.values()))}{more}: ", *_SKIP)
        mine = [row for row in mine if row.shard not in damaged]
        if not mine:
            raise InputError(
                f"{next(iter(damaged.values()))}, and so are all shards of {subset!r}: "
                f"{PREPARE_AGAIN}"
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
        self._rows = mine
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
            # The exact transform, like Pillow's, whatever TensorFlow's default is.
            clip = tf.stack(
                [
                    tf.io.decode_jpeg(encoded[i], channels=3, dct_method="INTEGER_ACCURATE")
                    for i in range(frames)
                ]
            )
        return tf.ensure_shape(clip, [frames, *self.frame_shape])

    def _example(self, video: tf.Tensor) -> tf.Tensor:
        """Reads the example of a record.

        TensorFlow reads it without Python if it can open the shards: with `tf.numpy_function` the
        threads would wait for each other, and a program that ends during a read would hang.
        """
        if not storage.is_in_tensorflow(self.path):
            return read_in_python(self._read_example, [video], (), tf.string)
        path, offset = tf.gather(self._paths, video), tf.gather(self._offsets, video)
        records = tf.data.experimental.from_variant(
            tf.raw_ops.TFRecordDatasetV2(
                filenames=[path], compression_type="", buffer_size=1 << 20, byte_offsets=[offset]
            ),
            tf.TensorSpec([], tf.string),
        )
        # TensorFlow checks the record's checksum, but does not say which record is damaged.
        records = records.ignore_errors().concatenate(tf.data.Dataset.from_tensors(""))
        example = records.take(1).get_single_element()
        return tf.cond(
            example != "",
            lambda: example,
            lambda: read_in_python(self._refuse, [video], (), tf.string),
        )

    def _read_example(self, video: np.int64) -> bytes:
        row = self._rows[video]
        path, stop = os.path.join(self.path, row.shard), row.offset + row.bytes
        try:
            example = example_in(storage.read(path, row.offset, stop))
        except OSError:
            example = None
        return self._refuse(video) if example is None else example

    def _refuse(self, video: np.int64) -> NoReturn:
        row = self._rows[video]
        raise InputError(
            f"{os.path.join(self.path, row.shard)}: the record at byte {row.offset} is damaged or "
            "cannot be read: ",
            *_SKIP,
        )

    def _read_rows(self, sha256: str) -> list[Row]:
        """The rows of videos.csv."""
        path = os.path.join(self.path, "videos.csv")
        try:
            data = storage.read(path)
        except (OSError, tf.errors.OpError) as error:
            raise InputError(
                f"{path}: cannot be read ({reason(error)}): {PREPARE_AGAIN}"
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: is not the file that info.json describes: {PREPARE_AGAIN}")
        return [
            Row(*(type_(value) for type_, value in zip(_ROW_TYPES, line)))
            for line in read_table(data)
        ]

    def _damaged(
        self, shards: dict[str, dict[str, Any]], rows: list[Row], verify: bool
    ) -> dict[str, str]:
        """The faults of damaged shards, by the file's name."""
        rows_of: dict[str, list[Row]] = {}
        for row in rows:
            rows_of.setdefault(row.shard, []).append(row)

        def check(name: str) -> str | None:
            path, shard = os.path.join(self.path, name), shards[name]
            try:
                size = storage.size(path)
                if size != shard["bytes"]:
                    return f"{path}: is damaged, {size} bytes of {shard['bytes']}"
                if verify and file_hash(path) != shard["sha256"]:
                    return f"{path}: is damaged, its hash is not that of info.json"
                # TensorFlow ends the process if it cannot allocate the length that a record states.
                # In an object store this is checked only if everything is read anyway: one request
                # per record is slow.
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
    """Whether a shard's records have the lengths of their rows and lie within it."""
    with storage.open_file(path) as file:
        for row in rows:
            if not 0 <= row.offset <= row.offset + row.bytes <= size:
                return False
            file.seek(row.offset)
            if int.from_bytes(file.read(8), "little") != row.bytes - FRAMING:
                return False
    return True


def _open_corpus(
    path: str, size: int, damaged_shards: str = "refuse", verify_shards: bool = True
) -> Corpus:
    info = read_info(path)
    try:
        there, classes = ordered_subsets(info["counts"]), info["classes"]
        recipe = info["recipe"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}/info.json: is damaged ({type(error).__name__}: {error}): {PREPARE_AGAIN}"
        ) from error
    subsets.check_classes(path, classes or ())
    return Corpus(
        path,
        KIND.name,
        there,
        videos=lambda subset: TFRecordVideos(path, subset, damaged_shards, verify_shards),
        classes=classes,
        prepared=recipe,
    )


KIND = Kind(
    "tfrecords",
    "a directory of prepared TFRecords",
    lambda path, is_directory, options: is_directory and storage.exists(f"{path}/info.json"),
    _open_corpus,
    ("damaged_shards", "verify_shards"),
    to_prepare=False,
)
