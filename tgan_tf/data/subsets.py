"""Finds out from the folders which videos are for training and which are held out.

    videos/train/walk/1.mp4    videos/test/walk/2.mp4    videos/val/run/3.mp4

Held-out videos are never trained on and never taken for a class: a layout is refused if its folders
may hold such videos but do not have this form.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Sequence

from tgan_tf.errors import InputError

_SPELT = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "heldout": "validation",
    "holdout": "validation",
}
_HELD_OUT = ("test", "validation")
# What may surround the name: train_set, Test-Data, val videos.
_AROUND = r"[\W_]|datasets?|sets?|data|splits?|videos?|clips?"
_ANY = "|".join(_SPELT)
_REMEDY = (
    "put the videos into train, test or val directly under the directory, with one folder per "
    "class in these; rename folders that are classes"
)


def of_folders(directory: str, names: Sequence[str]) -> list[tuple[str | None, list[str]]] | None:
    """Finds the subset of each video, and the folders below the subset's.

    There are two subsets, "train" and "test". A validation folder is the test subset if there is no
    test folder and is left out otherwise; a warning says which.

    Args:
        directory: the directory, for messages.
        names: paths of the videos, relative to it.

    Returns:
        The subset of each video (None if it is left out) and the names of its folders. None if no
        folder is named like a subset.

    Raises:
        InputError: folders have the names of subsets, or nearly, but are not directly under the
            directory or do not hold all videos; or files have such names.
    """
    folders = [name.split("/")[:-1] for name in names]
    tops = sorted({each[0] for each in folders if each})
    kinds = {top: _SPELT.get(_bare(top)) for top in tops}
    unclear = [top for top in tops if kinds[top] is None and re.fullmatch(_NEARLY, _bare(top))]
    words = {top: _words([top]) for top in tops if kinds[top] is None}
    if _is_divided({kind for found in words.values() for kind in found}):  # ucf_train, ucf_test
        unclear += [top for top in tops if words.get(top)]
    if unclear:
        raise InputError(
            f"{directory}: the folder {min(unclear)} may hold training or held-out videos: "
            f"{_REMEDY}"
        )
    for each in folders:
        for depth, folder in enumerate(each[1:], 2):
            if _SPELT.get(_bare(folder)) in _HELD_OUT:
                raise InputError(
                    f"{directory}: the folder {'/'.join(each[:depth])} is not directly under it: "
                    f"{_REMEDY}"
                )
    known = {top: kind for top, kind in kinds.items() if kind is not None}
    if not known:
        _check_files(directory, names)
        return None
    for name, each in zip(names, folders):
        if not each or each[0] not in known:
            raise InputError(
                f"{directory}: {name.split('/')[0]} lies beside {', '.join(known)}: {_REMEDY}"
            )
    validation = [top for top, kind in known.items() if kind == "validation"]
    count = sum(each[0] in validation for each in folders)
    subsets: dict[str, str | None] = {"train": "train", "test": "test", "validation": "test"}
    if count and "test" in known.values():
        subsets["validation"] = None
        told = "left out: neither trained on nor tested"
    else:
        told = "the subset test"
    if count:
        warnings.warn(
            f"{directory}: the {count} videos in {', '.join(validation)} are {told}", stacklevel=2
        )
    return [(subsets[known[each[0]]], each[1:]) for each in folders]


def check_classes(path: str, classes: Collection[str]) -> None:
    """Raises an `InputError` if the classes are really subsets, as an earlier version allowed."""
    kinds = {_SPELT.get(_bare(name)) for name in classes}
    if _is_divided(kinds):
        raise InputError(
            f"{path}: its classes are {', '.join(classes)}: held-out videos would be trained on: "
            "prepare the videos again"
        )


# train1, test_02, trainval, val 64x64
_NEARLY = rf"[\dx]*(?:{_ANY})(?:{_ANY}|[\dx])*"


def _bare(name: str) -> str:
    """A folder's name without the words that may surround a subset's name."""
    return re.sub(_AROUND, "", name.lower())


def _words(names: Iterable[str]) -> set[str]:
    """The kinds of subsets that words in the names stand for."""
    found = (word for name in names for word in re.findall("[a-z]+", name.lower()))
    return {_SPELT[word] for word in found if word in _SPELT}


def _is_divided(kinds: set[str | None]) -> bool:
    """Whether there are both training and held-out videos."""
    return "train" in kinds and not kinds.isdisjoint(_HELD_OUT)


def _check_files(directory: str, names: Sequence[str]) -> None:
    """Raises an `InputError` if all files have names like train_1.mp4 and test_2.mp4."""
    first: dict[str | None, str] = {}
    for name in names:
        word = re.split("[^a-z]", name.rsplit("/", 1)[-1].lower(), maxsplit=1)[0]
        first.setdefault(_SPELT.get(word), name)
    if None not in first and _is_divided(set(first)):
        held_out = min(name for kind, name in first.items() if kind in _HELD_OUT)
        raise InputError(
            f"{directory}: videos are called {first['train']} and {held_out}: {_REMEDY}"
        )
