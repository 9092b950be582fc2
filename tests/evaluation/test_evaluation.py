"""Clips judged against real ones, by an extractor that is simple enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from tiny_tgan import make_tgan

from tgan_tf.errors import InputError
from tgan_tf.evaluation.clip_sets import GeneratedClips
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.extractors.extractor import Extracted
from tgan_tf.evaluation.metrics import METRICS, parse
from tgan_tf.latents import latents


class Corners:
    """Features: the mean brightness of the upper left corner in each of two frames, and of all."""

    name, sha256, num_features, num_classes = "corners", "0" * 64, 3, 3

    def check(self, clip_shape):
        if clip_shape[0] < 2:
            raise InputError("corners: needs two frames")

    def __call__(self, clips):
        corners = tf.reduce_mean(clips[:, :2, :8, :8], axis=[2, 3, 4])
        features = tf.concat([corners, tf.reduce_mean(clips, [1, 2, 3, 4])[:, None]], 1)
        return Extracted(features, tf.nn.softmax(10 * features))


class Clips:
    """A set of random clips; a draw is another one."""

    def __init__(self, seed, num_clips=60, brightness=0.0, shape=(4, 16, 16, 1)):
        self.clip_shape, self.num_clips = shape, num_clips
        self.seed, self.brightness = seed, brightness
        self.description = {"seed": seed}

    def of(self, draw):
        rng = np.random.default_rng([self.seed, draw])
        clips = rng.uniform(-0.7, 0.7, (self.num_clips, *self.clip_shape))
        # Each clip has a brightness of its own.
        return (clips + rng.normal(0, 0.1, (self.num_clips, 1, 1, 1, 1)) + self.brightness).astype(
            np.float32
        )

    def batches(self, count, draw):
        return (self.of(draw)[first : min(first + 16, count)] for first in range(0, count, 16))


def features(clips):
    corners = clips[:, :2, :8, :8].mean((2, 3, 4))
    return np.concatenate([corners, clips.mean((1, 2, 3, 4))[:, None]], 1).astype(np.float64)


def frechet(a, b):
    covariances = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root)


@pytest.fixture
def evaluation(tmp_path):
    return Evaluation(Clips(0), Clips(1), Corners(), tmp_path / "real")


def value(results, name):
    (found,) = [result.estimate for result in results if result.name == name]
    return found.value


def test_judges_by_what_the_extractor_says(evaluation):
    fake = Clips(2, brightness=0.2)
    results = evaluation(parse(["fvd60"], 4), fake)
    expected = frechet(features(fake.of(0)), features(Clips(0).of(0)))
    assert value(results, "fvd60_4f") == pytest.approx(expected, rel=1e-4)


def test_each_metric_judges_as_many_clips_and_frames_as_its_name_says(evaluation):
    fake = Clips(2, brightness=0.2)
    results = evaluation(parse(["fvd60", "fvd40", "fvd40_2f"], 4), fake)
    for count, frames in ((60, 4), (40, 4), (40, 2)):
        clips = (source.of(0)[:count, :frames] for source in (fake, Clips(0)))
        expected = frechet(*map(features, clips))
        assert value(results, f"fvd{count}_{frames}f") == pytest.approx(expected, rel=1e-4)
    assert [(r.count, r.real_count, r.frames) for r in results] == [
        (60, 60, 4),
        (40, 40, 4),
        (40, 40, 2),
    ]


@pytest.mark.parametrize(
    "name, best", [("fvd", 0), ("kvd", 0), ("precision", 1), ("coverage", 1), ("motion", 0)]
)
def test_identical_sets_have_the_best_value(evaluation, name, best):
    metric = "prdc" if name in ("precision", "coverage") else name
    results = evaluation(parse([f"{metric}60"], 4), Clips(0))
    assert value(results, f"{name}60_4f") == pytest.approx(best, abs=1e-6)


def test_repeated_draws_give_mean_and_standard_deviation(evaluation):
    fake = Clips(2)
    (result,) = evaluation(parse(["fvd60"], 4), fake, draws=3)
    values = [frechet(features(fake.of(i)), features(Clips(0).of(0))) for i in range(3)]
    assert result.estimate.value == pytest.approx(np.mean(values), rel=1e-4)
    assert result.estimate.error == pytest.approx(np.std(values, ddof=1), rel=1e-3)
    assert result.estimate.error_of == "standard deviation of 3 draws"


def test_the_floor_is_of_the_other_real_clips(evaluation):
    results = evaluation.floor(parse(["fvd60"], 4))
    expected = frechet(features(Clips(1).of(0)), features(Clips(0).of(0)))
    assert value(results, "fvd60_4f") == pytest.approx(expected, rel=1e-4)


def test_the_floor_of_one_set_is_of_another_draw_of_it(tmp_path):
    real = Clips(0)
    results = Evaluation(real, real, Corners(), tmp_path).floor(parse(["fvd60"], 4))
    expected = frechet(features(real.of(1)), features(real.of(0)))
    assert value(results, "fvd60_4f") == pytest.approx(expected, rel=1e-4)


def test_real_clips_are_measured_once(evaluation):
    evaluation(parse(["fvd60"], 4), Clips(2))
    evaluation.real.batches = None
    evaluation(parse(["fvd60", "kvd50"], 4), Clips(3))


def test_the_inception_score_needs_no_real_clips(evaluation):
    evaluation.real.batches = None
    (result,) = evaluation(parse(["is60"], 4), Clips(2))
    assert result.real_count == 0


def test_the_wasserstein_estimate_is_of_held_out_clips(tmp_path):
    tgan = make_tgan()
    evaluation = Evaluation(Clips(0), Clips(1), Corners(), tmp_path)
    fake = GeneratedClips(tgan.generator)
    (result,) = evaluation(parse(["wasserstein40"], 4), fake, tgan.critic)
    z0 = latents(0, 40, tgan.generator.z0_dim)
    scores = [tgan.critic(clips) for clips in (Clips(1).of(0)[:40], tgan.generator(z0))]
    expected = np.mean(scores[0]) - np.mean(scores[1])
    assert result.estimate.value == pytest.approx(expected, abs=1e-6)
    assert not list(tmp_path.iterdir())


def test_every_metric_gives_a_number(tmp_path):
    tgan = make_tgan()
    evaluation = Evaluation(Clips(0), Clips(1), Corners(), tmp_path)
    requests = parse([f"{name}40" for name in METRICS], 4)
    results = evaluation(requests, GeneratedClips(tgan.generator), tgan.critic)
    assert len(results) == len(METRICS) + 3
    assert all(np.isfinite(result.estimate.value) for result in results)


class Wide(Corners):
    """Claims more features than there are clips."""

    name, num_features = "wide", 50


class Featureless(Corners):
    """Claims no classes."""

    name, num_classes = "plain", 0


@pytest.mark.parametrize(
    "extractor, fake, name, message",
    [
        (Corners, Clips(2, 30), "fvd40", "there are 30 clips to be judged: give fvd30"),
        (Corners, Clips(2, 35), "is40", "there are 35 clips to be judged: give is30"),
        (Corners, Clips(2, shape=(4, 8, 8, 1)), "fvd40", "frames of 8x8x1, the real ones of 16x16"),
        (Corners, Clips(2, shape=(2, 16, 16, 1)), "fvd40_4f", "the clips have 2 frames"),
        (Corners, Clips(2), "wasserstein40", "needs a critic"),
        (Wide, Clips(2), "fvd50", "50 clips are too few for the 50 features .* at least 51"),
        (Featureless, Clips(2), "is40", "--extractor=plain gives features, no probabilities"),
    ],
)
def test_refuses_before_anything_is_measured(tmp_path, extractor, fake, name, message):
    evaluation = Evaluation(Clips(0), Clips(1), extractor(), tmp_path / "real")
    with pytest.raises(InputError, match=message):
        evaluation(parse([name], 4), fake)
    assert not (tmp_path / "real").exists()
