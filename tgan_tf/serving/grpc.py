"""TensorFlow Serving's PredictionService over gRPC, as defined in `tensorflow_serving.apis`."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from tgan_tf.extras import extra
from tgan_tf.serving import messages
from tgan_tf.serving.addresses import is_here
from tgan_tf.serving.failures import ATTEMPTS, FIRST_WAIT, WAIT_FACTOR, Failure, foreign
from tgan_tf.serving.limits import LARGEST_MESSAGE, LARGEST_METADATA
from tgan_tf.serving.tensors import Output

with extra("serving", "a server over gRPC"):
    import grpc
    from google.protobuf.message import DecodeError, Message

# The field of a `TensorProto` that holds the values of a dtype, and the field's type. The values
# may be in `tensor_content` instead, as bytes.
_FIELDS = {
    "float32": ("float_val", np.float32),
    "int64": ("int64_val", np.int64),
    "string": ("string_val", object),
    "uint8": ("int_val", np.int64),
}


class Grpc:
    """TensorFlow Serving's PredictionService; gRPC does the retries and deadlines."""

    # The most: an integer up to 255 takes 2 bytes, a float 4, another integer up to 10.
    bytes_per_value = 10

    def __init__(self, address: str, model: str, version: int | None) -> None:
        self._address = address
        self._channels: dict[int, grpc.Channel] = {}
        self._model, self._version = model, version

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def metadata(self, end: float) -> tuple[Any, Any]:
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        response = messages.GetModelMetadataResponse()
        self._parse(response, self._call("GetModelMetadata", request, LARGEST_METADATA, end))
        signatures = messages.SignatureDefMap()
        packed = response.metadata["signature_def"]
        if not packed.Is(signatures.DESCRIPTOR):
            raise foreign(str(response))
        self._parse(signatures, packed.value)
        return response.model_spec, signatures.signature_def

    def predict(
        self, name: str, tensors: dict[str, Any], names: set[str], most_bytes: int, end: float
    ) -> tuple[Any, Any]:
        request = messages.PredictRequest()
        request.model_spec.signature_name = name
        for key, tensor in tensors.items():
            request.inputs[key].CopyFrom(messages.tensor_proto(tensor))
        response = messages.PredictResponse()
        self._parse(response, self._call("Predict", request, most_bytes, end))
        return response.model_spec, response.outputs

    @staticmethod
    def array(proto: Any, output: Output) -> np.ndarray:
        """The values of a `TensorProto`, which must not omit equal trailing values.

        TensorFlow Serving never omits them, so values that are missing were lost.
        """
        found = messages.dtype_name(proto.dtype)
        if found != output.dtype:
            raise TypeError(f"of dtype {found}, not {output.dtype}")
        output.check_shape([dim.size for dim in proto.tensor_shape.dim])
        field, field_dtype = _FIELDS[output.dtype]
        values = np.fromiter(getattr(proto, field), field_dtype)
        if proto.tensor_content and output.dtype != "string":
            content = np.frombuffer(proto.tensor_content, output.dtype)
            values = np.concatenate([content, values]) if len(values) else content
        if len(values) != output.size:
            raise ValueError(f"of {len(values)} values, not {output.size}")
        return values.reshape(output.shape)

    def _call(self, method: str, request: Message, most_bytes: int, end: float) -> bytes:
        request.model_spec.name = self._model
        if self._version is not None:
            request.model_spec.version.value = self._version
        call = self._channel(most_bytes).unary_unary(
            f"/tensorflow.serving.PredictionService/{method}",
            request_serializer=type(request).SerializeToString,
        )
        try:
            return call(request, timeout=max(0.0, end - time.monotonic()))
        except grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or "") from error

    @staticmethod
    def _parse(message: Message, content: bytes) -> None:
        try:
            message.ParseFromString(content)
        except DecodeError as error:
            raise foreign(content) from error

    def _channel(self, most_bytes: int) -> grpc.Channel:
        """A channel that accepts a message of `most_bytes`, and none of more than twice that.

        The limit belongs to a channel, not to a request, so there is one channel per power of two.
        """
        largest = min(max(LARGEST_METADATA, 2 ** (most_bytes - 1).bit_length()), LARGEST_MESSAGE)
        if largest not in self._channels:
            retry = {
                "maxAttempts": ATTEMPTS,
                "initialBackoff": f"{FIRST_WAIT}s",
                "maxBackoff": f"{FIRST_WAIT * WAIT_FACTOR**ATTEMPTS}s",
                "backoffMultiplier": WAIT_FACTOR,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
            config = {"methodConfig": [{"name": [{}], "retryPolicy": retry}]}
            options = {
                "grpc.max_send_message_length": -1,
                "grpc.max_receive_message_length": largest,
                "grpc.service_config": json.dumps(config),
                "grpc.enable_http_proxy": int(not is_here(self._address)),
                # Otherwise a server that starts up would not be noticed before the last attempt.
                "grpc.initial_reconnect_backoff_ms": int(1000 * FIRST_WAIT),
            }
            channel = grpc.insecure_channel(self._address, list(options.items()))
            self._channels.setdefault(largest, channel)
        return self._channels[largest]
