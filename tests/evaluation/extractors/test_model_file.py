"""Own models as extractors: Keras files and SavedModels."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors.model_file import ModelFile, sha256_of

SHAPE = (4, 8, 8, 1)
D = 5


def _clips(batch=3, shape=SHAPE):
    return np.random.default_rng(4).uniform(-1, 1, (batch, *shape)).astype(np.float32)


def _kernel():
    return np.random.default_rng(5).normal(size=(1, D)).astype(np.float32)


def _logits(clips):
    """What every model here computes: the clip's mean, times a row of numbers."""
    return clips.mean(axis=(1, 2, 3, 4), dtype=np.float64)[:, np.newaxis] * _kernel()


def _softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _keras(activation=None, shape=SHAPE, names=None):
    inputs = keras.Input(shape)
    h = keras.layers.GlobalAveragePooling3D()(inputs)
    dense = keras.layers.Dense(D, activation, use_bias=False)
    outputs = dense(h)
    dense.set_weights([_kernel()])
    if names:
        outputs = {
            "features": outputs,
            "probabilities": keras.layers.Softmax()(outputs),
            "noise": h,
        }
        outputs = {name: outputs[name] for name in names}
    return keras.Model(inputs, outputs)


class _Module(tf.Module):
    """The same as a plain module, with outputs as `make` has them."""

    def __init__(self, make, spec=(None, *SHAPE), dtype=tf.float32):
        super().__init__()
        self.kernel = tf.Variable(_kernel())
        self.serve = tf.function(
            lambda clips: make(
                tf.reduce_mean(tf.cast(clips, tf.float32), [1, 2, 3, 4])[:, None] @ self.kernel
            ),
            [tf.TensorSpec(spec, dtype, "clips")],
        )


class _Callable(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(_kernel())

    @tf.function(input_signature=[tf.TensorSpec([None] * 5, tf.float32)])
    def __call__(self, clips):
        return tf.reduce_mean(clips, [1, 2, 3, 4])[:, None] @ self.kernel


def _save(path, make=lambda logits: {"y": logits}, **arguments):
    module = _Module(make, **arguments)
    tf.saved_model.save(module, str(path), {"serving_default": module.serve})
    return path


class TestOutputs:
    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_a_softmax_is_probabilities_and_features(self, tmp_path, suffix):
        path = tmp_path / f"model{suffix}"
        _keras("softmax").save(path)
        extractor, clips = ModelFile(path), _clips()
        features, probabilities = extractor(tf.constant(clips))
        np.testing.assert_allclose(probabilities, _softmax(_logits(clips)), 1e-5)
        np.testing.assert_array_equal(features, probabilities)
        assert (extractor.num_features, extractor.num_classes) == (D, D)
        assert extractor.name == str(path)

    @pytest.mark.slow
    @pytest.mark.parametrize("saved_model", [False, True])
    def test_other_numbers_are_features(self, tmp_path, saved_model):
        path = tmp_path / "model.keras"
        if saved_model:
            path = _save(tmp_path / "model")
        else:
            _keras().save(path)
        extractor, clips = ModelFile(path), _clips()
        features, probabilities = extractor(tf.constant(clips))
        assert probabilities is None and extractor.num_classes == 0
        np.testing.assert_allclose(features, _logits(clips), 1e-5, 1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize("saved_model", [False, True])
    def test_are_taken_by_their_names(self, tmp_path, saved_model):
        path = tmp_path / "model.keras"
        if saved_model:
            path = _save(
                tmp_path / "model",
                lambda logits: {
                    "probabilities": tf.nn.softmax(logits)[:, :],
                    "features": tf.concat([logits, logits], axis=1),
                    "other": logits,
                },
            )
        else:
            _keras(names=("noise", "probabilities", "features")).save(path)
        extractor, clips = ModelFile(path), _clips()
        features, probabilities = extractor(tf.constant(clips))
        logits = _logits(clips)
        assert extractor.num_features == (2 * D if saved_model else D)
        expected = np.tile(logits, (1, 2)) if saved_model else logits
        np.testing.assert_allclose(features, expected, 1e-5, 1e-6)
        np.testing.assert_allclose(probabilities, _softmax(logits), 1e-5)

    @pytest.mark.slow
    def test_named_features_are_no_probabilities_even_of_sum_1(self, tmp_path):
        path = _save(tmp_path / "model", lambda logits: {"features": tf.nn.softmax(logits)})
        assert ModelFile(path).num_classes == 0

    def test_probabilities_alone_are_the_features_too(self, tmp_path):
        path = _save(tmp_path / "model", lambda logits: {"probabilities": tf.nn.softmax(logits)})
        extracted = ModelFile(path)(tf.constant(_clips()))
        np.testing.assert_array_equal(extracted.features, extracted.probabilities)

    @pytest.mark.slow
    def test_are_the_same_within_a_function(self, tmp_path):
        extractor, clips = ModelFile(_save(tmp_path / "model")), tf.constant(_clips())
        traced = tf.function(lambda clips: extractor(clips).features)(clips)
        np.testing.assert_allclose(traced, extractor(clips).features, 1e-6)

    def test_of_a_callable_object_without_signatures(self, tmp_path):
        module = _Callable()
        tf.saved_model.save(module, str(tmp_path / "model"), signatures={})
        features, probabilities = ModelFile(tmp_path / "model")(tf.constant(_clips()))
        assert probabilities is None
        np.testing.assert_allclose(features, _logits(_clips()), 1e-5, 1e-6)


class TestCheck:
    def test_clips_of_the_declared_shape_pass(self, tmp_path):
        ModelFile(_save(tmp_path / "model")).check(SHAPE)

    @pytest.mark.parametrize(
        "shape", [(5, 8, 8, 1), (4, 9, 8, 1), (4, 8, 9, 1), (4, 8, 8, 3)], ids=str
    )
    def test_of_another_shape_are_told_what_is_expected(self, tmp_path, shape):
        extractor = ModelFile(_save(tmp_path / "model"))
        with pytest.raises(InputError) as error:
            extractor.check(shape)
        message = str(error.value)
        assert "takes 4 x 8 x 8 x 1" in message and " x ".join(map(str, shape)) in message
        assert "change frames and size" in message

    def test_free_dimensions_take_any(self, tmp_path):
        path = tmp_path / "model.keras"
        _keras(shape=(None, None, None, 1)).save(path)
        extractor = ModelFile(path)
        extractor.check((7, 9, 11, 1))
        with pytest.raises(InputError, match="takes any x any x any x 1"):
            extractor.check((7, 9, 11, 3))

    def test_clips_that_a_free_model_fails_with_are_refused(self, tmp_path):
        inputs = keras.Input((None, None, None, 1))
        h = keras.layers.Conv3D(2, 5)(inputs)
        keras.Model(inputs, keras.layers.GlobalMaxPooling3D()(h)).save(tmp_path / "model.keras")
        extractor = ModelFile(tmp_path / "model.keras")
        extractor.check((5, 5, 5, 1))
        with pytest.raises(InputError, match="fails with clips of 3 x 5 x 5 x 1") as error:
            extractor.check((3, 5, 5, 1))
        assert "\n" not in str(error.value)

    @pytest.mark.slow
    def test_of_which_it_makes_other_features_are_refused(self, tmp_path):
        module = tf.Module()
        module.serve = tf.function(
            lambda clips: {"y": tf.reshape(clips, [tf.shape(clips)[0], -1])},
            [tf.TensorSpec([None] * 5, tf.float32)],
        )
        tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.serve})
        with pytest.raises(InputError, match="gives 256 features"):
            ModelFile(tmp_path / "m").check(SHAPE)


class TestSha256:
    def test_is_of_the_bytes_of_the_file(self, tmp_path):
        _keras().save(tmp_path / "model.keras")
        expected = hashlib.sha256((tmp_path / "model.keras").read_bytes()).hexdigest()
        assert ModelFile(tmp_path / "model.keras").sha256 == expected

    def test_of_a_saved_model_is_of_its_graph_and_variables(self, tmp_path):
        path = _save(tmp_path / "model")
        names = ["saved_model.pb", "variables/variables.data-00000-of-00001"]
        names += ["variables/variables.index"]
        content = b"".join((path / name).read_bytes() for name in names)
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()

    def test_of_two_files_is_of_one_after_the_other(self, tmp_path):
        (tmp_path / "b").write_bytes(b"first")
        (tmp_path / "a").write_bytes(b"second")
        expected = hashlib.sha256(b"firstsecond").hexdigest()
        assert sha256_of(tmp_path / "b", tmp_path / "a") == expected


def _lambda(path):
    inputs = keras.Input(SHAPE)
    h = keras.layers.Flatten()(inputs)
    # A Python lambda is saved as code.
    keras.Model(inputs, keras.layers.Lambda(lambda h: h[:, :3])(h)).save(path)


def _two_inputs(path):
    inputs = [keras.Input(SHAPE), keras.Input(SHAPE)]
    h = keras.layers.Flatten()(keras.layers.Add()(inputs))
    keras.Model(inputs, h).save(path)


def _rank_2(path):
    inputs = keras.Input((8,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)


def _bad_output(path):
    inputs = keras.Input(SHAPE)
    keras.Model(inputs, keras.layers.ReLU()(inputs)).save(path)


BAD_MODELS = {
    "missing.keras": (lambda path: None, "no such file: give a .keras or .h5 file"),
    "text.keras": (lambda path: path.write_text("text"), "cannot be loaded"),
    "text.h5": (lambda path: path.write_text("text"), "cannot be loaded"),
    "lambda.keras": (_lambda, "'Lambda' of the module 'keras.layers', which may be code"),
    "lambda.h5": (_lambda, "it holds 'Lambda', which may be code"),
    "only.weights.h5": (
        lambda path: _keras().save_weights(path),
        "cannot be loaded.*model_config",
    ),
    "two.keras": (_two_inputs, "2 inputs"),
    "rank2.keras": (_rank_2, r"takes \(None, 8\)"),
    "rank5.keras": (_bad_output, r"output for 2 clips is float32 \(2, 4, 8, 8, 1\)"),
    "empty": (lambda path: path.mkdir(), r"saved_model\.pb"),
    "damaged": (
        lambda path: (path.mkdir(), (path / "saved_model.pb").write_bytes(b"\xff" * 99)),
        "cannot be loaded",
    ),
    "two outputs": (
        lambda path: _save(path, lambda logits: {"a": logits, "b": logits}),
        "gives a, b",
    ),
    "of integers": (lambda path: _save(path, dtype=tf.uint8), "takes clips uint8"),
    "fixed batch": (lambda path: _save(path, spec=(2, *SHAPE)), r"takes \(2, 4, 8, 8, 1\)"),
    "logits": (
        lambda path: _save(path, lambda logits: {"probabilities": logits}),
        "sums other than 1.*softmax",
    ),
    "no signature": (lambda path: tf.saved_model.save(tf.Module(), str(path)), "no signature"),
}


def _edited(path, edit):
    """Changes the configuration of a saved model, as text."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = edit(file.attrs["model_config"])
    else:
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        content["config.json"] = edit(content["config.json"].decode()).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)


def _with_trap(path, marker):
    """A Lambda layer in a wrapper in a model in a model, which writes a file."""
    trap = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    layer = keras.layers.TimeDistributed(
        keras.layers.Lambda(eval(f"lambda h: ({trap}, h)[1]", {}), output_shape=(4,))
    )
    inner = keras.Sequential([keras.layers.Reshape((2, 2, 2, 4)), layer])
    inputs = keras.Input((4, 8, 1, 1))
    outer = keras.Sequential([keras.layers.Reshape((32,)), inner, keras.layers.Flatten()])
    keras.Model(inputs, outer(inputs)).save(path)
    marker.unlink(missing_ok=True)  # Keras 2 calls it to find its shape.
    _edited(path, lambda text: text.replace("Lambda", "\\u004cambda"))


def _of_module(path, marker):
    """Names a class of a module of its own, which writes a file when it is imported."""
    (path.parent / "trap.py").write_text(f"open({str(marker)!r}, 'w')")
    _keras().save(path)
    config = {"module": "trap", "class_name": "Trap", "config": {}, "registered_name": None}
    _edited(path, lambda _: json.dumps(config))


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return self.marker.touch, ()


def _with_pickle(path, marker):
    _keras().save(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO()
    np.savez(weights, __root__=np.array(_Trap(marker), object))
    del content["model.weights.h5"]
    content["model.weights.npz"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


TRAPS = {
    "a Lambda layer by its name in escapes.h5": _with_trap,
    "a class of another module.keras": _of_module,
    "pickled weights.keras": _with_pickle,
}


class TestHostileFiles:
    @pytest.mark.parametrize("name", TRAPS)
    def test_run_nothing(self, name, tmp_path, monkeypatch):
        path, marker = tmp_path / name, tmp_path / "sprung"
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "trap", raising=False)
        TRAPS[name](path, marker)
        with pytest.raises(InputError, match="cannot be loaded") as error:
            ModelFile(path)
        assert not marker.exists()
        assert "\n" not in str(error.value)

    def test_of_arrays_far_larger_than_the_file_are_refused(self, tmp_path):
        path = tmp_path / "model.h5"
        _keras().save(path)
        with h5py.File(path, "a") as file:
            names = []
            file.visit(names.append)
            name = next(name for name in names if re.search("kernel(:0)?$", name))
            del file[name]
            file.create_dataset(name, (2**40, D), np.float32, chunks=True)
        with pytest.raises(InputError, match="its arrays would take 21,990,232,555"):
            ModelFile(path)

    def test_of_arrays_in_another_file_are_refused(self, tmp_path):
        path = tmp_path / "model.h5"
        _keras().save(path)
        with h5py.File(path, "a") as file:
            file["elsewhere"] = h5py.ExternalLink("nowhere.h5", "/image")
        with pytest.raises(InputError, match="its elsewhere lies in another file"):
            ModelFile(path)


class TestBadInput:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", BAD_MODELS)
    def test_model_is_refused_in_one_line_that_names_it(self, name, tmp_path):
        write, message = BAD_MODELS[name]
        path = tmp_path / name
        write(path)
        with pytest.raises(InputError, match=message) as error:
            ModelFile(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
