"""Two GANs judged by each other's critic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tgan import make_tgan, real_clips

from tgan_tf.errors import InputError
from tgan_tf.evaluation.generative_adversarial_metric import (
    Scores,
    best_threshold,
    critic_scores,
    generative_adversarial_metric,
)


def mean_error(threshold, real, fake):
    """The mean of the two error rates, by their definition."""
    missed = sum(score <= threshold for score in real) / len(real)
    fooled_by = sum(score > threshold for score in fake) / len(fake)
    return (missed + fooled_by) / 2


class TestBestThreshold:
    @pytest.mark.slow
    @given(
        st.lists(st.integers(-6, 6), min_size=1, max_size=12),
        st.lists(st.integers(-6, 6), min_size=1, max_size=12),
    )
    def test_has_the_least_mean_error_of_all(self, real, fake):
        error = mean_error(best_threshold(fake=np.array(fake), real=np.array(real)), real, fake)
        least = min(mean_error(middle / 2, real, fake) for middle in range(-15, 16))
        assert error == pytest.approx(least, abs=1e-12)

    def test_is_the_middle_of_the_gap_between_the_kinds(self):
        assert best_threshold(fake=np.array([2.0, -7.0]), real=np.array([5.0, 3.0, 9.0])) == 2.5

    def test_does_not_depend_on_how_many_there_are_of_each(self):
        real, fake = np.array([1.0, 3.0, 4.0]), np.array([0.0, 2.0])
        many = np.repeat(real, 100)
        assert best_threshold(fake=fake, real=many) == best_threshold(fake=fake, real=real)

    def test_is_in_the_widest_of_gaps_that_are_equally_good_and_the_lowest_of_those(self):
        # From 0 to 1 misses no real clip and lets one fake of two pass; from 5 to 8 misses one real
        # clip of two and lets none pass.
        real, fake = np.array([1.0, 8.0]), np.array([0.0, 5.0])
        assert best_threshold(fake=fake, real=real) == 6.5
        assert best_threshold(fake=fake, real=np.array([1.0, 6.0])) == 0.5

    @pytest.mark.parametrize(
        ("real", "fake"), [([0.0, 1.0], [2.0, 3.0]), ([1.0, 1.0], [1.0]), ([-4.0], [-3.0])]
    )
    def test_takes_all_for_fakes_where_nothing_is_better(self, real, fake):
        threshold = best_threshold(fake=np.array(fake), real=np.array(real))
        assert threshold == max(real + fake)

    def test_parts_neighbouring_floats(self):
        lowest = np.array([1.0])
        for fake in (lowest, np.nextafter(lowest, 2.0)):
            real = np.nextafter(fake, 2.0)
            assert fake <= best_threshold(fake=fake, real=real) < real

    @pytest.mark.parametrize(
        ("real", "fake", "message"),
        [
            ([], [1.0], "there are no scores of real clips"),
            ([1.0], [np.nan], "some scores of generated clips are NaN"),
        ],
    )
    def test_of_scores_that_say_nothing_is_refused(self, real, fake, message):
        with pytest.raises(InputError, match=message):
            best_threshold(fake=np.array(fake), real=np.array(real))


def player(test, rival_fakes, threshold=0.0):
    """Scores of a critic whose threshold is known."""
    return Scores(
        own_fakes=np.array([threshold - 1]),
        real=np.array([threshold + 1]),
        rival_fakes=np.array(rival_fakes),
        test=np.array(test),
    )


# By hand: the first's critic takes 1 of 4 test clips for a fake and 1 of 5 fakes of its rival for
# real, the second's (threshold 10) 2 of 4 and 3 of 5. A score at the threshold is a fake.
FIRST = player([0.5, 2.0, 3.0, -1.0], [-3.0, -2.0, 0.0, -0.5, 0.1])
SECOND = player([11.0, 12.0, 9.0, 10.0], [8.0, 10.5, 11.0, 9.0, 20.0], threshold=10.0)


class TestGenerativeAdversarialMetric:
    def test_gives_the_four_error_rates_and_the_two_ratios(self):
        result = generative_adversarial_metric(FIRST, SECOND)
        values = {name: result[name].value for name in result if name != "winner"}
        assert values == pytest.approx(
            {
                "test_error_first": 1 / 4,
                "test_error_second": 2 / 4,
                "samples_error_first": 1 / 5,
                "samples_error_second": 3 / 5,
                "r_test": 1 / 2,
                "r_samples": 1 / 3,
            }
        )
        assert result["test_error_second"].details == {"threshold": 10.0}

    def test_gives_binomial_errors(self):
        result = generative_adversarial_metric(FIRST, SECOND)
        assert result["samples_error_first"].error == pytest.approx(math.sqrt(0.2 * 0.8 / 5))
        # Relative errors add in squares: (1 - p) / (n p) each.
        relative = math.sqrt(0.8 / (5 * 0.2) + 0.4 / (5 * 0.6))
        assert result["r_samples"].error == pytest.approx(relative / 3)

    def test_of_exchanged_players_has_inverse_ratios_and_the_same_winner(self):
        one = generative_adversarial_metric(FIRST, SECOND)
        other = generative_adversarial_metric(SECOND, FIRST)
        for name in ("r_test", "r_samples"):
            assert one[name].value * other[name].value == pytest.approx(1.0)
            relative = [result[name].error / result[name].value for result in (one, other)]
            assert relative[0] == pytest.approx(relative[1])
        assert (one["winner"], other["winner"]) == ("first", "second")

    def test_decides_nothing_if_one_critic_is_far_better_on_test_clips(self):
        # 25 % and 50 % of 4 clips are within the error of each other, of 400 clips they are not.
        first, second = (
            scores._replace(test=np.repeat(scores.test, 100)) for scores in (FIRST, SECOND)
        )
        assert generative_adversarial_metric(first, second)["winner"] == "undecided"

    def test_decides_by_two_standard_errors_of_the_difference(self):
        # Rates 0.4 + d and 0.4 - d of 600 each: two standard errors are 0.0566.
        for difference, winner in ((0.05, "first"), (0.06, "undecided")):
            wrong = [round(600 * (0.4 + sign * difference / 2)) for sign in (1, -1)]
            first, second = (
                scores._replace(test=np.where(np.arange(600) < count, -99.0, 99.0))
                for scores, count in zip((FIRST, SECOND), wrong)
            )
            assert generative_adversarial_metric(first, second)["winner"] == winner

    def test_decides_nothing_between_equals(self):
        result = generative_adversarial_metric(FIRST, FIRST)
        assert (result["r_samples"].value, result["winner"]) == (1.0, "undecided")

    def test_has_no_ratio_to_an_error_rate_of_zero(self):
        never_fooled = FIRST._replace(rival_fakes=np.array([-1.0, -2.0, -3.0]))
        result = generative_adversarial_metric(SECOND, never_fooled)
        assert (result["r_samples"], result["winner"]) == (None, "second")
        result = generative_adversarial_metric(never_fooled, SECOND)
        assert (result["r_samples"].value, result["winner"]) == (0.0, "first")
        result = generative_adversarial_metric(never_fooled, never_fooled)
        assert (result["r_samples"], result["winner"]) == (None, "undecided")

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("real", "scores of real clips"),
            ("own_fakes", "scores of generated clips"),
            ("test", "scores of test clips"),
            ("rival_fakes", "scores of the rival's clips"),
        ],
    )
    def test_of_scores_that_say_nothing_is_refused(self, kind, message):
        for scores in ([], [1.0, np.nan]):
            with pytest.raises(InputError, match=message):
                generative_adversarial_metric(FIRST._replace(**{kind: np.array(scores)}), SECOND)


class TestCriticScores:
    @pytest.mark.slow
    def test_are_the_critic_s_in_inference_in_the_order_of_the_clips(self):
        critic, clips = make_tgan().critic, real_clips(7)
        before = critic.get_weights()
        scores = critic_scores(critic, iter([clips[:3], clips[3:6], clips[6:]]))
        assert (scores.dtype, scores.shape) == (np.float32, (7,))
        np.testing.assert_allclose(scores, critic(clips, training=False)[:, 0], atol=1e-6)
        for after, weight in zip(critic.get_weights(), before):
            np.testing.assert_array_equal(after, weight)

    @pytest.mark.slow
    def test_of_clips_of_another_shape_are_refused(self):
        with pytest.raises(InputError, match=r"clips of \(4, 16, 16, 3\), the critic takes"):
            critic_scores(make_tgan().critic, [np.zeros((2, 4, 16, 16, 3), np.float32)])
