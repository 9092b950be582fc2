"""I3D's pre-processing against NumPy, and tiny SavedModels in its place."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors.i3d import I3D, prepare
from tgan_tf.evaluation.extractors.model_file import sha256_of

CLASSES = 7
INPUT = (None, None, 224, 224, 3)


def _clips(frames=9, rows=32, columns=48, channels=3, batch=2):
    shape = (batch, frames, rows, columns, channels)
    return np.random.default_rng(6).uniform(-1, 127 / 128, shape).astype(np.float32)


def _kernel():
    return np.random.default_rng(7).normal(size=(3, CLASSES)).astype(np.float32)


def _resize(values, size):
    """Bilinear along the first axis: pixel i of the new is at i * old / new of the old."""
    positions = np.arange(size) * len(values) / size
    first = positions.astype(int)
    second = np.minimum(first + 1, len(values) - 1)
    rest = (positions - first).reshape(-1, *[1] * (values.ndim - 1))
    return values[first] * (1 - rest) + values[second] * rest


def _numpy_prepare(clips):
    pixels = np.clip(clips.astype(np.float64) * 128 + 128, 0, 255)
    for axis in (2, 3):
        pixels = np.moveaxis(_resize(np.moveaxis(pixels, axis, 0), 224), 0, axis)
    return np.broadcast_to(2 * pixels / 255 - 1, (*pixels.shape[:-1], 3))


def _logits(clips):
    """What the models here compute: the mean colour, times a matrix."""
    return _numpy_prepare(clips).mean(axis=(1, 2, 3)) @ _kernel()


def _save(path, signature="default", outputs=("default",), spec=INPUT):
    module = tf.Module()
    module.kernel = tf.Variable(_kernel())
    logits = tf.function(
        lambda frames: {
            name: (i + 1.0) * tf.reduce_mean(frames, [1, 2, 3]) @ module.kernel
            for i, name in enumerate(outputs)
        },
        [tf.TensorSpec(spec, tf.float32, "frames")],
    )
    tf.saved_model.save(module, str(path), {signature: logits})
    return path


def _save_of_tensorflow_1(path):
    """As TF1's hub.Module is stored: a signature "default", no tags, tfhub_module.pb beside it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        frames = tf.compat.v1.placeholder(tf.float32, INPUT)
        kernel = tf.compat.v1.get_variable("kernel", initializer=_kernel(), use_resource=False)
        logits = tf.reduce_mean(frames, [1, 2, 3]) @ kernel
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(str(path))
        signature = tf.compat.v1.saved_model.predict_signature_def(
            {"rgb_input": frames}, {"default": logits}
        )
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        # The second graph is the one for training.
        builder.add_meta_graph(["train"], {"default": signature})
        builder.save()
    (path / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return path


SAVED = {
    "default": _save,
    "serving_default": lambda path: _save(path, "serving_default", ["logits"]),
    "among others": lambda path: _save(path, "default", ["a", "default"][::-1]),
    "of TensorFlow 1": _save_of_tensorflow_1,
}


class TestExtractor:
    @pytest.mark.slow
    @pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
    def test_gives_the_logits_of_the_saved_model_and_their_softmax(self, save, tmp_path):
        path, clips = save(tmp_path / "model"), _clips()
        extractor = I3D(path)
        features, probabilities = extractor(tf.constant(clips))
        logits = _logits(clips)
        np.testing.assert_allclose(features, logits, 1e-4, 1e-5)
        exponentials = np.exp(logits)
        expected = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities, expected, 1e-4)
        assert (extractor.num_features, extractor.num_classes) == (CLASSES, CLASSES)
        assert extractor.name == "i3d" and extractor.sha256 == sha256_of(path)

    @pytest.mark.slow
    def test_gives_the_same_within_a_function(self, tmp_path):
        extractor, clips = I3D(_save(tmp_path / "model")), tf.constant(_clips(channels=1))
        for traced, eager in zip(tf.function(extractor.__call__)(clips), extractor(clips)):
            np.testing.assert_allclose(traced, eager, 1e-5, 1e-6)


class TestPrepare:
    @pytest.mark.parametrize("rows,columns,channels", [(32, 48, 3), (224, 224, 3), (300, 64, 1)])
    def test_resizes_and_scales_as_the_code_of_fvd(self, rows, columns, channels):
        clips = _clips(2, rows, columns, channels)
        prepared = prepare(tf.constant(clips))
        assert prepared.shape == (2, 2, 224, 224, 3)
        np.testing.assert_allclose(prepared, _numpy_prepare(clips), 0, 1e-4)

    def test_stays_within_1_at_the_ends(self):
        clips = tf.constant([-1.0, 127 / 128, 1.0])[:, None, None, None, None]
        prepared = prepare(tf.tile(clips, [1, 1, 8, 8, 3]))
        np.testing.assert_allclose(prepared[:, 0, 0, 0, 0], [-1, 1, 1], 0, 1e-6)


class TestBadInput:
    @pytest.mark.parametrize("frames", [1, 8])
    def test_too_few_frames_are_refused(self, frames, tmp_path):
        with pytest.raises(InputError, match=f"{frames} frames.*at least 9.*frames"):
            I3D(_save(tmp_path / "model")).check((frames, 64, 64, 3))

    def test_9_frames_pass(self, tmp_path):
        I3D(_save(tmp_path / "model")).check((9, 64, 64, 1))

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"spec": (None, None, 112, 112, 3)}, r"takes \(None, None, 112, 112, 3\)"),
            ({"spec": (None, 64, 224, 224, 3)}, r"takes \(None, 64, 224, 224, 3\)"),
            ({"outputs": ("a", "b")}, "returns a .*, b"),
            ({"signature": "other"}, "no signature default or serving_default"),
        ],
        ids=str,
    )
    def test_other_signatures_are_refused(self, arguments, message, tmp_path):
        path = _save(tmp_path / "model", **arguments)
        with pytest.raises(InputError, match=message) as error:
            I3D(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)

    def test_directory_that_is_no_saved_model_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"saved_model\.pb"):
            I3D(tmp_path)

    def test_handle_that_cannot_be_reached_is_named_with_the_remedy(self):
        pytest.importorskip("tensorflow_hub")
        handle = "http://127.0.0.1:1/i3d/1"
        with pytest.raises(InputError, match=f"{handle}: cannot be fetched.*manually") as error:
            I3D(handle)
        assert "\n" not in str(error.value)

    def test_handle_without_tensorflow_hub_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
        with pytest.raises(InputError, match=r"pip install 'tgan_tf\[evaluation\]', or download"):
            I3D()
