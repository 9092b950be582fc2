"""A client of TensorFlow Serving for exported generators, over gRPC or REST.

    with Client("localhost:8500", model="moving_mnist") as client:  # REST: "http://localhost:8501"
        videos = client.generate([0, 1, 2])                         # uint8 [3, T, H, W, C]

The signatures behind its methods are those of `tgan_tf.signatures`. What a server is sent and
what it replies are checked against the shapes and dtypes that it has declared.

https://www.tensorflow.org/tfx/serving/api_rest describes the REST protocol; gRPC's is that of
`tensorflow_serving.apis`.
"""

from __future__ import annotations

import base64
import json
import math
import numbers
import operator
import re
import time
import urllib.parse
from typing import Any, NamedTuple

import grpc
import numpy as np
import requests
import tensorflow as tf
import urllib3
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tgan_tf.errors import InputError, reason
from tgan_tf.interpolation import num_frames
from tgan_tf.signatures import MAX_FACTOR, MAX_FRAMES, WALK_VIDEOS

# gRPC allows at most 5.
_ATTEMPTS = 5
_FIRST_WAIT, _WAIT_FACTOR = 0.1, 2.0
_REMEDIES = {
    "NOT_FOUND": "give a model and a version that the server has",
    "UNAVAILABLE": "see whether TensorFlow Serving runs there and is ready",
    "DEADLINE_EXCEEDED": "give a longer timeout or ask for less at once",
    "INVALID_ARGUMENT": "give inputs as the signature declares them",
    "FAILED_PRECONDITION": "give inputs as the signature declares them",
    "UNIMPLEMENTED": "give the address of TensorFlow Serving",
}
_HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Rendered(NamedTuple):
    """What `Client.render` makes.

    Attributes:
        videos: float32 [n, T, H, W, C] in [-1, 1].
        frame_latents: float32 [n, T, z1_dim] in [-1, 1]; None of a generator that has none.
    """

    videos: np.ndarray
    frame_latents: np.ndarray | None


class Signature(NamedTuple):
    """Inputs and outputs of a signature by name, shape and dtype of each; None is any size."""

    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]


class Metadata(NamedTuple):
    """What a server tells of a model.

    Attributes:
        server: address and model, for messages.
        version: the served version's number.
        signatures: by name.
    """

    server: str
    version: int
    signatures: dict[str, Signature]

    def signature(self, name: str) -> Signature:
        """A signature; raises an `InputError` if the model has none of that name."""
        if name not in self.signatures:
            raise InputError(
                f"{self.server}: no signature {name!r}, it has "
                f"{', '.join(sorted(self.signatures)) or 'none'}: serve a generator exported by "
                "experiments/export.py"
            )
        return self.signatures[name]


class Client:
    """Asks a served generator for videos.

    A server that is not available is asked again, up to 5 times in all, waiting longer each time.
    Every method raises an `InputError` of one line, which names the server and the model, if an
    input does not fit what the model declares, before it is sent, or if the server cannot be
    reached, has no such model, version or signature, refuses the request, has not answered in time,
    or replies what TensorFlow Serving would not.

    A conditional generator needs `labels`, int [n], each video's class, and no other may be given
    them.

    Args:
        address: "HOST:PORT" for gRPC; "http://HOST:PORT", or https, for REST.
        model: its name; the server's own for a model given by --model_base_path alone is "default".
        version: None for the newest that is served.
        timeout: seconds for a request, all its attempts included. Over REST a reply that has begun
            may pause that long again.

    Raises:
        InputError: an argument cannot be used. Nothing is sent yet.
    """

    def __init__(
        self,
        address: str,
        model: str = "default",
        version: int | None = None,
        timeout: float = 60.0,
    ):
        if not model:
            raise InputError(f"{address}: the model's name is empty: give one that is served")
        if version is not None and version < 0:
            raise InputError(f"{address}: version {version}: give a whole number of at least 0")
        if not 0 < timeout < math.inf:
            raise InputError(f"{address}: timeout {timeout}: give a positive number of seconds")
        _check_address(address)
        self._server = f"{address}, model {model!r}"
        if version is not None:
            self._server += f" version {version}"
        protocol = _Rest if "://" in address else _Grpc
        self._protocol = protocol(address, model, version, timeout)
        self._metadata = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._protocol.close()

    def metadata(self) -> Metadata:
        """The model's version and signatures, as when they were first asked for."""
        if self._metadata is None:
            try:
                version, definitions = self._protocol.metadata()
            except _Failure as failure:
                raise self._error(failure) from failure.__cause__
            signatures = {
                name: Signature(_specs(definition.inputs), _specs(definition.outputs))
                for name, definition in definitions.items()
                # Others are of the loader, such as the one that initialises tables.
                if definition.method_name == "tensorflow/serving/predict"
            }
            self._metadata = Metadata(self._server, version, signatures)
        return self._metadata

    def render(self, z0: np.ndarray, labels: np.ndarray | None = None) -> Rendered:
        """Videos of latents: float32 [n, z0_dim], n at least 1."""
        outputs = self._predict("serving_default", z0=z0, label=labels)
        return Rendered(outputs["videos"], outputs.get("frame_latents"))

    def generate(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Videos of seeds.

        Args:
            seeds: n whole numbers from 0 to 2^64 - 1, n at least 1.
            labels: as of the class.

        Returns:
            uint8 [n, T, H, W, C].
        """
        return self._predict("generate", seed=seeds, label=labels)["videos"]

    def generate_encoded(
        self, seeds: np.ndarray, labels: np.ndarray | None = None
    ) -> list[list[bytes]]:
        """For each seed, as of `generate`, its frames, each the bytes of a PNG."""
        outputs = self._predict("generate_encoded", seed=seeds, label=labels)
        return outputs["frames_bytes"].tolist()

    def interpolate(
        self, z0: np.ndarray, factor: int | np.ndarray, labels: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Videos of latents with more frames.

        Args:
            z0: float32 [n, z0_dim], n at least 1.
            factor: how many frames each becomes, 1 to 16; for all videos or one for each.
            labels: as of the class.

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
        """Walks of 8 videos from the latent of one seed to that of another.

        Args:
            start_seeds: as of `generate`.
            end_seeds: as many.
            labels: as of the class.

        Returns:
            uint8 [n, 8, T, H, W, C].
        """
        outputs = self._predict(
            "latent_walk", start_seed=start_seeds, end_seed=end_seeds, label=labels
        )
        return outputs["videos"]

    def _predict(self, name: str, **inputs: Any) -> dict[str, np.ndarray]:
        signature = self.metadata().signature(name)
        inputs = {key: value for key, value in inputs.items() if value is not None}
        if set(inputs) != set(signature.inputs):
            raise InputError(
                f"{self._server}: {name} takes {', '.join(sorted(signature.inputs))}, not "
                f"{', '.join(sorted(inputs))}: serve a generator exported by experiments/export.py"
            )
        tensors = {key: _tensor(key, inputs[key], spec) for key, spec in signature.inputs.items()}
        rows = {key: len(tensor) for key, tensor in tensors.items()}
        if len(set(rows.values())) > 1:
            raise InputError(f"{name}: rows differ, {rows}: give as many of each")
        self._check_frames(name, tensors)
        try:
            outputs = self._protocol.predict(name, tensors, signature)
        except _Failure as failure:
            raise self._error(failure) from failure.__cause__
        for key, spec in signature.outputs.items():
            value = outputs.get(key)
            if value is None or not spec.shape.is_compatible_with(value.shape):
                found = "none" if value is None else list(value.shape)
                raise InputError(
                    f"{self._server}: {name} replied {key} of shape {found}, not {spec.shape}: "
                    "see what runs there"
                )
        return outputs

    def _check_frames(self, name: str, tensors: dict[str, np.ndarray]) -> None:
        """The limits of `tgan_tf.signatures`: an error of the server fails what it has joined."""
        frames = self.metadata().signature("serving_default").outputs["videos"].shape[1]
        if name == "latent_walk":
            frames *= WALK_VIDEOS
        if name == "interpolate":
            factors = tensors["factor"]
            if factors.min() < 1 or factors.max() > MAX_FACTOR:
                found = sorted(set(factors.tolist()))
                raise InputError(f"factor: {found}: give whole numbers from 1 to {MAX_FACTOR}")
            frames = num_frames(frames, int(factors.max()))
        rows = len(next(iter(tensors.values())))
        if rows > MAX_FRAMES // frames:
            raise InputError(
                f"{name}: {rows} times {frames} frames: give at most {MAX_FRAMES // frames} rows "
                f"at once, {MAX_FRAMES} frames"
            )

    def _error(self, failure: _Failure) -> InputError:
        remedy = _REMEDIES.get(failure.code, "see the server's log")
        words = " ".join(failure.words.split())[:500] or failure.code
        return InputError(f"{self._server}: {words}: {remedy}")


class _Failure(Exception):
    """A request that came to nothing: gRPC's name of the reason, and the server's words."""

    def __init__(self, code: str, words: str):
        super().__init__(code, words)
        self.code, self.words = code, words


class _Grpc:
    """TensorFlow Serving's PredictionService; retries and deadlines are gRPC's."""

    def __init__(self, address: str, model: str, version: int | None, timeout: float):
        retry = {
            "maxAttempts": _ATTEMPTS,
            "initialBackoff": f"{_FIRST_WAIT}s",
            "maxBackoff": f"{_FIRST_WAIT * _WAIT_FACTOR**_ATTEMPTS}s",
            "backoffMultiplier": _WAIT_FACTOR,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config = {"methodConfig": [{"name": [{}], "retryPolicy": retry}]}
        options = {
            "grpc.max_send_message_length": -1,
            "grpc.max_receive_message_length": -1,
            "grpc.service_config": json.dumps(config),
            # Or a server that comes up would not be seen before the last attempt.
            "grpc.initial_reconnect_backoff_ms": int(1000 * _FIRST_WAIT),
        }
        self._channel = grpc.insecure_channel(address, list(options.items()))
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model, self._version, self._timeout = model, version, timeout
        self.close = self._channel.close

    def metadata(self) -> tuple[int, dict]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        response = self._call(self._stub.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return response.model_spec.version.value, signatures.signature_def

    def predict(self, name: str, tensors: dict, signature: Signature) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = name
        for key, tensor in tensors.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
        response = self._call(self._stub.Predict, request)
        return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

    def _call(self, method, request):
        request.model_spec.name = self._model
        if self._version is not None:
            request.model_spec.version.value = self._version
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _Failure(error.code().name, error.details() or "") from error


class _Rest:
    """TensorFlow Serving's REST protocol, in its columnar format."""

    def __init__(self, address: str, model: str, version: int | None, timeout: float):
        self._url = f"{address.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._url += f"/versions/{version}"
        self._timeout = timeout
        self._session = requests.Session()
        self.close = self._session.close

    def metadata(self) -> tuple[int, dict]:
        reply = self._call("GET", "/metadata")
        try:
            definitions = reply["metadata"]["signature_def"]
            signatures = json_format.ParseDict(
                definitions, get_model_metadata_pb2.SignatureDefMap(), ignore_unknown_fields=True
            )
            return int(reply["model_spec"]["version"]), signatures.signature_def
        except (LookupError, TypeError, ValueError, json_format.ParseError) as error:
            raise _foreign(json.dumps(reply, default=repr)) from error

    def predict(self, name: str, tensors: dict, signature: Signature) -> dict[str, np.ndarray]:
        inputs = {key: tensor.tolist() for key, tensor in tensors.items()}
        reply = self._call("POST", ":predict", {"signature_name": name, "inputs": inputs})
        try:
            outputs = reply["outputs"]
            # The only output goes without its name.
            if len(signature.outputs) == 1:
                outputs = {key: outputs for key in signature.outputs}
            return {
                key: np.array(outputs[key], spec.dtype.as_numpy_dtype)
                for key, spec in signature.outputs.items()
            }
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise _foreign(json.dumps(reply, default=repr)) from error

    def _call(self, method: str, path: str, body: dict | None = None):
        """Its own loop, as urllib3's `Retry` knows no deadline over all attempts."""
        end = time.monotonic() + self._timeout
        wait = _FIRST_WAIT
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return self._attempt(method, path, body, end - time.monotonic())
            except _Failure as failure:
                last = not attempts_left or time.monotonic() + wait >= end
                if failure.code != "UNAVAILABLE" or last:
                    raise
            time.sleep(wait)
            wait *= _WAIT_FACTOR

    def _attempt(self, method: str, path: str, body: dict | None, seconds: float):
        try:
            response = self._session.request(
                method, self._url + path, json=body, timeout=urllib3.Timeout(total=seconds)
            )
        except requests.Timeout as error:
            words = f"no answer within {self._timeout:g} s"
            raise _Failure("DEADLINE_EXCEEDED", words) from error
        except requests.RequestException as error:
            # The system's words, which lie deep in brackets: "[Errno 111] Connection refused')".
            words = re.search(r"\[Errno [-\d]+\] ([^)'\"]+)", str(error))
            words = words[1] if words else f"no connection ({type(error).__name__})"
            raise _Failure("UNAVAILABLE", words) from error
        try:
            reply = json.loads(response.content, object_hook=_decoded)
            words = None if response.ok else reply["error"]
        except (LookupError, TypeError, ValueError) as error:
            if response.status_code == 503:  # As of a proxy whose server is down.
                raise _Failure("UNAVAILABLE", f"HTTP 503 {response.reason}") from error
            raise _foreign(response.text) from error
        if words is not None:
            code = _HTTP_CODES.get(response.status_code, f"HTTP {response.status_code}")
            raise _Failure(code, str(words))
        return reply


def _decoded(value: dict) -> dict | bytes:
    """JSON's objects; strings that may be no text are TensorFlow Serving's {"b64": ...}."""
    return base64.b64decode(value["b64"]) if set(value) == {"b64"} else value


def _foreign(reply: str) -> _Failure:
    words = f"the reply is not TensorFlow Serving's: {' '.join(reply.split())[:60]!r}"
    return _Failure("UNIMPLEMENTED", words)


def _check_address(address: str) -> None:
    try:
        url = urllib.parse.urlsplit(address if "://" in address else f"//{address}")
        valid = url.hostname and not re.search(r"[\s?#@]", address)
        if url.scheme:
            valid = valid and url.scheme in ("http", "https") and url.port != 0
        else:
            valid = valid and url.port and not url.path
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            f"address {address!r}: give HOST:PORT for gRPC, as localhost:8500, or http://HOST:PORT "
            "for REST, as http://localhost:8501"
        )


def _specs(infos: dict) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.dtypes.as_dtype(info.dtype), name)
        for name, info in infos.items()
    }


def _tensor(name: str, value: Any, spec: tf.TensorSpec) -> np.ndarray:
    """An input as the model declares it."""
    wanted = f"give {spec.dtype.name} {str(spec.shape).replace('None', 'n')}, n at least 1"
    try:
        # Else NumPy makes floats of whole numbers on both sides of 2^63.
        array = np.asarray(value, None if spec.dtype.is_floating else object)
        if spec.dtype.is_floating:
            if array.dtype.kind not in "fiu":
                raise TypeError(array.dtype)
            with np.errstate(over="ignore"):
                tensor = array.astype(spec.dtype.as_numpy_dtype)
        else:
            values = [operator.index(number) for number in array.flat]
            if not all(0 <= number < 2**64 for number in values):
                raise InputError(f"{name}: give whole numbers from 0 to 2^64 - 1")
            tensor = np.array(values, np.uint64).view(np.int64).reshape(array.shape)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {reason(error)}: {wanted}") from error
    if not spec.shape.is_compatible_with(tensor.shape) or not tensor.size:
        raise InputError(f"{name}: of shape {list(tensor.shape)}: {wanted}")
    if spec.dtype.is_floating and not np.isfinite(tensor).all():
        raise InputError(f"{name}: holds a NaN or an infinity, in {spec.dtype.name}: {wanted}")
    return tensor
