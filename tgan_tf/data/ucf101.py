"""UCF-101 as downloaded: videos named by their class, and the official lists of the subsets.

A directory of `v_<Category>_g<group>_c<clip>.avi`, flat or in one folder per class, and beside them
or in `ucfTrainTestlist` the text files `trainlist01.txt` to `testlist03.txt` (three splits, one
video per line) and `classInd.txt` (the numbers of the classes),
https://www.crcv.ucf.edu/data/UCF101.php.

    parse("v_ApplyEyeMakeup_g01_c02.avi")        # ("ApplyEyeMakeup", 1, 2)
    recordings("UCF-101", split="1")             # 9,537 for training, 3,783 for the test
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tgan_tf.arguments import OneOf, check
from tgan_tf.data import storage, subsets, video_files
from tgan_tf.data.kind import Corpus, Kind
from tgan_tf.data.recordings import Recording
from tgan_tf.data.recordings import recipe as named_recipe
from tgan_tf.errors import Argument, InputError

#: The splits: all videos for training, or one of the official splits.
SPLITS = ("all", "1", "2", "3")


def parse(name: str) -> tuple[str, int, int] | None:
    """Category, group and clip from a file's name or path; None if the name has another form."""
    match = re.fullmatch(r"v_(\w+)_g(\d+)_c(\d+)\.avi", name.rsplit("/", 1)[-1])
    return match and (match[1], int(match[2]), int(match[3]))


def is_ucf101(names: Iterable[str]) -> bool:
    """Whether all names have UCF-101's form."""
    return all(map(parse, names))


def recordings(
    directory: str | os.PathLike[str],
    split: str = "all",
    lists: str | os.PathLike[str] | None = None,
) -> list[Recording]:
    """Lists the videos of a split, named by their paths relative to the directory.

    Args:
        directory: directory of the videos, local or in an object store.
        split: "1", "2" or "3" for an official split, which leaves out videos on neither list; "all"
            for all videos as the subset "train", except those in folders that
            `tgan_tf.data.subsets` recognises as held out.
        lists: directory of the lists. By default they are looked for in the directory of the
            videos, in `ucfTrainTestlist` in it, and in `ucfTrainTestlist` beside it.

    Raises:
        InputError: there are no such videos or lists, a list names missing videos, the split is
            unknown, or folders may be held out.
    """
    check(OneOf(SPLITS), split=split)
    directory = storage.register(directory)
    categories = {
        name: parsed[0]
        for name in video_files.find(directory, tell=True)
        if (parsed := parse(name)) is not None
    }
    names = list(categories)
    if not names:
        raise InputError(f"{directory}: no videos named v_<Category>_g<group>_c<clip>.avi under it")
    found: list[str | None]
    if split == "all":
        placed = subsets.of_folders(directory, names)
        found = ["train"] * len(names) if placed is None else [subset for subset, _ in placed]
    else:
        listed = _subsets(directory, split, lists, names)
        found = [listed.get(os.path.basename(name)) for name in names]
    # Spelling differs between files and lists: v_HandStandPushups_g01_c01.avi, HandstandPushups.
    spelt = {name.lower(): name for name in classes(directory, lists) or ()}
    chosen = []
    for (name, category), subset in zip(categories.items(), found):
        category = spelt.get(category.lower(), category)
        if subset is not None:
            chosen.append(video_files.recording(directory, name, category, subset))
    return chosen


def classes(
    directory: str | os.PathLike[str], lists: str | os.PathLike[str] | None = None
) -> tuple[str, ...] | None:
    """Names of the classes in the order of `classInd.txt`; None if there is no such file.

    Args:
        directory: directory of the videos.
        lists: see `recordings`.

    Raises:
        InputError: a line is not a number and a name.
    """
    found = _find("classInd.txt", directory, lists)
    if found is None:
        return None
    numbered = []
    for line in _lines(found):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name:
            raise InputError(f"{found}: {line!r} is not a number and a name: download it again")
        numbered.append((int(number), name.strip()))
    return tuple(name for _, name in sorted(numbered))


def _subsets(
    directory: str, split: str, lists: str | os.PathLike[str] | None, names: Iterable[str]
) -> dict[str, str]:
    """The subset of each video of a split, by the file's name."""
    there = set(map(os.path.basename, names))
    found = {}
    for subset in ("train", "test"):
        name = f"{subset}list0{split}.txt"
        file = _find(name, directory, lists)
        if file is None:
            raise InputError(
                f"{name}: is not in {', '.join(_places(directory, lists))}: give the directory of "
                "the lists, or ",
                Argument("split", "all"),
            )
        # A line is Category/v_Category_g01_c01.avi and, for training, the number of the class.
        named = [line.split()[0].rsplit("/", 1)[-1] for line in _lines(file)]
        if not named:
            raise InputError(f"{file}: names no videos: download it again")
        missing = [each for each in named if each not in there]
        if missing:
            raise InputError(
                f"{file}: {len(missing)} of the {len(named)} videos it names are not under "
                f"{directory}, such as {missing[0]}: download them, or give ",
                Argument("split", "all"),
            )
        found.update(dict.fromkeys(named, subset))
    return found


def _places(directory: str | os.PathLike[str], lists: str | os.PathLike[str] | None) -> list[str]:
    """The directories that may hold the lists."""
    if lists is not None:
        return [os.fspath(lists)]
    directory = os.fspath(directory).rstrip("/")
    places = [directory, f"{directory}/ucfTrainTestlist"]
    if not storage.is_remote(directory):
        places.append(os.path.join(os.path.dirname(os.path.abspath(directory)), "ucfTrainTestlist"))
    elif directory.count("/") > 2:  # otherwise it is a bucket
        places.append(f"{directory.rsplit('/', 1)[0]}/ucfTrainTestlist")
    return places


def _find(
    name: str, directory: str | os.PathLike[str], lists: str | os.PathLike[str] | None
) -> str | None:
    """Finds a file by its name in the first of the directories that has it."""
    for place in _places(directory, lists):
        file = os.path.join(storage.register(place), name)
        if storage.exists(file):
            return file
    return None


def _lines(file: str) -> list[str]:
    """The nonempty lines of a text file, stripped."""
    text = storage.read_text(file, "download it again")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _recognises(path: str, is_directory: bool, options: Mapping[str, Any]) -> bool:
    # Only UCF-101 has splits; with a split, files with other names are ignored.
    return is_directory and ("split" in options or is_ucf101(video_files.find(path)))


def _open_corpus(
    path: str,
    size: int,
    recipe: str = "ucf101",
    split: str = "all",
    split_lists: str | None = None,
) -> Corpus:
    return video_files.corpus_of(
        KIND.name,
        path,
        recordings(path, split, split_lists),
        named_recipe(recipe, size),
        classes(path, split_lists),
    )


KIND = Kind(
    "ucf101",
    "a directory of UCF-101's videos",
    _recognises,
    _open_corpus,
    ("recipe", "split", "split_lists"),
)
