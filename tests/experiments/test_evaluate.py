"""The evaluation program, run as a user runs it, on a tiny run of digits and on files of clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from programs import run_all
from tiny_tgan import make_tgan, plant_pickle, save_run

from tgan_tf import checkpoints

pytestmark = pytest.mark.slow

DIGITS = "--frames=4\n--size=16\n--num_digits=1\n--digit_size=12\n--seed=3\n--mirror\n"
METRICS = "--metrics=is200,is_whole200,fvd200,kvd200,prdc200,motion200,nearest200"
TWO = ["--size=16", "--frames=4", "--real_data=real.npz"]

MISTAKES = {
    "nobody": ([], "give either --run_dir or --fake_data"),
    "no run": (["--run_dir=missing"], "missing: no such directory"),
    "no checkpoint": (["--run_dir=empty"], "no checkpoint there: train the run first"),
    "unknown step": (["--run_dir=run", "--checkpoint_step=4"], "no checkpoint of step 4"),
    "too few": (
        ["--run_dir=run", "--metrics=fvd100"],
        "100 clips are too few for the 128 features of --extractor=moving_mnist: give at least 129",
    ),
    "too few real": (
        ["--run_dir=run", "--real_data=few.npz", "--metrics=fvd200"],
        "50 real clips are too few for the 128 features",
    ),
    "real statistics": (
        ["--run_dir=run", "--metrics=motion100", "--real_statistics=flags"],
        "flags: is not a file of measurements",
    ),
    "consent of a file": (["--run_dir=hostile"], "films_pd.pkl", "--allow_unpickling"),
    "real statistics in a folder": (
        ["--run_dir=run", "--metrics=motion100", "--real_statistics=run"],
        "--real_statistics=run: is not a file: give the path of a file",
    ),
    "more clips than can be meant": (
        ["--run_dir=run", "--metrics=motion10000000000000000"],
        "10000000000000000 clips: must be 2 to 10000000",
    ),
    "file": (
        ["--run_dir=run", "--output_dir=flags"],
        "--output_dir=flags: is not a directory: give the path of a directory",
    ),
    "no metrics": (["--run_dir=run", "--metrics="], "--metrics=: must not be empty"),
    "unknown metric": (["--run_dir=run", "--metrics=foo"], "--metrics=foo: metric 'foo': unknown"),
    "three clips": (
        [*TWO, "--fake_data=three.npz", "--metrics=is"],
        "metric is10_4f: there are 3 clips to evaluate: give at least 10 clips",
    ),
    "critic": (
        [*TWO, "--fake_data=fake.npz", "--metrics=wasserstein"],
        "needs a critic",
    ),
    "critic's spectrum": (
        [*TWO, "--fake_data=fake.npz", "--metrics=spectrum"],
        "metric spectrum: needs a critic",
    ),
    "two critics": (
        ["--run_dir=run", "--metrics=gam500"],
        "metric gam500: needs two critics: use compare",
    ),
    "extractor without its weights": (
        ["--run_dir=run", "--extractor=c3d"],
        "--extractor=c3d: give --extractor_weights (path or URL of conv3d_deepnetA_ucf.npz) and "
        "--c3d_mean (path",
    ),
    "another extractor's option": (
        ["--run_dir=run", "--c3d_mean=mean2.npz"],
        "--c3d_mean=mean2.npz: is for c3d, not for moving_mnist",
    ),
    "sizes": (
        ["--fake_data=fake.npz", "--real_data=real.npz", "--size=32", "--frames=4"],
        "size=32",
    ),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("evaluation")
    save_run(directory / "run", step=3)
    checkpoints.save(make_tgan(seed=1), directory / "run/checkpoints", 6)
    (directory / "run/flags.cfg").write_text(DIGITS)
    save_run(directory / "empty")
    for file in (directory / "empty/checkpoints/step-3").iterdir():
        file.unlink()
    (directory / "empty/checkpoints/step-3").rmdir()
    rng = np.random.default_rng(0)
    for name, count in (("fake", 180), ("real", 150), ("few", 50), ("three", 3)):
        base = rng.integers(0, 200, (count, 1, 1, 1, 1))
        clips = base + rng.integers(0, 50, (count, 4, 16, 16, 1))
        np.savez(directory / f"{name}.npz", clips=clips.astype(np.uint8))
    (directory / "flags").write_text("")
    save_run(directory / "hostile")
    plant_pickle(directory / "hostile")
    return directory


@pytest.fixture(scope="module")
def results(directory):
    run, alone = ["--run_dir=run"], ["--nofloor"]
    return run_all(
        "evaluate.py",
        {
            **{name: flags for name, (flags, *_) in MISTAKES.items()},
            "help": ["--help"],
            "run": [*run, f"{METRICS},wasserstein200,spectrum", "--checkpoint_step=3"],
            "all": [*run, "--all_checkpoints", "--metrics=motion20", "--draws=2", "--nofloor"],
            "again": [
                *run,
                "--checkpoint_step=3",
                "--metrics=fvd200",
                *alone,
                "--output_dir=again",
            ],
            "two": [*TWO, "--fake_data=fake.npz", "--metrics=fvd,motion", "--output_dir=two"],
            "same": [
                *TWO,
                "--fake_data=real.npz",
                "--metrics=fvd,kvd,prdc",
                *alone,
                "--output_dir=same",
            ],
            "few others": [
                *TWO,
                "--fake_data=fake.npz",
                "--real_data=three.npz",
                "--metrics=is",
                "--output_dir=others",
            ],
            "full disk": [*run, "--metrics=fvd200", "--output_dir=full"],
        },
        directory,
        largest_files={"full disk": 20_000},
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def values(kept, of):
    return {one["metric"]: one["value"] for one in kept if one["of"] == of}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_line(results, name):
    assert results[name].code == 1, results[name].stderr
    (line,) = [line for line in results[name].stderr.splitlines() if "warning" not in line]
    assert line.startswith("evaluate.py: error: ")
    for words in MISTAKES[name][1:]:
        assert words in line


def test_a_run_directory_cannot_consent_to_unpickling(results, directory):
    assert not (directory / "hostile/made by the pickle").exists()


def test_mistakes_leave_nothing_behind(results, directory):
    assert not (directory / "evaluation").exists()
    assert not (directory / "empty/evaluation").exists()


def test_a_run_gets_a_table_of_all_metrics(results):
    assert results["run"].code == 0, results["run"].stderr
    names = "is is_whole fvd kvd precision recall density coverage motion nearest wasserstein"
    for name in names.split():
        assert f"| {name}200_4f " in results["run"].stdout
    assert "| spectrum_conv0 " in results["run"].stdout
    assert "real clips" in results["run"].stdout
    assert results["run"].stderr == ""


def test_a_line_says_everything_needed_to_repeat_it(results, directory):
    assert results["run"].code == 0, results["run"].stderr
    kept = lines(directory / "run/evaluation/metrics.jsonl")
    (fvd, *_) = [one for one in kept if one["metric"] == "fvd200_4f" and one.get("step") == 3]
    assert (fvd["n"], fvd["n_real"], fvd["frames"], fvd["seed"]) == (200, 200, 4, 0)
    assert fvd["extractor"]["name"] == "moving_mnist" and len(fvd["extractor"]["sha256"]) == 64
    assert fvd["real"]["subset"] == "train" and fvd["real"]["digit_size"] == 12
    assert fvd["error"] > 0 and "jackknife" in fvd["error_of"]
    assert {"tgan_tf", "tensorflow", "numpy", "scipy", "python"} == set(fvd["versions"])
    assert fvd["command"].startswith("evaluate.py --run_dir=run")


def test_too_few_other_real_clips_are_said_to_be_too_few(results):
    assert results["few others"].code == 0, results["few others"].stderr
    assert "real clips: no values: 3 others are too few" in results["few others"].stdout


def test_the_same_again_gives_the_same_value(results, directory):
    assert results["again"].code == 0, results["again"].stderr
    kept = lines(directory / "run/evaluation/metrics.jsonl")
    first = values([one for one in kept if one["draws"] == 1], "checkpoint")
    again = values(lines(directory / "again/metrics.jsonl"), "checkpoint")
    assert again["fvd200_4f"] == pytest.approx(first["fvd200_4f"], rel=1e-6)


def test_all_checkpoints_make_a_curve(results, directory):
    assert results["all"].code == 0, results["all"].stderr
    kept = lines(directory / "run/evaluation/metrics.jsonl")
    of_draws = [one for one in kept if one["draws"] == 2]
    assert [one["step"] for one in of_draws] == [3, 6]
    assert of_draws[0]["error_of"] == "standard deviation of 2 draws"
    with Image.open(directory / "run/evaluation/metrics.png") as picture:
        assert picture.width > 500


def test_nearest_clips_are_shown(results, directory):
    assert results["run"].code == 0, results["run"].stderr
    with Image.open(directory / "run/evaluation/nearest-step-3.png") as picture:
        # Four groups of three rows of 16 pixels with gaps of 2 and bars of 8; four frames.
        # Each pixel is four wide and high.
        assert picture.size == (4 * (4 * 18 - 2), 4 * (4 * (3 * 18 - 2) + 3 * 8))


def test_two_sets_need_no_run(results, directory):
    assert results["two"].code == 0, results["two"].stderr
    kept = lines(directory / "two/metrics.jsonl")
    (fvd,) = [one for one in kept if one["of"] == "clips" and one["metric"].startswith("fvd")]
    # As many as there are, since the name does not say: 180 judged against 150.
    assert (fvd["metric"], fvd["n"], fvd["n_real"]) == ("fvd180_4f", 180, 150)
    assert fvd["fake"]["path"] == "fake.npz" and fvd["real"]["path"] == "real.npz"


def test_identical_sets_have_the_best_values(results, directory):
    assert results["same"].code == 0, results["same"].stderr
    found = values(lines(directory / "same/metrics.jsonl"), "clips")
    assert found["fvd150_4f"] == pytest.approx(0, abs=1e-3)
    assert found["kvd150_4f"] == pytest.approx(0, abs=1e-6)
    assert found["precision150_4f"] == found["recall150_4f"] == found["coverage150_4f"] == 1


def test_a_full_disk_is_one_line_and_no_half_file(results, directory):
    assert results["full disk"].code == 1
    assert "free some disk space" in results["full disk"].stderr
    assert not list((directory / "full").rglob("*.*"))


def test_help_lists_the_metrics(results):
    assert "Fréchet Video Distance" in " ".join(results["help"].stdout.split())
