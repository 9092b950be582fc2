"""Frame interpolation: more frames than a generator was trained for (the paper, applications).

The frame latents z1 of a video, [n, T, z1_dim], form a path; the image generator renders any point
of it. Between two frames the path is the straight line between their latents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def num_frames(frames: int, factor: Any) -> Any:
    """The number of frames with `factor` - 1 more between each two: (frames - 1) · factor + 1.

    Args:
        frames: frames of the video.
        factor: a number, or an array or a tensor of numbers; the result has the same type.
    """
    return (frames - 1) * factor + 1


def interpolate(frame_latents: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Adds `factor` - 1 frame latents between each two.

    Args:
        frame_latents: float32 [n, T, z1_dim].
        factor: int64 [n], one for each video, at least 1.

    Returns:
        float32 [n, L, z1_dim] with L the largest of `num_frames`. Row k of a video is its latent at
        k / factor frames; from the video's own number of frames on it is the last one.
    """
    # Not at the top: a server's client counts frames too and may not have TensorFlow.
    import tensorflow as tf

    frames = frame_latents.shape[1]
    counts = num_frames(frames, factor)[:, tf.newaxis]
    # An empty batch has no largest factor.
    length = tf.maximum(tf.reduce_max(counts), frames)
    steps = tf.minimum(tf.range(length, dtype=factor.dtype), counts - 1)
    before = steps // factor[:, tf.newaxis]
    weight = tf.cast(steps - before * factor[:, tf.newaxis], tf.float32)
    weight = (weight / tf.cast(factor, tf.float32)[:, tf.newaxis])[:, :, tf.newaxis]
    after = tf.minimum(before + 1, frames - 1)
    first = tf.gather(frame_latents, before, batch_dims=1)
    return first + weight * (tf.gather(frame_latents, after, batch_dims=1) - first)
