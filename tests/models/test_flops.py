"""The counts of operations, against those made by hand of a tiny network, layer by layer."""

from __future__ import annotations

import keras
import pytest

from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.models.flops import chain_flops, generator_flops, step_flops

# Multiplications of one clip in the forward pass: positions x kernel.
TEMPORAL = [
    1 * 1 * 100 * 8,  # 1 step, kernel 1
    1 * 4 * 8 * 4,  # 1 step to 2, kernel 4
    2 * 4 * 4 * 100,  # 2 steps to 4
]
IMAGE_ONCE = [
    100 * (4 * 4 * 8),  # z0, dense to 8 maps of 4x4
    4 * 4 * (4 * 4 * 8 * 8),  # 4x4 to 8x8, kernel 4x4, z0's half
]
IMAGE_EACH_FRAME = [
    100 * (4 * 4 * 8),  # z1, dense
    4 * 4 * (4 * 4 * 8 * 8),  # 4x4 to 8x8, z1's half
    8 * 8 * (4 * 4 * 8 * 4),  # 8x8 to 16x16
    16 * 16 * (3 * 3 * 4 * 1),  # to the frame, kernel 3x3
]
CRITIC = [
    2 * 8 * 8 * (4 * 4 * 4 * 1 * 4),  # 4x16x16x1 to 2x8x8x4
    1 * 4 * 4 * (4 * 4 * 4 * 4 * 8),  # to 1x4x4x8
    1 * 4 * 4 * 8,  # to the score
]


@pytest.fixture(scope="module")
def generator():
    return VideoGenerator(4, 16, 1, temporal_filters=8, image_filters=16)


@pytest.mark.slow
def test_a_video_has_the_operations_counted_by_hand(generator):
    multiplications = [*TEMPORAL, *IMAGE_ONCE, *4 * IMAGE_EACH_FRAME]
    assert generator_flops(generator) == [2 * count for count in multiplications]


@pytest.mark.slow
def test_a_step_has_the_operations_counted_by_hand(generator):
    forward = sum(TEMPORAL) + sum(IMAGE_ONCE) + 4 * sum(IMAGE_EACH_FRAME) + 2 * sum(CRITIC)
    by_kernels = forward
    # Nothing is to be learnt from the gradient by z0 or by a real clip.
    by_inputs = forward - TEMPORAL[0] - IMAGE_ONCE[0] - CRITIC[0]
    step = step_flops(generator, Critic(4, 16, 1, filters=4), batch_size=3)
    assert step == 3 * 2 * (forward + by_kernels + by_inputs)


def test_a_strided_convolution_counts_what_it_gives_and_its_transpose_what_it_takes():
    layers = [
        keras.layers.Conv2D(5, 4, strides=2, padding="same"),
        keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
    ]
    keras.Sequential([keras.layers.Input([8, 8, 3]), *layers])
    flops = 2 * 4 * 4 * (4 * 4 * 3 * 5)
    assert chain_flops(layers, (None, 8, 8, 3)) == [flops, flops]
