"""From a source of clips to the batches a model trains on.

A source makes clips by number. What is left, and the same for all of them: the order of the
numbers, several clips at a time, batches, the scale of the values, and reading ahead.

    source = MovingMNIST()                        # clips uint8 [16, 64, 64, 1]
    dataset = batches(source, batch_size=32)      # float32 [32, 16, 64, 64, 1] without end
    model.fit(dataset, steps_per_epoch=1000)

The clip at a place in the stream follows from that place and the seeds alone, with nothing to
replay, so that a run which stopped after k batches goes on with `start=k * batch_size`.
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
    """What `batches` asks of a source: a shape, a number of clips, and a clip by its number."""

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, channels)."""

    @property
    def num_clips(self) -> int | None:
        """Clips of an epoch; None if every number gives a clip of its own."""

    def clip(self, number: tf.Tensor) -> tf.Tensor:
        """Makes a clip inside `tf.data.Dataset.map`.

        Args:
            number: int64 scalar, at least 0. A source that has a number of clips shows clip
                `number % num_clips` and may vary it, by a random window or crop, with `number`.

        Returns:
            uint8 `clip_shape`.
        """


class LabelledSource(Source, Protocol):
    """A source whose clips may have classes."""

    @property
    def classes(self) -> Sequence[str] | None:
        """The names of the classes; None if there are none."""

    def label(self, number: tf.Tensor) -> tf.Tensor:
        """The class of the clip of a number, an int32 scalar; asked for where there are classes."""


def batches(
    source: Source,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    deterministic: bool = True,
    labels: bool = False,
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Batches of a source's clips, without end.

    A source without end is read in the order of its numbers, which are random already. A source
    that has a number of clips is shuffled: each clip once an epoch, each epoch in an order of its
    own, an epoch following the other without a gap inside a batch if need be.

    Under `tf.distribute` give the batch size of all replicas together: each replica takes its
    part of every batch, in order. Several workers would each make all of it; with

        strategy.distribute_datasets_from_function(
            lambda context: batches(source, batch_size, input_context=context)
        )

    each makes only its own part, and together they train on the same batches as one worker.

    Args:
        source: where the clips come from.
        batch_size: clips in a batch, at least 1.
        seed: of the shuffled order. What a clip shows is the business of the source's own seed.
        start: clips to pass over, at least 0: those that a run has seen before it goes on.
        deterministic: False lets a clip that is ready overtake one that is not. The order then
            changes from run to run, and a run that goes on is no longer exact.
        labels: each batch is (clips, labels), for models conditioned on the class.
        input_context: the worker this is for; a batch is then that of one replica.

    Returns:
        A dataset of float32 [batch_size, frames, height, width, channels], in [-1, 1), with
        `labels` of pairs of that and int32 [batch_size].

    Raises:
        InputError: `batch_size` is below 1, does not divide by the replicas or is more than the
            memory holds, `start` is below 0, or there are no labels.
    """
    check(Integer(1), batch_size=batch_size)
    check(Integer(0), start=start)
    # As they are read, and as they are given.
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
            ": the clips have no classes, which a conditional model needs: give UCF-101 or videos "
            "in one folder a class",
        )
    workers, worker, replicas = 1, 0, 1
    if input_context is not None:
        workers, worker = input_context.num_input_pipelines, input_context.input_pipeline_id
        replicas = input_context.num_replicas_in_sync
        if batch_size % replicas:
            raise InputError(
                Argument("batch_size", batch_size),
                f" does not divide by the {replicas} replicas: give a multiple of them",
            )
    share = batch_size // workers
    labelled = cast(LabelledSource, source)

    def example_at(index: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        # Of each batch of all workers, this one's successive places.
        place = start + index // share * batch_size + worker * share + index % share
        number = place
        if source.num_clips is not None:
            number = _shuffled(place, source.num_clips, seed)
        return (source.clip(number), labelled.label(number)) if labels else source.clip(number)

    @tf.autograph.experimental.do_not_convert  # as of `tgan_tf.models.network.Network`
    def normalised(clips: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        return (normalise(clips), *rest) if rest else normalise(clips)

    options = tf.data.Options()
    options.deterministic = deterministic
    # The tuner's thread sleeps up to a minute at a time, and the end of `fit` waits for it.
    options.autotune.enabled = False
    # Every worker makes the whole stream and keeps its share. OFF would give all the same clips.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return (
        tf.data.Dataset.range(tf.int64.max)
        # A bound that no run reaches: Keras is to see a stream, not an epoch of that length.
        .apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        .map(example_at, num_parallel_calls=os.cpu_count())
        .batch(batch_size // replicas, drop_remainder=True)
        .map(normalised)
        .prefetch(2)
        .with_options(options)
    )


def normalise(clips: tf.Tensor) -> tf.Tensor:
    """Clips as the networks see them: (x - 128) / 128, the scale of the reference.

    Args:
        clips: uint8, any shape.

    Returns:
        float32 of the same shape, from -1 to 127/128.
    """
    return (tf.cast(clips, tf.float32) - 128.0) / 128.0


def _shuffled(place: tf.Tensor, num_clips: int, seed: int) -> tf.Tensor:
    """The number of the clip at a place in the stream, int64 scalars both.

    Places and numbers of an epoch e are those from e * num_clips on, in another order.
    """
    epoch = place // num_clips
    # Computes one place of a permutation: a shuffle buffer would have to be filled again.
    index = tf.random.experimental.index_shuffle(
        place % num_clips,
        seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
        max_index=tf.constant(num_clips - 1, tf.int64),
    )
    return epoch * num_clips + index
