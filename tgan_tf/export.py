"""A trained generator as a versioned SavedModel, for TensorFlow Serving.

    export_generator(generator, "saved_models/moving_mnist")  # saved_models/moving_mnist/1

writes

    1/saved_model.pb, 1/variables/     the generator and its signatures, see `tgan_tf.signatures`
    1/assets.extra/tf_serving_warmup_requests
                                       what the server runs before the first request, so that this
                                       one is as fast as any
    1/model_card.json                  what it is and where it comes from

The model runs with the running averages of batch normalisation. It has nothing but TensorFlow's own
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
from tgan_tf.errors import InputError, reason, remedy
from tgan_tf.evaluation import records
from tgan_tf.models.network import LATENT_DISTRIBUTIONS, GeneratorNetwork
from tgan_tf.serving.messages import PredictionLog, tensor_proto
from tgan_tf.signatures import signatures

COMPUTE_DTYPES = ("float32", "float16", "bfloat16")
MODEL_CARD = "model_card.json"
WARM_UP_BATCHES = {"serving_default": (1, 2, 4, 8), "generate": (1, 2, 4, 8)}
"""Batches of the warm-up requests of a signature, one of 1 where not given. A shape's first run is
slower; batches over 8 are run in parts of 8, of a generator of 16 frames."""


def export_generator(
    generator: GeneratorNetwork,
    export_dir: str | Path,
    compute_dtype: str = "float32",
    training: dict[str, Any] | None = None,
) -> Path:
    """Writes the next version of a served model, whole or not at all.

    It is written into a temporary directory beside `export_dir`, where no server looks, and then
    renamed. Several exports at once each get a version of their own.

    Args:
        generator: a trained generator, of any precision policy.
        export_dir: what TensorFlow Serving is given as the model's base path; made if missing.
        compute_dtype: of `COMPUTE_DTYPES`, what the layers compute in. Variables, batch
            normalisation and outputs are float32.
        training: where the weights come from, as of `describe_run`, for the model card.

    Returns:
        The version's directory, `export_dir` / N, N one above the highest that was there, or 1.

    Raises:
        InputError: `compute_dtype` is unknown; `export_dir` is a file or a mount point, holds
            anything but versions and hidden files, or could not be written, as on a full disk. What
            was there is untouched.
    """
    check(OneOf(COMPUTE_DTYPES), compute_dtype=compute_dtype)
    export_dir = Path(export_dir)
    _versions(export_dir)
    # A symbolic link may lead to another file system, where nothing can be renamed to.
    place = export_dir.resolve()
    if place.is_mount():
        raise InputError(
            f"{export_dir} is a mount point, which nothing beside it can be renamed into: give a "
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
    """Writes a generator as a `.keras` file, for `keras.models.load_model` after `import tgan_tf`.

    Args:
        generator: a trained generator.
        path: a name that ends in `.keras`.

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
    """What a model card says about the training.

    Args:
        run_dir: as of train.py.
        step: of the checkpoint.

    Returns:
        `run`, its directory's name; `step`; `data`, what evaluate.py has found it to be, or its
        path, None of a run of version 1; `flags`, the flagfile that makes the run again;
        `metrics`, what evaluate.py has found of that checkpoint, the newest of each metric.

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

    A SavedModel is a program, which runs when it is called: only of a source you trust.

    Args:
        path: a version's directory, or an export_dir, of which the highest version is taken.

    Returns:
        The signature `serving_default`, a concrete function of `z0`, and the version's directory.

    Raises:
        InputError: there is no SavedModel, it cannot be loaded, or it makes no videos of latents.
    """
    path = Path(path)
    version = path
    if not (path / "saved_model.pb").exists():
        numbers = [int(child.name) for child in path.glob("*") if _is_version(child)]
        if not numbers:
            raise InputError(
                f"{path}: no SavedModel and no version of one: give what export.py has written"
            )
        version = path / str(max(numbers))
    try:
        with storage.literal(version) as literal:
            serve = tf.saved_model.load(literal).signatures["serving_default"]
        serve.structured_input_signature[1]["z0"], serve.structured_outputs["videos"]
    except KeyError as error:
        raise InputError(
            f"{version}: it has no {error}, so it is no exported generator: give what export.py "
            "has written"
        ) from error
    except Exception as error:  # Whatever TensorFlow raises for files that make no sense.
        made_by = _tensorflow_of(version)
        by_another = (
            ""
            if made_by in (None, tf.__version__)
            else f"; it is of TensorFlow {made_by}, this one is {tf.__version__}"
        )
        raise InputError(
            f"{version}: cannot be loaded ({reason(error)}{by_another}): restore it from a copy, "
            "or export the run again"
        ) from error
    return serve, version


def _tensorflow_of(version: Path) -> object:
    """The version of TensorFlow that an exported generator was made by; None if none is told."""
    try:
        return json.loads((version / MODEL_CARD).read_text())["versions"]["tensorflow"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_latents(version: Path) -> tuple[int, str]:
    """What latents an exported generator takes, by its model card.

    Args:
        version: of `load_exported`.

    Returns:
        Its number of classes, 0 if it is not conditional or, as cards of before there were classes,
        does not tell; and the distribution of z0.

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
            f"{path}: damaged ({reason(error)}): restore it from a copy, or export the run again"
        ) from error
    return found


def _is_version(path: Path) -> bool:
    return path.is_dir() and path.name.isascii() and path.name.isdigit()


def _versions(export_dir: Path) -> list[int]:
    """The versions in a directory, which need not exist and may hold nothing else."""
    if not export_dir.exists():
        return []
    if not export_dir.is_dir():
        raise InputError(f"{export_dir} is no directory: give another export_dir")
    versions = []
    for path in export_dir.iterdir():
        if _is_version(path):
            versions.append(int(path.name))
        elif not path.name.startswith("."):
            raise InputError(
                f"{export_dir} holds {path.name}, which is no version of a model: give an "
                f"export_dir of its own, such as {export_dir / 'NAME'}"
            )
    return versions


def _computing_in(dtype: str, generator: GeneratorNetwork) -> GeneratorNetwork:
    """A copy that computes in a dtype; a layer keeps the policy that it was made under."""
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
    """Writes everything of a version into a directory that is not there yet."""
    # Saved by itself the Keras model would bring the traces of each of its layers with it.
    module = tf.Module()
    module.weights = [stack.tensorflow_variable(weight) for weight in generator.weights]
    served = signatures(generator)
    tf.saved_model.save(module, str(path), signatures=served)
    specs = {}
    for signature, function in served.items():
        traced = function.get_concrete_function()
        # None stands for the label of a generator that is not conditional.
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
    """SHA-256 of weights, each as little-endian float32 in C order, one after the other.

    Their order is that of the generator's `weights`, which the SavedModel's variables are numbered
    by: weights/0, weights/1, …
    """
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def _write_warm_up(path: Path, model: str, specs: dict[str, Any]) -> None:
    """Requests for each signature, as the server's warm-up reads them."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, kinds in specs.items():
            for batch in WARM_UP_BATCHES.get(signature, (1,)):
                log = PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = model
                request.model_spec.signature_name = signature
                for name, spec in kinds["inputs"].items():
                    # A factor may not be 0, a label be nothing else if there is one class.
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
            # Else another export has taken the number in the meantime.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
