"""The flags of an evaluation, and the evaluation that they describe.

evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)
"""

from __future__ import annotations

import os
from pathlib import Path

from program_flags import checked_flags, command_line, data_flags

from absl import flags

from tgan_tf.data.beam import Run
from tgan_tf.data.corpus import Corpus
from tgan_tf.errors import InputError
from tgan_tf.evaluation.clip_sets import SourceClips
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.extractors import EXTRACTORS, open_extractor
from tgan_tf.evaluation.metrics import METRICS, Request, parse_metrics

FLAGS = flags.FLAGS

FLAGS_OF_ARGUMENTS = {
    **{option: f"extractor_{option}" for one in EXTRACTORS.values() for option in one.options},
    "mean": "c3d_mean",
}
"""The flags of the extractors' options."""


def define_metrics(name: str, default: list[str], num_critics: int = 1) -> None:
    """Defines a flag for the metrics to compute.

    Args:
        name: name of the flag.
        default: the default metrics.
        num_critics: number of critics that the program has, which some metrics need.
    """

    def parse_item(item: str) -> str:
        (request,) = parse_metrics([item], checked_flags.LARGEST)
        needed = request.metric.quantity.num_critics
        if needed > num_critics:
            able = "evaluate.py" if needed == 1 else "compare.py"
            raise InputError(
                f"metric {item}: needs {'a critic' if needed == 1 else 'two critics'}: use {able}"
            )
        return item

    about = "; ".join(
        f"{metric.name} ({metric.num_clips or 'no'} clips"
        f"{', needs a critic' if metric.quantity.num_critics else ''}): {metric.about}"
        for metric in METRICS.values()
        if metric.quantity.num_critics <= num_critics
    )
    checked_flags.items(
        name,
        default,
        "Metrics to compute, optionally with the numbers of clips and frames, such as "
        f"fvd2048_16f. {about}.",
        parse_item,
    )


def requests(
    flag: str, frames: int, num_clips: int | None = None, critic_frames: int | None = None
) -> list[Request]:
    """The requests for the metrics of a flag.

    Args:
        flag: name of the flag, see `define_metrics`.
        frames: frames of the clips.
        num_clips: number of clips that exist.
        critic_frames: frames that the critic sees, if not all.

    Raises:
        InputError: see `parse_metrics`.
    """
    try:
        return parse_metrics(FLAGS[flag].value, frames, num_clips, critic_frames)
    except InputError as error:
        raise InputError(f"--{flag}={','.join(FLAGS[flag].value)}: ", *error.parts) from error


def define_extractor() -> None:
    """Defines --extractor, and a flag for each option of the extractors."""
    about = " ".join(f"{name}: {extractor.about}." for name, extractor in EXTRACTORS.items())
    checked_flags.text(
        "extractor",
        "moving_mnist",
        f"Feature extractor that measures the clips. {about} Or the path of a .keras or .h5 file "
        "or a SavedModel that maps clips in [-1, 1] to probabilities or features. A SavedModel is "
        "a program: use only one that you trust.",
    )
    for option, flag in FLAGS_OF_ARGUMENTS.items():
        what = (
            f"With --extractor={name}: {extractor.options[option]}."
            for name, extractor in EXTRACTORS.items()
            if option in extractor.options
        )
        checked_flags.text(flag, None, " ".join(what))


def check_extractor() -> None:
    """Raises an `InputError` for an extractor that runs code and is only named in a flagfile."""
    if FLAGS.extractor in EXTRACTORS:
        programs = [FLAGS_OF_ARGUMENTS[option] for option in EXTRACTORS[FLAGS.extractor].programs]
    else:
        # A Keras file is only read, not run.
        programs = ["extractor"] if os.path.isdir(FLAGS.extractor) else []
    for flag in programs:
        if FLAGS[flag].value is not None and not command_line.is_given(flag):
            raise InputError(
                f"--{flag}={FLAGS[flag].value}, in a flagfile: a SavedModel is a program: if you "
                "trust it, also give the flag on the command line"
            )


def clips_of(corpus: Corpus | None, subset: str, window: str, seed: int) -> SourceClips:
    """The clips of videos, by the flags, with a description of how they were made.

    Args:
        corpus: the result of `data_flags.open_data`.
        subset: "train" or "test".
        window: see `tgan_tf.data.Windows`.
        seed: seed of their order.
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
    resizing = corpus.resizing
    return SourceClips(
        source,
        seed,
        path=corpus.path,
        kind=corpus.kind,
        subset=subset,
        # See tgan_tf/data/recordings.py; frames in other files are not resized.
        resize=None if resizing is None else {**resizing, "filter": "area (bilinear to enlarge)"},
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
    run: Run | None = None,
) -> Evaluation:
    """Makes the evaluation of the flags.

    The other real clips come from the other subset or, if there is none, from other windows of the
    same videos. `run` is passed to `Evaluation`.

    Raises:
        InputError: the data or the extractor raise it.
    """
    check_extractor()
    real = clips_of(corpus, subset, window, FLAGS.seed)
    other = "train" if subset == "test" else "test"
    other_real = real
    if corpus is None or other in corpus.subsets:
        other_real = clips_of(corpus, other, window, FLAGS.seed)
    options = {option: FLAGS[flag].value for option, flag in FLAGS_OF_ARGUMENTS.items()}
    extractor = open_extractor(FLAGS.extractor, **options)
    return Evaluation(real, other_real, extractor, directory / "real", real_statistics, run)
