"""The messages on the wire, against TensorFlow's own classes of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.descriptor import FieldDescriptor
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from tgan_tf.serving import messages

THEIRS = [
    tensor_pb2.TensorProto,
    model_pb2.ModelSpec,
    get_model_metadata_pb2.SignatureDefMap,
    get_model_metadata_pb2.GetModelMetadataRequest,
    get_model_metadata_pb2.GetModelMetadataResponse,
    predict_pb2.PredictRequest,
    predict_pb2.PredictResponse,
    prediction_log_pb2.PredictionLog,
]


def check_same(ours, theirs):
    """That each field of ours, and of what is in it, is one of theirs by number, name and type."""
    for field in ours.fields:
        other = theirs.fields_by_number[field.number]
        assert (other.name, other.type, other.label) == (field.name, field.type, field.label)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            check_same(field.message_type, other.message_type)
        if field.type == FieldDescriptor.TYPE_ENUM:
            values, others = (
                {(value.name, value.number) for value in each.enum_type.values}
                for each in (field, other)
            )
            assert values <= others


@pytest.mark.parametrize("theirs", THEIRS, ids=lambda message: message.DESCRIPTOR.name)
def test_each_field_has_tensorflows_number_name_and_type(theirs):
    ours = getattr(messages, theirs.DESCRIPTOR.name).DESCRIPTOR
    assert ours.full_name == theirs.DESCRIPTOR.full_name
    check_same(ours, theirs.DESCRIPTOR)


@pytest.mark.parametrize("array", [np.float32([[1, -2.5]]), np.array([2**63 - 1]), np.int64([[]])])
def test_a_tensor_of_ours_is_read_by_tensorflow_as_the_array(array):
    content = messages.tensor_proto(array).SerializeToString()
    read = tf.make_ndarray(tensor_pb2.TensorProto.FromString(content))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_each_dtype_has_tensorflows_name():
    for number in [*range(1, 26), *range(101, 126)]:
        assert messages.dtype_name(number) == tf.dtypes.as_dtype(number).name


@pytest.mark.parametrize("number", [0, 99, 100, 199, -1])
def test_a_number_that_is_no_dtypes_is_refused(number):
    with pytest.raises(TypeError, match=f"dtype {number}, which does not exist"):
        messages.dtype_name(number)
