"""The user's own feature extractor: a Keras file or a SavedModel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from tgan_tf import keras_config
from tgan_tf.errors import Argument, InputError, reason
from tgan_tf.evaluation.extractors.extractor import Extracted

PROBE_SHAPE = (16, 64, 64, 3)
"""A model is tested with a clip of this shape in the dimensions that it leaves free."""

LARGEST_CONFIG = 2**26
"""Bytes allowed for a .keras file's config.json; networks of a thousand layers have a hundredth."""


class ModelFile:
    """A trained model as an extractor.

    It maps clips, float32 [batch, frames, rows, columns, channels] in [-1, 1], to a dict with
    "features" and/or "probabilities", each [batch, d]. Without "features" the probabilities are
    also the features. A single output with another name, or none, is the features; it is also the
    probabilities if its rows for two random clips are nonnegative and sum to 1 within 1e-3. Clips
    are not resized.

    Args:
        path: a .keras or .h5 file of Keras's own layers, or the directory of a SavedModel. A
            SavedModel's signature "serving_default" is called or, without one, the object itself. A
            Keras file may come from anyone: it is refused if it holds a Lambda layer or anything
            else that could run code (see `tgan_tf.keras_config`). A SavedModel is a program that
            may read and write files: use only one that you trust.

    Raises:
        InputError: there is no such file, it cannot be loaded, or it has other inputs or outputs.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.name = str(path)
        if os.path.isdir(path):
            self._model, shape = open_saved_model(path, ["serving_default"])
        else:
            self._model, shape = _open_keras(path)
        if not shape.is_compatible_with([None] * 5) or (shape.rank and shape[0] is not None):
            raise InputError(
                f"{path}: takes {shape}: give a model that takes clips [None, frames, rows, "
                "columns, channels]"
            )
        self._clip_shape = tuple(shape[1:]) if shape.rank else (None,) * 4

        clip_shape = [size or probe for size, probe in zip(self._clip_shape, PROBE_SHAPE)]
        clips = np.random.default_rng(0).uniform(-1, 1, [2, *clip_shape]).astype(np.float32)
        outputs = self._try(tf.constant(clips))
        if "features" in outputs or "probabilities" in outputs:
            self._features: str = "features" if "features" in outputs else "probabilities"
            self._probabilities: str | None = (
                "probabilities" if "probabilities" in outputs else None
            )
        elif len(outputs) == 1:
            (self._features,) = outputs
            self._probabilities = None
        else:
            raise InputError(
                f"{path}: returns {', '.join(sorted(outputs))}: give a model with one output, or "
                "with outputs named features and probabilities"
            )
        for output in {self._features, self._probabilities or self._features}:
            shape, dtype = outputs[output].shape, outputs[output].dtype
            if shape.rank != 2 or shape[0] != 2 or not dtype.is_floating:
                raise InputError(
                    f"{path}: its output for 2 clips is {dtype.name} {shape}: give a model that "
                    "returns one row of floats per clip, [batch, d]"
                )
        values = tf.cast(outputs[self._probabilities or self._features], tf.float32)
        if np.all(values >= 0) and np.allclose(np.sum(values, axis=1), 1, rtol=0, atol=1e-3):
            self._probabilities = self._probabilities or (
                self._features if self._features != "features" else None
            )
        elif self._probabilities:
            raise InputError(
                f"{path}: its output probabilities has rows with values below 0 or sums other than "
                "1: end it with a softmax, or name it features"
            )
        self.num_features = outputs[self._features].shape[1]
        self.num_classes = outputs[self._probabilities].shape[1] if self._probabilities else 0
        self.sha256 = sha256_of(path)

    def __reduce__(self) -> tuple:
        return ModelFile, (self.name,)

    def check(self, clip_shape: tuple[int, int, int, int]) -> None:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        found = " x ".join(map(str, clip_shape))
        if any(size not in (None, given) for size, given in zip(self._clip_shape, clip_shape)):
            expected = " x ".join(str(size or "any") for size in self._clip_shape)
            raise InputError(
                f"clips of {found} (frames, rows, columns, channels): {self.name} takes "
                f"{expected}: change ",
                Argument("frames"),
                " and ",
                Argument("size"),
                ", or give another ",
                Argument("extractor"),
            )
        features = self._try(tf.zeros([1, *clip_shape]))[self._features]
        if features.shape[1] != self.num_features:
            raise InputError(
                f"clips of {found}: {self.name} returns {features.shape[1]} features for them but "
                f"{self.num_features} for others: save it with a fixed shape of clips"
            )

    def __call__(self, clips: tf.Tensor) -> Extracted:
        """See `tgan_tf.evaluation.extractors.extractor.Extractor`."""
        outputs = self._model(clips)
        features = tf.cast(outputs[self._features], tf.float32)
        if self._probabilities is None:
            return Extracted(features, None)
        return Extracted(features, tf.cast(outputs[self._probabilities], tf.float32))

    def _try(self, clips: tf.Tensor) -> dict[str, tf.Tensor]:
        try:
            return self._model(clips)
        except Exception as error:  # a model may raise anything
            shape = " x ".join(map(str, clips.shape[1:]))
            raise InputError(
                f"{self.name}: fails with clips of {shape} (frames, rows, columns, channels) "
                f"({reason(error)}): change ",
                Argument("frames"),
                " and ",
                Argument("size"),
                ", or give a model that declares the shape it takes",
            ) from error


def open_saved_model(
    directory: str | os.PathLike[str], signatures: list[str]
) -> tuple[Callable[[tf.Tensor], dict[str, tf.Tensor]], tf.TensorShape]:
    """Opens a function of one float32 tensor in a SavedModel of TensorFlow 2, 1 or TF1's TF-Hub.

    A SavedModel is a program: use only one that you trust.

    Args:
        directory: the directory of saved_model.pb.
        signatures: names of signatures; the first that exists is used. If none does, the object
            itself is called if it can be.

    Returns:
        The function, and the shape of its input as far as it is declared.

    Raises:
        InputError: it is not a SavedModel, cannot be loaded or has no such function.
    """
    if not os.path.isfile(os.path.join(directory, "saved_model.pb")):
        raise InputError(
            f"{directory}: is not a directory with a saved_model.pb: give the directory of a "
            "SavedModel"
        )
    # In a module of TF1's TF-Hub, which has this file, the graph without tags is for inference.
    tags: list[str] | None = (
        [] if os.path.exists(os.path.join(directory, "tfhub_module.pb")) else None
    )
    try:
        loaded = tf.saved_model.load(os.fspath(directory), tags)
    except Exception as error:  # damaged files may raise anything
        raise InputError(
            f"{directory}: the SavedModel cannot be loaded ({reason(error)}): save it again"
        ) from error
    name = next((name for name in signatures if name in loaded.signatures), None)
    if name is None:
        if callable(loaded):
            return lambda clips: _by_name(loaded(clips)), tf.TensorShape(None)
        raise InputError(
            f"{directory}: has no signature {' or '.join(signatures)} (it has "
            f"{', '.join(loaded.signatures) or 'none'}): save it with one"
        )
    inputs = loaded.signatures[name].structured_input_signature[1]
    if [spec.dtype for spec in inputs.values()] != [tf.float32]:
        found = ", ".join(f"{key} {spec.dtype.name}" for key, spec in inputs.items())
        raise InputError(
            f"{directory}: its signature {name} takes {found or 'nothing'}: give one that takes "
            "only clips, float32"
        )
    ((key, spec),) = inputs.items()
    # Called through the loaded object, which keeps its variables alive.
    return lambda clips: loaded.signatures[name](**{key: clips}), spec.shape


def sha256_of(*paths: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 digest of the bytes of files, one after another.

    For a SavedModel's directory: saved_model.pb, then the files in variables/ sorted by name.
    """
    files = []
    for path in map(Path, paths):
        in_directory = [path / "saved_model.pb", *sorted((path / "variables").glob("*"))]
        files += in_directory if path.is_dir() else [path]
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _open_keras(
    path: str | os.PathLike[str],
) -> tuple[Callable[[tf.Tensor], dict[str, tf.Tensor]], tf.TensorShape]:
    """A Keras model's inference function, and the shape of its input."""
    remedy = "give a .keras or .h5 file of a whole model, or the directory of a SavedModel"
    if not os.path.isfile(path):
        raise InputError(f"{path}: does not exist: {remedy}")
    try:
        model = _load_keras(path)
    except Exception as error:  # damaged files may raise anything
        raise InputError(f"{path}: cannot be loaded ({reason(error)}): {remedy}") from error
    inputs = model.inputs or []
    if len(inputs) > 1:
        raise InputError(f"{path}: takes {len(inputs)} inputs: give a model that takes only clips")
    shape = inputs[0].shape if inputs else (model.get_build_config() or {}).get("input_shape")
    return lambda clips: _by_name(model(clips, training=False)), tf.TensorShape(shape)


def _load_keras(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a Keras model from an untrusted file: nothing in it is run or imported.

    `keras.models.load_model` of the file itself would do both, and unpickle weights in .npz. Here
    the network is built from the checked configuration, and the rest is arrays in HDF5.

    Raises:
        Exception: of many classes, if the file is damaged or holds more than plain layers.
    """
    with tempfile.TemporaryDirectory() as directory:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                config = keras_config.checked(file.attrs["model_config"])
                _check_arrays(file, os.path.getsize(path))
            # The older format does not say where a class comes from.
            kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
            model = kind.from_config(config["config"])
            # Keras chooses the format by the name, and for this one reads only a whole model's
            # weights.
            link = Path(directory, "model.h5")
            link.symlink_to(Path(path).resolve())
            model.load_weights(link)
        else:
            copy = Path(directory, "model.keras")
            with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as checked:
                with archive.open("config.json") as member:
                    text = member.read(LARGEST_CONFIG + 1)
                if len(text) > LARGEST_CONFIG:
                    raise ValueError(f"its configuration has over {LARGEST_CONFIG} bytes")
                checked.writestr("config.json", json.dumps(keras_config.checked(text)))
                size = archive.getinfo("model.weights.h5").file_size
                _check_size("model.weights.h5", size, os.path.getsize(path))
                with archive.open("model.weights.h5") as member:
                    with h5py.File(member) as file:
                        _check_arrays(file, size)
                    member.seek(0)
                    with checked.open("model.weights.h5", "w", force_zip64=True) as weights:
                        shutil.copyfileobj(member, weights)
            model = keras.models.load_model(copy, compile=False)
    if not isinstance(model, keras.Model):
        raise ValueError(f"it holds a {type(model).__name__}, which is not a model")
    return model


def _check_arrays(file: h5py.File, size: int) -> None:
    """Raises a `ValueError` if arrays lie outside the file or are far larger than it."""
    total = 0

    def look(name: str, link: h5py.HardLink | h5py.SoftLink | h5py.ExternalLink) -> str | None:
        nonlocal total
        if isinstance(link, h5py.ExternalLink):
            return name
        item = file[name]
        if isinstance(item, h5py.Dataset):
            total += item.nbytes
            if item.external or item.is_virtual:
                return name
        return None

    elsewhere = file.visititems_links(look)
    if elsewhere is not None:
        raise ValueError(f"its {elsewhere} lies in another file")
    _check_size("its arrays", total, size)


def _check_size(what: str, declared: int, size: int) -> None:
    # Keras does not compress; others may, but trained weights shrink little.
    if declared > 16 * size:
        raise ValueError(f"{what} would take {declared:,} bytes, but the file has {size:,}")


def _by_name(outputs: Any) -> dict[str, tf.Tensor]:
    if isinstance(outputs, dict):
        return outputs
    return {f"output {i}": output for i, output in enumerate(tf.nest.flatten(outputs))}
