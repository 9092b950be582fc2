"""Folders of video files: to be prepared, or to train on as they are.

    for recording in recordings("videos"):
        rate, frames = recording.read(recipe("center_crop", 64), None)
        for frame in frames:                             # uint8 [64, 64, 3]
            ...

`tgan_tf.data.video_decoding` decodes them.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tgan_tf.arguments import Number, check
from tgan_tf.data import storage, subsets, video_decoding
from tgan_tf.data.kind import Corpus, Kind, ordered_subsets
from tgan_tf.data.recordings import Recipe, Recording, UnreadableRecording
from tgan_tf.data.recordings import recipe as named_recipe
from tgan_tf.data.windows import read_in_python
from tgan_tf.errors import Argument, InputError

#: How the names of video files end, in small or capital letters.
EXTENSIONS = tuple(
    ".mp4 .avi .mov .mkv .webm .gif .m4v .mpg .mpeg .vob .ts .mts .m2ts .wmv .asf .flv .3gp "
    ".ogv".split()
)

# What usually lies beside videos, and goes without saying.
_COMPANIONS = frozenset(
    ".txt .csv .tsv .json .jsonl .xml .yaml .yml .md .html .pdf .log .info .nfo .db .ini .jpg "
    ".jpeg .png .bmp .webp .srt .vtt .ass .sub .idx .wav .mp3 .m4a .aac .flac .ogg .py .sh .npy "
    ".npz .pkl .mat .zip .tar .gz .rar .7z .md5 .sha256".split()
)


def find(directory: str | os.PathLike[str], tell: bool = False) -> list[str]:
    """All video files under a directory, as paths relative to it, sorted; hidden ones are not.

    Args:
        directory: local, or in an object store.
        tell: warn, in one line, of files that are left out since they are of other kinds.

    Raises:
        InputError: there is no such directory, or no video file under it.
    """
    directory = storage.register(directory)
    if not storage.is_directory(directory):
        raise InputError(f"{directory}: there is no such directory: give one of videos")
    found: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    for name in storage.files(directory):
        extension = os.path.splitext(name)[1].lower()
        if "/." in f"/{name}":
            continue
        if extension in EXTENSIONS:
            found.append(name)
        # README and LICENSE are no videos without an extension.
        elif extension not in _COMPANIONS and (extension or not os.path.basename(name).isupper()):
            others[extension or "without an extension"] += 1
    if not found:
        raise InputError(f"{directory}: no videos ({', '.join(EXTENSIONS)}) under it")
    if tell and others:
        counts = ", ".join(f"{count} {kind}" for kind, count in others.most_common())
        warnings.warn(
            f"{directory}: {sum(others.values())} files are left out, of other kinds than videos "
            f"that are known: {counts}",
            stacklevel=2,
        )
    return found


def recordings(directory: str | os.PathLike[str], test_share: float = 0.0) -> list[Recording]:
    """The video files under a directory, one recording each, named by their relative paths.

    If every video lies in a folder, the first folder is its class. If there are folders train and
    test, or of other such names, these are the subsets, and the folders below them the classes; see
    `tgan_tf.data.subsets`.

    Args:
        directory: local, or in an object store.
        test_share: of the videos, at least 0 and below 1, that go to the subset "test". Which ones
            follows from their names alone. Only where there are no folders train and test.

    Raises:
        InputError: as `find` and `subsets.of_folders` raise it; or the share is out of range or of
            no use.
    """
    check(Number(at_least=0, below=1), test_share=test_share)
    directory = storage.register(directory)
    names = find(directory, tell=True)
    placed = subsets.of_folders(directory, names)
    if placed is None:
        placed = [
            ("test" if _share(name) < test_share else "train", name.split("/")[:-1])
            for name in names
        ]
    elif test_share:
        raise InputError(
            Argument("test_share", test_share),
            f": the folders of {directory} say already which videos are for the test: leave it out",
        )
    chosen = [(name, subset, folders) for name, (subset, folders) in zip(names, placed) if subset]
    has_classes = all(folders for _, _, folders in chosen)
    return [
        recording(directory, name, folders[0] if has_classes else None, subset)
        for name, subset, folders in chosen
    ]


def recording(directory: str, name: str, category: str | None, subset: str) -> Recording:
    """The recording of a video file; see `Recording`.

    Args:
        directory: local, or in an object store.
        name: of the file, relative to the directory.
        category: its class; None where there are no classes.
        subset: "train" or "test".
    """
    return Recording(
        name,
        category,
        subset,
        functools.partial(video_decoding.read, os.path.join(directory, name)),
    )


def _share(name: str) -> float:
    """A number from 0 to 1 that follows from the name, evenly spread over all names."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class VideoFiles:
    """Video files to train on as they are; implements `tgan_tf.data.windows.Videos`.

    All files are indexed at first, which reads but hardly decodes them. Each window is decoded
    from the keyframe before it: prepare the videos if that is too slow.

    Args:
        path: the directory, local or in an object store.
        recordings: of the files under it, as `recordings` lists them.
        recipe: what becomes of a frame.
        classes: names of the classes, in the order of their numbers; None where there are none.

    Raises:
        InputError: no file can be read, or one is of another class.

    Example:
        >>> videos = VideoFiles("clips", recordings("clips"), recipe("center_crop", 64))
        >>> Windows(videos).clip(0).shape
        TensorShape([16, 64, 64, 3])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        recordings: Sequence[Recording],
        recipe: Recipe,
        classes: Sequence[str] | None = None,
    ):
        self.path = storage.register(path)
        self.frame_shape = recipe.frame_shape
        self.classes = classes
        for recording in recordings:
            if classes is not None and recording.category not in classes:
                raise InputError(
                    f"{os.path.join(self.path, recording.name)}: is of class "
                    f"{recording.category!r}, which is none of the {len(classes)} classes: "
                    "add it to the list of classes, or give another folder"
                )

        def index(recording: Recording) -> video_decoding.Index | UnreadableRecording:
            try:
                return video_decoding.index(os.path.join(self.path, recording.name))
            except UnreadableRecording as error:
                return error

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(index, recordings)
            # No bar where stderr is no terminal.
            bar = tqdm(found, "reading the index", len(recordings), unit=" videos", disable=None)
            indexed = list(zip(recordings, bar))
        faults = [
            f"{os.path.join(self.path, recording.name)}: left out: {index}"
            for recording, index in indexed
            if isinstance(index, UnreadableRecording)
        ]
        if len(faults) == len(indexed):
            raise InputError(
                f"{self.path}: none of the {len(indexed)} videos can be read, for one {faults[0]}"
                if faults
                else f"{self.path}: no videos to read"
            )
        for fault in faults[:5]:
            warnings.warn(fault, stacklevel=2)
        if len(faults) > 5:
            warnings.warn(f"{self.path}: {len(faults) - 5} more are left out", stacklevel=2)
        indexed = [pair for pair in indexed if isinstance(pair[1], video_decoding.Index)]
        self.names = [recording.name for recording, _ in indexed]
        self.lengths = np.array([index.length for _, index in indexed], np.int64)
        self.labels = (
            None
            if classes is None
            else np.array([classes.index(recording.category) for recording, _ in indexed], np.int32)
        )
        self._recipe = recipe
        self._indices = [index for _, index in indexed]

    def read(self, video: tf.Tensor, first: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
        """Reads a window; see `tgan_tf.data.windows.Videos`."""

        def window(video: np.int64, first: np.int64) -> np.ndarray:
            wanted = range(first, first + (frames - 1) * stride + 1, stride)
            path = os.path.join(self.path, self.names[video])
            try:
                return video_decoding.window(path, self._recipe, self._indices[video], wanted)
            except UnreadableRecording as error:
                raise InputError(
                    f"{path}: {error}: prepare the videos, which leaves such files out"
                ) from error

        return read_in_python(window, [video, first], (frames, *self.frame_shape))


def corpus_of(
    kind: str,
    path: str,
    recordings: Sequence[Recording],
    recipe: Recipe,
    classes: tuple[str, ...] | None = None,
) -> Corpus:
    """The corpus that video files under a directory are.

    Args:
        kind: name of the `Kind`.
        path: the directory.
        recordings: of the files.
        recipe: what becomes of a frame.
        classes: names of the classes, in the order of their numbers; default the categories in
            alphabetical order, where all recordings have one.
    """
    named = [recording.category for recording in recordings if recording.category is not None]
    if classes is None and len(named) == len(recordings):
        classes = tuple(sorted(set(named)))

    def videos(subset: str) -> VideoFiles:
        mine = [recording for recording in recordings if recording.subset == subset]
        return VideoFiles(path, mine, recipe, classes)

    return Corpus(
        path,
        kind,
        ordered_subsets({recording.subset for recording in recordings}),
        videos,
        classes,
        recipe,
        recordings=lambda: list(recordings),
    )


def _open_corpus(
    path: str, size: int, recipe: str = "center_crop", test_share: float = 0.0
) -> Corpus:
    found = recordings(path, test_share)
    return corpus_of(KIND.name, path, found, named_recipe(recipe, size))


KIND = Kind(
    "video files",
    "a directory of any videos (.mp4, .avi, .mov, .mkv, .webm, .gif, .mpg and more; one folder a "
    "class, under train and test if they are split)",
    lambda path, is_directory, options: is_directory,
    _open_corpus,
    ("recipe", "test_share"),
)
