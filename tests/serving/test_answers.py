"""Answers that do not fit what the server has declared: each is refused in one line."""

from __future__ import annotations

import json
import struct

import grpc
import model_servers
import numpy as np
import pytest
import tensorflow as tf
from client_cases import METADATA, one_line, png, random_latents
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
from tiny_tgan import Z0_DIM

from tgan_tf.errors import InputError
from tgan_tf.serving import Client


@pytest.fixture(scope="module")
def altered(models):
    """Models whose answers each test alters, and the addresses of their servers."""
    altered = model_servers.Altered(models)
    with model_servers.grpc_server(altered) as grpc, model_servers.rest_server(altered) as rest:
        yield altered, {"grpc": grpc, "rest": rest}


def with_proto(**fields):
    """Alters the videos of an answer: a `TensorProto` of them with other fields."""

    def change(outputs):
        proto = tf.make_tensor_proto(outputs["videos"])
        for name in fields:
            proto.ClearField(name)
        proto.MergeFrom(type(proto)(**fields))
        return {**outputs, "videos": proto}

    return change


def with_videos(change):
    return lambda outputs: {**outputs, "videos": change(outputs["videos"])}


def with_pixel(value):
    """Alters the first of the pixels, as JSON has them."""

    def change(videos):
        videos = videos.tolist()
        videos[0][0][0][0][0] = value
        return videos

    return with_videos(change)


def with_frames(frame):
    return lambda _: {"frames_bytes": [[frame] * 4] * 3}


def refuse(_):
    words = "no\n\x1b[31m\u2028way\u202e" + "!" * 1000
    raise model_servers.ServingError(grpc.StatusCode.INVALID_ARGUMENT, words)


PIXELS = 3 * 4 * 16 * 16
WRONG_ANSWERS = {
    # Of both protocols: what is asked for, how its answer is altered, what is said of it.
    "rows": ("generate", with_videos(lambda videos: videos[:1]), "[1, 4, 16, 16, 1], not [3, 4,"),
    "columns": ("generate", with_videos(lambda videos: videos[:, :, :, 1:]), "not [3, 4, 16, 16"),
    "rank": ("generate", with_videos(np.ravel), "of shape [3072], not [3, 4, 16, 16, 1]"),
    "dtype": ("generate", with_videos(np.float32), ", not "),
    "NaN": ("render", with_videos(lambda videos: videos * np.nan), "nan, not from -1 to 1"),
    "infinity": ("render", with_videos(lambda videos: videos + np.inf), "inf, not from -1 to 1"),
    "too bright": ("render", with_videos(lambda videos: videos + 3), "not from -1 to 1"),
    "frame latents": (
        "render",
        lambda outputs: {**outputs, "frame_latents": outputs["frame_latents"] * np.nan},
        "replied frame_latents",
    ),
    "missing output": (
        "render",
        lambda outputs: {"videos": outputs["videos"], "other": outputs["frame_latents"]},
        "replied other, videos, not frame_latents, videos",
    ),
    "further output": (
        "render",
        lambda outputs: {**outputs, "other": outputs["videos"]},
        "replied frame_latents, other, videos, not frame_latents, videos",
    ),
    "frames": (
        "interpolate",
        lambda outputs: {**outputs, "num_frames": outputs["num_frames"] + 1},
        "replied num_frames",
    ),
    "words": ("generate", refuse, "no [31m way !!!"),
    "another PNG": (
        "generate_encoded",
        lambda _: {"frames_bytes": np.full([3, 4], png(16, 15), object)},
        "not a PNG of 16 rows and 16 columns",
    ),
    "PNG in colour": (
        "generate_encoded",
        lambda _: {"frames_bytes": np.full([3, 4], png(16, 16, "RGB"), object)},
        "not a PNG of 16 rows and 16 columns",
    ),
    "broken PNG": (
        "generate_encoded",
        lambda _: {"frames_bytes": np.full([3, 4], png(16, 16)[:-9], object)},
        "not a PNG of 16 rows and 16 columns",
    ),
}
WRONG_PROTOS = {
    "message": (
        "generate",
        lambda _: {"videos": np.zeros([5_000_000], np.uint8)},
        "larger than max",
    ),
    "no dtype": ("generate", with_proto(dtype=0), "dtype 0, which does not exist"),
    "unknown dtype": ("generate", with_proto(dtype=99), "dtype 99, which does not exist"),
    "huge shape": (
        "generate",
        with_proto(
            tensor_shape=tf.TensorShape([2**40, 1]).as_proto(), tensor_content=b"", int_val=[1]
        ),
        "of shape [1099511627776, 1], not",
    ),
    "one value": (
        "generate",
        with_proto(tensor_content=b"", int_val=[1]),
        f"of 1 values, not {PIXELS}",
    ),
    "no value": ("generate", with_proto(tensor_content=b""), f"of 0 values, not {PIXELS}"),
    "few bytes": ("generate", with_proto(tensor_content=b"abc"), f"of 3 values, not {PIXELS}"),
    "bytes and values": (
        "generate",
        with_proto(int_val=[1]),
        f"of {PIXELS + 1} values, not {PIXELS}",
    ),
    "part of a float": (
        "render",
        with_proto(tensor_content=b"abc"),
        "buffer size must be a multiple of element size",
    ),
    "300": (
        "generate",
        with_proto(tensor_content=b"", int_val=[300] * PIXELS),
        "of 300, not from 0 to 255",
    ),
    "-1": (
        "generate",
        with_proto(tensor_content=b"", int_val=[-1] * PIXELS),
        "of -1, not from 0 to 255",
    ),
}
WRONG_JSON = {
    "text": ("generate", lambda _: {"videos": "x" * 2_000_000}, "larger than"),
    "300": ("generate", with_pixel(300), "of 300, not from 0 to 255"),
    "-1": ("generate", with_pixel(-1), "of -1, not from 0 to 255"),
    "10**30": ("generate", with_pixel(10**30), f"of {10**30}, not from 0 to 255"),
    "10**400": ("render", with_pixel(10**400), "int too large to convert to float"),
    "0.5": ("generate", with_pixel(0.5), "of float, not int"),
    "true": ("generate", with_pixel(True), "of bool, not int"),
    "a number as text": ("generate", with_pixel("1"), "of str, not int"),
    "null": ("generate", with_pixel(None), "of NoneType, not int"),
    "a list as pixel": ("generate", with_pixel([1]), "of list, not int"),
    "an object": ("generate", lambda _: {"videos": {"videos": 1}}, "of shape [], not [3, 4, 16"),
    "text for base64": ("generate_encoded", with_frames("?"), "of str, not dict"),
    "no base64": ("generate_encoded", with_frames({"b64": "?"}), "replied frames_bytes"),
    "number for base64": ("generate_encoded", with_frames({"b64": 1}), "replied frames_bytes"),
    "another object": ("generate_encoded", with_frames({"a": 1}), "{'a': 1}, not of base64"),
}


def cases(**tables):
    return [
        pytest.param(protocol, *case, id=f"{protocol}-{name}")
        for protocol, table in tables.items()
        for name, case in table.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "method", "change", "words"),
    [
        *cases(grpc=WRONG_ANSWERS, rest=WRONG_ANSWERS),
        *cases(grpc=WRONG_PROTOS, rest=WRONG_JSON),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(altered, protocol, method, change, words):
    models, addresses = altered
    models.change, models.requests = change, 0
    arguments = {"render": [random_latents(3)], "interpolate": [random_latents(3), 2]}
    with Client(addresses[protocol], "tiny") as client, pytest.raises(InputError) as error:
        getattr(client, method)(*arguments.get(method, [[1, 2, 3]]))
    message = one_line(error)
    assert message.startswith(f"{addresses[protocol]}, model 'tiny': ")
    assert words in message
    assert len(message) < 700
    assert models.requests == 1


INPUTS = {
    "generate": [[1, 2]],
    "generate_encoded": [[1, 2]],
    "interpolate": [np.zeros([2, Z0_DIM]), [1, 2]],
}
SHAPES = {"generate": (2, 4, 16, 16, 1), "interpolate": (2, 7, 16, 16, 1)}
SOUND_ANSWERS = {
    "generate": {"videos": np.zeros(SHAPES["generate"], np.uint8)},
    "generate_encoded": {"frames_bytes": np.full([2, 4], png(16, 16), object)},
    "interpolate": {
        "videos": np.zeros(SHAPES["interpolate"], np.float32),
        "num_frames": np.array([4, 7]),
    },
}
NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([2**31, 2**40, 2**63 - 1, -(2**63)]),
)
JSON = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), NUMBERS, st.floats(), st.text(max_size=9)),
        st.sampled_from([10**400, [[[[[1]]]]], {"b64": "AA=="}, {"b64": "?"}, {"b64": 1}]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


def altered_json(draw, value):
    """One part of it is another, is left out, or there is one more."""
    change = draw(st.sampled_from(["descend"] * 5 + ["replace", "remove", "add"]))
    if change == "replace" or not isinstance(value, (dict, list)) or not value:
        return draw(JSON)
    value = value.copy()
    key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    if change == "descend":
        value[key] = altered_json(draw, value[key])
    elif change == "remove":
        del value[key]
    elif isinstance(value, dict):
        value[draw(st.text(max_size=9))] = draw(JSON)
    else:
        value.append(draw(JSON))
    return value


@st.composite
def altered_protos(draw, proto):
    """Some fields of it are others."""
    message = type(proto)
    shape = type(proto.tensor_shape)
    others = {
        "dtype": st.builds(lambda n: message(dtype=n), st.integers(0, 140)),
        "tensor_shape": st.builds(
            lambda sizes, unknown: message(
                tensor_shape=shape(dim=[{"size": size} for size in sizes], unknown_rank=unknown)
            ),
            *(st.lists(NUMBERS, max_size=6), st.booleans()),
        ),
        "tensor_content": st.builds(lambda c: message(tensor_content=c), st.binary(max_size=9)),
        "int_val": st.builds(lambda n: message(int_val=[n] * 2048), st.integers(-9, 300)),
        "float_val": st.builds(lambda x: message(float_val=[x] * 3584), st.floats(width=32)),
        "int64_val": st.builds(lambda n: message(int64_val=n), st.lists(NUMBERS, max_size=3)),
        "string_val": st.builds(lambda s: message(string_val=s), st.lists(st.binary(), max_size=9)),
    }
    changed = message()
    changed.CopyFrom(proto)
    for name in draw(st.lists(st.sampled_from(sorted(others)), max_size=3, unique=True)):
        changed.ClearField(name)
        if draw(st.booleans()):
            changed.MergeFrom(draw(others[name]))
    return changed


def altered_bytes(draw, content):
    """Now and then some of the bytes are others."""
    if draw(st.integers(0, 3)):
        return content
    start = draw(st.integers(0, len(content)))
    end = start + draw(st.sampled_from([0, 1, 1, 9, len(content)]))
    return content[:start] + draw(st.binary(max_size=9)) + content[end:]


class TestMalformedAnswers:
    """In this process: bytes in place of those that the protocols have received."""

    def ask(self, protocol, method, metadata, answer):
        def call(kind, *_):
            return metadata if kind in ("GET", "GetModelMetadata") else answer

        with Client({"grpc": "a:1", "rest": "http://a:1"}[protocol]) as client:
            client._protocol._call = call
            try:
                result = getattr(client, method)(*INPUTS[method])
            except InputError as error:
                message = str(error)
                assert message.isprintable() and len(message) < 700
                return
        if method == "generate":
            assert (result.dtype, result.shape) == (np.uint8, SHAPES[method])
        elif method == "interpolate":
            assert [video.shape for video in result] == [(4, 16, 16, 1), (7, 16, 16, 1)]
            assert all(video.dtype == np.float32 and abs(video).max() <= 1 for video in result)
        else:
            # Columns and rows; what is in it the checksums of the PNG itself keep.
            sizes = [struct.unpack(">II", png[16:24]) for video in result for png in video]
            assert sizes == [(16, 16)] * 8

    @pytest.mark.slow
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), method=st.sampled_from(sorted(INPUTS)), of_metadata=st.booleans())
    def test_of_rest_raise_but_an_input_error(self, models, data, method, of_metadata):
        signatures = json_format.MessageToDict(
            get_model_metadata_pb2.SignatureDefMap(
                signature_def=models.versions["tiny", 2].signatures
            )
        )
        metadata = {**METADATA, "metadata": {"signature_def": signatures}}
        outputs = {
            key: model_servers.encoded(value.tolist())
            for key, value in SOUND_ANSWERS[method].items()
        }
        answer = {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
        if of_metadata:
            metadata = altered_json(data.draw, metadata)
        else:
            answer = altered_json(data.draw, answer)
        contents = [json.dumps(value).encode() for value in (metadata, answer)]
        contents[not of_metadata] = altered_bytes(data.draw, contents[not of_metadata])
        self.ask("rest", method, *contents)

    @pytest.mark.slow
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), method=st.sampled_from(sorted(INPUTS)), of_metadata=st.booleans())
    def test_of_grpc_raise_but_an_input_error(self, models, data, method, of_metadata):
        draw = data.draw
        signatures = get_model_metadata_pb2.SignatureDefMap(
            signature_def=models.versions["tiny", 2].signatures
        )
        if of_metadata:
            definition = signatures.signature_def[method]
            infos = [*definition.inputs.values(), *definition.outputs.values()]
            info = draw(st.sampled_from(infos))
            info.dtype = draw(st.sampled_from([info.dtype, 0, 7, 99, 120]))
            for dim in info.tensor_shape.dim:
                dim.size = draw(st.one_of(st.just(dim.size), NUMBERS))
        metadata = get_model_metadata_pb2.GetModelMetadataResponse()
        metadata.model_spec.version.value = 3
        metadata.metadata["signature_def"].Pack(signatures)
        answer = predict_pb2.PredictResponse()
        for key, value in SOUND_ANSWERS[method].items():
            answer.outputs[key].CopyFrom(
                draw(altered_protos(tf.make_tensor_proto(value)))
                if not of_metadata
                else tf.make_tensor_proto(value)
            )
        contents = [metadata.SerializeToString(), answer.SerializeToString()]
        contents[not of_metadata] = altered_bytes(draw, contents[not of_metadata])
        self.ask("grpc", method, *contents)
