"""A client of TensorFlow Serving for exported generators, over gRPC or REST.

    with Client("localhost:8500", model="moving_mnist") as client:  # REST: "http://localhost:8501"
        videos = client.generate([0, 1, 2])                         # uint8 [3, T, H, W, C]

The signatures behind its methods are those of `tgan_tf.signatures`. What a server is sent and
what it replies are checked against the shapes and dtypes that it has declared. So the size of an
answer is known beforehand: of a longer one no more is read.

https://www.tensorflow.org/tfx/serving/api_rest describes the REST protocol; gRPC's is that of
`tensorflow_serving.apis`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import ipaddress
import json
import math
import numbers
import operator
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent import futures
from typing import Any, Callable, NamedTuple

import grpc
import numpy as np
import requests
import tensorflow as tf
import urllib3
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2, predict_pb2

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
    "RESOURCE_EXHAUSTED": "ask for less at once, or see what runs there",
    "BROKEN": "see what runs there",
    "UNSENT": "see the proxies and REQUESTS_CA_BUNDLE in the environment",
    "TLS": "give http:// of a server without TLS, or its certificate by REQUESTS_CA_BUNDLE",
}
_HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

# Dtype and rank of what the signatures of `tgan_tf.signatures` take and give.
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
# What not all generators have.
_OPTIONAL = {"label": _NUMBERS, "frame_latents": ("float32", 3)}
_LARGEST_DIM = 2**16
_LARGEST_MESSAGE = 2**31 - 1  # protobuf's
_LARGEST_METADATA = 2**22

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82"
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels

# Of a `TensorProto`: where the values of a dtype are, unless it has their bytes, and as what.
_FIELDS = {
    "float32": ("float_val", np.float32),
    "int64": ("int64_val", np.int64),
    "string": ("string_val", object),
    "uint8": ("int_val", np.int64),
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
        """A signature.

        Raises:
            InputError: the model has none of that name, or it is not that of a generator: it has
                other inputs or outputs, of other dtypes or ranks, or a size is not known.
        """
        remedy = "serve a generator exported by experiments/export.py"
        if name not in self.signatures:
            names = _plain(", ".join(sorted(self.signatures)))
            raise InputError(
                f"{self.server}: no signature {name!r}, it has {names or 'none'}: {remedy}"
            )
        signature = self.signatures[name]
        for wanted, declared in zip(_SIGNATURES.get(name, ()), signature):
            for key in sorted({*wanted, *declared}):
                if not _declared_well(name, declared.get(key), {**_OPTIONAL, **wanted}.get(key)):
                    found = _plain(str(declared.get(key, "nothing")))
                    raise InputError(
                        f"{self.server}: {name} declares {found} as {_plain(key)}: {remedy}"
                    )
        return signature


class Client:
    """Asks a served generator for videos.

    A server that is not available is asked again, up to 5 times in all, waiting longer each time.
    Every method raises an `InputError` of one line, which names the server and the model, if an
    input does not fit what the model declares, before it is sent, or if the server cannot be
    reached, has no such model, version or signature, refuses the request, has not answered in time,
    or replies what TensorFlow Serving would not: an answer has the rows that were asked for, the
    declared dtypes and shapes, and values within the ranges below. No more of it is read than such
    an answer can have.

    The proxies that the environment names (`http_proxy`, `https_proxy`, `no_proxy`) are used, but
    for servers on this machine. Redirects are not followed, and no credentials are sent.

    A conditional generator needs `labels`, int [n], each video's class, and no other may be given
    them.

    Args:
        address: "HOST:PORT" for gRPC; "http://HOST:PORT", or https, for REST.
        model: its name; the server's own for a model given by --model_base_path alone is "default".
        version: None for the newest that is served.
        timeout: seconds for a request, all its attempts included, at most 10^6.

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
        if not model or not _is_text(model):
            raise InputError(f"{address}: the model's name is {model!r}: give one that is served")
        if version is not None and not (
            isinstance(version, numbers.Integral) and 0 <= version < 2**63
        ):
            raise InputError(f"{address}: version {version}: give a whole number of at least 0")
        if not 0 < timeout < math.inf:
            raise InputError(f"{address}: timeout {timeout}: give a positive number of seconds")
        _check_address(address)
        self._server = f"{address}, model {model!r}"
        if version is not None:
            self._server += f" version {version}"
        protocol = _Rest if "://" in address else _Grpc
        self._protocol = protocol(address, model, version, min(timeout, 1e6))
        self._model, self._version = model, version
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
                spec, definitions = self._protocol.metadata()
                self._check_model(spec)
                if not spec.HasField("version") or spec.version.value < 0:
                    raise _broken("replied metadata of no version")
                signatures = {
                    name: Signature(_specs(definition.inputs), _specs(definition.outputs))
                    for name, definition in definitions.items()
                    # Others are of the loader, such as the one that initialises tables.
                    if definition.method_name == "tensorflow/serving/predict"
                }
            except _Failure as failure:
                raise self._error(failure) from failure.__cause__
            except (TypeError, ValueError) as error:  # No dtype or no shape of TensorFlow's.
                raise self._error(_broken(f"replied metadata of {reason(error)}")) from error
            self._metadata = Metadata(self._server, spec.version.value, signatures)
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
        outputs = self._outputs(name, tensors)
        most_bytes = self._most_bytes(name, tensors, outputs)
        try:
            spec, values = self._protocol.predict(name, tensors, set(outputs), most_bytes)
            self._check_model(spec, name)
            if set(values) != set(outputs):
                found, wanted = (", ".join(sorted(names)) for names in (values, outputs))
                raise _broken(f"{name} replied {found or 'nothing'}, not {wanted}")
            arrays = {}
            for key, output in outputs.items():
                try:
                    arrays[key] = output.checked(self._protocol.array(values[key], output))
                except (ArithmeticError, MemoryError, TypeError, ValueError) as error:
                    raise _broken(f"{name} replied {key} {reason(error)}") from error
            return arrays
        except _Failure as failure:
            raise self._error(failure) from failure.__cause__

    def _check_model(self, spec: model_pb2.ModelSpec, signature_name: str = "") -> None:
        """That an answer, as far as it tells, is of the model that was asked."""
        version = spec.version.value if spec.HasField("version") else None
        of_other_version = None not in (version, self._version) and version != self._version
        if (
            spec.name not in ("", self._model)
            or spec.signature_name not in ("", signature_name)
            or of_other_version
        ):
            found = f"model {spec.name!r} version {version} {spec.signature_name}"
            raise _broken(f"replied what is of {found.rstrip()}")

    def _outputs(self, name: str, tensors: dict[str, np.ndarray]) -> dict[str, _Output]:
        """What the answer must be."""
        metadata = self.metadata()
        rows = len(next(iter(tensors.values())))
        outputs = {
            key: _Output(spec.dtype.name, (rows, *spec.shape[1:]))
            for key, spec in metadata.signature(name).outputs.items()
        }
        frames, *frame_shape = metadata.signature("serving_default").outputs["videos"].shape[1:]
        if name == "interpolate":
            counts = num_frames(frames, tensors["factor"])
            shape = outputs["videos"].shape
            outputs["videos"] = outputs["videos"]._replace(
                shape=(*shape[:1], int(counts.max()), *shape[2:])
            )
            outputs["num_frames"] = outputs["num_frames"]._replace(values=counts)
        if name == "generate_encoded":
            output = outputs["frames_bytes"]
            outputs["frames_bytes"] = output._replace(frame_shape=tuple(frame_shape))
        return outputs

    def _most_bytes(self, name: str, tensors: dict, outputs: dict[str, _Output]) -> int:
        """Bytes of the longest answer; raises an `InputError` if no message can hold them."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        size += sum(
            output.count * np.dtype(output.numpy_dtype).itemsize for output in outputs.values()
        )
        if size > _LARGEST_MESSAGE:
            raise InputError(
                f"{name}: the request and its answer have {size / 1e9:.1f} GB, and a message may "
                "have 2.1 GB: give fewer rows at once"
            )
        per_value = self._protocol.bytes_per_value
        return 2**20 + sum(
            output.count * (per_value + output.longest_value) for output in outputs.values()
        )

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
        words = _plain(failure.words) or failure.code
        return InputError(f"{self._server}: {words}: {remedy}")


class _Failure(Exception):
    """A request that came to nothing: gRPC's name of the reason, or ours, and words on it."""

    def __init__(self, code: str, words: str):
        super().__init__(code, words)
        self.code, self.words = code, words


class _Output(NamedTuple):
    """What an output of an answer must be.

    Attributes:
        dtype: TensorFlow's name of it.
        shape: all of it is known.
        values: where they are known too.
        frame_shape: rows, columns and channels of a frame of which a value is the PNG.
    """

    dtype: str
    shape: tuple[int, ...]
    values: np.ndarray | None = None
    frame_shape: tuple[int, int, int] | None = None

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def longest_value(self) -> int:
        """Characters of a string, in base64; 0 of a number, as that depends on the protocol."""
        # What does not shrink a PNG keeps as it is, with some bytes for each part and each row.
        return 2 * math.prod(self.frame_shape) + 4096 if self.frame_shape else 0

    @property
    def numpy_dtype(self) -> type:
        return object if self.dtype == "string" else np.dtype(self.dtype)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != self.shape:
            raise ValueError(f"of shape {list(shape)}, not {list(self.shape)}")

    def checked(self, array: np.ndarray) -> np.ndarray:
        """An answer's values as its dtype, in the shape that they must have.

        Args:
            array: of any dtype; whole numbers and bytes may be objects.

        Raises:
            ValueError: a value is out of range.
        """
        if self.dtype == "string":
            rows, columns, channels = self.frame_shape
            start = _PNG_START + struct.pack(
                ">IIBB", columns, rows, 8, _PNG_COLOURS.get(channels, 9)
            )
            if not all(png.startswith(start) and png.endswith(_PNG_END) for png in array.flat):
                raise ValueError(f"of which one is no PNG of {rows} rows and {columns} columns")
            return array
        if self.values is not None and (array != self.values).any():
            raise ValueError(f"of {array.tolist()[:8]}, not {self.values.tolist()[:8]}")
        if self.dtype == "float32":
            low, high, rounding = -1, 1, 1e-5
        else:
            info = np.iinfo(self.dtype)
            low, high, rounding = info.min, info.max, 0
        # A NaN is neither.
        fits = (array >= low - rounding) & (array <= high + rounding)
        if not fits.all():
            raise ValueError(f"of {array[~fits][0]}, not from {low} to {high}")
        return np.clip(array, low, high).astype(self.dtype)


class _Grpc:
    """TensorFlow Serving's PredictionService; retries and deadlines are gRPC's."""

    # A number up to 255 has 2, a float 4, another whole number up to 10.
    bytes_per_value = 10

    def __init__(self, address: str, model: str, version: int | None, timeout: float):
        self._address, self._channels = address, {}
        self._model, self._version, self._timeout = model, version, timeout

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def metadata(self) -> tuple[model_pb2.ModelSpec, dict]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._parse(response, self._call("GetModelMetadata", request, _LARGEST_METADATA))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        packed = response.metadata["signature_def"]
        if not packed.Is(signatures.DESCRIPTOR):
            raise _foreign(str(response))
        self._parse(signatures, packed.value)
        return response.model_spec, signatures.signature_def

    def predict(
        self, name: str, tensors: dict[str, np.ndarray], names: set[str], most_bytes: int
    ) -> tuple[model_pb2.ModelSpec, dict]:
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = name
        for key, tensor in tensors.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
        response = predict_pb2.PredictResponse()
        self._parse(response, self._call("Predict", request, most_bytes))
        return response.model_spec, response.outputs

    @staticmethod
    def array(proto, output: _Output) -> np.ndarray:
        """The values of a `TensorProto`, which may not leave out the last ones if they are equal.

        TensorFlow Serving never does, and whoever lost some would.
        """
        if proto.dtype != tf.dtypes.as_dtype(output.dtype).as_datatype_enum:
            dtype = proto.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number
            found = dtype[proto.dtype].name if proto.dtype in dtype else proto.dtype
            raise TypeError(f"of dtype {found}, not {output.dtype}")
        output.check_shape([dim.size for dim in proto.tensor_shape.dim])
        field, field_dtype = _FIELDS[output.dtype]
        values = np.fromiter(getattr(proto, field), field_dtype)
        if proto.tensor_content and output.dtype != "string":
            content = np.frombuffer(proto.tensor_content, output.dtype)
            values = np.concatenate([content, values]) if len(values) else content
        if len(values) != output.count:
            raise ValueError(f"of {len(values)} values, not {output.count}")
        return values.reshape(output.shape)

    def _call(self, method: str, request: Message, most_bytes: int) -> bytes:
        request.model_spec.name = self._model
        if self._version is not None:
            request.model_spec.version.value = self._version
        call = self._channel(most_bytes).unary_unary(
            f"/tensorflow.serving.PredictionService/{method}",
            request_serializer=type(request).SerializeToString,
        )
        try:
            return call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _Failure(error.code().name, error.details() or "") from error

    @staticmethod
    def _parse(message: Message, content: bytes) -> None:
        try:
            message.ParseFromString(content)
        except DecodeError as error:
            raise _foreign(content) from error

    def _channel(self, most_bytes: int) -> grpc.Channel:
        """A channel that takes a message of so many bytes, and none of over twice as many.

        The limit is the channel's, not the request's: there is one for each power of two.
        """
        largest = min(max(_LARGEST_METADATA, 2 ** (most_bytes - 1).bit_length()), _LARGEST_MESSAGE)
        if largest not in self._channels:
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
                "grpc.max_receive_message_length": largest,
                "grpc.service_config": json.dumps(config),
                "grpc.enable_http_proxy": int(not _is_here(f"//{self._address}")),
                # Or a server that comes up would not be seen before the last attempt.
                "grpc.initial_reconnect_backoff_ms": int(1000 * _FIRST_WAIT),
            }
            channel = grpc.insecure_channel(self._address, list(options.items()))
            self._channels.setdefault(largest, channel)
        return self._channels[largest]


class _Rest:
    """TensorFlow Serving's REST protocol, in its columnar format."""

    # "-1.2345678806304932e-05, ", and the brackets around it.
    bytes_per_value = 32

    def __init__(self, address: str, model: str, version: int | None, timeout: float):
        self._url = f"{address.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._url += f"/versions/{version}"
        self._timeout = timeout
        # A proxy would ask itself for what is on this machine.
        host = urllib.parse.urlsplit(address).hostname
        self._proxies = {"no_proxy": host} if _is_here(address) else None
        self._session = requests.Session()
        # Else requests sends the password that a .netrc has for any host.
        self._session.auth = lambda request: request
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter())
        self.close = self._session.close

    def metadata(self) -> tuple[model_pb2.ModelSpec, dict]:
        content = self._call("GET", "/metadata", _LARGEST_METADATA)
        reply = _json(content)
        try:
            parts = reply["model_spec"], reply["metadata"]["signature_def"]
            if not all(isinstance(part, dict) for part in parts):
                raise TypeError(parts)
            messages = model_pb2.ModelSpec(), get_model_metadata_pb2.SignatureDefMap()
            for part, message in zip(parts, messages):
                json_format.ParseDict(part, message, ignore_unknown_fields=True)
        except (
            *(AttributeError, LookupError, RecursionError, TypeError, ValueError),
            json_format.ParseError,
        ) as error:
            raise _foreign(content) from error
        return messages[0], messages[1].signature_def

    def predict(
        self, name: str, tensors: dict[str, np.ndarray], names: set[str], most_bytes: int
    ) -> tuple[model_pb2.ModelSpec, dict]:
        inputs = {key: tensor.tolist() for key, tensor in tensors.items()}
        body = {"signature_name": name, "inputs": inputs}
        content = self._call("POST", ":predict", most_bytes, body)
        reply = _json(content)
        if not isinstance(reply, dict) or "outputs" not in reply:
            raise _foreign(content)
        outputs = reply["outputs"]
        # The only output goes without its name.
        if len(names) == 1:
            outputs = {key: outputs for key in names}
        if not isinstance(outputs, dict):
            raise _foreign(content)
        return model_pb2.ModelSpec(), outputs  # The reply does not tell whose it is.

    @staticmethod
    def array(value: Any, output: _Output) -> np.ndarray:
        """The values of JSON's lists."""
        array = np.array(value, object)
        output.check_shape(array.shape)
        wanted = {"float32": (float, int), "string": (dict,)}.get(output.dtype, (int,))
        for kind in set(map(type, array.flat)):
            if kind not in wanted:
                raise TypeError(f"of {kind.__name__}, not {wanted[0].__name__}")
        if output.dtype != "string":
            return array.astype(np.float64) if output.dtype == "float32" else array
        values = np.empty(output.count, object)
        for i, item in enumerate(array.flat):
            if set(item) != {"b64"}:
                raise TypeError(f"of {item!r:.60}, not of base64")
            values[i] = base64.b64decode(item["b64"], validate=True)
        return values.reshape(output.shape)

    def _call(self, method: str, path: str, most_bytes: int, body: dict | None = None) -> bytes:
        thread = _Thread(
            lambda thread: self._attempts(thread, method, self._url + path, body, most_bytes)
        )
        try:
            return thread.result(self._timeout)
        except futures.TimeoutError as error:
            raise self._late() from error

    def _late(self) -> _Failure:
        return _Failure("DEADLINE_EXCEEDED", f"no answer within {self._timeout:g} s")

    def _attempts(self, thread: _Thread, *request) -> bytes:
        """Its own loop, as urllib3's `Retry` knows no deadline over all attempts."""
        end = time.monotonic() + self._timeout
        wait = _FIRST_WAIT
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return self._attempt(*request, end - time.monotonic())
            except _Failure as failure:
                last = not attempts_left or time.monotonic() + wait >= end
                if failure.code != "UNAVAILABLE" or last or thread.left.wait(wait):
                    raise
            wait *= _WAIT_FACTOR

    def _attempt(
        self, method: str, url: str, body: dict | None, most_bytes: int, seconds: float
    ) -> bytes:
        has_begun = False
        try:
            with self._session.request(
                method,
                url,
                json=body,
                timeout=urllib3.Timeout(total=seconds),
                proxies=self._proxies,
                allow_redirects=False,
                stream=True,
            ) as response:
                has_begun = True
                content = _content(response, most_bytes)
        # What requests raises is an OSError, but for what it forgets to wrap.
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(error, has_begun) from error
        if response.status_code == 200:
            return content
        status = f"HTTP {response.status_code} {response.reason}"
        try:
            words = _json(content)["error"]
            if not isinstance(words, str):
                raise TypeError(words)
        except (_Failure, LookupError, TypeError) as error:
            if response.status_code == 503:  # As of a proxy whose server is down.
                raise _Failure("UNAVAILABLE", status) from error
            if "Location" in response.headers:
                words = f"{status}, to {response.headers['Location']}"
                raise _Failure("UNIMPLEMENTED", words) from error
            raise _foreign(content, status) from error
        raise _Failure(_HTTP_CODES.get(response.status_code, status), words)

    def _failure(self, error: Exception, has_begun: bool) -> _Failure:
        """What has happened: only what asking again may mend is "UNAVAILABLE"."""
        causes = list(_causes(error))
        late = requests.Timeout, urllib3.exceptions.ReadTimeoutError
        if any(isinstance(cause, late) for cause in causes):
            return self._late()
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return _Failure("TLS", f"no TLS: {cause.strerror or cause}")
        no_http = [
            cause
            for cause in causes
            if isinstance(cause, http.client.HTTPException)
            and not isinstance(cause, http.client.RemoteDisconnected)
        ]
        if has_begun or no_http or isinstance(error, requests.exceptions.InvalidHeader):
            cause = (no_http or causes)[-1]
            return _broken(f"the answer cannot be read: {type(cause).__name__}: {cause}")
        if not isinstance(error, requests.ConnectionError):
            return _Failure("UNSENT", f"the request cannot be sent: {causes[-1]}")
        words = [cause.strerror for cause in causes if getattr(cause, "strerror", None)]
        return _Failure("UNAVAILABLE", words[-1] if words else str(causes[-1]))


class _Thread(threading.Thread):
    """Work in a thread of its own, which can be left at a deadline, whatever it waits for.

    urllib3 bounds each wait for the network, not all of them: not a server that sends a byte now
    and then, nor a name that is slow to resolve.

    Attributes:
        left: whether nobody waits for it any more.
        connection: the one it reads from.
    """

    def __init__(self, work: Callable[[_Thread], bytes]):
        super().__init__(daemon=True)
        self.left, self.connection = threading.Event(), None
        self._work, self._future = work, futures.Future()
        self.start()

    def run(self) -> None:
        try:
            self._future.set_result(self._work(self))
        except BaseException as error:
            self._future.set_exception(error)

    def result(self, seconds: float) -> bytes:
        try:
            return self._future.result(seconds)
        finally:
            self.left.set()
            sock = getattr(self.connection, "sock", None)
            if sock and not self._future.done():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class _Adapter(requests.adapters.HTTPAdapter):
    """Tells a `_Thread` which connection it reads from."""

    def get_connection_with_tls_context(self, *args, **kwargs):
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _told(type(pool).ConnectionCls)
        return pool


@functools.cache
def _told(connection_class: type) -> type:
    class Told(connection_class):
        def getresponse(self, *args, **kwargs):
            thread = threading.current_thread()
            thread.connection = self
            if thread.left.is_set():
                raise socket.timeout("left")
            return super().getresponse(*args, **kwargs)

    return Told


def _content(response: requests.Response, most_bytes: int) -> bytes:
    """The body of a response, decompressed; no more of it than `most_bytes` is ever held."""
    content = bytearray()
    # A length that is no number is none.
    size = getattr(response.raw, "length_remaining", None) or 0
    chunks = response.iter_content(2**14)
    while size <= most_bytes:
        chunk = next(chunks, None)
        if chunk is None:
            return bytes(content)
        content += chunk
        size = len(content)
    raise _broken(f"the answer is larger than {most_bytes} bytes, the most that it could have")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _json(content: bytes) -> Any:
    def unique(pairs):
        value = dict(pairs)
        if len(value) < len(pairs):
            raise ValueError("a key is there twice")
        return value

    try:
        return json.loads(content, object_pairs_hook=unique)
    except (MemoryError, RecursionError, ValueError) as error:
        raise _foreign(content) from error


def _foreign(reply: bytes | str, status: str = "") -> _Failure:
    text = reply if isinstance(reply, str) else bytes(reply[:300]).decode("utf-8", "replace")
    words = f"the reply is not TensorFlow Serving's: {_plain(text)[:60]!r}"
    return _Failure("UNIMPLEMENTED", ": ".join(filter(None, [status, words])))


def _broken(words: str) -> _Failure:
    return _Failure("BROKEN", words)


def _plain(text: str) -> str:
    """A server's words on one line: it may send any, a terminal's commands among them."""
    printable = "".join(c if c.isprintable() else " " for c in text[:5000])
    return " ".join(printable.split())[:500]


def _is_text(text: str) -> bool:
    """Whether it can be sent: bytes of a command line that are no text cannot."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _is_here(address: str) -> bool:
    host = urllib.parse.urlsplit(address).hostname
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_address(address: str) -> None:
    try:
        text = address if "://" in address else f"//{address}"
        url = urllib.parse.urlsplit(text)
        valid = url.hostname and address.isprintable() and not re.search(r"[\s?#@]", address)
        if url.scheme:
            valid = valid and url.scheme in ("http", "https") and url.port != 0
        else:
            valid = valid and url.port and not url.path
        # Raise a ValueError of a name that cannot be looked up.
        urllib3.util.parse_url(text), (url.hostname or "").encode("idna")
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            f"address {address!r}: give HOST:PORT for gRPC, as localhost:8500, or http://HOST:PORT "
            "for REST, as http://localhost:8501"
        )


def _specs(infos: dict) -> dict[str, tf.TensorSpec]:
    for info in infos.values():
        # TensorFlow itself notices it late.
        if any(dim.size < -1 for dim in info.tensor_shape.dim):
            raise ValueError("negative sizes")
    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.dtypes.as_dtype(info.dtype), name)
        for name, info in infos.items()
    }


def _declared_well(name: str, spec: tf.TensorSpec | None, wanted: tuple[str, int] | None) -> bool:
    """Whether a tensor of a signature has the dtype and rank that it must have, and known sizes."""
    if spec is None or wanted is None:
        return False
    dtype, rank = wanted
    if spec.dtype.name != dtype or spec.shape.rank != rank:
        return False
    # An interpolated video has as many frames as are asked for.
    sizes = spec.shape[2 if name == "interpolate" and rank == 5 else 1 :]
    return all(size is not None and 1 <= size <= _LARGEST_DIM for size in sizes)


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
