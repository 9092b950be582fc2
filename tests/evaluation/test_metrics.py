"""What metrics' names mean."""

import pytest

from tgan_tf.errors import InputError
from tgan_tf.evaluation.metrics import METRICS, Request, parse


@pytest.mark.parametrize(
    "name, request_",
    [
        ("fvd", Request("fvd", 2048, 16)),
        ("is", Request("is", 10_000, 16)),
        ("is_whole500", Request("is_whole", 500, 16)),
        ("fvd512", Request("fvd", 512, 16)),
        ("fvd_8f", Request("fvd", 2048, 8)),
        ("fvd_unbiased4096_12f", Request("fvd_unbiased", 4096, 12)),
    ],
)
def test_a_name_says_clips_and_frames(name, request_):
    assert parse([name], frames=16) == [request_]


@pytest.mark.parametrize("name", METRICS)
def test_a_full_name_is_read_back(name):
    (request,) = parse([name], frames=16)
    assert parse([request.name(name)], frames=16) == [request]


def test_a_metric_without_a_number_judges_what_there_is():
    assert [request.count for request in parse(["is", "fvd"], 16, num_clips=347)] == [340, 347]


@pytest.mark.parametrize(
    "name, message",
    [
        ("fid", "metric 'fid': unknown: give some of is, is_whole, fvd"),
        ("fvd2048_32f", "the clips have 16 frames: give 2 to 16"),
        ("fvd_1f", "give 2 to 16"),
        ("is1005", "1005 clips do not divide into 10 splits: give is1000"),
        ("is7", "give is10"),
        ("fvd1", "1 clips: give 2 to 10000000"),
        ("kvd99999999", "give 2 to 10000000"),
    ],
)
def test_refuses_what_cannot_be_judged(name, message):
    with pytest.raises(InputError, match=message):
        parse([name], frames=16)
