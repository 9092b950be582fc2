"""Maps the arrays of the authors' Chainer code and of the PyTorch TGAN to a `TGAN`'s variables.

The layers are the same; only the order within an array differs. Kernels are [outputs, inputs,
*taps] there, and [inputs, outputs, *taps] in transposed convolutions; here they are [*taps, inputs,
outputs] and [*taps, outputs, inputs]. One transposition converts both, and no taps are mirrored.
The 4x4 maps of the image generator's dense layers are [maps, 4, 4] there and [4, 4, maps] here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.critic import Critic
from tgan_tf.models.image_generator import ImageGenerator
from tgan_tf.models.network import CriticNetwork
from tgan_tf.models.sizes import BASE_SIZE
from tgan_tf.models.temporal_generator import TemporalGenerator
from tgan_tf.models.video_and_frame_critic import VideoAndFrameCritic
from tgan_tf.tgan import TGAN

Conversion = Callable[[np.ndarray], np.ndarray]
"""Converts one of their arrays to one of ours."""


class Place(NamedTuple):
    """The variables that an array belongs to.

    Attributes:
        shape: the required shape of the array.
        parts: pairs of a variable and a function from the array to its value; empty for an array
            that is not used and may be missing.
    """

    shape: tuple[int, ...]
    parts: list[tuple[tf.Variable, Conversion]]


def chainer_places(tgan: TGAN, negated_scores: bool = False) -> dict[str, dict[str, Place]]:
    """The places of the reference's arrays, by network and array.

    Args:
        tgan: a `TGAN` of a `VideoGenerator` and a `Critic` or a `VideoAndFrameCritic`.
        negated_scores: see `reference_weights.load_chainer`.
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
    """The places of the PyTorch TGAN's arrays, by state dictionary and array."""
    networks = chainer_places(tgan)
    biases = {
        f"{layer}/b": _lowering(networks["vgen"][f"{normalization}/avg_mean"])
        for layer, normalization in [
            *zip(("l0s", "l0f"), ("bn0s", "bn0f")),
            *((f"dc{i}", f"bn{i}") for i in range(1, 5)),
        ]
    }
    # Placed after the running means, which they change.
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


def mean_square_places(
    places: dict[str, Place], velocities: Mapping[int, tf.Variable]
) -> dict[str, Place]:
    """The places of Chainer's RMSprop state for a network's arrays; the rest is update counts.

    Args:
        places: places of the network's arrays, by name.
        velocities: our RMSprop's state of each variable, by the variable's `id`.
    """
    found = {"t": Place((), []), "epoch": Place((), [])}
    for name, (shape, parts) in places.items():
        found[f"{name}/t"] = Place((), [])
        # These are squares, so the sign of a score does not matter.
        found[f"{name}/ms"] = Place(
            shape,
            [
                (velocities[id(variable)], _magnitude(convert))
                for variable, convert in parts
                if id(variable) in velocities
            ],
        )
    return found


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
    # Their layer sees the maps of z0 and z1 joined.
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
    """The places for a `Critic` or a `FramesAsChannelsCritic`."""
    places = {}
    for i, (layer, normalization) in enumerate(network.stages):
        places[f"c{i}/W"] = _kernel(layer.kernel)
        places[f"c{i}/b"] = _vector(layer.bias)
        if normalization is not None:
            places.update(_normalization(f"bn{i}", normalization))
    # Their network has this layer but does not call it.
    unused = ["gamma", "avg_mean", "avg_var", *(["beta"] if network.center else [])]
    places.update({f"bn0/{kind}": Place((network.filters,), []) for kind in unused})
    places["bn0/N"] = Place((), [])
    if isinstance(network, Critic) and network.head == "mean":
        return places

    sign = -1.0 if negated_scores else 1.0
    score, bias = places[f"c{i}/W"], places[f"c{i}/b"]
    [(kernel, convert)] = score.parts
    # In 3-D a single frame is left, over which theirs is a 2-D convolution.
    places[f"c{i}/W"] = Place(
        (*score.shape[:2], *score.shape[-2:]),
        [(kernel, lambda array: sign * convert(array.reshape(score.shape)))],
    )
    places[f"c{i}/b"] = Place(bias.shape, [(layer.bias, lambda array: sign * array)])
    return places


def _kernel(variable: tf.Variable) -> Place:
    """Their kernel [a, b, *taps] is ours with reversed axes, except for the order of the taps."""
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
    # Counts calls in an unusual mode.
    return {**places, f"{name}/N": Place((), [])}


def _maps_last(array: np.ndarray) -> np.ndarray:
    """Reorders the last axis from flattened [maps, 4, 4] to flattened [4, 4, maps]."""
    maps = array.reshape(*array.shape[:-1], -1, BASE_SIZE, BASE_SIZE)
    return np.moveaxis(maps, -3, -1).reshape(array.shape)


def _lowering(mean: Place) -> Place:
    """The place of a bias before a batch normalisation, which we lack: its running mean."""
    [(variable, convert)] = mean.parts
    return Place(mean.shape, [(variable, lambda array: variable - convert(array))])


def _flattened(place: Place) -> Place:
    """The place for a dense layer that computes a convolution over all remaining positions."""
    outputs, *rest = place.shape
    [(variable, convert)] = place.parts
    return Place(
        (outputs, int(np.prod(rest))),
        [(variable, lambda array: convert(array.reshape(place.shape)))],
    )


def _pytorch_name(name: str) -> str:
    """Converts a name such as `bn0/avg_mean` to `bn0.running_mean`."""
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


def _magnitude(convert: Conversion) -> Conversion:
    return lambda array: abs(convert(array))
