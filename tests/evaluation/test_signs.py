"""Signs of a training, of clips whose signs are known."""

import re

import numpy as np
import pytest
from tiny_tgan import real_clips, untrained_tgan

from tgan_tf.evaluation.signs import Signs, signs

HEALTHY = Signs(diversity=0.9, motion=0.8, critic_auc=0.8)


class BrightnessCritic:
    """Scores a clip by its mean, as if all real clips were bright."""

    num_classes = 0
    frames = 2

    def __call__(self, clips, training):
        assert clips.shape[1] == self.frames and not training
        return Scores(clips.mean(axis=(1, 2, 3, 4))[:, np.newaxis])


class Scores:
    def __init__(self, values):
        self.values = values

    def numpy(self):
        return self.values


def clips(*levels_of_frames):
    """A clip for each list of its frames' grey levels."""
    levels = np.array(levels_of_frames, np.float32)
    return np.ones([1, 1, 8, 8, 1], np.float32) * levels[:, :, np.newaxis, np.newaxis, np.newaxis]


def test_diversity_is_the_mean_squared_distance_of_two_clips_over_real_ones():
    generator = np.random.default_rng(0)
    generated, real = (generator.uniform(-1, 1, [6, 4, 8, 8, 1]) for _ in range(2))
    generated *= 0.3

    def mean_squared_distance(of):
        pairs = [(i, j) for i in range(6) for j in range(i)]
        return np.mean([np.mean((of[i] - of[j]) ** 2) for i, j in pairs])

    expected = mean_squared_distance(generated) / mean_squared_distance(real)
    assert signs(BrightnessCritic(), generated, real).diversity == pytest.approx(expected)


def test_one_clip_again_and_again_has_no_diversity():
    real = clips([0, 0.5], [0.5, 1])
    assert signs(BrightnessCritic(), clips([0, 1], [0, 1]), real).diversity == 0


def test_motion_is_the_change_between_successive_frames_over_real_ones():
    generated, real = clips([0, 0.1, 0.2], [0.5, 0.4, 0.5]), clips([0, 0.4, 0], [1, 0.6, 1])
    assert signs(BrightnessCritic(), generated, real).motion == pytest.approx(0.25)


def test_critic_auc_is_the_share_of_pairs_that_the_critic_ranks_rightly():
    # Of the first two frames: 0.1 and 0.6 beside 0.5 and 0.6, where a tie counts a half.
    generated, real = clips([0.1, 0.1, 9], [0.6, 0.6, 9]), clips([0.5, 0.5, 0], [0.6, 0.6, 0])
    assert signs(BrightnessCritic(), generated, real).critic_auc == pytest.approx(2.5 / 4)


class ClassCritic(BrightnessCritic):
    """Prefers bright clips of class 0, and dark ones of class 1."""

    num_classes = 2

    def __call__(self, inputs, training):
        clips, one_hot = inputs
        scores = super().__call__(clips, training).numpy()
        return Scores(scores * (one_hot @ [1, -1])[:, np.newaxis])


def test_a_conditional_critic_is_given_the_classes():
    generated, real = clips([0.1, 0.1], [0.6, 0.6]), clips([0.5, 0.5], [0.2, 0.2])
    labels = np.array([0, 1]), np.array([0, 1])
    # Scores 0.1 and -0.6 beside 0.5 and -0.2.
    assert signs(ClassCritic(), generated, real, labels).critic_auc == pytest.approx(3 / 4)


@pytest.mark.slow
def test_the_critic_of_a_tgan_cannot_tell_clips_from_themselves():
    real = real_clips(4)
    assert signs(untrained_tgan().critic, real, real) == Signs(1, 1, 0.5)


def test_clips_that_stand_still_have_no_share_of_their_motion():
    still = clips([0, 0], [1, 1])
    assert np.isnan(signs(BrightnessCritic(), still, still).motion)


def test_a_healthy_training_has_no_warnings():
    assert HEALTHY.warnings() == {}


@pytest.mark.parametrize(
    "bad, warning",
    [
        ({"diversity": 0.04}, "differ 0.04 times as much as real ones: the generator is"),
        ({"motion": 0.3}, "move only 0.30 times as much as real ones"),
        ({"motion": 3.2}, "change 3.2 times as much as real ones from frame to frame"),
        ({"critic_auc": 1.0}, r"all real clips above all generated ones \(AUC 1.00\)"),
        ({"critic_auc": 0.52}, r"does not tell generated clips from real ones \(AUC 0.52\)"),
    ],
)
def test_a_bad_sign_has_its_warning(bad, warning):
    found = HEALTHY._replace(**bad).warnings()
    assert found.keys() == bad.keys()
    assert re.search(warning, *found.values())
