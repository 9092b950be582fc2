"""What a served generator can be asked for: the signatures of the exported SavedModel.

For n requests of a generator of T frames, H = W pixels and C channels:

    serving_default    z0 float32 [n, z0_dim]
                       → videos float32 [n, T, H, W, C] in [-1, 1],
                         frame_latents float32 [n, T, z1_dim] in [-1, 1]
    generate           seed int64 [n] → videos uint8 [n, T, H, W, C]
    generate_encoded   seed int64 [n] → frames_bytes string [n, T], a PNG each
    interpolate        z0 float32 [n, z0_dim], factor int64 [n] of 1 to 16
                       → videos float32 [n, L, H, W, C], L the largest of
                         num_frames int64 [n] = (T - 1) · factor + 1
    latent_walk        start_seed int64 [n], end_seed int64 [n]
                       → videos uint8 [n, 8, T, H, W, C]

Each row is a request of its own, whatever else is in the batch, so that a server may join the
requests of its clients; n may be 0. A seed's video is that of `generate.py --seed`'s first clip:
where a value lies within the rounding of its sums of a half, a pixel may be one level off.
A video of `interpolate` that is shorter than L goes on with its last frame. `latent_walk` goes
straight from the latent of one seed to that of the other, in 8 videos.

An input that is not so is an error that names it: another shape, a NaN or an infinity, a factor
outside 1 to 16, inputs of two lengths, over `MAX_FRAMES` frames at once. An error fails all
requests that the server has joined. (Another dtype the session refuses, without a name.)
"""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from tgan_tf import interpolation, philox
from tgan_tf.models import VideoGenerator

MAX_FACTOR = 16
WALK_VIDEOS = 8
MAX_FRAMES = 16384
"""Frames of a request: more would take more memory than a server may have."""
_FRAMES_AT_ONCE = 128


def signatures(generator: VideoGenerator) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures of a generator by name, functions of named tensors to a dict of tensors.

    They are traced once and share their parts, which keeps the graph small.

    Args:
        generator: computes as its layers' policies say; its outputs are float32.
    """
    frames, size, _, channels = generator.clip_shape
    z0_dim, z1_dim = generator.z0_dim, generator.z1_dim
    frame_shape = [size, size, channels]
    z0_spec = tf.TensorSpec([None, z0_dim], tf.float32)
    z1_spec = tf.TensorSpec([None, None, z1_dim], tf.float32)
    seed_spec = tf.TensorSpec([None], tf.int64)

    @tf.function(input_signature=[z0_spec], autograph=False)
    def frame_latents_of(z0):
        return tf.ensure_shape(generator.frame_latents(z0), [None, frames, z1_dim])

    @tf.function(input_signature=[z0_spec, z1_spec], autograph=False)
    def render(z0, z1):
        return generator.render(z0, z1)

    @tf.function(input_signature=[z0_spec, z1_spec], autograph=False)
    def videos_of(z0, z1):
        return _in_parts(render, z0, z1, tf.TensorSpec(frame_shape, tf.float32))

    def checked_z0(z0):
        z0 = tf.ensure_shape(z0, [None, z0_dim])
        return tf.debugging.assert_all_finite(z0, "z0 holds a NaN or an infinity")

    @tf.function(input_signature=[seed_spec], autograph=False)
    def latents_of(seed):
        return philox.latents(seed, z0_dim)

    @tf.function(input_signature=[z0_spec], autograph=False)
    def clips_of(z0):
        pixels = _in_parts(
            lambda *part: _to_uint8(render(*part)),
            z0,
            frame_latents_of(z0),
            tf.TensorSpec(frame_shape, tf.uint8),
        )
        return tf.ensure_shape(pixels, [None, *generator.clip_shape])

    def serving_default(z0):
        z0 = checked_z0(z0)
        frame_latents = frame_latents_of(z0)
        videos = videos_of(z0, frame_latents)
        return {
            "videos": tf.ensure_shape(videos, [None, *generator.clip_shape]),
            "frame_latents": frame_latents,
        }

    def generate(seed):
        return {"videos": clips_of(latents_of(tf.ensure_shape(seed, [None])))}

    def generate_encoded(seed):
        return {"frames_bytes": tf.io.encode_png(generate(seed)["videos"])}

    def interpolate(z0, factor):
        z0, factor = checked_z0(z0), tf.ensure_shape(factor, [None])
        in_range = tf.reduce_all((factor >= 1) & (factor <= MAX_FACTOR))
        message = f"factor must be from 1 to {MAX_FACTOR}, but is"
        checks = [
            tf.debugging.Assert(in_range, [message, factor]),
            _assert_as_many(z0=z0, factor=factor),
        ]
        with tf.control_dependencies(checks):
            factor = tf.identity(factor)
        frame_latents = frame_latents_of(z0)
        videos = videos_of(z0, interpolation.interpolate(frame_latents, factor))
        return {"videos": videos, "num_frames": interpolation.num_frames(frames, factor)}

    def latent_walk(start_seed, end_seed):
        start, end = (
            latents_of(tf.ensure_shape(seed, [None]))[:, tf.newaxis]
            for seed in (start_seed, end_seed)
        )
        with tf.control_dependencies([_assert_as_many(start_seed=start, end_seed=end)]):
            position = tf.linspace(0.0, 1.0, WALK_VIDEOS)[:, tf.newaxis]
        z0 = tf.reshape((1.0 - position) * start + position * end, [-1, z0_dim])
        return {"videos": tf.reshape(clips_of(z0), [-1, WALK_VIDEOS, *generator.clip_shape])}

    specs = {
        serving_default: [z0_spec],
        generate: [seed_spec],
        generate_encoded: [seed_spec],
        interpolate: [z0_spec, seed_spec],
        latent_walk: [seed_spec, seed_spec],
    }
    return {
        function.__name__: tf.function(function, input_signature=inputs, autograph=False)
        for function, inputs in specs.items()
    }


def _in_parts(render: Callable, z0: tf.Tensor, z1: tf.Tensor, frame: tf.TensorSpec) -> tf.Tensor:
    """What `render` makes of a batch, some videos at a time: its activations never fill the memory.

    Args:
        render: z0 and z1 of some videos to their clips.
        z0: float32 [n, z0_dim].
        z1: float32 [n, frames, z1_dim].
        frame: shape and dtype of a frame.
    """
    count, frames = tf.shape(z0)[0], tf.shape(z1)[1]
    message = f"a request may have {MAX_FRAMES} frames, but has videos times frames"
    fits = tf.debugging.Assert(count <= MAX_FRAMES // frames, [message, count, frames])
    with tf.control_dependencies([fits]):
        size = tf.maximum(_FRAMES_AT_ONCE // frames, 1)
    # An empty batch is a part too, which gives it its shape.
    parts = tf.maximum((count + size - 1) // size, 1)
    clips = tf.TensorArray(
        frame.dtype, parts, infer_shape=False, element_shape=[None, None, *frame.shape]
    )

    def render_part(i, clips):
        part = slice(i * size, (i + 1) * size)
        return i + 1, clips.write(i, render(z0[part], z1[part]))

    # One after the other: each takes all cores, and all at once would take all memory.
    _, clips = tf.while_loop(lambda i, _: i < parts, render_part, (0, clips), parallel_iterations=1)
    return clips.concat()


def _assert_as_many(**inputs: tf.Tensor) -> tf.Operation:
    """That two inputs are of as many requests: one of 1 would be taken for all."""
    first, second = (tf.shape(value)[0] for value in inputs.values())
    message = f"{' and '.join(inputs)} must be of one length, but are of"
    return tf.debugging.Assert(tf.equal(first, second), [message, first, second])


def _to_uint8(clips: tf.Tensor) -> tf.Tensor:
    """As `rendering.to_uint8`."""
    return tf.saturate_cast(tf.round(clips * 128.0 + 128.0), tf.uint8)
