"""What workers send each other in a training step, and how long it takes on paper.

Gradients are added up by a ring (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for
clusters of workstations", 2009): of B bytes each of N workers sends and receives 2 (N - 1) / N · B,
in 2 (N - 1) messages one after the other,

    seconds = 2 (N - 1) / N · B / bandwidth + 2 (N - 1) · latency

Batch normalisation adds up each channel's mean and variance, in a place for each worker, and their
gradients: few bytes, but a collective each, so that it is latency which they cost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tgan_tf import stack
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.tgan import TGAN

_FLOAT32 = 4  # bytes


class Communication(NamedTuple):
    """What is added up over the workers in a step.

    Attributes:
        gradient_bytes: of both networks.
        channels: of all batch normalisations, counted in each pass.
        moment_collectives: all-reduces of theirs, forward and backward, one after the other.
    """

    gradient_bytes: int
    channels: int
    moment_collectives: int

    def moment_bytes(self, workers: int) -> int:
        """What the batch normalisations add up."""
        # A mean and a variance: those of each worker, and one gradient of each.
        return (workers + 1) * 2 * _FLOAT32 * self.channels


def communication(tgan: TGAN) -> Communication:
    """What a step of a training with one update of the critic adds up."""
    variables = [*tgan.generator.trainable_variables, *tgan.critic.trainable_variables]
    # The critic sees the generated and the real clips in a pass each.
    passes = [(tgan.generator, 1), (tgan.critic, 2)]
    channels = [
        int(layer.gamma.shape[0])
        for network, times in passes
        for layer in stack.held_layers(network)
        if isinstance(layer, BatchNormalization)
        for _ in range(times)
    ]
    return Communication(
        _FLOAT32 * sum(math.prod(variable.shape) for variable in variables),
        sum(channels),
        2 * len(channels),
    )


def ring_seconds(size: float, workers: int, bandwidth: float, latency: float = 0.0) -> float:
    """Seconds of an all-reduce by a ring.

    Args:
        size: bytes that each worker has.
        workers: how many there are.
        bandwidth: bytes a second of a link, in one direction.
        latency: seconds of a message.
    """
    return 2 * (workers - 1) * (size / workers / bandwidth + latency)


def step_seconds(
    sent: Communication, workers: int, bandwidth: float, latency: float = 0.0
) -> float:
    """Seconds of all that a step adds up, if nothing of it overlaps with the computation."""
    moments = 2 * (workers - 1) * latency * sent.moment_collectives
    moments += ring_seconds(sent.moment_bytes(workers), workers, bandwidth)
    return ring_seconds(sent.gradient_bytes, workers, bandwidth, latency) + moments
