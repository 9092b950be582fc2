"""What the client gives and refuses, against servers of both protocols that run a generator."""

from __future__ import annotations

import io
import socket
import threading

import model_servers
import numpy as np
import pytest
from client_cases import PROTOCOLS, one_line, random_latents, server
from PIL import Image
from tiny_tgan import CLIP_SHAPE, Z0_DIM

from tgan_tf import rendering
from tgan_tf.errors import InputError
from tgan_tf.latents import latents
from tgan_tf.serving import Client


def of_seeds(generator, *seeds):
    """Pixels of the first clip of each seed, by the generator itself."""
    z0 = np.concatenate([latents(seed, 1, Z0_DIM) for seed in seeds])
    return rendering.to_uint8(generator(z0).numpy())


@pytest.mark.slow
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
        assert inputs["z0"] == ("float32", (None, Z0_DIM))
        assert outputs["videos"] == ("float32", (None, *CLIP_SHAPE))
        assert metadata.signature("generate").inputs["seed"].dtype == "int64"


class TestInput:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("method", "arguments", "message"),
        [
            (
                "render",
                [np.zeros([2, 5])],
                "z0: of shape [2, 5]: must be float32 [n, 6], n at least 1",
            ),
            ("render", [np.zeros([0, 6])], "z0: of shape [0, 6]"),
            ("render", [np.zeros(6)], "z0: of shape [6]"),
            ("render", [np.full([1, 6], np.nan)], "z0: holds a NaN or an infinity"),
            ("render", [np.full([1, 6], 1e300)], "z0: holds a NaN or an infinity in float32"),
            ("render", [[["a"] * 6]], "z0: <U1"),
            ("render", [[[1.0] * 6, [1.0]]], "z0: setting an array element"),
            ("generate", [[]], "seed: of shape [0]"),
            ("generate", [7], "seed: of shape []"),
            ("generate", [[0.5]], "seed: 'float' object cannot be interpreted as an integer"),
            ("generate", [[-1]], "seed: must be integers from 0 to 2^64 - 1"),
            ("generate_encoded", [[2**64]], "seed: must be integers from 0 to 2^64 - 1"),
            ("interpolate", [np.zeros([2, 6]), [1]], "numbers of rows differ"),
            ("interpolate", [[[1.0] * 6, [1.0]], 2], "z0: setting an array element"),
            ("interpolate", [np.float32(1), 2], "z0: of shape []"),
            ("interpolate", [np.zeros([2, 6]), 1.5], "factor: 'float' object cannot be"),
            (
                "interpolate",
                [np.zeros([2, 6]), [1, 17]],
                "factor: [1, 17]: must be integers from",
            ),
            ("interpolate", [np.zeros([2, 6]), 0], "factor: [0]: must be integers from 1 to 16"),
            ("latent_walk", [[1, 2], [1]], "numbers of rows differ"),
            ("generate", [range(4097)], "4097 times 4 frames: give at most 4096 rows at once"),
            ("interpolate", [np.zeros([335, 6]), 16], "335 times 49 frames: give at most 334 rows"),
            ("latent_walk", [range(513), range(513)], "513 times 32 frames: give at most 512 rows"),
        ],
    )
    def test_that_does_not_fit_is_refused_by_name(self, client, method, arguments, message):
        with pytest.raises(InputError) as error:
            getattr(client, method)(*arguments)
        assert message in one_line(error)

    @pytest.mark.slow
    def test_that_the_server_refuses_is_one_line_of_its_words(self, client, monkeypatch):
        # As a client of another version of the model may send.
        monkeypatch.setattr(Client, "_check_frames", lambda *_: None)
        with pytest.raises(InputError, match="factor must be from 1 to 16.*give inputs as"):
            client.interpolate(random_latents(1), 17)


@pytest.mark.slow
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
    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_in_the_signature_are_one_line(self, client):
        with pytest.raises(InputError) as error:
            client.metadata().signature("classify")
        assert "has no signature 'classify' (it has generate, generate_encoded" in one_line(error)

    @pytest.mark.slow
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
        assert message.endswith("check that TensorFlow Serving runs there and is ready")

    @pytest.mark.slow
    @pytest.mark.parametrize("scheme", ["", "http://"])
    def test_of_a_name_that_is_none_are_one_line(self, scheme):
        with Client(f"{scheme}nowhere.invalid:8500") as client, pytest.raises(InputError) as error:
            client.generate([1])
        assert "nowhere.invalid:8500, model 'default': " in one_line(error)
        assert "TensorFlow Serving runs there" in one_line(error)

    @pytest.mark.slow
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
        assert f"address={address!r}: must be HOST:PORT for gRPC" in one_line(error)

    @pytest.mark.parametrize(
        "arguments",
        [
            *({"timeout": 0}, {"timeout": float("nan")}, {"model": ""}, {"model": "\udcff"}),
            *({"version": -1}, {"version": 2**63}, {"version": 1.5}),
        ],
    )
    def test_in_other_arguments_are_one_line(self, arguments):
        (name,) = arguments
        with pytest.raises(InputError, match=f"^{name}=.*: must be "):
            Client("localhost:1", **arguments)


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestFailingServers:
    @pytest.mark.slow
    def test_that_come_up_are_asked_again(self, models, protocol, generators):
        failing = model_servers.FirstUnavailable(models, 2)
        with server(protocol, failing) as address, Client(address, "tiny") as client:
            client.metadata()
            assert failing.failures == 0
            failing.failures = 2
            client.generate([1])
            assert failing.failures == 0

    @pytest.mark.slow
    def test_that_stay_unavailable_are_given_up(self, models, protocol):
        failing = model_servers.FirstUnavailable(models, 100)
        with server(protocol, failing) as address, Client(address, "tiny") as client:
            with pytest.raises(InputError, match="not yet: check that TensorFlow Serving runs"):
                client.metadata()
        assert failing.failures == 95

    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_that_are_something_else_are_named(self, protocol):
        with model_servers.rest_server(None, model_servers.HtmlHandler) as address:
            if protocol == "grpc":
                address = address.replace("http://", "")
            with Client(address) as client, pytest.raises(InputError) as error:
                client.metadata()
        words = {
            "rest": "the reply is not TensorFlow Serving's: '<html> <body>Welcome",
            "grpc": "check that TensorFlow Serving runs there",
        }
        assert words[protocol] in one_line(error)


@pytest.mark.slow
def test_no_proxy_is_used_for_this_machine_over_grpc(ours, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Client(ours["grpc"].replace("127.0.0.1", "localhost"), "tiny") as client:
        client.metadata()


@pytest.mark.slow
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
