"""The flags that say what evaluates, and the evaluation that they describe.

evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import checked_flags
import command_line
import data_flags
from absl import flags

from tgan_tf.data import tfrecords
from tgan_tf.data.corpus import Corpus
from tgan_tf.errors import InputError
from tgan_tf.evaluation.clip_sets import SourceClips
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.extractors import open_extractor
from tgan_tf.evaluation.metrics import METRICS, Request, parse

FLAGS = flags.FLAGS


def metrics_help(with_critic: bool = True) -> str:
    """The metrics for a help text."""
    about = (
        f"{name} ({metric.num_clips} clips): {metric.about}"
        for name, metric in METRICS.items()
        if with_critic or metric.column != "scores"
    )
    return (
        "each with the number of clips and of frames if they are not to be the usual ones, as "
        f"fvd2048_16f. {'; '.join(about)}"
    )


def define_metrics(
    name: str, default: list[str], with_critic: bool = True, more: str | None = None
) -> None:
    """Defines a flag for the metrics that are measured.

    Args:
        name: of the flag.
        default: the metrics if it is not given.
        with_critic: whether there is a critic, which some metrics need.
        more: what is measured beside the metrics, and what the help says of it, as "name: help".
    """
    own = more.split(":")[0] if more else None

    def parse_item(item: str) -> str:
        if item != own:
            request = parse([item], checked_flags.LARGEST)[0]
            if not with_critic and METRICS[request.metric].column == "scores":
                raise InputError(f"metric {item}: needs a critic, use evaluate.py")
        return item

    about = f"What is measured, {metrics_help(with_critic)}" + (f"; {more}" if more else "") + "."
    checked_flags.items(name, default, about, parse_item)


def requests(
    flag: str, frames: int, num_clips: int | None = None, without: str = ""
) -> list[Request]:
    """What the metrics of a flag ask for; arguments and errors are those of `metrics.parse`.

    Args:
        flag: of `define_metrics`.
        frames: of the clips.
        num_clips: how many there are.
        without: an item of the flag that is no metric.
    """
    try:
        return parse([name for name in FLAGS[flag].value if name != without], frames, num_clips)
    except InputError as error:
        raise InputError(f"--{flag}={','.join(FLAGS[flag].value)}: {error}") from error


def define_extractor() -> None:
    """Defines --extractor and where its weights are."""
    checked_flags.text(
        "extractor",
        "moving_mnist",
        "What clips are measured by. moving_mnist: comes with the package. c3d: the paper's. i3d: "
        "the one of FVD. Or the path of a .keras or .h5 file or a SavedModel, from clips in "
        "[-1, 1] to probabilities or features. A SavedModel runs its own code: only of a source "
        "you trust.",
    )
    checked_flags.text(
        "extractor_weights",
        None,
        "c3d: path or URL of conv3d_deepnetA_ucf.npz. i3d: SavedModel directory or TF-Hub handle, "
        "default that of Kinetics-400; it runs its own code, only of a source you trust.",
    )
    checked_flags.text("c3d_mean", None, "c3d: path or URL of mean2.npz.")


def check_extractor() -> None:
    """Raises an `InputError` for an extractor that runs code and was named by a file alone."""
    # Other files are read, not run.
    flag = {"moving_mnist": None, "c3d": None, "i3d": "extractor_weights"}.get(
        FLAGS.extractor, "extractor" if os.path.isdir(FLAGS.extractor) else None
    )
    if flag is not None and FLAGS[flag].value is not None and not command_line.is_given(flag):
        raise InputError(
            f"--{flag}={FLAGS[flag].value}, in a flagfile: a SavedModel runs code when it is "
            "called: if you trust it give the flag on the command line as well"
        )


def clips_of(corpus: Corpus | None, subset: str, window: str, seed: int) -> SourceClips:
    """The clips of videos, as the flags say, and all that is to be said of how they came about.

    Args:
        corpus: of `data_flags.open_data`.
        subset: "train" or "test".
        window: of `tgan_tf.data.Windows`.
        seed: of the order in which they are taken.
    """
    source = data_flags.make_source(corpus, subset, window)
    if corpus is None:
        return SourceClips(
            source,
            seed,
            path="digits of MNIST",
            subset=subset,
            num_digits=FLAGS.num_digits,
            digit_size=FLAGS.digit_size,
            digits_seed=FLAGS.seed,
        )
    recipe = corpus.recipe._asdict() if corpus.recipe is not None else None
    if corpus.kind == "tfrecords":
        recipe = tfrecords.read_info(corpus.path)["recipe"]
    return SourceClips(
        source,
        seed,
        path=corpus.path,
        kind=corpus.kind,
        subset=subset,
        # See tgan_tf/data/recordings.py; frames in other files are taken as they are.
        resize=None if recipe is None else {**recipe, "filter": "area (bilinear to enlarge)"},
        window=window,
        clips_of_a_video="all that do not overlap" if window == "all" else "one",
        stride=FLAGS.stride,
        crop=FLAGS.crop,
        mirror=FLAGS.mirror,
        windows_seed=FLAGS.seed,
    )


def make_evaluation(
    corpus: Corpus | None,
    directory: Path,
    subset: str = "train",
    window: str = "random",
    real_statistics: str | None = None,
) -> Evaluation:
    """The evaluation of the flags.

    Other real clips than those of the subset are those of the other one, or where there is none
    other windows of the same videos.

    Raises:
        InputError: as the data and the extractor.
    """
    check_extractor()
    real = clips_of(corpus, subset, window, FLAGS.seed)
    other = "train" if subset == "test" else "test"
    other_real = real
    if corpus is None or other in corpus.subsets:
        other_real = clips_of(corpus, other, window, FLAGS.seed)
    extractor = open_extractor(FLAGS.extractor, FLAGS.extractor_weights, FLAGS.c3d_mean)
    if extractor.name == "moving_mnist" and real.clip_shape[-1] == 3:
        warnings.warn(
            "--extractor=moving_mnist knows digits: for films give c3d or i3d, see "
            "docs/evaluation.md",
            stacklevel=2,
        )
    return Evaluation(real, other_real, extractor, directory / "real", real_statistics)
