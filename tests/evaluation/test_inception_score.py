"""Inception Score: the two cases whose value is known, and the definition summed directly."""

import math

import numpy as np
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation import inception_score as module
from tgan_tf.evaluation.inception_score import inception_score

RANDOM = np.random.default_rng(0).dirichlet(np.full(5, 0.3), size=60)


def direct(p):
    """Exp of the mean KL, term by term."""
    marginal = [sum(row[c] for row in p) / len(p) for c in range(len(p[0]))]
    total = sum(q * math.log(q / m) for row in p for q, m in zip(row, marginal) if q > 0)
    return math.exp(total / len(p))


def test_clips_each_surely_of_another_class_score_the_number_of_classes():
    assert inception_score(np.eye(7).repeat(10, 0), splits=1).value == pytest.approx(7)


def test_clips_that_may_be_of_any_class_score_1():
    assert inception_score(np.full([20, 8], 1 / 8)).value == pytest.approx(1)


def test_clips_all_of_one_class_score_1():
    assert inception_score(np.eye(4)[[2] * 10]).value == pytest.approx(1)


def test_equals_the_definition():
    estimate = inception_score(RANDOM, splits=1)
    assert estimate.value == pytest.approx(direct(RANDOM), rel=1e-12)
    assert estimate.error is None


def test_splits_give_mean_and_standard_deviation():
    estimate = inception_score(RANDOM, splits=3)
    scores = [direct(RANDOM[first : first + 20]) for first in (0, 20, 40)]
    assert estimate.value == pytest.approx(np.mean(scores), rel=1e-12)
    assert estimate.error == pytest.approx(np.std(scores), rel=1e-9)
    assert estimate.error_of == "standard deviation of 3 splits"
    assert estimate.details == {"splits": 3, "whole": pytest.approx(direct(RANDOM), rel=1e-12)}


def test_clips_read_in_many_blocks_score_the_same(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    estimate = inception_score(RANDOM, splits=3)
    scores = [direct(RANDOM[first : first + 20]) for first in (0, 20, 40)]
    assert estimate.value == pytest.approx(np.mean(scores), rel=1e-12)


def test_whole_is_the_papers_code_but_for_its_1e_7():
    scores = np.exp(
        np.sum(RANDOM * (np.log(RANDOM + 1e-7) - np.log(RANDOM.mean(0) + 1e-7))) / len(RANDOM)
    )
    assert inception_score(RANDOM).details["whole"] == pytest.approx(scores, rel=1e-5)


def test_refuses_what_does_not_divide():
    with pytest.raises(InputError, match="60 clips do not divide into 7 splits: give 63"):
        inception_score(RANDOM, splits=7)


def test_refuses_what_is_no_table():
    with pytest.raises(InputError, match=r"shape \(10,\): must be \[clips, classes\]"):
        inception_score(np.ones(10))


@pytest.mark.parametrize("row", [[0.5, 0.6], [1.5, -0.5], [np.nan, 0.5]])
def test_refuses_rows_that_are_no_distribution(row):
    with pytest.raises(InputError, match="row 3 is not a distribution"):
        inception_score(np.array([[0.5, 0.5]] * 3 + [row]), splits=1)
