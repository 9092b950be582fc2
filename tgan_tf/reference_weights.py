"""Loads weights of the authors' Chainer code and of the PyTorch TGAN into a `TGAN`.

    tgan = TGAN(VideoGenerator(channels=3), Critic(channels=3))
    tgan.compile(rmsprop(), rmsprop())
    step = load_chainer("results/snapshot_iter_100000.npz", tgan)

The files that `train.py` of pfnet-research/tgan and of proceduralia/tgan-pytorch write:

    snapshot_iter_N.npz     a complete Chainer trainer: the three networks and RMSprop's state
    gen_iter_N.npz, vgen_iter_N.npz, vdis_iter_N.npz
                            temporal generator, image generator and discriminator alone
    checkpointN.pth         both networks of the PyTorch TGAN, without optimiser state

`tgan_tf.reference_places` maps their arrays to variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tgan_tf import moving_average, numpy_files
from tgan_tf.errors import InputError
from tgan_tf.extras import extra
from tgan_tf.reference_places import (
    Place,
    chainer_places,
    mean_square_places,
    pytorch_places,
)
from tgan_tf.tgan import TGAN

CHAINER_FILES = {
    "fsgen": "gen_iter_{}.npz",
    "vgen": "vgen_iter_{}.npz",
    "vdis": "vdis_iter_{}.npz",
}
"""The reference's names of its networks, and the files that it writes for an iteration."""

_NAMED = 6
_SAFE_PYTORCH = (2, 6)


def load_chainer(path: str | Path, tgan: TGAN, negated_scores: bool = False) -> int:
    """Loads a trainer's snapshot: networks, RMSprop's state and the step count.

    Args:
        path: a `snapshot_iter_N.npz`.
        tgan: a `TGAN` of the same sizes, compiled with RMSprop.
        negated_scores: whether to negate the discriminator's scores, as needed for the reference's
            `TGANUpdaterVanilla`, which labels generated clips 1.

    Returns:
        The iteration, which is the step count of both optimisers now.

    Raises:
        InputError: it is not such a file, or its arrays do not fit the networks.
    """
    # The rest is state of Chainer's trainer, some of it pickled.
    arrays = read_npz(path, "updater/(iteration$|model:|optimizer:)")
    if "updater/iteration" not in arrays:
        raise InputError(
            f"{path}: has no updater/iteration, so it is not a snapshot of the reference's "
            "trainer: give a snapshot_iter_N.npz, or the directory of gen_iter_N.npz and the like"
        )
    for name, places in chainer_places(tgan, negated_scores).items():
        prefix = f"updater/model:{name}/"
        load(places, _under(prefix, arrays), f"{path}, {prefix}")
        prefix = f"updater/optimizer:{name}/"
        optimizer = tgan.critic_optimizer if name == "vdis" else tgan.generator_optimizer
        network = tgan.critic if name == "vdis" else tgan.generator
        velocities = moving_average.kept(network, optimizer, "velocity")
        load(mean_square_places(places, velocities), _under(prefix, arrays), f"{path}, {prefix}")
    return _begin(tgan, int(arrays["updater/iteration"]))


def load_chainer_networks(
    directory: str | Path, iteration: int, tgan: TGAN, negated_scores: bool = False
) -> int:
    """Loads the three networks of an iteration, each from a separate file.

    The files lack RMSprop's state: it starts from zero, and its first updates are ten times as
    large.

    Args:
        directory: directory of gen_iter_N.npz, vgen_iter_N.npz and vdis_iter_N.npz.
        iteration: N.
        tgan: a compiled `TGAN` of the same sizes.
        negated_scores: see `load_chainer`.

    Returns:
        The iteration, which is the step count of both optimisers now.

    Raises:
        InputError: a file is missing or not such a file, or its arrays do not fit the network.
    """
    for name, places in chainer_places(tgan, negated_scores).items():
        path = Path(directory) / CHAINER_FILES[name].format(iteration)
        load(places, read_npz(path), str(path))
    return _begin(tgan, iteration)


def load_pytorch(path: str | Path, tgan: TGAN) -> int:
    """Loads a checkpoint of the PyTorch TGAN. The optimisers' state starts from zero.

    Its image generator has biases before batch normalisation, which only shift the running means.
    Our layers have no such biases, so the running means are lowered by them.

    Args:
        path: a `checkpointN.pth`.
        tgan: a compiled `TGAN` of the same sizes, with offsets in all batch normalisations and a
            critic with the head "mean".

    Returns:
        The number of the generator's updates, which is its optimiser's step count now.

    Raises:
        InputError: it is not such a file, or its arrays do not fit the networks; PyTorch is not
            installed, or is older than 2.6 and may run code in the file.
    """
    checkpoint = _read_pth(path)
    places = pytorch_places(tgan)
    arrays = {key: _arrays(path, key, checkpoint[key]) for key in places}
    for key in places:
        load(places[key], arrays[key], f"{path}, {key}")
    return _begin(tgan, checkpoint["epoch"] + 1)


def read_npz(path: str | Path, names: str = "") -> dict[str, np.ndarray]:
    """Reads arrays from an .npz file; nothing in it is unpickled.

    Args:
        path: the file.
        names: regular expression for the beginning of the names to read.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return numpy_files.read_npz(path, names)
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist: give a snapshot of the reference") from error
    except Exception as error:  # a damaged archive or header may raise anything
        raise InputError(
            f"{path}: cannot be read as an .npz file ({error}): give a snapshot of the reference"
        ) from error


def load(places: dict[str, Place], arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Assigns arrays to the variables that they belong to.

    Args:
        places: the place of each array, by name.
        arrays: the arrays, by name.
        where: the file, for the error.

    Raises:
        InputError: an array is missing, has no place, has another shape or is not of floats.
            Nothing is assigned then.
    """
    wrong = [
        f"{name} is {arrays[name].dtype} {arrays[name].shape}, not float32 {place.shape}"
        for name, place in places.items()
        if name in arrays
        and (arrays[name].shape != place.shape or (place.parts and arrays[name].dtype.kind != "f"))
    ]
    problems = {
        "lacks": [name for name, place in places.items() if place.parts and name not in arrays],
        "has arrays that the network lacks,": [name for name in arrays if name not in places],
        "has other sizes than the configuration,": wrong,
    }
    found = [f"{what} {_listed(names)}" for what, names in problems.items() if names]
    if found:
        raise InputError(
            f"{where}: {'; '.join(found)}: give the snapshot and the configuration of one training"
        )
    for name, place in places.items():
        for variable, convert in place.parts:
            variable.assign(convert(arrays[name].astype(np.float32)))


def _begin(tgan: TGAN, step: int) -> int:
    """Sets the step counts, and the moving average, if any, to the weights."""
    moving_average.begin(tgan.generator, tgan.generator_optimizer)
    tgan.generator_optimizer.iterations.assign(step)
    tgan.critic_optimizer.iterations.assign(step * tgan.n_critic)
    return step


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n[len(prefix) :]: array for n, array in arrays.items() if n.startswith(prefix)}


def _read_pth(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint of the PyTorch TGAN; only tensors and plain values are loaded."""
    with extra("import", str(path)):
        import torch
    # In earlier versions a file can run code despite weights_only=True (CVE-2025-32434).
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < _SAFE_PYTORCH:
        raise InputError(
            f"{path}: PyTorch {torch.__version__} may run code from the file (CVE-2025-32434): pip "
            f"install 'torch>={_SAFE_PYTORCH[0]}.{_SAFE_PYTORCH[1]}'"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: does not exist: give a checkpoint of the PyTorch TGAN"
        ) from error
    except Exception as error:  # files of another format may raise anything
        # The first sentence; the others tell how to load it unsafely.
        reason = re.split(r"[.\n]", str(error))[0]
        raise InputError(
            f"{path}: PyTorch does not load it with weights_only=True ({reason}): give a "
            "checkpoint of the PyTorch TGAN; if you trust it, load it where it was written and "
            "save only its epoch, gen_state_dict and dis_state_dict"
        ) from error
    keys = ("epoch", "gen_state_dict", "dis_state_dict")
    missing = [k for k in keys if not isinstance(checkpoint, Mapping) or k not in checkpoint]
    if missing:
        raise InputError(
            f"{path}: has no {', '.join(missing)}, so it is not a checkpoint of the PyTorch TGAN: "
            "give a file that its train.py has saved"
        )
    if not isinstance(checkpoint["epoch"], int) or checkpoint["epoch"] < 0:
        raise InputError(
            f"{path}: its epoch is {checkpoint['epoch']!r}, so it is not a checkpoint of the "
            "PyTorch TGAN: give a file that its train.py has saved"
        )
    return checkpoint


def _arrays(path: str | Path, key: str, tensors: Any) -> dict[str, np.ndarray]:
    """A state dictionary's tensors as arrays."""
    try:
        return {name: tensor.numpy() for name, tensor in tensors.items()}
    except Exception as error:  # for a sparse or quantised tensor, or something else
        raise InputError(
            f"{path}: its {key} holds something other than plain tensors ({type(error).__name__}), "
            "so it is not a checkpoint of the PyTorch TGAN: give a file that its train.py has "
            "saved"
        ) from error


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
