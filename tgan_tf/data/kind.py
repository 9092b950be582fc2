"""What a data source says of itself, and what opening it gives."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Callable, NamedTuple

from tgan_tf.data.recordings import Recipe, Recording
from tgan_tf.data.windows import Videos


class Corpus(NamedTuple):
    """The videos at a path.

    Attributes:
        path: the path.
        kind: the name of its `Kind`.
        subsets: which there are: "train" and, for most kinds if they are given, "test".
        videos: opens a subset, to read windows of its videos.
        classes: names of the classes, or None.
        recipe: how frames are resized; None where they are taken as they are, and the videos need
            no preparing.
        recordings: lists the videos of all subsets, to be prepared.
        has_times: whether recordings can be brought to a frame rate.
        reading: how an array is understood, whose axes do not tell what they are; else None.
        prepared: what preparing the videos has recorded of how their frames were resized; None
            where they were not prepared.
    """

    path: str
    kind: str
    subsets: tuple[str, ...]
    videos: Callable[[str], Videos]
    classes: tuple[str, ...] | None = None
    recipe: Recipe | None = None
    recordings: Callable[[], list[Recording]] = list
    has_times: bool = True
    reading: str | None = None
    prepared: Mapping[str, Any] | None = None

    @property
    def resizing(self) -> dict[str, Any] | None:
        """How frames are resized, or were by preparing; None where they are taken as they are."""
        if self.prepared is not None:
            return dict(self.prepared)
        return None if self.recipe is None else self.recipe._asdict()


class Kind(NamedTuple):
    """A kind of corpus: a data source.

    Attributes:
        name: what it is called in messages and results, such as "golf".
        about: what lies at its paths, for messages and help: "a .txt list of Golf scenes".
        recognises: whether a path that exists is of this kind: `(path, is_directory, options)` →
            bool. The options are those given to `open_corpus`, whatever kinds they are for.
        open: `(path, size, **options)` → `Corpus`, where `size` is the rows that frames are resized
            to. Raises an `InputError` for what it cannot read.
        options: names of the options that `open` takes. One that is not given is left to its
            default there.
        to_prepare: whether its videos can be prepared: a `Corpus` of it has recordings.
    """

    name: str
    about: str
    recognises: Callable[[str, bool, Mapping[str, Any]], bool]
    open: Callable[..., Corpus]
    options: tuple[str, ...] = ()
    to_prepare: bool = True


def files(*suffixes: str) -> Callable[[str, bool, Mapping[str, Any]], bool]:
    """Recognises files by how their names end, in small or capital letters."""
    return lambda path, is_directory, _: not is_directory and path.lower().endswith(suffixes)


def ordered_subsets(subsets: Container[str]) -> tuple[str, ...]:
    """Names of subsets in the order that a `Corpus` has them."""
    return tuple(subset for subset in ("train", "test") if subset in subsets)
