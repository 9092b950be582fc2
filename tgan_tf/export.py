"""A trained generator as a versioned SavedModel, for TensorFlow Serving.

    export_generator(generator, "saved_models/moving_mnist")  # saved_models/moving_mnist/1

The SavedModel's signature `serving_default` takes latents to clips, with the running averages of
batch normalisation and in float32 whatever the training computed in:

    z0 float32 [n, z0_dim]  →  videos         float32 [n, frames, size, size, channels] in [-1, 1]
                               frame_latents  float32 [n, frames, z1_dim] in [-1, 1]

For the paper's network: z0 [n, 100] to videos [n, 16, 64, 64, C] and frame_latents [n, 16, 100],
n from 0 on. It has nothing but TensorFlow's own operations and the generator's variables.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from tgan_tf.errors import InputError, reason
from tgan_tf.models import VideoGenerator


def export_generator(generator: VideoGenerator, export_dir: str | Path) -> Path:
    """Writes the next version of a served model, whole or not at all.

    It is written into a temporary directory beside `export_dir`, where no server looks, and then
    renamed. Several exports at once each get a version of their own.

    Args:
        generator: a trained generator, of any precision policy.
        export_dir: what TensorFlow Serving is given as the model's base path; made if missing.

    Returns:
        The version's directory, `export_dir` / N, N one above the highest that was there, or 1.

    Raises:
        InputError: `export_dir` is a file or a mount point, holds anything but versions and hidden
            files, or could not be written, as on a full disk. What was there is untouched.
    """
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
        # If it is a file, "not a directory" is clearer, which comes next.
        with contextlib.suppress(FileExistsError):
            place.parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as temporary:
            saved = Path(temporary) / "model"
            _save(_in_float32(generator), saved)
            return export_dir / _publish(saved, place).name
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{export_dir}: the model could not be written ({reason(error)}): free some disk "
            "space or give an export_dir that can be written to"
        ) from error


def _versions(export_dir: Path) -> list[int]:
    """The versions in a directory, which need not exist and may hold nothing else."""
    if not export_dir.exists():
        return []
    if not export_dir.is_dir():
        raise InputError(f"{export_dir} is no directory: give another export_dir")
    versions = []
    for path in export_dir.iterdir():
        if path.is_dir() and path.name.isascii() and path.name.isdigit():
            versions.append(int(path.name))
        elif not path.name.startswith("."):
            raise InputError(
                f"{export_dir} holds {path.name}, which is no version of a model: give an "
                f"export_dir of its own, such as {export_dir / 'NAME'}"
            )
    return versions


def _in_float32(generator: VideoGenerator) -> VideoGenerator:
    """A copy that computes in float32; a layer keeps the policy that it was made under."""
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        copy = VideoGenerator.from_config(generator.get_config())
    finally:
        keras.mixed_precision.set_global_policy(policy)
    copy.set_weights(generator.get_weights())
    return copy


def _save(generator: VideoGenerator, path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, generator.z0_dim], tf.float32, name="z0")])
    def serve(z0):
        frame_latents = generator.frame_latents(z0)
        videos = generator.render(z0, frame_latents)
        return {
            "videos": tf.ensure_shape(videos, [None, *generator.clip_shape]),
            "frame_latents": tf.ensure_shape(
                frame_latents, [None, generator.frames, generator.z1_dim]
            ),
        }

    # Saved by itself the Keras model would bring the traces of each of its layers with it.
    module = tf.Module()
    module.generator_variables = list(serve.get_concrete_function().variables)
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


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
