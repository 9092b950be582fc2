"""The client, against servers of both protocols that run an exported generator.

The same tests run against TensorFlow Serving itself where it is installed.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import socket
import threading
import time

import grpc
import model_servers
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
from tiny_tgan import CLIP_SHAPE, Z0_DIM, make_generator

from tgan_tf import rendering
from tgan_tf.errors import InputError
from tgan_tf.export import export_generator
from tgan_tf.latents import latents
from tgan_tf.serving import Client

PROTOCOLS = ("grpc", "rest")


@pytest.fixture(scope="module")
def generators():
    """By the numbers of their versions."""
    return {1: make_generator(1), 2: make_generator(2)}


@pytest.fixture(scope="module")
def export_dir(generators, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("saved_models") / "tiny"
    for generator in generators.values():
        export_generator(generator, export_dir)
    return export_dir


@pytest.fixture(scope="module")
def conditional():
    return make_generator(3, num_classes=3)


@pytest.fixture(scope="module")
def conditional_dir(conditional, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("saved_models") / "conditional"
    export_generator(conditional, export_dir)
    return export_dir


@pytest.fixture(scope="module")
def models(export_dir, conditional_dir):
    models = model_servers.Models(tiny=export_dir, conditional=conditional_dir)
    yield models
    models.close()


@pytest.fixture(scope="module")
def ours(models):
    with model_servers.grpc_server(models) as grpc, model_servers.rest_server(models) as rest:
        yield {"grpc": grpc, "rest": rest}


@pytest.fixture(scope="module")
def theirs(export_dir, conditional_dir, tmp_path_factory):
    if not model_servers.binary():
        pytest.skip("no tensorflow_model_server on the PATH nor in TF_SERVING_BINARY")
    scratch = tmp_path_factory.mktemp("server")
    served = {"tiny": export_dir, "conditional": conditional_dir}
    with model_servers.binary_server(scratch, **served) as (grpc, rest):
        for _ in range(60):
            try:
                with Client(grpc, "tiny", 1) as client, Client(grpc, "tiny", 2) as newest:
                    client.metadata(), newest.metadata()
                break
            except InputError as error:
                last = error
        else:
            raise last
        yield {"grpc": grpc, "rest": rest}


@pytest.fixture(
    scope="module", params=[(kind, name) for kind in ("ours", "theirs") for name in PROTOCOLS]
)
def address(request):
    kind, protocol = request.param
    return request.getfixturevalue(kind)[protocol]


@pytest.fixture(scope="module")
def client(address):
    with Client(address, "tiny") as client:
        yield client


def random_latents(count):
    return np.random.default_rng(1).uniform(-1, 1, [count, Z0_DIM]).astype(np.float32)


def of_seeds(generator, *seeds):
    """Pixels of the first clip of each seed, by the generator itself."""
    z0 = np.concatenate([latents(seed, 1, Z0_DIM) for seed in seeds])
    return rendering.to_uint8(generator(z0).numpy())


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


class TestAnswers:
    def test_render_gives_the_videos_and_frame_latents_of_latents(self, client, generators):
        z0 = random_latents(3)
        videos, frame_latents = client.render(z0)
        assert videos.dtype == frame_latents.dtype == np.float32
        np.testing.assert_allclose(videos, generators[2](z0), rtol=0, atol=1e-6)
        expected = generators[2].frame_latents(z0)
        np.testing.assert_allclose(frame_latents, expected, rtol=0, atol=1e-6)

    def test_generate_gives_the_pixels_of_seeds(self, client, generators):
        videos = client.generate([0, 2**63 + 5, 2**64 - 1])
        assert (videos.dtype, videos.shape) == (np.uint8, (3, *CLIP_SHAPE))
        expected = of_seeds(generators[2], 0, 2**63 + 5, 2**64 - 1)
        assert abs(videos.astype(int) - expected).max() <= 1
        assert videos.std() > 1

    def test_generate_encoded_gives_pngs_of_the_same_pixels(self, client):
        encoded = client.generate_encoded(np.array([3, 4]))
        assert [len(frames) for frames in encoded] == [CLIP_SHAPE[0]] * 2
        decoded = [[np.asarray(Image.open(io.BytesIO(png))) for png in video] for video in encoded]
        np.testing.assert_array_equal(decoded, client.generate([3, 4])[..., 0])

    def test_interpolate_gives_each_video_as_many_frames_as_asked_for(self, client, generators):
        z0 = random_latents(2)
        videos = client.interpolate(z0, [1, 3])
        assert [len(video) for video in videos] == [CLIP_SHAPE[0], 3 * (CLIP_SHAPE[0] - 1) + 1]
        expected = generators[2](z0).numpy()
        np.testing.assert_allclose(videos[0], expected[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(videos[1][::3], expected[1], rtol=0, atol=1e-6)

    def test_interpolate_takes_one_factor_for_all(self, client):
        assert [len(video) for video in client.interpolate(random_latents(2), 2)] == [7, 7]

    def test_latent_walk_goes_from_one_seed_to_the_other(self, client):
        walk = client.latent_walk([1], [2])
        assert (walk.dtype, walk.shape) == (np.uint8, (1, 8, *CLIP_SHAPE))
        ends = client.generate([1, 2]).astype(int)
        assert abs(walk[0, [0, -1]] - ends).max() <= 1

    def test_are_those_of_the_version_asked_for(self, address, generators):
        with Client(address, "tiny", version=1) as client:
            assert client.metadata().version == 1
            videos = client.render(random_latents(1)).videos
        np.testing.assert_allclose(videos, generators[1](random_latents(1)), rtol=0, atol=1e-6)

    def test_metadata_tells_the_newest_version_and_its_signatures(self, client):
        metadata = client.metadata()
        assert metadata.version == 2
        assert set(metadata.signatures) == {
            *("serving_default", "generate", "generate_encoded", "interpolate", "latent_walk")
        }
        inputs, outputs = metadata.signature("serving_default")
        assert inputs["z0"].shape.as_list() == [None, Z0_DIM]
        assert tuple(outputs["videos"].shape[1:]) == CLIP_SHAPE
        assert outputs["videos"].dtype.name == "float32"
        assert metadata.signature("generate").inputs["seed"].dtype.name == "int64"


class TestInput:
    @pytest.mark.parametrize(
        ("method", "arguments", "message"),
        [
            ("render", [np.zeros([2, 5])], "z0: of shape [2, 5]: give float32 (n, 6)"),
            ("render", [np.zeros([0, 6])], "z0: of shape [0, 6]"),
            ("render", [np.zeros(6)], "z0: of shape [6]"),
            ("render", [np.full([1, 6], np.nan)], "z0: holds a NaN or an infinity"),
            ("render", [np.full([1, 6], 1e300)], "z0: holds a NaN or an infinity, in float32"),
            ("render", [[["a"] * 6]], "z0: <U1"),
            ("render", [[[1.0] * 6, [1.0]]], "z0: setting an array element"),
            ("generate", [[]], "seed: of shape [0]"),
            ("generate", [7], "seed: of shape []"),
            ("generate", [[0.5]], "seed: 'float' object cannot be interpreted as an integer"),
            ("generate", [[-1]], "seed: give whole numbers from 0 to 2^64 - 1"),
            ("generate_encoded", [[2**64]], "seed: give whole numbers from 0 to 2^64 - 1"),
            ("interpolate", [np.zeros([2, 6]), [1]], "rows differ"),
            ("interpolate", [[[1.0] * 6, [1.0]], 2], "z0: setting an array element"),
            ("interpolate", [np.float32(1), 2], "z0: of shape []"),
            ("interpolate", [np.zeros([2, 6]), 1.5], "factor: 'float' object cannot be"),
            (
                "interpolate",
                [np.zeros([2, 6]), [1, 17]],
                "factor: [1, 17]: give whole numbers from",
            ),
            ("interpolate", [np.zeros([2, 6]), 0], "factor: [0]: give whole numbers from 1 to 16"),
            ("latent_walk", [[1, 2], [1]], "rows differ"),
            ("generate", [range(4097)], "4097 times 4 frames: give at most 4096 rows at once"),
            ("interpolate", [np.zeros([335, 6]), 16], "335 times 49 frames: give at most 334 rows"),
            ("latent_walk", [range(513), range(513)], "513 times 32 frames: give at most 512 rows"),
        ],
    )
    def test_that_does_not_fit_is_refused_by_name(self, client, method, arguments, message):
        with pytest.raises(InputError) as error:
            getattr(client, method)(*arguments)
        assert message in one_line(error)

    def test_that_the_server_refuses_is_one_line_of_its_words(self, client, monkeypatch):
        # As a client of another version of the model may send.
        monkeypatch.setattr(Client, "_check_frames", lambda *_: None)
        with pytest.raises(InputError, match="factor must be from 1 to 16.*give inputs as"):
            client.interpolate(random_latents(1), 17)


class TestLabels:
    def test_are_the_classes_of_the_videos(self, address, conditional):
        z0, labels = random_latents(2), [2, 0]
        one_hot = np.eye(3, dtype=np.float32)[labels]
        with Client(address, "conditional") as client:
            videos = client.render(z0, labels).videos
        expected = conditional(np.concatenate([z0, one_hot], axis=1))
        np.testing.assert_allclose(videos, expected, rtol=0, atol=1e-6)

    def test_are_needed_by_a_conditional_generator_and_by_no_other(self, address, client):
        with Client(address, "conditional") as other, pytest.raises(InputError) as error:
            other.generate([1])
        assert "generate takes label, seed, not seed" in one_line(error)
        with pytest.raises(InputError) as error:
            client.generate([1], labels=[0])
        assert "generate takes seed, not label, seed" in one_line(error)


class TestMistakes:
    @pytest.mark.parametrize(
        ("model", "version", "words"),
        [("other", None, "Latest(other)"), ("tiny", 7, "Specific(tiny, 7)")],
    )
    def test_in_the_model_are_one_line(self, address, model, version, words):
        with Client(address, model, version) as client, pytest.raises(InputError) as error:
            client.metadata()
        message = one_line(error)
        assert message.startswith(f"{address}, model {model!r}")
        assert f"Servable not found for request: {words}: give a model" in message

    def test_in_the_signature_are_one_line(self, client):
        with pytest.raises(InputError) as error:
            client.metadata().signature("classify")
        assert "no signature 'classify', it has generate, generate_encoded" in one_line(error)

    @pytest.mark.parametrize("scheme", ["", "http://"])
    def test_of_a_server_that_is_down_are_one_line(self, scheme):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"{scheme}127.0.0.1:{unused.getsockname()[1]}"
            with Client(address) as client, pytest.raises(InputError) as error:
                client.generate([1])
        message = one_line(error)
        assert message.startswith(f"{address}, model 'default': ")
        assert "onnection refused" in message
        assert message.endswith("see whether TensorFlow Serving runs there and is ready")

    @pytest.mark.parametrize("scheme", ["", "http://"])
    def test_of_a_name_that_is_none_are_one_line(self, scheme):
        with Client(f"{scheme}nowhere.invalid:8500") as client, pytest.raises(InputError) as error:
            client.generate([1])
        assert "nowhere.invalid:8500, model 'default': " in one_line(error)
        assert "TensorFlow Serving runs there" in one_line(error)

    @pytest.mark.parametrize(
        "address",
        [
            *("", "localhost", "localhost:", "localhost:x", "localhost:99999", ":8500", "a b:8500"),
            *("localhost:8500/v1", "ftp://localhost:8501", "http://", "http://:8501", "http://a:x"),
            *("http://a..b:8501", f"{'a' * 64}:8500", "http://%zz:8501", "a\x1b:8500"),
        ],
    )
    def test_in_the_address_are_one_line(self, address):
        with pytest.raises(InputError) as error:
            Client(address)
        assert f"address {address!r}: give HOST:PORT for gRPC" in one_line(error)

    @pytest.mark.parametrize(
        "arguments",
        [
            *({"timeout": 0}, {"timeout": float("nan")}, {"model": ""}, {"model": "\udcff"}),
            *({"version": -1}, {"version": 2**63}, {"version": 1.5}),
        ],
    )
    def test_in_other_arguments_are_one_line(self, arguments):
        with pytest.raises(InputError, match="localhost:1: .*give"):
            Client("localhost:1", **arguments)


def server(protocol, models):
    servers = {"grpc": model_servers.grpc_server, "rest": model_servers.rest_server}
    return servers[protocol](models)


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestFailingServers:
    def test_that_come_up_are_asked_again(self, models, protocol, generators):
        failing = model_servers.FirstUnavailable(models, 2)
        with server(protocol, failing) as address, Client(address, "tiny") as client:
            client.metadata()
            assert failing.failures == 0
            failing.failures = 2
            client.generate([1])
            assert failing.failures == 0

    def test_that_stay_unavailable_are_given_up(self, models, protocol):
        failing = model_servers.FirstUnavailable(models, 100)
        with server(protocol, failing) as address, Client(address, "tiny") as client:
            with pytest.raises(InputError, match="not yet: see whether TensorFlow Serving runs"):
                client.metadata()
        assert failing.failures == 95

    def test_that_stay_unavailable_do_not_outlast_the_deadline(self, models, protocol):
        failing = model_servers.FirstUnavailable(models, 100)
        with server(protocol, failing) as address, Client(address, "tiny", timeout=0.15) as client:
            with pytest.raises(InputError):
                client.metadata()
        assert failing.failures > 95

    def test_that_never_answer_are_left_at_the_deadline(self, protocol):
        silent = model_servers.Silent()
        with server(protocol, silent) as address:
            with Client(address, timeout=0.2) as client, pytest.raises(InputError) as error:
                client.metadata()
            silent.closed.set()
        assert one_line(error).endswith("give a longer timeout or ask for less at once")

    def test_that_are_something_else_are_named(self, protocol):
        with model_servers.rest_server(None, model_servers.HtmlHandler) as address:
            if protocol == "grpc":
                address = address.replace("http://", "")
            with Client(address) as client, pytest.raises(InputError) as error:
                client.metadata()
        words = {
            "rest": "the reply is not TensorFlow Serving's: '<html> <body>Welcome",
            "grpc": "see whether TensorFlow Serving runs there",
        }
        assert words[protocol] in one_line(error)


@pytest.fixture(scope="module")
def altered(models):
    """Models whose answers each test alters, and the addresses of their servers."""
    altered = model_servers.Altered(models)
    with model_servers.grpc_server(altered) as grpc, model_servers.rest_server(altered) as rest:
        yield altered, {"grpc": grpc, "rest": rest}


def png(rows, columns, mode="L"):
    with io.BytesIO() as file:
        Image.new(mode, (columns, rows)).save(file, "PNG")
        return file.getvalue()


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
        "no PNG of 16 rows and 16 columns",
    ),
    "PNG in colour": (
        "generate_encoded",
        lambda _: {"frames_bytes": np.full([3, 4], png(16, 16, "RGB"), object)},
        "no PNG of 16 rows and 16 columns",
    ),
    "broken PNG": (
        "generate_encoded",
        lambda _: {"frames_bytes": np.full([3, 4], png(16, 16)[:-9], object)},
        "no PNG of 16 rows and 16 columns",
    ),
}
WRONG_PROTOS = {
    "message": (
        "generate",
        lambda _: {"videos": np.zeros([5_000_000], np.uint8)},
        "larger than max",
    ),
    "no dtype": ("generate", with_proto(dtype=0), "dtype DT_INVALID, not uint8"),
    "unknown dtype": ("generate", with_proto(dtype=99), "dtype 99, not uint8"),
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


def http(body, *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(line.startswith(("Content-Length", "Transfer")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


BROKEN_ANSWERS = {
    "no HTTP": (b"garbage\r\n\r\n", "the answer cannot be read: BadStatusLine: garbage"),
    "cut": (http(b"{}", "Content-Length: 100"), "the answer cannot be read: IncompleteRead"),
    "declared huge": (http(b"{}", "Content-Length: 999999999999"), "larger than"),
    "bomb": (
        http(gzip.compress(bytes(2**25)), "Content-Encoding: gzip"),
        "larger than",
    ),
    "no gzip": (http(b"{}", "Content-Encoding: gzip"), "the answer cannot be read: "),
    "two lengths": (http(b"{}", "Content-Length: 2", "Content-Length: 3"), "cannot be read"),
    "no chunk": (http(b"xyz\r\n", "Transfer-Encoding: chunked"), "the answer cannot be read: "),
    "header too long": (http(b"{}", f"X: {'x' * 70000}"), "cannot be read: LineTooLong"),
    "no UTF-8": (http(b'{"\xff": 1}'), "the reply is not TensorFlow Serving's: "),
    "deep": (http(b"[" * 100_000), "the reply is not TensorFlow Serving's: '[[[[["),
    "digits": (http(b"1" * 5000), "the reply is not TensorFlow Serving's: '11111"),
    "twice": (http(b'{"metadata": 1, "metadata": 2}'), "the reply is not TensorFlow Serving's"),
    "list": (http(b"[]"), "the reply is not TensorFlow Serving's: '[]'"),
    "signatures of a list": (
        http(b'{"model_spec": {"version": "1"}, "metadata": {"signature_def": [1]}}'),
        "the reply is not TensorFlow Serving's",
    ),
    "no words": (http(b'{"error": {}}', status="400 No"), "HTTP 400 No: the reply is not"),
    "redirect": (
        http(b"", "Location: http://elsewhere.invalid/", status="307 Moved"),
        "HTTP 307 Moved, to http://elsewhere.invalid/: give",
    ),
}
METADATA = {
    "model_spec": {"name": "default", "signature_name": "", "version": "3"},
    "metadata": {"signature_def": {"signature_def": {}}},
}


def http_json(value):
    return http(json.dumps(value).encode())


class TestBrokenRest:
    @pytest.mark.parametrize("name", BROKEN_ANSWERS)
    def test_answers_are_named_and_not_asked_for_again(self, name):
        answer, words = BROKEN_ANSWERS[name]
        with model_servers.raw_server([answer]) as (address, requests):
            with Client(f"http://{address}") as client, pytest.raises(InputError) as error:
                client.metadata()
        message = one_line(error)
        assert words in message and len(message) < 700
        assert len(requests) == 1

    @pytest.mark.parametrize(
        "spec", [{"version": "1"}, {"name": "other"}, {"version": "-1"}, {"version": "x"}]
    )
    def test_answers_of_another_model_are_refused(self, spec):
        answer = http_json({**METADATA, "model_spec": {**METADATA["model_spec"], **spec}})
        with model_servers.raw_server([answer]) as (address, _):
            with Client(f"http://{address}", version=3) as client, pytest.raises(InputError):
                client.metadata()

    @pytest.mark.parametrize(
        "first",
        [[], [http(b"<html>", status="503 Busy")]],
        ids=["closed before it answers", "not available"],
    )
    def test_connections_are_made_again(self, first):
        with model_servers.raw_server(first, [http_json(METADATA)]) as (address, requests):
            with Client(f"http://{address}") as client:
                assert client.metadata().version == 3
        assert len(requests) == 2

    def test_connections_that_were_kept_are_made_again(self):
        with model_servers.raw_server([http_json(METADATA)]) as (address, requests):
            with Client(f"http://{address}") as client:
                client.metadata()
                client._metadata = None
                client.metadata()
        assert len(requests) == 2

    def test_no_credentials_and_no_proxy_of_another_machine_are_used(self, monkeypatch, tmp_path):
        (tmp_path / "netrc").write_text("default login me password secret")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
        with model_servers.raw_server([http_json(METADATA)]) as (address, requests):
            with Client(f"http://{address}") as client:
                client.metadata()
        assert b"Authorization" not in requests[0]


@pytest.mark.parametrize(
    ("scheme", "variable", "value"),
    [
        ("http", "http_proxy", "http://[bad"),
        ("http", "http_proxy", "socks9://127.0.0.1:1"),
        ("https", "REQUESTS_CA_BUNDLE", "missing.pem"),
    ],
)
def test_an_environment_that_nothing_can_be_sent_with_is_one_line(
    monkeypatch, scheme, variable, value
):
    monkeypatch.setenv(variable, value)
    with Client(f"{scheme}://nowhere.invalid:1") as client, pytest.raises(InputError) as error:
        client.metadata()
    assert "the request cannot be sent: " in one_line(error)


def test_no_proxy_is_used_for_this_machine_over_grpc(ours, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Client(ours["grpc"].replace("127.0.0.1", "localhost"), "tiny") as client:
        client.metadata()


def drip(start, piece):
    return itertools.chain([start], itertools.repeat(piece, 200))


OK = b"HTTP/1.1 200 OK\r\n"
# HTTP/2's frames SETTINGS and PING.
SETTINGS, PING = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)


@pytest.mark.parametrize(
    ("scheme", "pieces"),
    [
        ("http://", lambda: drip(OK + b"Content-Length: 99999\r\n\r\n", b" " * 10)),
        ("http://", lambda: drip(OK, b"X: 1\r\n")),
        ("http://", lambda: drip(OK, b"x")),
        ("http://", lambda: drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        ("", lambda: drip(b"", b"x")),
        ("", lambda: drip(SETTINGS, PING)),
    ],
    ids=["body", "headers", "a header", "continue", "no HTTP/2", "pings"],
)
def test_a_drip_is_left_at_the_deadline(scheme, pieces):
    threads = threading.active_count()
    with model_servers.raw_server(pieces(), pause=0.02) as (address, _):
        with Client(f"{scheme}{address}", timeout=0.2) as client:
            start = time.monotonic()
            with pytest.raises(InputError) as error:
                client.metadata()
            assert time.monotonic() - start < 2
        assert "give a longer timeout" in one_line(error)
        if scheme:  # No thread goes on with it; those left are the server's two.
            for _ in range(50):
                if threading.active_count() <= threads + 2:
                    break
                time.sleep(0.01)
            assert threading.active_count() <= threads + 2


def test_a_name_that_is_slow_to_resolve_is_left_at_the_deadline(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(5) and [])
    start = time.monotonic()
    with Client("http://slow.invalid:1", timeout=0.1) as client:
        with pytest.raises(InputError, match="no answer within 0.1 s: give a longer timeout"):
            client.metadata()
    assert time.monotonic() - start < 2
    answered.set()


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
            images = [Image.open(io.BytesIO(png)) for video in result for png in video]
            assert [image.size for image in images] == [(16, 16)] * 8

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


def test_a_client_may_be_shared_by_threads(client):
    expected = client.generate([5])
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(client.generate([5]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for videos in results:
        np.testing.assert_array_equal(videos, expected)
