"""A model's metadata: its version, and the inputs and outputs of its signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tgan_tf.errors import InputError
from tgan_tf.serving import messages
from tgan_tf.serving.failures import broken, plain
from tgan_tf.serving.tensors import TensorSpec

# Dtype and rank of the inputs and outputs of the signatures of `tgan_tf.signatures`.
_LATENTS, _NUMBERS, _VIDEOS = ("float32", 2), ("int64", 1), ("float32", 5)
_SIGNATURES = {
    "serving_default": ({"z0": _LATENTS}, {"videos": _VIDEOS}),
    "generate": ({"seed": _NUMBERS}, {"videos": ("uint8", 5)}),
    "generate_encoded": ({"seed": _NUMBERS}, {"frames_bytes": ("string", 2)}),
    "interpolate": (
        {"z0": _LATENTS, "factor": _NUMBERS},
        {"videos": _VIDEOS, "num_frames": _NUMBERS},
    ),
    "latent_walk": (
        {"start_seed": _NUMBERS, "end_seed": _NUMBERS},
        {"videos": ("uint8", 6)},
    ),
}
# Tensors that not all generators have.
_OPTIONAL = {"label": _NUMBERS, "frame_latents": ("float32", 3)}
_LARGEST_DIM = 2**16


class Signature(NamedTuple):
    """The specs of a signature's inputs and outputs, by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


class Metadata(NamedTuple):
    """A server's metadata of a model.

    Attributes:
        server: address and model, for messages.
        version: number of the served version.
        signatures: its signatures, by name.
    """

    server: str
    version: int
    signatures: dict[str, Signature]

    def signature(self, name: str) -> Signature:
        """Returns a signature by its name.

        Raises:
            InputError: the model has no such signature, or it is not a generator's: inputs or
                outputs have other names, dtypes or ranks, or an unknown size.
        """
        remedy = "serve a generator exported by tgan_tf.export"
        if name not in self.signatures:
            names = plain(", ".join(sorted(self.signatures)))
            raise InputError(
                f"{self.server}: has no signature {name!r} (it has {names or 'none'}): {remedy}"
            )
        signature = self.signatures[name]
        for wanted, declared in zip(_SIGNATURES.get(name, ()), signature):
            for key in sorted({*wanted, *declared}):
                if not _declared_well(name, declared.get(key), {**_OPTIONAL, **wanted}.get(key)):
                    found = plain(str(declared.get(key, "nothing")))
                    raise InputError(
                        f"{self.server}: {name} declares {found} as {plain(key)}: {remedy}"
                    )
        return signature


def parsed(server: str, spec: Any, definitions: Mapping[str, Any]) -> Metadata:
    """Parses the metadata in a server's answer.

    Args:
        server: see `Metadata`.
        spec: a `messages.ModelSpec`.
        definitions: `SignatureDef`s by name.

    Raises:
        Failure: the version is missing or negative, or a dtype or a shape is invalid.
    """
    if not spec.HasField("version") or spec.version.value < 0:
        raise broken("replied metadata without a version")
    try:
        signatures = {
            name: Signature(_specs(definition.inputs), _specs(definition.outputs))
            for name, definition in definitions.items()
            # Others are for the loader, such as the one that initialises tables.
            if definition.method_name == "tensorflow/serving/predict"
        }
    except (TypeError, ValueError) as error:
        raise broken(f"replied metadata of {error}") from error
    return Metadata(server, spec.version.value, signatures)


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(messages.dtype_name(info.dtype), _shape(info.tensor_shape))
        for name, info in infos.items()
    }


def _shape(proto: Any) -> tuple[int | None, ...] | None:
    sizes = [dim.size for dim in proto.dim]
    if any(size < -1 for size in sizes):
        raise ValueError("negative sizes")
    if proto.unknown_rank:
        return None
    return tuple(None if size == -1 else size for size in sizes)


def _declared_well(name: str, spec: TensorSpec | None, wanted: tuple[str, int] | None) -> bool:
    """Whether a tensor of a signature has the required dtype and rank, and known sizes."""
    if spec is None or wanted is None:
        return False
    dtype, rank = wanted
    if spec.dtype != dtype or spec.shape is None or len(spec.shape) != rank:
        return False
    # The number of frames of an interpolated video depends on the request.
    sizes = spec.shape[2 if name == "interpolate" and rank == 5 else 1 :]
    return all(size is not None and 1 <= size <= _LARGEST_DIM for size in sizes)
