"""Weights of the authors' Chainer code and of the PyTorch TGAN, into a `TGAN` of this package.

    tgan = TGAN(VideoGenerator(channels=3), Critic(channels=3))
    tgan.compile(rmsprop(), rmsprop())
    step = load_chainer("results/snapshot_iter_100000.npz", tgan)

What the two write, by `train.py` of pfnet-research/tgan and of proceduralia/tgan-pytorch:

    snapshot_iter_N.npz     a whole trainer of Chainer's: the three networks and RMSprop's state
    gen_iter_N.npz, vgen_iter_N.npz, vdis_iter_N.npz
                            temporal generator, image generator and discriminator alone
    checkpointN.pth         both networks of the PyTorch TGAN, no optimiser's state

Their layers are ours; what differs is the order within an array. Kernels are [outputs, inputs,
*taps] there, of transposed convolutions [inputs, outputs, *taps]; here [*taps, inputs, outputs] and
[*taps, outputs, inputs]: one transposition for both, and no taps are mirrored. The maps of 4x4 that
the image generator's dense layers make are [maps, 4, 4] there and [4, 4, maps] here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import numpy_files
from tgan_tf.errors import InputError
from tgan_tf.extras import extra
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.critic import Critic
from tgan_tf.models.image_generator import ImageGenerator
from tgan_tf.models.network import CriticNetwork
from tgan_tf.models.sizes import BASE_SIZE
from tgan_tf.models.temporal_generator import TemporalGenerator
from tgan_tf.models.video_and_frame_critic import VideoAndFrameCritic
from tgan_tf.tgan import TGAN

CHAINER_FILES = {
    "fsgen": "gen_iter_{}.npz",
    "vgen": "vgen_iter_{}.npz",
    "vdis": "vdis_iter_{}.npz",
}
"""The reference's names of its networks, and the files that it writes of an iteration."""

Conversion = Callable[[np.ndarray], np.ndarray]
"""An array of theirs to one of ours."""

_NAMED = 6
_SAFE_PYTORCH = (2, 6)


class Place(NamedTuple):
    """Where an array belongs.

    Attributes:
        shape: that the array must have.
        parts: (variable, function of the array that gives its value); none for an array that is not
            used, and may be missing.
    """

    shape: tuple[int, ...]
    parts: list[tuple[tf.Variable, Conversion]]


def load_chainer(path: str | Path, tgan: TGAN, negated_scores: bool = False) -> int:
    """Loads a whole trainer's snapshot: networks, RMSprop's state and the step count.

    Args:
        path: a `snapshot_iter_N.npz`.
        tgan: of the same sizes, compiled with RMSprop.
        negated_scores: whether the discriminator is to score with the opposite sign, as the one of
            the reference's `TGANUpdaterVanilla` must, which labels generated clips 1.

    Returns:
        The iteration, which is the step count of both optimisers now.

    Raises:
        InputError: it is no such file, or its arrays are others than the networks'.
    """
    # What is left are states of Chainer's trainer, some of them pickled.
    arrays = read_npz(path, "updater/(iteration$|model:|optimizer:)")
    if "updater/iteration" not in arrays:
        raise InputError(
            f"{path}: no snapshot of the reference's trainer, it has no updater/iteration: give a "
            "snapshot_iter_N.npz, or the directory of gen_iter_N.npz and its like"
        )
    for name, places in chainer_places(tgan, negated_scores).items():
        prefix = f"updater/model:{name}/"
        load(places, _under(prefix, arrays), f"{path}, {prefix}")
        prefix = f"updater/optimizer:{name}/"
        optimizer = tgan.critic_optimizer if name == "vdis" else tgan.generator_optimizer
        network = tgan.critic if name == "vdis" else tgan.generator
        velocities = _slots(optimizer, "velocity", network)
        load(_mean_squares(places, velocities), _under(prefix, arrays), f"{path}, {prefix}")
    return _begin(tgan, int(arrays["updater/iteration"]))


def load_chainer_networks(
    directory: str | Path, iteration: int, tgan: TGAN, negated_scores: bool = False
) -> int:
    """Loads the three networks of an iteration, each of a file of its own.

    RMSprop's state is not among them: it begins anew, and its first updates are ten times as large.

    Args:
        directory: where gen_iter_N.npz, vgen_iter_N.npz and vdis_iter_N.npz are.
        iteration: N.
        tgan: of the same sizes, compiled.
        negated_scores: as of `load_chainer`.

    Returns:
        The iteration, which is the step count of both optimisers now.

    Raises:
        InputError: one of them is missing or no such file, or its arrays are others than the
            network's.
    """
    for name, places in chainer_places(tgan, negated_scores).items():
        path = Path(directory) / CHAINER_FILES[name].format(iteration)
        load(places, read_npz(path), str(path))
    return _begin(tgan, iteration)


def load_pytorch(path: str | Path, tgan: TGAN) -> int:
    """Loads a checkpoint of the PyTorch TGAN. The optimiser begins anew.

    Its image generator has biases before batch normalisation, which change nothing but the running
    means; these are lowered by them here, where there are none.

    Args:
        path: a `checkpointN.pth`.
        tgan: of the same sizes, compiled, with offsets in all batch normalisations and a critic
            whose score is the mean of its features.

    Returns:
        The updates of the generator that were made, which is its optimiser's step count now.

    Raises:
        InputError: it is no such file, or its arrays are others than the networks'; PyTorch is not
            installed, or is older than 2.6, which may run code in the file.
    """
    checkpoint = _read_pth(path)
    places = pytorch_places(tgan)
    arrays = {key: _arrays(path, key, checkpoint[key]) for key in places}
    for key in places:
        load(places[key], arrays[key], f"{path}, {key}")
    return _begin(tgan, checkpoint["epoch"] + 1)


def read_npz(path: str | Path, names: str = "") -> dict[str, np.ndarray]:
    """Arrays of an .npz file; nothing in it is unpickled.

    Args:
        path: the file.
        names: regular expression of how the names of those that are read begin.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return numpy_files.read_npz(path, names)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file: give a snapshot of the reference") from error
    except Exception as error:  # a damaged archive or header may raise anything
        raise InputError(
            f"{path}: not readable as an .npz file ({error}): give a snapshot of the reference"
        ) from error


def load(places: dict[str, Place], arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Assigns arrays to the variables that they belong to.

    Args:
        places: of each array by its name.
        arrays: by their names.
        where: of the file, for the error.

    Raises:
        InputError: an array is missing, has no place, or is of another shape or not of floats.
            Nothing is assigned then.
    """
    wrong = [
        f"{name} is {arrays[name].dtype} {arrays[name].shape}, not float32 {place.shape}"
        for name, place in places.items()
        if name in arrays
        and (arrays[name].shape != place.shape or (place.parts and arrays[name].dtype.kind != "f"))
    ]
    problems = {
        "no": [name for name, place in places.items() if place.parts and name not in arrays],
        "what the network has no place for,": [name for name in arrays if name not in places],
        "other sizes than the configuration's,": wrong,
    }
    found = [f"{what} {_listed(names)}" for what, names in problems.items() if names]
    if found:
        raise InputError(
            f"{where}: {'; '.join(found)}: give the snapshot and the configuration of one training"
        )
    for name, place in places.items():
        for variable, convert in place.parts:
            variable.assign(convert(arrays[name].astype(np.float32)))


def chainer_places(tgan: TGAN, negated_scores: bool = False) -> dict[str, dict[str, Place]]:
    """Where the arrays of the reference's networks belong, by network and array.

    Args:
        tgan: a `TGAN` of a `VideoGenerator` and a `Critic` or a `VideoAndFrameCritic`.
        negated_scores: as of `load_chainer`.
    """
    generator, critic = tgan.generator, tgan.critic
    if isinstance(critic, VideoAndFrameCritic):
        frames = _critic(critic.frame_critic, negated_scores)
        frames["l4l/W"] = _flattened(frames.pop("c4/W"))
        frames["l4l/b"] = frames.pop("c4/b")
        parts = {
            "video_dis": _critic(critic.video_critic, negated_scores),
            "frame_dis": frames,
        }
        discriminator = {
            f"{part}/{name}": place for part, own in parts.items() for name, place in own.items()
        }
    else:
        discriminator = _critic(critic, negated_scores)
    return {
        "fsgen": _temporal_generator(generator.temporal_generator),
        "vgen": _image_generator(generator.image_generator),
        "vdis": discriminator,
    }


def pytorch_places(tgan: TGAN) -> dict[str, dict[str, Place]]:
    """Where the arrays of the PyTorch TGAN's networks belong, by state dictionary and array."""
    networks = chainer_places(tgan)
    biases = {
        f"{layer}/b": _lowering(networks["vgen"][f"{normalization}/avg_mean"])
        for layer, normalization in [
            *zip(("l0s", "l0f"), ("bn0s", "bn0f")),
            *((f"dc{i}", f"bn{i}") for i in range(1, 5)),
        ]
    }
    # After the running means, which they change.
    networks["vgen"].update(biases)
    prefixes = {
        "gen_state_dict": {"_fsgen.": networks["fsgen"], "_vgen.": networks["vgen"]},
        "dis_state_dict": {"": networks["vdis"]},
    }
    return {
        key: {
            prefix + _pytorch_name(name): place
            for prefix, places in parts.items()
            for name, place in places.items()
        }
        for key, parts in prefixes.items()
    }


def _temporal_generator(network: TemporalGenerator) -> dict[str, Place]:
    places = {}
    for i, layer in enumerate(network.deconvolutions):
        places[f"dc{i}/W"] = _kernel(layer.kernel)
        places[f"dc{i}/b"] = _vector(layer.bias)
    for i, layer in enumerate(network.normalizations):
        places.update(_normalization(f"bn{i}", layer))
    return places


def _image_generator(network: ImageGenerator) -> dict[str, Place]:
    def kernel_of_maps(variable: tf.Variable) -> Place:
        shape, [(variable, convert)] = _kernel(variable)
        return Place(shape, [(variable, lambda array: _maps_last(convert(array)))])

    places = {
        "l0s/W": kernel_of_maps(network.z0_dense.kernel),
        "l0f/W": kernel_of_maps(network.z1_dense.kernel),
        **_normalization("bn0s", network.z0_normalization, _maps_last),
        **_normalization("bn0f", network.z1_normalization, _maps_last),
    }
    # Theirs sees the maps of z0 and z1 joined.
    first, *others = network.deconvolutions
    (inputs, *rest), [(_, convert)] = _kernel(first.kernel)
    places["dc1/W"] = Place(
        (2 * inputs, *rest),
        [
            (network.z0_deconvolution.kernel, lambda array: convert(array[:inputs])),
            (first.kernel, lambda array: convert(array[inputs:])),
        ],
    )
    for i, layer in enumerate([*others, network.to_frame], 2):
        places[f"dc{i}/W"] = _kernel(layer.kernel)
    places[f"dc{i}/b"] = _vector(network.to_frame.bias)
    for i, layer in enumerate(network.normalizations, 1):
        places.update(_normalization(f"bn{i}", layer))
    return places


def _critic(network: CriticNetwork, negated_scores: bool) -> dict[str, Place]:
    """Of a `Critic` or a `FramesAsChannelsCritic`."""
    places = {}
    for i, (layer, normalization) in enumerate(network.stages):
        places[f"c{i}/W"] = _kernel(layer.kernel)
        places[f"c{i}/b"] = _vector(layer.bias)
        if normalization is not None:
            places.update(_normalization(f"bn{i}", normalization))
    # It is in their network, but they do not call it.
    unused = ["gamma", "avg_mean", "avg_var", *(["beta"] if network.center else [])]
    places.update({f"bn0/{kind}": Place((network.filters,), []) for kind in unused})
    places["bn0/N"] = Place((), [])
    if isinstance(network, Critic) and network.head == "mean":
        return places

    sign = -1.0 if negated_scores else 1.0
    score, bias = places[f"c{i}/W"], places[f"c{i}/b"]
    [(kernel, convert)] = score.parts
    # A convolution in 2-D, of the frame that is left in 3-D.
    places[f"c{i}/W"] = Place(
        (*score.shape[:2], *score.shape[-2:]),
        [(kernel, lambda array: sign * convert(array.reshape(score.shape)))],
    )
    places[f"c{i}/b"] = Place(bias.shape, [(layer.bias, lambda array: sign * array)])
    return places


def _kernel(variable: tf.Variable) -> Place:
    """A kernel of theirs, [a, b, *taps], is ours with its axes reversed, but for the taps'."""
    *taps, b, a = variable.shape
    return Place((a, b, *taps), [(variable, _taps_first)])


def _taps_first(array: np.ndarray) -> np.ndarray:
    return np.transpose(array, (*range(2, array.ndim), 1, 0))


def _vector(variable: tf.Variable, convert: Conversion = np.asarray) -> Place:
    return Place(tuple(variable.shape), [(variable, convert)])


def _normalization(
    name: str, layer: BatchNormalization, convert: Conversion = np.asarray
) -> dict[str, Place]:
    variables = {
        "gamma": layer.gamma,
        **({"beta": layer.beta} if layer.center else {}),
        "avg_mean": layer.moving_mean,
        "avg_var": layer.moving_variance,
    }
    places = {f"{name}/{kind}": _vector(v, convert) for kind, v in variables.items()}
    # How often it was called in another mode than the usual one.
    return {**places, f"{name}/N": Place((), [])}


def _maps_last(array: np.ndarray) -> np.ndarray:
    """The last axis, [maps, 4, 4] flattened, as [4, 4, maps] flattened."""
    maps = array.reshape(*array.shape[:-1], -1, BASE_SIZE, BASE_SIZE)
    return np.moveaxis(maps, -3, -1).reshape(array.shape)


def _lowering(mean: Place) -> Place:
    """The place of a bias before a batch normalisation, where here is none: in its running mean."""
    [(variable, convert)] = mean.parts
    return Place(mean.shape, [(variable, lambda array: variable - convert(array))])


def _flattened(place: Place) -> Place:
    """The place of a convolution over all that is left, for the dense layer that computes it."""
    outputs, *rest = place.shape
    [(variable, convert)] = place.parts
    return Place(
        (outputs, int(np.prod(rest))),
        [(variable, lambda array: convert(array.reshape(place.shape)))],
    )


def _mean_squares(
    places: dict[str, Place], velocities: Mapping[Any, tf.Variable]
) -> dict[str, Place]:
    """Where RMSprop's state of a network's arrays belongs; the rest are counts of updates."""
    found = {"t": Place((), []), "epoch": Place((), [])}
    for name, (shape, parts) in places.items():
        found[f"{name}/t"] = Place((), [])
        # Of squares: the sign of a score does not matter.
        found[f"{name}/ms"] = Place(
            shape,
            [
                (velocities[variable.ref()], _magnitude(convert))
                for variable, convert in parts
                if variable.ref() in velocities
            ],
        )
    return found


def _magnitude(convert: Conversion) -> Conversion:
    return lambda array: abs(convert(array))


def _slots(
    optimizer: keras.optimizers.Optimizer, kind: str, network: keras.Model
) -> dict[Any, tf.Variable]:
    """What an optimiser keeps of each variable, such as its "velocity"."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    kept = [variable for variable in optimizer.variables if kind in variable.name]
    return {v.ref(): slot for v, slot in zip(network.trainable_variables, kept)}


def _begin(tgan: TGAN, step: int) -> int:
    """Sets the step counts, and a moving average of the weights to these."""
    for variable, average in _slots(tgan.generator_optimizer, "average", tgan.generator).items():
        average.assign(variable.deref())
    tgan.generator_optimizer.iterations.assign(step)
    tgan.critic_optimizer.iterations.assign(step * tgan.n_critic)
    return step


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n[len(prefix) :]: array for n, array in arrays.items() if n.startswith(prefix)}


def _read_pth(path: str | Path) -> dict[str, Any]:
    """A checkpoint of the PyTorch TGAN, of which nothing but tensors and plain values is loaded."""
    with extra("import", str(path)):
        import torch
    # Before it, a file can run code in spite of weights_only=True (CVE-2025-32434).
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < _SAFE_PYTORCH:
        raise InputError(
            f"{path}: PyTorch {torch.__version__} may run code in it (CVE-2025-32434): pip install "
            f"'torch>={_SAFE_PYTORCH[0]}.{_SAFE_PYTORCH[1]}'"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file: give a checkpoint of the PyTorch TGAN") from error
    except Exception as error:  # Whatever PyTorch raises for a file that is none of its own.
        # Its first sentence: the others are about how to load it unsafely.
        reason = re.split(r"[.\n]", str(error))[0]
        raise InputError(
            f"{path}: PyTorch does not load it with weights_only=True ({reason}): give a "
            "checkpoint of the PyTorch TGAN; if it is one that you trust, load it where it was "
            "written and save its epoch, gen_state_dict and dis_state_dict alone"
        ) from error
    keys = ("epoch", "gen_state_dict", "dis_state_dict")
    missing = [k for k in keys if not isinstance(checkpoint, Mapping) or k not in checkpoint]
    if missing:
        raise InputError(
            f"{path}: no checkpoint of the PyTorch TGAN, it has no {', '.join(missing)}: give what "
            "its train.py has saved"
        )
    if not isinstance(checkpoint["epoch"], int) or checkpoint["epoch"] < 0:
        raise InputError(
            f"{path}: no checkpoint of the PyTorch TGAN, its epoch is {checkpoint['epoch']!r}: "
            "give what its train.py has saved"
        )
    return checkpoint


def _arrays(path: str | Path, key: str, tensors: Any) -> dict[str, np.ndarray]:
    """A state dictionary's tensors as arrays."""
    try:
        return {name: tensor.numpy() for name, tensor in tensors.items()}
    except Exception as error:  # of a tensor that is sparse or quantised, or no tensor
        raise InputError(
            f"{path}: no checkpoint of the PyTorch TGAN, its {key} holds something else than plain "
            f"tensors ({type(error).__name__}): give what its train.py has saved"
        ) from error


def _pytorch_name(name: str) -> str:
    """`bn0.running_mean` of `bn0/avg_mean`."""
    layer, kind = name.split("/")
    kinds = {
        "W": "weight",
        "b": "bias",
        "gamma": "weight",
        "beta": "bias",
        "avg_mean": "running_mean",
        "avg_var": "running_var",
        "N": "num_batches_tracked",
    }
    return f"{layer}.{kinds[kind]}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
