"""Precision, recall, density, coverage: by hand on a line, and by the definition in loops."""

from __future__ import annotations

import numpy as np
import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation import prdc as module
from tgan_tf.evaluation.prdc import nearest, prdc


def draws(seed, count, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (count, 3)).astype(np.float32)


def radius(points, i, k):
    return sorted(np.linalg.norm(points[i] - other) for other in points)[k]


def brute_force(fake, real, k):
    fake, real = fake.astype(float), real.astype(float)
    real_radii = [radius(real, i, k) for i in range(len(real))]
    fake_radii = [radius(fake, i, k) for i in range(len(fake))]
    distance = [[np.linalg.norm(x - y) for y in real] for x in fake]
    rows, columns = range(len(fake)), range(len(real))
    inside = [[distance[i][j] <= real_radii[j] for j in columns] for i in rows]
    return {
        "precision": np.mean([any(inside[i]) for i in rows]),
        "recall": np.mean([any(distance[i][j] <= fake_radii[i] for i in rows) for j in columns]),
        "density": sum(map(sum, inside)) / (k * len(fake)),
        "coverage": np.mean([any(inside[i][j] for i in rows) for j in columns]),
    }


def test_equals_the_definition_in_loops(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 16)
    fake, real = draws(0, 40, shift=0.8), draws(1, 55)
    found = {name: estimate.value for name, estimate in prdc(fake, real, k=3).items()}
    assert found == pytest.approx(brute_force(fake, real, 3))


def test_by_hand_on_a_line():
    real = np.array([[0.0], [1.0], [3.0]])
    fake = np.array([[0.5], [10.0], [2.0]])
    # With k = 1 the real balls are [-1, 1], [0, 2], [1, 5], the fake ones [-1, 2], [2, 18] and
    # [0.5, 3.5].
    found = {name: estimate.value for name, estimate in prdc(fake, real, k=1).items()}
    assert found == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "density": 4 / 3, "coverage": 1}
    )


def test_identical_sets_are_precise_complete_and_covered():
    features = draws(0, 100)
    found = prdc(features, features)
    assert found["precision"].value == found["recall"].value == found["coverage"].value == 1


def test_sets_far_apart_have_nothing_in_common():
    found = prdc(draws(0, 50, shift=100.0), draws(1, 50))
    assert all(estimate.value == 0 for estimate in found.values())


def test_the_error_is_that_of_a_share():
    estimate = prdc(draws(0, 80, shift=1.5), draws(1, 80))["precision"]
    share = estimate.value
    assert 0 < share < 1
    assert estimate.error == pytest.approx(np.sqrt(share * (1 - share) / 80))


def test_refuses_no_more_clips_than_neighbours():
    with pytest.raises(InputError, match="5 real clips: give more than k=5"):
        prdc(draws(0, 50), draws(1, 5))


def test_refuses_no_neighbour():
    with pytest.raises(InputError, match="k=0: must be an integer ≥ 1"):
        prdc(draws(0, 50), draws(1, 50), k=0)


@pytest.mark.parametrize("count", [0, 6])
def test_refuses_more_nearest_than_there_are_or_none(count):
    with pytest.raises(InputError, match=f"count={count}: must be an integer"):
        nearest(draws(0, 9), draws(1, 5), count)


def test_nearest_are_in_order_of_their_distance(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    queries, among = draws(0, 10), draws(1, 30)
    places, distances = nearest(queries, among, 4)
    for query, found, far in zip(queries, places, distances):
        every = np.linalg.norm(among.astype(float) - query.astype(float), axis=1)
        np.testing.assert_array_equal(found, np.argsort(every)[:4])
        np.testing.assert_allclose(far, np.sort(every)[:4], rtol=1e-9)


def test_near_points_far_from_the_origin_are_told_apart():
    among = (1000.0 + np.arange(4)[:, None] * 0.01).astype(np.float32)
    places, distances = nearest(among[2:3], among, 2)
    assert places[0, 0] == 2 and distances[0, 0] == 0
    assert distances[0, 1] == pytest.approx(0.01, rel=0.05)
