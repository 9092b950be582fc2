"""Clips judged against real ones, by an extractor that is simple enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from tiny_tgan import configuration, make_tgan

from tgan_tf.configuration import build
from tgan_tf.errors import InputError
from tgan_tf.evaluation.clip_sets import GeneratedClips
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.extractors.extractor import Extracted
from tgan_tf.evaluation.metric import Metric, Quantity
from tgan_tf.evaluation.metrics import METRICS, parse_metrics
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
        self.clip_shape, self.num_clips, self.num_classes = shape, num_clips, 0
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


@pytest.mark.slow
def test_judges_by_what_the_extractor_says(evaluation):
    fake = Clips(2, brightness=0.2)
    results = evaluation(parse_metrics(["fvd60"], 4), fake)
    expected = frechet(features(fake.of(0)), features(Clips(0).of(0)))
    assert value(results, "fvd60_4f") == pytest.approx(expected, rel=1e-4)


def test_each_metric_judges_as_many_clips_and_frames_as_its_name_says(evaluation):
    fake = Clips(2, brightness=0.2)
    results = evaluation(parse_metrics(["fvd60", "fvd40", "fvd40_2f"], 4), fake)
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
    results = evaluation(parse_metrics([f"{metric}60"], 4), Clips(0))
    assert value(results, f"{name}60_4f") == pytest.approx(best, abs=1e-6)


def test_repeated_draws_give_mean_and_standard_deviation(evaluation):
    fake = Clips(2)
    (result,) = evaluation(parse_metrics(["fvd60"], 4), fake, draws=3)
    values = [frechet(features(fake.of(i)), features(Clips(0).of(0))) for i in range(3)]
    assert result.estimate.value == pytest.approx(np.mean(values), rel=1e-4)
    assert result.estimate.error == pytest.approx(np.std(values, ddof=1), rel=1e-3)
    assert result.estimate.error_of == "standard deviation of 3 draws"


def test_the_floor_is_of_the_other_real_clips(evaluation):
    results = evaluation.floor(parse_metrics(["fvd60"], 4))
    expected = frechet(features(Clips(1).of(0)), features(Clips(0).of(0)))
    assert value(results, "fvd60_4f") == pytest.approx(expected, rel=1e-4)


def test_the_floor_of_one_set_is_of_another_draw_of_it(tmp_path):
    real = Clips(0)
    results = Evaluation(real, real, Corners(), tmp_path).floor(parse_metrics(["fvd60"], 4))
    expected = frechet(features(real.of(1)), features(real.of(0)))
    assert value(results, "fvd60_4f") == pytest.approx(expected, rel=1e-4)


def test_real_clips_are_measured_once(evaluation):
    evaluation(parse_metrics(["fvd60"], 4), Clips(2))
    evaluation.real.batches = None
    evaluation(parse_metrics(["fvd60", "kvd50"], 4), Clips(3))


def test_clips_named_by_a_path_leave_that_path_alone(evaluation, tmp_path):
    (tmp_path / "mine.npy").write_text("mine")
    evaluation(parse_metrics(["is60"], 4), Clips(2), what=str(tmp_path / "mine"))
    assert (tmp_path / "mine.npy").read_text() == "mine"


def test_the_inception_score_needs_no_real_clips(evaluation):
    evaluation.real.batches = None
    (result,) = evaluation(parse_metrics(["is60"], 4), Clips(2))
    assert result.real_count == 0


@pytest.mark.slow
def test_the_wasserstein_estimate_is_of_held_out_clips(tmp_path):
    tgan = make_tgan()
    evaluation = Evaluation(Clips(0), Clips(1), Corners(), tmp_path)
    fake = GeneratedClips(tgan.generator)
    (result,) = evaluation(parse_metrics(["wasserstein40"], 4), fake, tgan.critic)
    z0 = latents(0, 40, tgan.generator.z0_dim)
    scores = [tgan.critic(clips) for clips in (Clips(1).of(0)[:40], tgan.generator(z0))]
    expected = np.mean(scores[0]) - np.mean(scores[1])
    assert result.estimate.value == pytest.approx(expected, abs=1e-6)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_critic_of_fewer_frames_is_asked_about_the_first_ones(tmp_path):
    tgan = build(configuration(critic_frames=2))
    evaluation = Evaluation(Clips(0), Clips(1), Corners(), tmp_path)
    requests = parse_metrics(["wasserstein40"], 4, critic_frames=2)
    (result,) = evaluation(requests, GeneratedClips(tgan.generator), tgan.critic)
    assert result.name == "wasserstein40_2f"
    fake = tgan.generator(latents(0, 40, tgan.generator.z0_dim))
    scores = [tgan.critic(clips[:, :2]) for clips in (Clips(1).of(0)[:40], fake)]
    expected = np.mean(scores[0]) - np.mean(scores[1])
    assert result.estimate.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_every_metric_of_clips_gives_a_number(tmp_path):
    tgan = make_tgan()
    evaluation = Evaluation(Clips(0), Clips(1), Corners(), tmp_path)
    names = [name for name in METRICS if name not in ("spectrum", "gam", "class_accuracy")]
    requests = parse_metrics([f"{name}40" for name in names], 4)
    results = evaluation(requests, GeneratedClips(tgan.generator), tgan.critic)
    assert len(results) == len(names) + 3
    assert all(np.isfinite(result.estimate.value) for result in results)


@pytest.mark.slow
def test_a_metric_of_the_critic_comes_last_and_is_of_no_clips(tmp_path):
    critic = make_tgan().critic
    evaluation = Evaluation(Clips(0), Clips(1), Corners(), tmp_path)
    requests = parse_metrics(["spectrum", "wasserstein40"], 4)
    first, *rest = evaluation(requests, GeneratedClips(make_tgan().generator), critic, draws=2)
    assert (first.name, first.draws) == ("wasserstein40_4f", 2)
    kernel = critic.layers[0].kernel.numpy()
    expected = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
    assert rest[0].name == "spectrum_conv0" and (rest[0].count, rest[0].draws) == (0, 1)
    assert rest[0].estimate.value == pytest.approx(expected, rel=1e-3)


def brightness(clips, extracted):
    return tf.reduce_mean(clips, [1, 2, 3, 4])


def brighter(fake, real):
    return Estimate(float(np.mean(fake) - np.mean(real)))


BRIGHTER = Metric("brighter", "by how much", Quantity("brightness", brightness), brighter)


def test_judges_by_a_metric_and_a_quantity_from_outside(evaluation):
    fake = Clips(2, brightness=0.2)
    (result,) = evaluation(parse_metrics([BRIGHTER], 4, fake.num_clips), fake)
    assert (result.name, result.count, result.real_count) == ("brighter60_4f", 60, 60)
    expected = fake.of(0).mean() - Clips(0).of(0).mean()
    assert result.estimate.value == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_another_quantity_measures_real_clips_anew_and_others_use_the_same_file(evaluation):
    for metrics, files in ((["fvd60"], 1), ([BRIGHTER], 2), (["kvd60"], 2), ([BRIGHTER], 2)):
        evaluation(parse_metrics(metrics, 4, 60), Clips(2))
        assert len(list(evaluation.directory.glob("real-*.npy"))) == files


def test_the_extractor_may_be_named(tmp_path):
    assert Evaluation(Clips(0), Clips(1), "moving_mnist", tmp_path).extractor.num_features == 128


class Wide(Corners):
    """Claims more features than there are clips."""

    name, num_features = "wide", 50


class Featureless(Corners):
    """Claims no classes."""

    name, num_classes = "plain", 0


@pytest.mark.parametrize(
    "extractor, fake, name, message",
    [
        (Corners, Clips(2, 30), "fvd40", "there are 30 clips to evaluate: give fvd30"),
        (Corners, Clips(2, 35), "is40", "there are 35 clips to evaluate: give is30"),
        (Corners, Clips(2, shape=(4, 8, 8, 1)), "fvd40", "frames of 8x8x1, the real ones of 16x16"),
        (Corners, Clips(2, shape=(2, 16, 16, 1)), "fvd40_4f", "the clips have 2 frames"),
        (Corners, Clips(2), "wasserstein40", "needs a critic"),
        (Corners, Clips(2), "spectrum", "metric spectrum: needs a critic"),
        (Corners, Clips(2), "gam40", "metric gam40_4f: is for two runs"),
        (
            Corners,
            Clips(2),
            BRIGHTER._replace(quantity=BRIGHTER.quantity._replace(name="features")),
            "another quantity is also called features",
        ),
        (Wide, Clips(2), "fvd50", "50 clips are too few for the 50 features .* at least 51"),
        (Featureless, Clips(2), "is40", "extractor='plain' gives features but no class"),
    ],
)
def test_refuses_before_anything_is_measured(tmp_path, extractor, fake, name, message):
    evaluation = Evaluation(Clips(0), Clips(1), extractor(), tmp_path / "real")
    with pytest.raises(InputError, match=message):
        evaluation(parse_metrics([name], 4), fake)
    assert not (tmp_path / "real").exists()


class TestClassAccuracy:
    def requests(self):
        return parse_metrics(["class_accuracy30"], frames=4)

    @pytest.mark.slow
    def test_is_of_clips_in_the_order_of_their_classes(self, evaluation):
        fake = Clips(2)
        fake.num_classes = 3
        read = features(fake.of(0))[:30].argmax(1)
        expected = np.mean(read == np.arange(30) % 3)
        assert value(evaluation(self.requests(), fake), "class_accuracy30_4f") == expected

    def test_refuses_clips_of_no_class_that_was_asked_for(self, evaluation):
        with pytest.raises(InputError, match="class_accuracy30_4f: the clips to evaluate are of"):
            evaluation.check(self.requests(), Clips(2))

    def test_has_no_number_for_other_real_clips(self, evaluation):
        assert evaluation.floor(self.requests()) == []
