"""The signatures of an exported generator's SavedModel, which a server offers.

For n requests of a generator of T frames, H = W pixels and C channels:

    serving_default    z0 float32 [n, z0_dim]
                       → videos float32 [n, T, H, W, C] in [-1, 1],
                         frame_latents float32 [n, T, z1_dim] in [-1, 1]
    generate           seed int64 [n] → videos uint8 [n, T, H, W, C]
    generate_encoded   seed int64 [n] → frames_bytes string [n, T], one PNG each
    interpolate        z0 float32 [n, z0_dim], factor int64 [n] of 1 to 16
                       → videos float32 [n, L, H, W, C], L the largest of
                         num_frames int64 [n] = (T - 1) · factor + 1
    latent_walk        start_seed int64 [n], end_seed int64 [n]
                       → videos uint8 [n, 8, T, H, W, C]

A conditional generator's signatures have one more input, label int64 [n], from 0 to the number of
classes - 1. A generator without frame latents (the 3-D ones) returns none and has no interpolate.

Rows are independent of each other, so that a server may batch its clients' requests; n may be 0. A
seed's video is the first clip of `generate.py --seed`; a pixel may differ by one level when its
value is within rounding error of a half. A video of `interpolate` that is shorter than L repeats
its last frame. `latent_walk` goes in a straight line from the latent of one seed to that of the
other, in 8 videos.

An invalid input raises an error that names it: another shape, a NaN or an infinity, a factor
outside 1 to 16, a label that is not a class, inputs of different lengths, more than `MAX_FRAMES`
frames at once. An error fails all requests of the server's batch. (The session refuses another
dtype without a name.)
"""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from tgan_tf import interpolation, philox
from tgan_tf.models.network import GeneratorNetwork
from tgan_tf.serving.limits import MAX_FACTOR, MAX_FRAMES, WALK_VIDEOS

_FRAMES_AT_ONCE = 128


def signatures(generator: GeneratorNetwork) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures of a generator by name, functions from named tensors to a dict of tensors.

    They are traced once and share their parts, which keeps the graph small.

    Args:
        generator: the generator, which computes in its layers' policies; its outputs are float32.
    """
    frames, size, _, channels = generator.clip_shape
    z0_dim, num_classes = generator.z0_dim, generator.num_classes
    has_frame_latents = generator.has_frame_latents
    frame_shape = [size, size, channels]
    z0_spec = tf.TensorSpec([None, z0_dim], tf.float32)
    int_spec = tf.TensorSpec([None], tf.int64)
    # The generator's input: z0, joined with the label if there is one.
    latents_spec = tf.TensorSpec([None, generator.latent_dim], tf.float32)
    parts_specs = [latents_spec]
    if has_frame_latents:
        parts_specs.append(tf.TensorSpec([None, None, generator.z1_dim], tf.float32))

        @tf.function(input_signature=[latents_spec], autograph=False)
        def frame_latents_of(latents: tf.Tensor) -> tf.Tensor:
            frame_latents = generator.frame_latents(latents)
            return tf.ensure_shape(frame_latents, [None, frames, generator.z1_dim])

    def parts_of(latents: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (latents, frame_latents_of(latents)) if has_frame_latents else (latents,)

    @tf.function(input_signature=parts_specs, autograph=False)
    def render(*parts: tf.Tensor) -> tf.Tensor:
        return generator.render(*parts) if has_frame_latents else generator(*parts)

    def in_parts(make: Callable[..., tf.Tensor], dtype: tf.DType, *parts: tf.Tensor) -> tf.Tensor:
        count = tf.shape(parts[1])[1] if has_frame_latents else tf.constant(frames)
        return _in_parts(make, parts, count, tf.TensorSpec(frame_shape, dtype))

    @tf.function(input_signature=parts_specs, autograph=False)
    def videos_of(*parts: tf.Tensor) -> tf.Tensor:
        return in_parts(render, tf.float32, *parts)

    @tf.function(input_signature=[latents_spec], autograph=False)
    def clips_of(latents: tf.Tensor) -> tf.Tensor:
        pixels = in_parts(lambda *part: _to_uint8(render(*part)), tf.uint8, *parts_of(latents))
        return tf.ensure_shape(pixels, [None, *generator.clip_shape])

    def checked_z0(z0: tf.Tensor) -> tf.Tensor:
        z0 = tf.ensure_shape(z0, [None, z0_dim])
        return tf.debugging.assert_all_finite(z0, "z0 holds a NaN or an infinity")

    def joined(z0: tf.Tensor, label: tf.Tensor | None, name: str) -> tf.Tensor:
        if label is None:
            return z0
        label = tf.ensure_shape(label, [None])
        in_range = tf.reduce_all((label >= 0) & (label < num_classes))
        message = f"label must be from 0 to {num_classes - 1}, but is"
        checks = [
            tf.debugging.Assert(in_range, [message, label]),
            _assert_as_many(**{name: z0, "label": label}),
        ]
        with tf.control_dependencies(checks):
            return tf.concat([z0, tf.one_hot(label, num_classes)], axis=-1)

    @tf.function(input_signature=[int_spec], autograph=False)
    def z0_of(seed: tf.Tensor) -> tf.Tensor:
        return philox.latents_of_seeds(seed, z0_dim, generator.latent_distribution)

    def serving_default(z0: tf.Tensor, label: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        parts = parts_of(joined(checked_z0(z0), label, "z0"))
        outputs = {"videos": tf.ensure_shape(videos_of(*parts), [None, *generator.clip_shape])}
        if has_frame_latents:
            outputs["frame_latents"] = parts[1]
        return outputs

    def generate(seed: tf.Tensor, label: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"videos": clips_of(joined(z0_of(tf.ensure_shape(seed, [None])), label, "seed"))}

    def generate_encoded(seed: tf.Tensor, label: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"frames_bytes": tf.io.encode_png(generate(seed, label)["videos"])}

    def interpolate(
        z0: tf.Tensor, factor: tf.Tensor, label: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        z0, factor = checked_z0(z0), tf.ensure_shape(factor, [None])
        in_range = tf.reduce_all((factor >= 1) & (factor <= MAX_FACTOR))
        message = f"factor must be from 1 to {MAX_FACTOR}, but is"
        checks = [
            tf.debugging.Assert(in_range, [message, factor]),
            _assert_as_many(z0=z0, factor=factor),
        ]
        with tf.control_dependencies(checks):
            factor = tf.identity(factor)
        latents, frame_latents = parts_of(joined(z0, label, "z0"))
        videos = videos_of(latents, interpolation.interpolate(frame_latents, factor))
        return {"videos": videos, "num_frames": interpolation.num_frames(frames, factor)}

    def latent_walk(
        start_seed: tf.Tensor, end_seed: tf.Tensor, label: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        start, end = (z0_of(tf.ensure_shape(seed, [None])) for seed in (start_seed, end_seed))
        with tf.control_dependencies([_assert_as_many(start_seed=start, end_seed=end)]):
            position = tf.linspace(0.0, 1.0, WALK_VIDEOS)[:, tf.newaxis, tf.newaxis]
        # Both ends have the label joined, and so do all points between.
        start, end = (joined(z0, label, "start_seed") for z0 in (start, end))
        latents = tf.transpose((1.0 - position) * start + position * end, [1, 0, 2])
        videos = clips_of(tf.reshape(latents, [-1, generator.latent_dim]))
        return {"videos": tf.reshape(videos, [-1, WALK_VIDEOS, *generator.clip_shape])}

    specs = {
        serving_default: [z0_spec],
        generate: [int_spec],
        generate_encoded: [int_spec],
        interpolate: [z0_spec, int_spec],
        latent_walk: [int_spec, int_spec],
    }
    if not has_frame_latents:
        del specs[interpolate]
    return {
        function.__name__: tf.function(
            function,
            input_signature=[*inputs, int_spec] if num_classes else inputs,
            autograph=False,
        )
        for function, inputs in specs.items()
    }


def _in_parts(
    render: Callable[..., tf.Tensor],
    parts: tuple[tf.Tensor, ...],
    frames: tf.Tensor,
    frame: tf.TensorSpec,
) -> tf.Tensor:
    """Renders a batch some videos at a time, so that activations do not fill the memory.

    Args:
        render: (latents and, if there are any, frame latents of some videos) → their clips.
        parts: the latents, and frame latents, of all videos, [n, ...] each.
        frames: frames of a clip.
        frame: shape and dtype of a frame.
    """
    count = tf.shape(parts[0])[0]
    message = f"a request may have {MAX_FRAMES} frames, but has videos times frames"
    fits = tf.debugging.Assert(count <= MAX_FRAMES // frames, [message, count, frames])
    with tf.control_dependencies([fits]):
        size = tf.maximum(_FRAMES_AT_ONCE // frames, 1)
    # An empty batch is one part, which gives the result its shape.
    number = tf.maximum((count + size - 1) // size, 1)
    clips = tf.TensorArray(
        frame.dtype, number, infer_shape=False, element_shape=[None, None, *frame.shape]
    )

    def render_part(i: tf.Tensor, clips: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        part = slice(i * size, (i + 1) * size)
        return i + 1, clips.write(i, render(*(values[part] for values in parts)))

    # One after another: each part uses all cores, and all at once would fill the memory.
    _, clips = tf.while_loop(
        lambda i, _: i < number, render_part, (0, clips), parallel_iterations=1
    )
    return clips.concat()


def _assert_as_many(**inputs: tf.Tensor) -> tf.Operation:
    """Asserts that two inputs have equal lengths; a length of 1 would be broadcast."""
    first, second = (tf.shape(value)[0] for value in inputs.values())
    message = f"{' and '.join(inputs)} must be of one length, but are of"
    return tf.debugging.Assert(tf.equal(first, second), [message, first, second])


def _to_uint8(clips: tf.Tensor) -> tf.Tensor:
    """See `rendering.to_uint8`."""
    return tf.saturate_cast(tf.round(clips * 128.0 + 128.0), tf.uint8)
