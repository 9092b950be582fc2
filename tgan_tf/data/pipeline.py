"""From a source of clips to the batches a model trains on.

A source makes clips by number. The rest is the same for all sources: the order of the numbers,
parallel reading, batches, the scale of the values, and prefetching.

    source = MovingMNIST()                        # clips uint8 [16, 64, 64, 1]
    dataset = batches(source, batch_size=32)      # float32 [32, 16, 64, 64, 1], endless
    model.fit(dataset, steps_per_epoch=1000)

The clip at a position in the stream depends only on the position and the seeds. A run that stopped
after k batches therefore resumes with `start=k * batch_size`, without a replay.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Protocol, cast

import tensorflow as tf

from tgan_tf.arguments import Integer, check
from tgan_tf.capacity import check_memory
from tgan_tf.errors import Argument, InputError


class Source(Protocol):
    """The interface that `batches` needs: a shape, a number of clips, and a clip by its number."""

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, channels)."""

    @property
    def num_clips(self) -> int | None:
        """Clips per epoch; None if every number gives a different clip."""

    def clip(self, number: tf.Tensor) -> tf.Tensor:
        """Makes a clip inside `tf.data.Dataset.map`.

        Args:
            number: int64 scalar, at least 0. A source with `num_clips` returns clip
                `number % num_clips` and may vary it with `number`, by a random window or crop.

        Returns:
            uint8 `clip_shape`.
        """


class LabelledSource(Source, Protocol):
    """A source whose clips may have classes."""

    @property
    def classes(self) -> Sequence[str] | None:
        """The names of the classes; None if there are none."""

    def label(self, number: tf.Tensor) -> tf.Tensor:
        """The class of a clip by its number, an int32 scalar; called only if there are classes."""


def batches(
    source: Source,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    deterministic: bool = True,
    labels: bool = False,
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Endless batches of a source's clips.

    An endless source is read in the order of its numbers, since its clips are random already. A
    source with `num_clips` is shuffled: each clip appears once per epoch, each epoch has a new
    order, and a batch may span two epochs.

    Under `tf.distribute` give the batch size of all replicas together; each replica takes its part
    of every batch, in order. Without an input context each worker would make whole batches; with

        strategy.distribute_datasets_from_function(
            lambda context: batches(source, batch_size, input_context=context)
        )

    each worker makes only its own part, and together they train on the same batches as one worker.

    Args:
        source: where the clips come from.
        batch_size: clips in a batch, at least 1.
        seed: seed of the shuffled order. The source's own seed determines what a clip shows.
        start: clips to skip, at least 0: those that a resumed run has already seen.
        deterministic: False lets a clip that is ready overtake one that is not. The order then
            changes from run to run, and a resumed run is no longer exact.
        labels: whether each batch is (clips, labels), for class-conditional models.
        input_context: the worker that the dataset is for; each batch is then one replica's.

    Returns:
        A dataset of float32 [batch_size, frames, height, width, channels] in [-1, 1); with
        `labels`, of pairs of that and int32 [batch_size].

    Raises:
        InputError: `batch_size` is below 1, is not a multiple of the number of replicas or exceeds
            the memory, `start` is below 0, or labels are requested and there are none.
    """
    check(Integer(1), batch_size=batch_size)
    check(Integer(0), start=start)
    # As uint8 when read, and as float32 when returned.
    check_memory(
        5 * batch_size * math.prod(source.clip_shape),
        [
            Argument("batch_size", batch_size),
            f": clips of {' x '.join(map(str, source.clip_shape))}",
        ],
        "give a smaller one",
    )
    if labels and getattr(source, "classes", None) is None:
        raise InputError(
            Argument("labels", True),
            ": the clips have no classes, which a conditional model needs: give UCF-101, or "
            "videos in one folder per class",
        )
    workers, worker, replicas = 1, 0, 1
    if input_context is not None:
        workers, worker = input_context.num_input_pipelines, input_context.input_pipeline_id
        replicas = input_context.num_replicas_in_sync
        if batch_size % replicas:
            raise InputError(
                Argument("batch_size", batch_size),
                f": must be a multiple of the {replicas} replicas",
            )
    share = batch_size // workers
    labelled = cast(LabelledSource, source)

    def example_at(index: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        # This worker's successive positions in each batch of all workers.
        place = start + index // share * batch_size + worker * share + index % share
        number = place
        if source.num_clips is not None:
            number = _shuffled(place, source.num_clips, seed)
        return (source.clip(number), labelled.label(number)) if labels else source.clip(number)

    @tf.autograph.experimental.do_not_convert  # see `tgan_tf.models.network.Network`
    def normalised(clips: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        return (normalise(clips), *rest) if rest else normalise(clips)

    options = tf.data.Options()
    options.deterministic = deterministic
    # The autotuner's thread sleeps for up to a minute, and `fit` waits for it at its end.
    options.autotune.enabled = False
    # Each worker makes the whole stream and keeps its share. OFF would give all workers the same
    # clips.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return (
        tf.data.Dataset.range(tf.int64.max)
        # No run reaches the bound, and Keras must see a stream, not an epoch of that length.
        .apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        .map(example_at, num_parallel_calls=os.cpu_count())
        .batch(batch_size // replicas, drop_remainder=True)
        .map(normalised)
        .prefetch(2)
        .with_options(options)
    )


def normalise(clips: tf.Tensor) -> tf.Tensor:
    """Scales clips for the networks: (x - 128) / 128, as in the reference.

    Args:
        clips: uint8, any shape.

    Returns:
        float32 of the same shape, from -1 to 127/128.
    """
    return (tf.cast(clips, tf.float32) - 128.0) / 128.0


@tf.autograph.experimental.do_not_convert  # see `tgan_tf.models.network.Network`
def _shuffled(place: tf.Tensor, num_clips: int, seed: int) -> tf.Tensor:
    """The number of the clip at a position in the stream, both int64 scalars.

    In epoch e the numbers are a permutation of the positions, which start at e * num_clips.
    """
    epoch = place // num_clips
    # Computes one entry of a permutation; a resumed run would have to refill a shuffle buffer.
    index = tf.random.experimental.index_shuffle(
        place % num_clips,
        seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
        max_index=tf.constant(num_clips - 1, tf.int64),
    )
    return epoch * num_clips + index
