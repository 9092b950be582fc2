"""The client of a served generator."""

from __future__ import annotations

import math
import numbers
import time
from typing import Any, NamedTuple

import numpy as np

from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.interpolation import num_frames
from tgan_tf.serving.addresses import check_address, is_of_rest
from tgan_tf.serving.failures import REMEDIES, Failure, broken, plain
from tgan_tf.serving.limits import LARGEST_MESSAGE, MAX_FACTOR, MAX_FRAMES, WALK_VIDEOS
from tgan_tf.serving.metadata import Metadata, parsed
from tgan_tf.serving.tensors import Output, as_declared


class Rendered(NamedTuple):
    """The result of `Client.render`.

    Attributes:
        videos: float32 [n, T, H, W, C] in [-1, 1].
        frame_latents: float32 [n, T, z1_dim] in [-1, 1]; None if the generator has none.
    """

    videos: np.ndarray
    frame_latents: np.ndarray | None


class Client:
    """Requests videos from a served generator.

    If a server is unavailable the request is repeated, up to 5 attempts in all with growing pauses.

    Every method raises a one-line `InputError` on failure. If an input does not fit the model's
    declaration, it does so before sending the request. It also raises one if the server cannot be
    reached, has no such model, version or signature, refuses the request, does not answer in time,
    or replies what TensorFlow Serving would not: an answer must have the requested rows, the
    declared dtypes and shapes, and values within the ranges below. No more bytes are read than such
    an answer can have.

    The environment's proxies (`http_proxy`, `https_proxy`, `no_proxy`) are used, except for servers
    on this machine. Redirects are not followed, and no credentials are sent.

    A conditional generator needs `labels`, int [n], the class of each video. Other generators do
    not take them.

    Args:
        address: "HOST:PORT" for gRPC; "http://HOST:PORT", or https, for REST.
        model: name of the model; for a server started with only --model_base_path it is "default".
        version: version of the model; None for the newest that is served.
        timeout: seconds for one call of a method with all its requests and attempts, greater than 0
            and finite; more than 10^6 counts as 10^6.

    Raises:
        InputError: an argument is invalid. The constructor sends nothing.
    """

    def __init__(
        self,
        address: str,
        model: str = "default",
        version: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        if not model or not _is_text(model):
            raise InputError(Argument("model", model), ": must be the name of a served model")
        if version is not None and not (
            isinstance(version, numbers.Integral) and 0 <= version < 2**63
        ):
            raise InputError(Argument("version", version), ": must be an integer ≥ 0")
        if not 0 < timeout < math.inf:
            raise InputError(Argument("timeout", timeout), ": must be a finite number > 0")
        check_address(address)
        self._server = f"{address}, model {model!r}"
        if version is not None:
            self._server += f" version {version}"
        self._timeout = min(timeout, 1e6)
        # Imported only when used: each protocol works without the other's packages.
        if is_of_rest(address):
            from tgan_tf.serving.rest import Rest

            self._protocol: Any = Rest(address, model, version)
        else:
            from tgan_tf.serving.grpc import Grpc

            self._protocol = Grpc(address, model, version)
        self._model, self._version = model, version
        self._metadata: Metadata | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._protocol.close()

    def metadata(self) -> Metadata:
        """The model's version and signatures; only the first call asks the server."""
        return self._metadata or self._ask_metadata(self._end())

    def _end(self) -> float:
        return time.monotonic() + self._timeout

    def _ask_metadata(self, end: float) -> Metadata:
        try:
            spec, definitions = self._protocol.metadata(end)
            self._check_model(spec)
            self._metadata = parsed(self._server, spec, definitions)
        except Failure as failure:
            raise self._error(failure) from failure.__cause__
        return self._metadata

    def render(self, z0: np.ndarray, labels: np.ndarray | None = None) -> Rendered:
        """Makes videos from latents.

        Args:
            z0: float32 [n, z0_dim], n at least 1.
            labels: see `Client`.

        Returns:
            The videos and, if the generator has them, their frame latents.
        """
        outputs = self._predict("serving_default", z0=z0, label=labels)
        return Rendered(outputs["videos"], outputs.get("frame_latents"))

    def generate(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Makes videos from seeds.

        Args:
            seeds: n integers from 0 to 2^64 - 1, n at least 1.
            labels: see `Client`.

        Returns:
            uint8 [n, T, H, W, C].
        """
        return self._predict("generate", seed=seeds, label=labels)["videos"]

    def generate_encoded(
        self, seeds: np.ndarray, labels: np.ndarray | None = None
    ) -> list[list[bytes]]:
        """Makes videos from seeds as `generate` does; returns for each its frames as PNG bytes.

        The beginning of each PNG, with its size, and its end are checked. It is not decoded, since
        a PNG has its own checksums.
        """
        outputs = self._predict("generate_encoded", seed=seeds, label=labels)
        return outputs["frames_bytes"].tolist()

    def interpolate(
        self, z0: np.ndarray, factor: int | np.ndarray, labels: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Makes videos with more frames from latents.

        Args:
            z0: float32 [n, z0_dim], n at least 1.
            factor: frames per original frame, 1 to 16; one number for all videos, or one for each.
            labels: see `Client`.

        Returns:
            For each row float32 [(T - 1) · factor + 1, H, W, C] in [-1, 1].
        """
        if isinstance(factor, numbers.Integral):
            factor = [factor] * len(np.atleast_1d(np.asarray(z0, object)))
        outputs = self._predict("interpolate", z0=z0, factor=factor, label=labels)
        return [video[:n] for video, n in zip(outputs["videos"], outputs["num_frames"])]

    def latent_walk(
        self, start_seeds: np.ndarray, end_seeds: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Makes walks of 8 videos from the latent of one seed to the latent of another.

        Args:
            start_seeds: see `generate`.
            end_seeds: as many seeds.
            labels: see `Client`.

        Returns:
            uint8 [n, 8, T, H, W, C].
        """
        outputs = self._predict(
            "latent_walk", start_seed=start_seeds, end_seed=end_seeds, label=labels
        )
        return outputs["videos"]

    def _predict(self, name: str, **inputs: Any) -> dict[str, np.ndarray]:
        end = self._end()
        signature = (self._metadata or self._ask_metadata(end)).signature(name)
        inputs = {key: value for key, value in inputs.items() if value is not None}
        if set(inputs) != set(signature.inputs):
            raise InputError(
                f"{self._server}: {name} takes {', '.join(sorted(signature.inputs))}, not "
                f"{', '.join(sorted(inputs))}: serve a generator exported by tgan_tf.export"
            )
        tensors = {
            key: as_declared(key, inputs[key], spec) for key, spec in signature.inputs.items()
        }
        rows = {key: len(tensor) for key, tensor in tensors.items()}
        if len(set(rows.values())) > 1:
            raise InputError(f"{name}: numbers of rows differ, {rows}: give equally many of each")
        self._check_frames(name, tensors)
        outputs = self._outputs(name, tensors)
        most_bytes = self._most_bytes(name, tensors, outputs)
        try:
            spec, values = self._protocol.predict(name, tensors, set(outputs), most_bytes, end)
            self._check_model(spec, name)
            if set(values) != set(outputs):
                found, wanted = (", ".join(sorted(names)) for names in (values, outputs))
                raise broken(f"{name} replied {found or 'nothing'}, not {wanted}")
            arrays = {}
            for key, output in outputs.items():
                try:
                    arrays[key] = output.checked(self._protocol.array(values[key], output))
                except (ArithmeticError, MemoryError, TypeError, ValueError) as error:
                    raise broken(f"{name} replied {key} {reason(error)}") from error
            return arrays
        except Failure as failure:
            raise self._error(failure) from failure.__cause__

    def _check_model(self, spec: Any, signature_name: str = "") -> None:
        """Checks that an answer, as far as it tells, comes from the requested model."""
        version = spec.version.value if spec.HasField("version") else None
        of_other_version = None not in (version, self._version) and version != self._version
        if (
            spec.name not in ("", self._model)
            or spec.signature_name not in ("", signature_name)
            or of_other_version
        ):
            found = f"model {spec.name!r} version {version} {spec.signature_name}"
            raise broken(f"replied what is of {found.rstrip()}")

    def _outputs(self, name: str, tensors: dict[str, np.ndarray]) -> dict[str, Output]:
        """The outputs that the answer must have."""
        metadata = self.metadata()
        rows = len(next(iter(tensors.values())))
        frames, *frame_shape = metadata.signature("serving_default").outputs["videos"].row
        outputs = {
            key: Output(spec.dtype, (rows, *spec.row))
            for key, spec in metadata.signature(name).outputs.items()
        }
        if name == "interpolate":
            counts = num_frames(frames, tensors["factor"])
            shape = outputs["videos"].shape
            outputs["videos"] = outputs["videos"]._replace(
                shape=(*shape[:1], int(counts.max()), *shape[2:])
            )
            outputs["num_frames"] = outputs["num_frames"]._replace(values=counts)
        if name == "generate_encoded":
            output = outputs["frames_bytes"]
            outputs["frames_bytes"] = output._replace(
                frame_shape=(frame_shape[0], frame_shape[1], frame_shape[2])
            )
        return outputs

    def _most_bytes(self, name: str, tensors: dict[str, Any], outputs: dict[str, Output]) -> int:
        """Bytes of the longest answer; raises an `InputError` if no message can hold it."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        size += sum(output.least_bytes for output in outputs.values())
        if size > LARGEST_MESSAGE:
            raise InputError(
                f"{name}: the request and its answer have {size / 1e9:.1f} GB, but a message can "
                "have only 2.1 GB: give fewer rows at once"
            )
        per_value = self._protocol.bytes_per_value
        return 2**20 + sum(
            output.size * (per_value + output.longest_value) for output in outputs.values()
        )

    def _check_frames(self, name: str, tensors: dict[str, np.ndarray]) -> None:
        """Checks the limits of `tgan_tf.signatures`: an error in the server fails a whole batch."""
        frames = self.metadata().signature("serving_default").outputs["videos"].row[0]
        if name == "latent_walk":
            frames *= WALK_VIDEOS
        if name == "interpolate":
            factors = tensors["factor"]
            if factors.min() < 1 or factors.max() > MAX_FACTOR:
                found = sorted(set(factors.tolist()))
                raise InputError(f"factor: {found}: must be integers from 1 to {MAX_FACTOR}")
            frames = num_frames(frames, int(factors.max()))
        rows = len(next(iter(tensors.values())))
        if rows > MAX_FRAMES // frames:
            raise InputError(
                f"{name}: {rows} times {frames} frames: give at most {MAX_FRAMES // frames} rows "
                f"at once, {MAX_FRAMES} frames"
            )

    def _error(self, failure: Failure) -> InputError:
        remedy = REMEDIES.get(failure.code, "see the server's log")
        words = plain(failure.words) or failure.code
        if failure.code == "LATE":
            words = f"no answer within {self._timeout:g} s"
        return InputError(f"{self._server}: {words}: {remedy}")


def _is_text(text: str) -> bool:
    """Whether it can be sent as UTF-8; bytes of a command line that are not text cannot."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
