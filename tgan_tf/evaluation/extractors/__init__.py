"""Feature extractors, one a file, by name."""

from __future__ import annotations

from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors.c3d import C3D
from tgan_tf.evaluation.extractors.extractor import Extractor
from tgan_tf.evaluation.extractors.i3d import I3D
from tgan_tf.evaluation.extractors.model_file import ModelFile
from tgan_tf.evaluation.extractors.moving_mnist import MovingMNIST


def open_extractor(name: str, weights: str | None = None, mean: str | None = None) -> Extractor:
    """The extractor of a name.

    Args:
        name: "moving_mnist", which comes with the package; "c3d"; "i3d"; or the path of a Keras
            file or a SavedModel.
        weights: C3D: path or URL of conv3d_deepnetA_ucf.npz; I3D: SavedModel or TF-Hub handle.
        mean: C3D: path or URL of mean2.npz.

    Raises:
        InputError: the name is unknown, an argument is missing or has no use, or as the extractors.
    """
    if name != "c3d" and mean is not None:
        raise InputError(f"--c3d_mean={mean}: is for --extractor=c3d, not for {name}")
    if name == "c3d":
        if weights is None or mean is None:
            raise InputError(
                "--extractor=c3d: give --extractor_weights=conv3d_deepnetA_ucf.npz and "
                "--c3d_mean=mean2.npz, each a path or a URL"
            )
        return C3D(weights, mean)
    if name == "i3d":
        return I3D() if weights is None else I3D(weights)
    if weights is not None:
        raise InputError(f"--extractor_weights={weights}: is for c3d and i3d, not for {name}")
    return MovingMNIST() if name == "moving_mnist" else ModelFile(name)


__all__ = ["C3D", "I3D", "Extractor", "ModelFile", "MovingMNIST", "open_extractor"]
