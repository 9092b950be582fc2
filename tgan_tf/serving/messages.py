"""The messages of TensorFlow Serving's protocols that a client of generators uses.

TensorFlow's own message classes need TensorFlow, which takes gigabytes of disk and seconds to
import. This module defines the fields that are sent and read, with their numbers in
`tensorflow/core` and `tensorflow_serving/apis`; further fields of an answer are kept but not read.

    request = PredictRequest()
    request.inputs["seed"].CopyFrom(tensor_proto(np.array([7])))

The classes are in a separate descriptor pool, so that they do not conflict with TensorFlow's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import any_pb2, descriptor_pool, message_factory, wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

# By number; later TensorFlow versions have more.
_DTYPES = dict(
    enumerate(
        "INVALID FLOAT DOUBLE INT32 UINT8 INT16 INT8 STRING COMPLEX64 INT64 BOOL QINT8 QUINT8 "
        "QINT32 BFLOAT16 QINT16 QUINT16 UINT16 COMPLEX128 HALF RESOURCE VARIANT UINT32 UINT64 "
        "FLOAT8_E5M2 FLOAT8_E4M3FN".split()
    ),
)
_NAMES = {"FLOAT": "float32", "DOUBLE": "float64", "HALF": "float16"}

_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
}
# Each field's number and type; "map X" maps strings to X.
_TENSORFLOW = {
    "Dim": {"size": (1, "int64")},
    "TensorShapeProto": {"dim": (2, "repeated .tensorflow.Dim"), "unknown_rank": (3, "bool")},
    "TensorProto": {
        "dtype": (1, ".tensorflow.DataType"),
        "tensor_shape": (2, ".tensorflow.TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "repeated float"),
        "int_val": (7, "repeated int32"),
        "string_val": (8, "repeated bytes"),
        "int64_val": (10, "repeated int64"),
    },
    "TensorInfo": {
        "name": (1, "string"),
        "dtype": (2, ".tensorflow.DataType"),
        "tensor_shape": (3, ".tensorflow.TensorShapeProto"),
    },
    "SignatureDef": {
        "inputs": (1, "map .tensorflow.TensorInfo"),
        "outputs": (2, "map .tensorflow.TensorInfo"),
        "method_name": (3, "string"),
    },
}
_SERVING = {
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, ".google.protobuf.Int64Value"),
        "signature_name": (3, "string"),
    },
    "GetModelMetadataRequest": {
        "model_spec": (1, ".tensorflow.serving.ModelSpec"),
        "metadata_field": (2, "repeated string"),
    },
    "GetModelMetadataResponse": {
        "model_spec": (1, ".tensorflow.serving.ModelSpec"),
        "metadata": (2, "map .google.protobuf.Any"),
    },
    "SignatureDefMap": {"signature_def": (1, "map .tensorflow.SignatureDef")},
    "PredictRequest": {
        "model_spec": (1, ".tensorflow.serving.ModelSpec"),
        "inputs": (2, "map .tensorflow.TensorProto"),
    },
    "PredictResponse": {
        "outputs": (1, "map .tensorflow.TensorProto"),
        "model_spec": (2, ".tensorflow.serving.ModelSpec"),
    },
    # Holds a model's warm-up requests.
    "PredictLog": {"request": (1, ".tensorflow.serving.PredictRequest")},
    "PredictionLog": {"predict_log": (6, ".tensorflow.serving.PredictLog")},
}


def _add_field(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    label, _, type_name = kind.rpartition(" ")
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if label:
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if label == "map":
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, type_name)
        type_name = entry.name
    if type_name in _SCALARS:
        field.type = _SCALARS[type_name]
    else:
        field.type_name = type_name


def _file(package: str, messages: dict[str, Any], *imports: str) -> FileDescriptorProto:
    file = FileDescriptorProto(
        name=f"tgan_tf/{package}", package=package, dependency=imports, syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    return file


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    known = [any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR]
    for file in known:
        pool.AddSerializedFile(file.serialized_pb)
    tensors = _file("tensorflow", _TENSORFLOW)
    dtypes = tensors.enum_type.add(name="DataType")
    for first, ending in ((0, ""), (100, "_REF")):
        for number, name in _DTYPES.items():
            if number or not first:
                dtypes.value.add(name=f"DT_{name}{ending}", number=first + number)
    for file in (
        tensors,
        _file("tensorflow.serving", _SERVING, tensors.name, *(file.name for file in known)),
    ):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()


def _message(name: str) -> type:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


TensorProto = _message("tensorflow.TensorProto")
ModelSpec = _message("tensorflow.serving.ModelSpec")
SignatureDefMap = _message("tensorflow.serving.SignatureDefMap")
GetModelMetadataRequest = _message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = _message("tensorflow.serving.GetModelMetadataResponse")
PredictRequest = _message("tensorflow.serving.PredictRequest")
PredictResponse = _message("tensorflow.serving.PredictResponse")
PredictionLog = _message("tensorflow.serving.PredictionLog")


def dtype_name(number: int) -> str:
    """TensorFlow's name for the number of a dtype, such as "float32".

    Raises:
        TypeError: no dtype has that number.
    """
    name = _DTYPES.get(number % 100 if number > 100 else number, "INVALID")
    if name == "INVALID":
        raise TypeError(f"dtype {number}, which does not exist")
    return _NAMES.get(name, name.lower()) + ("_ref" if number > 100 else "")


def tensor_proto(array: np.ndarray) -> Any:
    """Makes a `TensorProto` from a float32 or int64 array."""
    proto = TensorProto(dtype={"float32": "DT_FLOAT", "int64": "DT_INT64"}[array.dtype.name])
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return proto
