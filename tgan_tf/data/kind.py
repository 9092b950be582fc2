"""The description of a data source, and what opening it returns."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Callable, NamedTuple

from tgan_tf.data.recordings import Recipe, Recording
from tgan_tf.data.windows import Videos


class Corpus(NamedTuple):
    """The videos at a path.

    Attributes:
        path: where they are.
        kind: the name of its `Kind`.
        subsets: the subsets: "train" and, if there is one, "test".
        videos: opens a subset by its name, to read windows of its videos.
        classes: names of the classes, or None.
        recipe: how frames are resized; None if they are not and the videos need no preparation.
        recordings: lists the videos of all subsets, for preparation.
        has_times: whether recordings can be resampled to a frame rate.
        reading: how the axes of an array are interpreted, for the user; None for other kinds.
        prepared: how the preparation resized the frames, as it recorded it; None for videos that
            are not prepared.
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
        """How frames are resized, or were during preparation; None if they are not."""
        if self.prepared is not None:
            return dict(self.prepared)
        return None if self.recipe is None else self.recipe._asdict()


class Kind(NamedTuple):
    """A kind of corpus: a data source.

    Attributes:
        name: its name in messages and results, such as "golf".
        about: what lies at its paths, for messages and help: "a .txt list of Golf scenes".
        recognises: `(path, is_directory, options)` → whether an existing path is of this kind. The
            options are those given to `open_corpus`, for any kind.
        open: `(path, size, **options)` → `Corpus`, where `size` is the rows to resize frames to.
            Raises an `InputError` if the path cannot be read.
        options: names of the options that `open` takes. Options that are not given have `open`'s
            defaults.
        to_prepare: whether its videos can be prepared, so that its `Corpus` has recordings.
    """

    name: str
    about: str
    recognises: Callable[[str, bool, Mapping[str, Any]], bool]
    open: Callable[..., Corpus]
    options: tuple[str, ...] = ()
    to_prepare: bool = True


def files(*suffixes: str) -> Callable[[str, bool, Mapping[str, Any]], bool]:
    """Recognises files by the ends of their names, in any case."""
    return lambda path, is_directory, _: not is_directory and path.lower().endswith(suffixes)


def ordered_subsets(subsets: Container[str]) -> tuple[str, ...]:
    """Names of subsets in the order of `Corpus.subsets`."""
    return tuple(subset for subset in ("train", "test") if subset in subsets)
