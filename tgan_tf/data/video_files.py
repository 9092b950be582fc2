"""Folders of video files, for preparation or for direct training.

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

#: Extensions of video files, in any case.
EXTENSIONS = tuple(
    ".mp4 .avi .mov .mkv .webm .gif .m4v .mpg .mpeg .vob .ts .mts .m2ts .wmv .asf .flv .3gp "
    ".ogv".split()
)

# Files that usually lie beside videos and need no warning.
_COMPANIONS = frozenset(
    ".txt .csv .tsv .json .jsonl .xml .yaml .yml .md .html .pdf .log .info .nfo .db .ini .jpg "
    ".jpeg .png .bmp .webp .srt .vtt .ass .sub .idx .wav .mp3 .m4a .aac .flac .ogg .py .sh .npy "
    ".npz .pkl .mat .zip .tar .gz .rar .7z .md5 .sha256".split()
)


def find(directory: str | os.PathLike[str], tell: bool = False) -> list[str]:
    """All video files under a directory except hidden ones, as sorted relative paths.

    Args:
        directory: the directory, local or in an object store.
        tell: whether to warn, in one line, of files of other kinds, which are left out.

    Raises:
        InputError: there is no such directory, or no video file under it.
    """
    directory = storage.register(directory)
    if not storage.is_directory(directory):
        raise InputError(f"{directory}: is not a directory: give a directory of videos")
    found: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    for name in storage.files(directory):
        extension = os.path.splitext(name)[1].lower()
        if "/." in f"/{name}":
            continue
        if extension in EXTENSIONS:
            found.append(name)
        # README and LICENSE are not videos without an extension.
        elif extension not in _COMPANIONS and (extension or not os.path.basename(name).isupper()):
            others[extension or "without an extension"] += 1
    if not found:
        raise InputError(f"{directory}: no videos ({', '.join(EXTENSIONS)}) under it")
    if tell and others:
        counts = ", ".join(f"{count} {kind}" for kind, count in others.most_common())
        warnings.warn(
            f"{directory}: {sum(others.values())} files are left out, since their kinds are not "
            f"known as videos: {counts}",
            stacklevel=2,
        )
    return found


def recordings(directory: str | os.PathLike[str], test_share: float = 0.0) -> list[Recording]:
    """Lists the video files under a directory, named by their relative paths.

    If every video lies in a folder, the first folder is its class. Folders named train and test, or
    similarly, are the subsets, and the folders below them the classes; see `tgan_tf.data.subsets`.

    Args:
        directory: the directory, local or in an object store.
        test_share: share of the videos for the subset "test", at least 0 and below 1, chosen by
            their names alone. Only if no folders are named train and test. A warning says if it
            holds out none of them.

    Raises:
        InputError: the share is out of range, or the folders already give the subsets; see also
            `find` and `subsets.of_folders`.
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
        if test_share and all(subset == "train" for subset, _ in placed):
            warnings.warn(
                f"{directory}: test_share={test_share}: holds out none of the {len(names)} videos, "
                "as their names fall: give a larger share, or folders named train and test",
                stacklevel=2,
            )
    elif test_share:
        raise InputError(
            Argument("test_share", test_share),
            f": the folders of {directory} already give the test videos: leave it out",
        )
    chosen = [(name, subset, folders) for name, (subset, folders) in zip(names, placed) if subset]
    has_classes = all(folders for _, _, folders in chosen)
    return [
        recording(directory, name, folders[0] if has_classes else None, subset)
        for name, subset, folders in chosen
    ]


def recording(directory: str, name: str, category: str | None, subset: str) -> Recording:
    """Makes the `Recording` of a video file.

    Args:
        directory: the directory, local or in an object store.
        name: path of the file, relative to the directory.
        category: its class; None if there are no classes.
        subset: "train" or "test".
    """
    return Recording(
        name,
        category,
        subset,
        functools.partial(video_decoding.read, os.path.join(directory, name)),
    )


def _share(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, uniformly distributed over names."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class VideoFiles:
    """Video files for direct training; implements `tgan_tf.data.windows.Videos`.

    The constructor indexes all files, which reads but hardly decodes them. Each window is decoded
    from the keyframe before it; prepare the videos if that is too slow.

    Args:
        path: the directory, local or in an object store.
        recordings: the files under it, as listed by `recordings`.
        recipe: how to resize frames.
        classes: names of the classes, in the order of their numbers; None if there are none.

    Raises:
        InputError: no file can be read, or the class of one is not among the classes.

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
                    f"{os.path.join(self.path, recording.name)}: its class {recording.category!r} "
                    f"is not one of the {len(classes)} classes: add it to the list of classes, or "
                    "give another folder"
                )

        def index(recording: Recording) -> video_decoding.Index | UnreadableRecording:
            try:
                return video_decoding.index(os.path.join(self.path, recording.name))
            except UnreadableRecording as error:
                return error

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(index, recordings)
            # No bar unless stderr is a terminal.
            bar = tqdm(found, "reading the index", len(recordings), unit=" videos", disable=None)
            indexed = list(zip(recordings, bar))
        faults = [
            f"{os.path.join(self.path, recording.name)}: left out: {index}"
            for recording, index in indexed
            if isinstance(index, UnreadableRecording)
        ]
        if len(faults) == len(indexed):
            raise InputError(
                f"{self.path}: none of the {len(indexed)} videos can be read, such as {faults[0]}"
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
    """Makes the corpus of video files under a directory.

    Args:
        kind: name of the `Kind`.
        path: the directory.
        recordings: the files.
        recipe: how to resize frames.
        classes: names of the classes, in the order of their numbers. Default: the categories in
            alphabetical order, if all recordings have one.
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
    "a directory of any videos (.mp4, .avi, .mov, .mkv, .webm, .gif, .mpg and more; one folder "
    "per class, under train and test if they are split)",
    lambda path, is_directory, options: is_directory,
    _open_corpus,
    ("recipe", "test_share"),
)
