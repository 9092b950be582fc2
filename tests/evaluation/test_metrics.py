"""What metrics' names mean."""

import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation.metrics import METRICS, Request, parse_metrics


@pytest.mark.parametrize(
    "name, metric, count, frames",
    [
        ("fvd", "fvd", 2048, 16),
        ("is", "is", 10_000, 16),
        ("is_whole500", "is_whole", 500, 16),
        ("fvd512", "fvd", 512, 16),
        ("fvd_8f", "fvd", 2048, 8),
        ("fvd_unbiased4096_12f", "fvd_unbiased", 4096, 12),
        ("spectrum", "spectrum", 0, 16),
    ],
)
def test_a_name_says_clips_and_frames(name, metric, count, frames):
    assert parse_metrics([name], frames=16) == [Request(METRICS[metric], count, frames)]


def test_a_metric_itself_is_asked_for_as_by_its_name():
    assert parse_metrics([METRICS["is"]], 16, 347) == parse_metrics(["is"], 16, 347)


@pytest.mark.parametrize("name", METRICS)
def test_a_full_name_is_read_back(name):
    (request,) = parse_metrics([name], frames=16)
    assert parse_metrics([request.name()], frames=16) == [request]


def test_a_metric_without_a_number_judges_what_there_is():
    assert [request.count for request in parse_metrics(["is", "fvd"], 16, num_clips=347)] == [
        340,
        347,
    ]


@pytest.mark.parametrize(
    "name, message",
    [
        ("fid", "metric 'fid': unknown: give some of is, is_whole, class_accuracy"),
        ("fvd2048_32f", "the clips have 16 frames: give 2 to 16"),
        ("fvd_1f", "give 2 to 16"),
        ("is1005", "1005 clips do not divide into 10 splits: give is1000"),
        ("is7", "give is10"),
        ("fvd1", "1 clips: must be 2 to 10000000"),
        ("kvd99999999", "must be 2 to 10000000"),
        ("spectrum20", "metric spectrum20: uses no clips: give spectrum"),
    ],
)
def test_refuses_what_cannot_be_judged(name, message):
    with pytest.raises(InputError, match=message):
        parse_metrics([name], frames=16)
