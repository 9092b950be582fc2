"""C3D against a NumPy implementation of it, and the files it is made of."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors import c3d
from tgan_tf.evaluation.extractors.c3d import C3D, cubic_interpolation, prepare

SHAPES = {
    "conv1a": (64, 3, 3, 3, 3),
    "conv2a": (128, 64, 3, 3, 3),
    "conv3a": (256, 128, 3, 3, 3),
    "conv3b": (256, 256, 3, 3, 3),
    "conv4a": (512, 256, 3, 3, 3),
    "conv4b": (512, 512, 3, 3, 3),
    "conv5a": (512, 512, 3, 3, 3),
    "conv5b": (512, 512, 3, 3, 3),
    "fc6": (4096, 8192),
    "fc7": (4096, 4096),
    "fc8": (101, 4096),
}


def _random_weights() -> dict[str, np.ndarray]:
    """Of He's scale, so that what comes out depends on what goes in."""
    # Of 78 million numbers most are repeated, after a prime number of them, which saves seconds.
    numbers, arrays = np.random.default_rng(0).standard_normal(1_000_003, np.float32), {}
    for name, shape in SHAPES.items():
        scale = np.float32(np.sqrt(2 / np.prod(shape[1:])))
        arrays[f"{name}/W"] = np.resize(numbers, shape) * scale
        arrays[f"{name}/b"] = numbers[-shape[0] :]
    # Pixels are of some hundred: the logits come out between -10 and 10.
    arrays["fc8/W"] *= np.float32(0.02)
    return arrays


def _random_mean() -> np.ndarray:
    return np.random.default_rng(1).uniform(60, 140, (3, 16, 128, 171)).astype(np.float32)


def _clips(frames=16, rows=64, columns=64, channels=3, batch=1) -> np.ndarray:
    shape = (batch, frames, rows, columns, channels)
    return np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of random weights, 300 MB, and of a random mean clip; gone at the end."""
    folder = tmp_path_factory.mktemp("c3d")
    np.savez(folder / "weights.npz", **_random_weights())
    np.savez(folder / "mean.npz", mean=_random_mean().reshape(1, 3, 16, 128, 171))
    yield folder
    (folder / "weights.npz").unlink()


@pytest.fixture(scope="module")
def extractor(folder):
    return C3D(str(folder / "weights.npz"), str(folder / "mean.npz"))


def _convolution(x, w, b):
    """3x3x3, one zero around: a sum over the 27 places of the kernel. Channels last in x."""
    padded = np.pad(x, ((1, 1), (1, 1), (1, 1), (0, 0)))
    t, h, v, _ = x.shape
    out = np.zeros((t * h * v, len(w)), np.float32)
    kernels = np.ascontiguousarray(w.transpose(2, 3, 4, 1, 0))
    for i, j, k in np.ndindex(3, 3, 3):
        shifted = padded[i : i + t, j : j + h, k : k + v].reshape(t * h * v, -1)
        out += shifted @ kernels[i, j, k]
    return np.maximum(out + b, 0).reshape(t, h, v, -1)


def _pooling(x, window):
    """The largest of each window; the last one may be cut off by the border."""
    for axis, size in enumerate(window):
        x = np.maximum.reduceat(x, np.arange(0, x.shape[axis], size), axis=axis)
    return x


def _numpy_c3d(x, arrays):
    """Features and probabilities of one prepared clip [16, 112, 112, 3]."""
    for name in SHAPES:
        w, b = arrays[f"{name}/W"], arrays[f"{name}/b"]
        if name.startswith("conv"):
            x = _convolution(x, w, b)
            if name in ("conv1a", "conv2a", "conv3b", "conv4b", "conv5b"):
                x = _pooling(x, (1, 2, 2) if name == "conv1a" else (2, 2, 2))
        else:
            x = w @ (x.transpose(3, 0, 1, 2).ravel() if name == "fc6" else x) + b
            if name == "fc6":
                features = x = np.maximum(x, 0)
            if name == "fc7":
                x = np.maximum(x, 0)
    exponentials = np.exp(x.astype(np.float64) - x.max())
    return features, exponentials / exponentials.sum()


def _numpy_resize(image, size):
    """OpenCV's INTER_CUBIC of one image [rows, columns], pixel by pixel, from its definition."""

    def weights(x, a=-0.75):
        for distance in (x + 1, x, 1 - x, 2 - x):
            if distance <= 1:
                yield (a + 2) * distance**3 - (a + 3) * distance**2 + 1
            else:
                yield a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a

    def line(values):
        out = np.zeros((size, *values.shape[1:]))
        for i in range(size):
            position = (i + 0.5) * len(values) / size - 0.5
            first = int(np.floor(position))
            for tap, weight in zip(range(first - 1, first + 3), weights(position - first)):
                out[i] += weight * values[min(max(tap, 0), len(values) - 1)]
        return out

    return line(line(image.astype(np.float64)).T).T


class TestNetwork:
    @pytest.mark.slow
    def test_equals_its_numpy_implementation(self, extractor):
        clips, arrays = _clips(), _random_weights()
        extracted = extractor(tf.constant(clips))
        prepared = prepare(tf.constant(clips), extractor._mean)
        features, probabilities = _numpy_c3d(prepared[0].numpy(), arrays)
        assert extracted.features.shape == (1, 4096)
        assert extracted.probabilities.shape == (1, 101)
        # Else equality would say little.
        assert 0.02 < probabilities.max() < 0.999
        assert np.mean(features > 0) > 0.2
        scale = features.max()
        np.testing.assert_allclose(extracted.features[0] / scale, features / scale, 0, 1e-4)
        np.testing.assert_allclose(extracted.probabilities[0], probabilities, 0, 1e-4)

    @pytest.mark.slow
    def test_gives_the_same_within_a_function(self, extractor):
        clips = tf.constant(_clips(channels=1))
        for traced, eager in zip(tf.function(extractor.__call__)(clips), extractor(clips)):
            np.testing.assert_allclose(traced, eager, 1e-4, 1e-5)

    @pytest.mark.slow
    def test_computes_in_float32_whatever_the_policy(self):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        try:
            _, *layers = c3d.network().layers
        finally:
            keras.mixed_precision.set_global_policy("float32")
        assert {layer.compute_dtype for layer in layers} == {"float32"}

    @pytest.mark.slow
    def test_states_what_it_gives_and_its_files(self, extractor, folder):
        assert (extractor.num_features, extractor.num_classes) == (4096, 101)
        digest = hashlib.sha256((folder / "weights.npz").read_bytes())
        digest.update((folder / "mean.npz").read_bytes())
        assert extractor.sha256 == digest.hexdigest()


class TestPrepare:
    @pytest.mark.parametrize("rows,columns", [(64, 64), (33, 150)])
    def test_resizes_turns_to_bgr_subtracts_the_mean_and_cuts_the_centre(self, rows, columns):
        clips = _clips(2, rows, columns)
        mean = _random_mean()[:, :2]
        prepared = prepare(tf.constant(clips), mean[:, :, 8:120, 29:141].transpose(1, 2, 3, 0))
        assert prepared.shape == (1, 2, 112, 112, 3)
        for frame, channel in np.ndindex(2, 3):
            resized = _numpy_resize(clips[0, frame, :, :, channel] * 128 + 128, 128)
            expected = resized - mean[2 - channel, frame, :, 21:149]
            np.testing.assert_allclose(
                prepared[0, frame, :, :, 2 - channel], expected[8:120, 8:120], 0, 1e-3
            )

    def test_takes_grey_as_three_equal_channels(self):
        grey = _clips(channels=1)
        mean = np.zeros((16, 112, 112, 3), np.float32)
        np.testing.assert_allclose(
            prepare(tf.constant(grey), mean),
            prepare(tf.constant(np.repeat(grey, 3, axis=-1)), mean),
            0,
            1e-4,
        )

    @pytest.mark.slow
    def test_the_middle_of_the_mean_clip_is_taken(self, extractor):
        expected = _random_mean()[:, :, 8:120, 29:141].transpose(1, 2, 3, 0)
        np.testing.assert_array_equal(extractor._mean, expected)


class TestCubicInterpolation:
    def test_of_the_same_size_changes_nothing(self):
        np.testing.assert_array_equal(cubic_interpolation(128, 128), np.eye(128))

    def test_halfway_between_pixels_is_the_weights_of_a_075(self):
        # Of 8 pixels to 4, each is halfway: a (1/8 - 5/4 + 4 - 4) and (a + 2)/8 - (a + 3)/4 + 1.
        matrix = cubic_interpolation(8, 4)
        np.testing.assert_allclose(matrix[1], [0, -3 / 32, 19 / 32, 19 / 32, -3 / 32, 0, 0, 0])

    def test_repeats_the_pixels_of_the_border(self):
        np.testing.assert_allclose(
            cubic_interpolation(8, 4)[0], [16 / 32, 19 / 32, -3 / 32, 0, 0, 0, 0, 0]
        )


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def _home(path, monkeypatch):
    """Lets Keras keep its downloads here."""
    monkeypatch.setenv("HOME", str(path))
    (path / ".keras").mkdir()


class TestUrl:
    @pytest.mark.slow
    def test_is_downloaded_once(self, folder, tmp_path, monkeypatch):
        _home(tmp_path, monkeypatch)
        handler = functools.partial(_Quiet, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever).start()
            url = f"http://127.0.0.1:{server.server_port}/mean.npz"
            try:
                path = c3d._local(url)
            finally:
                server.shutdown()
        assert c3d._local(url) == path
        with open(path, "rb") as file:
            assert file.read() == (folder / "mean.npz").read_bytes()

    def test_that_fails_is_named_with_the_remedy(self, tmp_path, monkeypatch):
        _home(tmp_path, monkeypatch)
        # Of another name than what the test above leaves in Keras's cache.
        url = "http://127.0.0.1:1/other_mean.npz"
        with pytest.raises(InputError, match=f"{url}.*manually") as error:
            C3D("weights.npz", url)
        assert "\n" not in str(error.value)


class TestBadInput:
    @pytest.mark.slow
    @pytest.mark.parametrize("frames", [1, 15, 17, 32])
    def test_other_numbers_of_frames_are_refused(self, extractor, frames):
        with pytest.raises(InputError, match=f"{frames} frames.*frames=16"):
            extractor.check((frames, 64, 64, 3))

    @pytest.mark.slow
    def test_clips_of_16_frames_pass(self, extractor):
        extractor.check((16, 20, 30, 1))

    @pytest.mark.slow
    def test_all_that_is_missing_and_wrong_is_listed(self, folder, tmp_path):
        arrays = {f"{name}/b": np.zeros(shape[0], np.float32) for name, shape in SHAPES.items()}
        arrays["conv1a/W"] = np.zeros((3, 3, 3, 3, 64), np.float32)
        arrays["conv1a/b"] = np.zeros(64, np.int32)
        arrays["fc8/b"] = np.zeros(487, np.float32)
        np.savez(tmp_path / "other.npz", **arrays)
        with pytest.raises(InputError) as error:
            C3D(str(tmp_path / "other.npz"), str(folder / "mean.npz"))
        message = str(error.value)
        for name in SHAPES:
            assert f"{name}/W" in message
        assert "conv1a/W is float32 [3, 3, 3, 3, 64], not float [64, 3, 3, 3, 3]" in message
        assert "conv1a/b is int32 [64]" in message
        assert "fc8/b is float32 [487], not float [101]" in message
        assert "conv2a/b" not in message and "\n" not in message

    def test_mean_clip_of_another_size_is_refused(self, tmp_path):
        np.savez(tmp_path / "mean.npz", mean=np.zeros((3, 16, 112, 112)))
        with pytest.raises(InputError, match=r"mean\.npz.*3 x 16 x 128 x 171"):
            C3D("weights.npz", str(tmp_path / "mean.npz"))

    @pytest.mark.parametrize(
        "content", [None, b"", b"GIF89a" * 9, b"PK\x03\x04" * 9], ids=["missing", "0", "GIF", "PK"]
    )
    def test_what_is_no_npz_is_refused(self, content, tmp_path):
        path = tmp_path / "mean.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=r"mean\.npz.*give an \.npz") as error:
            C3D("weights.npz", str(path))
        assert "\n" not in str(error.value)

    def test_pickled_array_is_refused(self, tmp_path):
        np.savez(tmp_path / "mean.npz", mean=np.array([{}], object))
        with pytest.raises(InputError, match="plain numbers"):
            C3D("weights.npz", str(tmp_path / "mean.npz"))

    def test_array_alone_is_refused(self, tmp_path):
        with open(tmp_path / "mean.npz", "wb") as file:
            np.save(file, _random_mean()[:, :1])
        with pytest.raises(InputError, match=r"give an \.npz"):
            C3D("weights.npz", str(tmp_path / "mean.npz"))
