"""Exports a trained generator as a versioned SavedModel for TensorFlow Serving.

    export_generator(generator, "saved_models/moving_mnist")  # saved_models/moving_mnist/1

writes

    1/saved_model.pb, 1/variables/     the generator and its signatures, see `tgan_tf.signatures`
    1/assets.extra/tf_serving_warmup_requests
                                       requests that the server runs at its start, so that the first
                                       real one is as fast as any
    1/model_card.json                  a description and its origin

The model uses the running averages of batch normalisation. It contains only TensorFlow's own
operations and the generator's variables.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import __version__, file_locks, runs, stack
from tgan_tf.arguments import Integer, OneOf, check
from tgan_tf.data import storage
from tgan_tf.errors import Argument, InputError, reason, remedy
from tgan_tf.evaluation import records
from tgan_tf.models.network import LATENT_DISTRIBUTIONS, GeneratorNetwork
from tgan_tf.serving.messages import PredictionLog, tensor_proto
from tgan_tf.signatures import signatures

COMPUTE_DTYPES = ("float32", "float16", "bfloat16")
MODEL_CARD = "model_card.json"
WARM_UP_BATCHES = {"serving_default": (1, 2, 4, 8), "generate": (1, 2, 4, 8)}
"""Batch sizes of a signature's warm-up requests; by default one request of 1. The first run of a
shape is slower; larger batches run in parts of 8, for a generator of 16 frames."""


def export_generator(
    generator: GeneratorNetwork,
    export_dir: str | Path,
    compute_dtype: str = "float32",
    training: dict[str, Any] | None = None,
) -> Path:
    """Writes the next version of a served model, whole or not at all.

    It is written to a temporary directory beside `export_dir`, where no server looks, and then
    renamed. Concurrent exports get different versions.

    Args:
        generator: a trained generator with any precision policy.
        export_dir: the model's base path for TensorFlow Serving; made if missing.
        compute_dtype: one of `COMPUTE_DTYPES`, the dtype that the layers compute in. Variables,
            batch normalisation and outputs are float32.
        training: the origin of the weights, see `describe_run`, for the model card.

    Returns:
        The version's directory, `export_dir` / N, where N is one above the highest existing
        version, or 1.

    Raises:
        InputError: `compute_dtype` is unknown; `export_dir` is a file or a mount point, holds
            anything but versions and hidden files, or cannot be written, for example on a full
            disk. Existing versions are untouched.
    """
    check(OneOf(COMPUTE_DTYPES), compute_dtype=compute_dtype)
    export_dir = Path(export_dir)
    _versions(export_dir)
    # A symbolic link may lead to another file system, and renaming across file systems fails.
    place = export_dir.resolve()
    if place.is_mount():
        raise InputError(
            f"{export_dir} is a mount point, into which nothing outside can be renamed: give a "
            f"directory in it, such as {export_dir / 'NAME'}"
        )
    try:
        with file_locks.unfinished(place) as temporary:
            saved = temporary / "model"
            _save(_computing_in(compute_dtype, generator), saved, place.name, training)
            return export_dir / _publish(saved, place).name
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{export_dir}: the model could not be written ({reason(error)}): {remedy(error)}"
        ) from error


def save_keras(generator: GeneratorNetwork, path: str | Path) -> None:
    """Writes a generator to a `.keras` file, for `keras.models.load_model` after `import tgan_tf`.

    Args:
        generator: a trained generator.
        path: path of the file, ending in `.keras`.

    Raises:
        InputError: it could not be written, as on a full disk.
    """
    path = Path(path)
    try:
        with file_locks.replacing(path) as temporary:
            generator.save(temporary)
    except OSError as error:
        raise InputError(
            f"{path}: the model could not be written ({reason(error)}): {remedy(error)}"
        ) from error


def describe_run(run_dir: str | Path, step: int) -> dict[str, Any]:
    """The model card's description of the training.

    Args:
        run_dir: directory of the run.
        step: step of the checkpoint.

    Returns:
        `run`, the name of its directory; `step`; `data`, the data as evaluate.py described it, or
        its path, or None for a run of version 1; `flags`, the flagfile that makes the run again;
        `metrics`, evaluate.py's newest result of each metric for that checkpoint.

    Raises:
        InputError: the run's flags or metrics cannot be read.
    """
    run_dir = Path(run_dir)
    flags = runs.flag_lines(run_dir)
    values = runs.read(run_dir).flags
    path = run_dir / "evaluation" / records.FILE
    found = [
        record
        for record in (records.read(path) if path.exists() else [])
        if record["of"] == "checkpoint" and record.get("step") == step
    ]
    kept = ("value", "error", "error_of", "n", "n_real")
    return {
        "run": run_dir.resolve().name,
        "step": step,
        "data": (
            found[-1]["real"]
            if found
            else None
            if values is None
            else values.get("data_path", "digits of MNIST")
        ),
        "flags": flags,
        "metrics": {
            record["metric"]: {
                **{key: record.get(key) for key in kept},
                "extractor": record["extractor"]["name"],
            }
            for record in found
        },
    }


def load_exported(path: str | Path) -> tuple[tf.types.experimental.ConcreteFunction, Path]:
    """Opens an exported generator as TensorFlow Serving does, without this package's models.

    A SavedModel is a program that runs when it is called: use only one that you trust.

    Args:
        path: a version's directory, or an export_dir, whose highest version is used.

    Returns:
        The signature `serving_default`, a concrete function of `z0`, and the version's directory.

    Raises:
        InputError: there is no SavedModel, it cannot be loaded, or it does not make videos from
            latents.
    """
    path = Path(path)
    version = path
    if not (path / "saved_model.pb").exists():
        numbers = [int(child.name) for child in path.glob("*") if _is_version(child)]
        if not numbers:
            raise InputError(
                f"{path}: holds no SavedModel and no version of one: give a directory that "
                "export.py has written"
            )
        version = path / str(max(numbers))
    try:
        with storage.literal(version) as literal:
            serve = tf.saved_model.load(literal).signatures["serving_default"]
        serve.structured_input_signature[1]["z0"], serve.structured_outputs["videos"]
    except KeyError as error:
        raise InputError(
            f"{version}: has no {error}, so it is not an exported generator: give a directory that "
            "export.py has written"
        ) from error
    except Exception as error:  # damaged files may raise anything
        made_by = _tensorflow_of(version)
        by_another = (
            ""
            if made_by in (None, tf.__version__)
            else f"; it was made by TensorFlow {made_by}, this is {tf.__version__}"
        )
        raise InputError(
            f"{version}: cannot be loaded ({reason(error)}{by_another}): restore it from a copy, "
            "or export the run again"
        ) from error
    return serve, version


def _tensorflow_of(version: Path) -> object:
    """The TensorFlow version that made an exported generator; None if unknown."""
    try:
        return json.loads((version / MODEL_CARD).read_text())["versions"]["tensorflow"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_latents(version: Path) -> tuple[int, str]:
    """Reads from its model card which latents an exported generator takes.

    Args:
        version: a version's directory, see `load_exported`.

    Returns:
        The number of classes, 0 if it is unconditional or the card is older than conditional
        generators; and the distribution of z0.

    Raises:
        InputError: the card is missing or damaged.
    """
    path = version / MODEL_CARD
    try:
        trained = json.loads(path.read_text())["generator"]
        found = trained.get("num_classes", 0), trained.get("latent_distribution", "uniform")
        check(Integer(0), num_classes=found[0])
        check(OneOf(LATENT_DISTRIBUTIONS), latent_distribution=found[1])
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({reason(error)}): {remedy(error)}, or export the run again"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged ({reason(error)}): restore it from a copy, or export the run again"
        ) from error
    return found


def _is_version(path: Path) -> bool:
    return path.is_dir() and path.name.isascii() and path.name.isdigit()


def _versions(export_dir: Path) -> list[int]:
    """The versions in a directory, which need not exist but must not hold anything else."""
    if not export_dir.exists():
        return []
    if not export_dir.is_dir():
        raise InputError(f"{export_dir} is not a directory: give another ", Argument("export_dir"))
    versions = []
    for path in export_dir.iterdir():
        if _is_version(path):
            versions.append(int(path.name))
        elif not path.name.startswith("."):
            raise InputError(
                f"{export_dir} holds {path.name}, which is not a version of a model: give a "
                "separate ",
                Argument("export_dir"),
                f", such as {export_dir / 'NAME'}",
            )
    return versions


def _computing_in(dtype: str, generator: GeneratorNetwork) -> GeneratorNetwork:
    """A copy that computes in a dtype; a layer keeps the policy that was set when it was made."""
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(dtype if dtype == "float32" else f"mixed_{dtype}")
    try:
        copy = type(generator).from_config(generator.get_config())
    finally:
        keras.mixed_precision.set_global_policy(policy)
    copy.set_weights(generator.get_weights())
    return copy


def _save(
    generator: GeneratorNetwork, path: Path, name: str, training: dict[str, Any] | None
) -> None:
    """Writes a complete version to a directory that does not exist yet."""
    # A saved Keras model would include the traces of all its layers.
    module = tf.Module()
    module.weights = [stack.tensorflow_variable(weight) for weight in generator.weights]
    served = signatures(generator)
    tf.saved_model.save(module, str(path), signatures=served)
    specs = {}
    for signature, function in served.items():
        traced = function.get_concrete_function()
        # The label of an unconditional generator is None.
        inputs = {spec.name: spec for spec in traced.structured_input_signature[0] if spec}
        specs[signature] = {"inputs": inputs, "outputs": traced.structured_outputs}
    (path / "assets.extra").mkdir()
    _write_warm_up(path / "assets.extra" / "tf_serving_warmup_requests", name, specs)
    card = {
        "model": name,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "training": training,
        "generator": generator.get_config(),
        "parameters": generator.count_params(),
        "compute_dtype": generator.compute_dtype,
        "weights_sha256": weights_sha256(generator.get_weights()),
        "signatures": {
            signature: {
                kind: {
                    name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
                    for name, spec in tensors.items()
                }
                for kind, tensors in kinds.items()
            }
            for signature, kinds in specs.items()
        },
        "versions": {
            "tgan_tf": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    (path / MODEL_CARD).write_text(json.dumps(card, indent=2) + "\n")


def weights_sha256(weights: list[np.ndarray]) -> str:
    """SHA-256 of weights, each as little-endian float32 in C order, one after another.

    Their order is that of the generator's `weights`, as in the SavedModel's variables weights/0,
    weights/1, …
    """
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def _write_warm_up(path: Path, model: str, specs: dict[str, Any]) -> None:
    """Writes requests for each signature in the format of the server's warm-up."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, kinds in specs.items():
            for batch in WARM_UP_BATCHES.get(signature, (1,)):
                log = PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = model
                request.model_spec.signature_name = signature
                for name, spec in kinds["inputs"].items():
                    # A factor must not be 0; with one class a label must be 0.
                    value = 0 if name == "label" else 1
                    values = np.full([batch, *spec.shape[1:]], value, spec.dtype.as_numpy_dtype)
                    request.inputs[name].CopyFrom(tensor_proto(values))
                writer.write(log.SerializeToString())


def _publish(saved: Path, export_dir: Path) -> Path:
    """Renames a complete SavedModel to the next free version of `export_dir`."""
    export_dir.mkdir(exist_ok=True)
    while True:
        version = export_dir / str(max(_versions(export_dir), default=0) + 1)
        try:
            os.rename(saved, version)
            return version
        except OSError as error:
            # These mean that another export has taken the number.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
