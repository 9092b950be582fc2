"""The comparison of runs, run as a user runs it."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from programs import run_all
from tiny_tgan import save_run

pytestmark = pytest.mark.slow

DIGITS = "--frames=4\n--size=16\n--num_digits=1\n--digit_size=12\n"


def record(step, value, **more):
    return {
        "metric": "fvd200_4f", "value": value, "error": 0.5, "of": "checkpoint", "step": step,
        "extractor": {"name": "a"}, "real": {"path": "b"}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("comparison")
    kept = {
        "a": [record(10, 30.0), record(20, 21.0), record(None, 4.0, of="real")],
        "b": [record(10, 25.0, extractor={"name": "other"})],
        "c": [record(10, 12.0), record(20, 14.0), record(20, 11.0)],
        "other_data": [],
    }
    for seed, (name, lines) in enumerate(kept.items()):
        save_run(directory / name, seed=seed)
        digits = DIGITS.replace("12", "10") if name == "other_data" else DIGITS
        (directory / name / "flags.cfg").write_text(digits)
        if lines:
            (directory / name / "evaluation").mkdir()
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (directory / name / "evaluation/metrics.jsonl").write_text(text)
    return directory


@pytest.fixture(scope="module")
def results(directory):
    return run_all(
        "compare.py",
        {
            "one": ["a"],
            "missing": ["a", "nowhere"],
            "three": ["a", "b", "c", "--gam_clips=40"],
            "other data": ["a", "other_data", "--gam_clips=40", "--output_dir=other"],
        },
        directory,
    )


@pytest.mark.parametrize(
    "name, message",
    [("one", "give at least two run directories"), ("missing", "nowhere: no such directory")],
)
def test_a_mistake_is_one_clear_line(results, name, message):
    assert results[name].code == 1
    assert message in results[name].stderr and len(results[name].stderr.splitlines()) == 1


def test_shows_the_last_value_of_each_run_and_that_of_real_clips(results, directory):
    assert results["three"].code == 0, results["three"].stderr
    (row,) = [
        line
        for line in (directory / "comparison/comparison.md").read_text().splitlines()
        if line.startswith("| fvd200_4f")
    ]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        "21.00 ± 0.50 (step 20)",
        "25.00 ± 0.50 (step 10) (*)",
        "11.00 ± 0.50 (step 20)",
        "4.00 ± 0.50",
    ]
    assert "not comparable" in results["three"].stdout


def test_judges_each_run_by_each_others_critic(results):
    assert results["three"].code == 0, results["three"].stderr
    table = results["three"].stdout.split("## Generative Adversarial Metric")[1]
    for pair in ("a – b", "a – c", "b – c"):
        assert f"| {pair} " in table
    assert "e(D1(G2(z)))" in table


def test_names_a_run_that_is_not_evaluated(results):
    assert "warning: other_data: is not evaluated yet" in results["other data"].stderr


def test_draws_the_metrics(results, directory):
    assert results["three"].code == 0, results["three"].stderr
    with Image.open(directory / "comparison/comparison.png") as picture:
        assert picture.width > 500


def test_critics_of_other_data_do_not_judge(results):
    assert results["other data"].code == 0, results["other data"].stderr
    assert "their critics cannot judge each other" in results["other data"].stdout
