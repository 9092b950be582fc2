"""Distortions of real clips, and that the distance of videos grows with them."""

from __future__ import annotations

import numpy as np
import pytest

from tgan_tf.data import MovingMNIST
from tgan_tf.evaluation.clip_sets import SourceClips
from tgan_tf.evaluation.distortions import DISTORTIONS, DistortedClips, blur, noise, shuffle
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.metrics import parse_metrics


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    real, other = (
        SourceClips(MovingMNIST(8, 32, 16, 1, split), split=split)
        for split in ("train", "held_out")
    )
    return Evaluation(real, other, "moving_mnist", tmp_path_factory.mktemp("real"))


def distance(evaluation, clips):
    (result,) = evaluation(parse_metrics(["fvd160"], 8), clips)
    return result.estimate.value


@pytest.fixture(scope="module")
def undistorted(evaluation):
    return distance(evaluation, evaluation.other_real)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_frechet_distance_grows_with_the_distortion(evaluation, undistorted, name):
    none, *levels = DISTORTIONS[name][1]
    assert none == 0
    distorted = (DistortedClips(evaluation.other_real, name, level) for level in levels)
    values = [undistorted, *(distance(evaluation, clips) for clips in distorted)]
    assert np.all(np.diff(values) > 0), values


def test_noise_has_the_standard_deviation_of_its_level():
    clips = np.zeros((2, 4, 32, 32, 1), np.float32)
    assert noise(clips, 0.1, np.random.default_rng(0)).std() == pytest.approx(0.1, rel=0.03)


def test_a_blurred_point_is_a_gaussian_in_each_frame_alone():
    clips = np.full((1, 3, 21, 21, 1), 0.0, np.float32)
    clips[0, 1, 10, 10] = 1.0
    blurred = blur(clips, 1.5, np.random.default_rng(0))
    places = np.arange(-10, 11)
    bell = np.exp(-(places**2) / (2 * 1.5**2))
    np.testing.assert_allclose(
        blurred[0, 1, :, :, 0], np.outer(bell, bell) / bell.sum() ** 2, atol=1e-4
    )
    assert not blurred[0, [0, 2]].any()


def test_shuffling_keeps_the_frames_and_their_number():
    clips = np.arange(3 * 8, dtype=np.float32).reshape(3, 8, 1, 1, 1)
    shuffled = shuffle(clips, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), clips)
    assert (shuffled != clips).any()


def test_shuffling_a_share_leaves_the_rest_in_place():
    clips = np.arange(50 * 8, dtype=np.float32).reshape(50, 8, 1, 1, 1)
    shuffled = shuffle(clips, 0.5, np.random.default_rng(0))
    assert ((shuffled != clips).sum(axis=1) <= 4).all()


@pytest.mark.slow
def test_level_0_leaves_clips_as_they_are(evaluation):
    original = np.concatenate(list(evaluation.real.batches(20, 0)))
    for name in DISTORTIONS:
        clips = DistortedClips(evaluation.real, name, 0.0)
        np.testing.assert_array_equal(np.concatenate(list(clips.batches(20, 0))), original)
