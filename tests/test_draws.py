"""The streams of a step's draws: apart from each other, and Philox's."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tgan_tf
from tgan_tf import draws
from tgan_tf.draws import Draw, Pass
from tgan_tf.models.network import global_normal

RUN_SEED, STEPS = 7, 400


def philox(counter, key):
    """Philox4x32-10 of the paper's section 3.3 on 4 and 2 words of 32 bits."""
    counter, key = [int(word) for word in counter], [int(word) for word in key]
    for _ in range(10):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (second >> 32) ^ counter[1] ^ key[0],
            second & 0xFFFFFFFF,
            (first >> 32) ^ counter[3] ^ key[1],
            first & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def words(number):
    return [number & 0xFFFFFFFF, number >> 32]


def first_values(seed):
    """The first 4 values of a uniform draw of [0, 1) of this seed, in NumPy and by hand."""
    # TensorFlow mixes the two numbers of a seed into a key and the counter's upper half.
    mixed = philox(words(seed[0]) + words(seed[1]), [0x3EC8F720, 0x02461E29])
    return np.array(philox([0, 0, *mixed[2:]], mixed[:2])) % 2**23 / 2**23


def test_a_draw_is_philox_s_of_its_seed_step_and_number():
    for run_seed, step, draw in ((0, 0, Draw.LATENTS), (7, 123, Draw.ORDER_OF_REAL)):
        values = tf.random.stateless_uniform(
            [4], draws.seed(run_seed, step, draw), alg=draws.ALGORITHM
        )
        np.testing.assert_array_equal(values, first_values((run_seed, step + (draw << 40))))


@pytest.mark.slow
def test_no_two_streams_of_a_step_have_to_do_with_each_other():
    @tf.function
    def first_of_each(step):
        uniform = [
            tf.random.stateless_uniform([2], draws.seed(RUN_SEED, step, draw), alg=draws.ALGORITHM)
            for draw in Draw
        ]
        noise = [
            global_normal(tf.zeros([1, 4]), [RUN_SEED, step, number_of_pass], place)[0, :2]
            for number_of_pass in Pass
            for place in range(2)
        ]
        return tf.stack(uniform + noise)

    values = np.array([first_of_each(tf.constant(step, tf.int64)) for step in range(STEPS)])
    streams = values.reshape(STEPS, -1).T
    correlations = np.corrcoef(streams)
    for one, other in itertools.combinations(range(len(streams)), 2):
        # Independent ones have 1/√n as the deviation of their correlation: five of them.
        assert abs(correlations[one, other]) < 5 / STEPS**0.5
        assert len(np.intersect1d(streams[one], streams[other])) <= 1


@pytest.mark.slow
def test_every_draw_of_the_package_names_its_algorithm():
    unnamed = [
        f"{path.name}:{call.lineno}"
        for path in sorted(Path(tgan_tf.__file__).parent.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).startswith("tf.random.stateless_")
        and "alg" not in [argument.arg for argument in call.keywords]
    ]
    assert not unnamed
