"""Feature extractors by name, one per file.

Class attributes describe an extractor to programs: its `name`; `about`, a description; `options`,
the constructor's arguments that a user gives as text, with a description of each; and `programs`,
the options that are programs, which run when clips are measured.
"""

from __future__ import annotations

import inspect
import os

from tgan_tf.errors import Argument, InputError
from tgan_tf.evaluation.extractors.c3d import C3D
from tgan_tf.evaluation.extractors.extractor import Extracted, Extractor
from tgan_tf.evaluation.extractors.i3d import I3D
from tgan_tf.evaluation.extractors.model_file import ModelFile
from tgan_tf.evaluation.extractors.moving_mnist import DigitClassifier

EXTRACTORS = {extractor.name: extractor for extractor in (DigitClassifier, C3D, I3D)}


def open_extractor(extractor: str, **options: str | None) -> Extractor:
    """Opens an extractor by its name.

    Args:
        extractor: a name in `EXTRACTORS` ("moving_mnist" comes with the package), or the path of a
            Keras file or a SavedModel.
        **options: the extractor's options; None means not given.

    Raises:
        InputError: there is no such name or file, an option is missing or not one of the
            extractor's, or the extractor raises it.
    """
    given = {option: value for option, value in options.items() if value is not None}
    own = EXTRACTORS[extractor].options if extractor in EXTRACTORS else {}
    for option, value in given.items():
        if option not in own:
            users = [name for name, other in EXTRACTORS.items() if option in other.options]
            raise InputError(
                Argument(option, value), f": is for {', '.join(users)}, not for {extractor}"
            )
    if extractor not in EXTRACTORS:
        if not os.path.exists(extractor):
            raise InputError(
                Argument("extractor", extractor),
                f": no such file: give {', '.join(EXTRACTORS)}, or the path of a .keras or .h5 "
                "file or of a SavedModel",
            )
        return ModelFile(extractor)
    arguments = inspect.signature(EXTRACTORS[extractor]).parameters
    missing: list[str | Argument] = []
    for option, what in own.items():
        if option not in given and arguments[option].default is inspect.Parameter.empty:
            missing += [" and " if missing else "", Argument(option), f" ({what})"]
    if missing:
        raise InputError(Argument("extractor", extractor), ": give ", *missing)
    return EXTRACTORS[extractor](**given)


__all__ = [
    "C3D",
    "EXTRACTORS",
    "I3D",
    "DigitClassifier",
    "Extracted",
    "Extractor",
    "ModelFile",
    "open_extractor",
]
