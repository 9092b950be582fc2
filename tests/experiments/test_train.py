"""The training program, run as a user runs it."""

import json
import shutil
import signal
import subprocess
import sys
import time

import kill_trainings
import numpy as np
import pytest
from checkpoint_tensors import assert_equal_tensors, tensors
from PIL import Image
from programs import EXPERIMENTS, one, run_all

from tgan_tf import checkpoints, runs

pytestmark = pytest.mark.slow

TINY = {
    **kill_trainings.NETWORK,
    "learning_rate": 1e-3,
    "train_steps": 12,
    "checkpoint_interval": 4,
    "sample_interval": 6,
    "summary_interval": 3,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "sequences.npy"
    values = np.random.default_rng(0).integers(0, 256, (6, 10, 8, 8), dtype=np.uint8)
    np.save(path, values)
    return path


def arguments(run_dir, data, **changes):
    flags = {**TINY, "run_dir": run_dir, "data_path": data, **changes}
    return [f"--{key}={value}" for key, value in flags.items()]


def train(run_dir, data, **changes):
    return one("train.py", arguments(run_dir, data, **changes), run_dir.parent)


def wait_for(condition, process, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data):
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    result = train(run_dir, data, deterministic=True)
    assert result.code == 0, result.stderr
    return run_dir, result


def test_a_run_directory_holds_flags_networks_checkpoints_events_and_samples(unbroken):
    run_dir, _ = unbroken
    assert checkpoints.steps(run_dir / "checkpoints") == [4, 8, 12]
    kept = json.loads((run_dir / "configuration.json").read_text())
    assert kept["configuration"]["frames"] == kept["flags"]["frames"] == 4
    assert list(run_dir.glob("events.out.tfevents*"))
    assert {p.name for p in (run_dir / "samples").glob("*.gif")} == {
        "step-0.gif",
        "step-6.gif",
        "step-12.gif",
    }


def test_nothing_but_how_the_array_is_read_progress_and_bad_signs_is_printed(unbroken, data):
    _, result = unbroken
    assert result.stderr == ""
    reading, beginning, *lines = result.stdout.splitlines()
    assert reading == f"{data}: read as 10 clips of 6 frames of 8x8, 1 channel"
    assert beginning.endswith("/run: starting; the first report comes at step 3")
    # Twelve steps teach nothing, and the samples at 6 and 12 say so.
    progress = [line for line in lines[:-1] if not line.endswith("see docs/learning.md")]
    assert [line.split()[1] for line in progress] == ["3/12", "6/12", "9/12", "12/12"]
    assert all(line.startswith("step 12: ") for line in lines[:-1] if line not in progress)


def test_the_runs_flagfile_is_the_same_experiment_again(unbroken, tmp_path):
    run_dir, _ = unbroken
    flags = [f"--flagfile={run_dir}/flags.cfg", f"--run_dir={tmp_path}/again"]
    result = one("train.py", flags, tmp_path)
    assert result.code == 0, result.stderr
    assert_equal_tensors(tmp_path / "again", run_dir, 12)


def test_a_killed_run_goes_on_to_all_that_an_unbroken_one_has_written(tmp_path):
    process = kill_trainings.start(tmp_path / "killed")
    wait_for(lambda: 8 in checkpoints.steps(tmp_path / "killed/checkpoints"), process)
    assert kill_trainings.kill(process, 0)
    commands = {name: kill_trainings.arguments(tmp_path / name) for name in ("killed", "unbroken")}
    results = run_all("train.py", commands, tmp_path)
    assert {result.code for result in results.values()} == {0}, results
    assert "resuming at step " in results["killed"].stdout.splitlines()[0]
    kill_trainings.assert_same(tmp_path / "killed", kill_trainings.written(tmp_path / "unbroken"))


def test_one_run_has_one_writer_which_sigterm_saves_and_the_same_command_goes_on(data, tmp_path):
    long = {"train_steps": 100_000, "checkpoint_interval": 50_000}
    process = subprocess.Popen(
        [sys.executable, EXPERIMENTS / "train.py", *arguments(tmp_path / "run", data, **long)],
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in ("how the array is read", "that it begins", "progress"):
        process.stdout.readline()
    refused = train(tmp_path / "run", data, **long, seed=1)
    assert_refused(refused, "is being trained by train.py", f"process {process.pid} of")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    (step,) = checkpoints.steps(tmp_path / "run/checkpoints")
    assert process.returncode == 128 + signal.SIGTERM
    assert f"SIGTERM at step {step}, saved" in output
    result = train(tmp_path / "run", data, **{**long, "train_steps": step + 2})
    assert f"resuming at step {step}" in result.stdout
    assert checkpoints.steps(tmp_path / "run/checkpoints") == [step, step + 2]


def test_another_model_in_the_run_directory_is_refused_by_its_flag(unbroken, data):
    run_dir, _ = unbroken
    before = (run_dir / "flags.cfg").read_text()
    result = train(run_dir, data, deterministic=True, critic_filters=3)
    assert_refused(result, "--critic_filters=2", "--critic_filters=3", "--run_dir")
    assert (run_dir / "flags.cfg").read_text() == before


def test_a_run_begins_with_the_weights_of_another_and_goes_on_without_it(unbroken, data, tmp_path):
    other, run_dir = tmp_path / "other", tmp_path / "run"
    shutil.copytree(unbroken[0], other)
    changes = {"initial_run": other, "learning_rate": 1e-6, "checkpoint_interval": 1}
    begun = train(run_dir, data, train_steps=1, **changes)
    assert begun.code == 0, begun.stderr
    assert f"{run_dir}: starting with the weights of {other}, step 12" in begun.stdout
    before, after = tensors(other, 12), tensors(run_dir, 1)
    kernels = [name for name in before if name.endswith("kernel")]
    assert len(kernels) > 8
    for name in kernels:
        # A step of RMSprop is at most ten times the rate; clipping does little to clipped kernels.
        np.testing.assert_allclose(after[name], before[name], atol=1e-4, err_msg=name)
    shutil.rmtree(other)
    went_on = train(run_dir, data, train_steps=2, **changes)
    assert went_on.code == 0 and "resuming at step 1" in went_on.stdout, went_on.stderr


def test_a_run_of_before_a_flag_was_there_goes_on(unbroken, tmp_path):
    run_dir = shutil.copytree(unbroken[0], tmp_path / "run")
    kept = json.loads((run_dir / "configuration.json").read_text())
    del kept["flags"]["critic_slope"], kept["flags"]["lipschitz"]
    (run_dir / "configuration.json").write_text(json.dumps(kept))
    arguments = [f"--flagfile={run_dir}/flags.cfg", f"--run_dir={run_dir}"]
    commands = {"other": [*arguments, "--critic_slope=0.1"], "same": arguments}
    results = run_all("train.py", commands, tmp_path)
    assert results["same"].code == 0, results["same"].stderr
    assert "all 12 steps are done" in results["same"].stdout
    assert_refused(results["other"], "--critic_slope=0.2, not --critic_slope=0.1: give")


class TestACopiedRun:
    @pytest.fixture(scope="class")
    @staticmethod
    def copied(unbroken, tmp_path_factory):
        """A copy that was trained on from another directory, and what became of commands."""
        directory = tmp_path_factory.mktemp("copied")
        run_dir = shutil.copytree(unbroken[0], directory / "copy")
        flagfile = f"--flagfile={run_dir}/flags.cfg"
        first = shutil.copytree(unbroken[0], directory / "of the first version")
        # Its flagfile says where it lay.
        with (first / "flags.cfg").open("a") as file:
            file.write(f"--run_dir={unbroken[0]}\n")
        edited = shutil.copytree(unbroken[0], directory / "edited")
        text = (edited / "flags.cfg").read_text()
        (edited / "flags.cfg").write_text(text.replace("--size=8", "--size=16"))
        commands = {
            "on": [flagfile, "--train_steps=13"],
            "first version": [f"--flagfile={first}/flags.cfg"],
            "edited": [f"--flagfile={edited}/flags.cfg"],
        }
        (directory / "elsewhere").mkdir()
        return run_all("train.py", commands, directory / "elsewhere"), directory

    def test_goes_on_where_it_lies(self, copied, unbroken):
        results, directory = copied
        assert results["on"].code == 0, results["on"].stderr
        assert checkpoints.steps(directory / "copy/checkpoints") == [8, 12, 13]
        assert checkpoints.steps(unbroken[0] / "checkpoints") == [4, 8, 12]
        assert not list((directory / "elsewhere").iterdir())

    def test_of_the_first_version_goes_on_where_it_lies(self, copied):
        results, directory = copied
        assert f"{directory}/of the first version: all" in results["first version"].stdout

    def test_whose_flagfile_was_edited_is_refused_by_the_flag_and_left_as_it_is(
        self, copied, unbroken
    ):
        results, directory = copied
        assert_refused(results["edited"], "--size=8, not --size=16, which the flagfile has")
        kept = (directory / "edited/configuration.json").read_bytes()
        assert kept == (unbroken[0] / "configuration.json").read_bytes()


def test_a_cluster_is_refused_where_the_strategy_is_for_one_machine(tmp_path, monkeypatch):
    results = []
    workers = '"cluster": {"worker": ["a:1", "b:1"]}'
    for text in (f'{{{workers}, "task": {{"type": "worker", "index": 0}}}}', "worker"):
        monkeypatch.setenv("TF_CONFIG", text)
        results.append(one("train.py", ["--run_dir=run"], tmp_path))
    assert_refused(results[0], "TF_CONFIG", "2 tasks")
    assert_refused(results[1], "TF_CONFIG=worker", "does not describe a cluster")
    assert not list(tmp_path.iterdir())


DIRECTORIES = {
    "photos": (["b.jpg", "a.jpg"], "--run_dir=photos: holds a.jpg and 1 more but no run: give"),
    "runs": (["mine/flags.cfg"], "--run_dir=runs: holds mine but no run: give a new directory"),
    # These are taken; what is refused comes after.
    "empty": ([], "--size=16"),
    "hidden": ([".DS_Store"], "--size=16"),
    "logged": (["train.log", "slurm-1.out"], "--size=16"),
    "killed": (["evaluation/real/a.npz"], "--size=16"),
    "bare": (["checkpoints/x", "samples/step-0.gif"], "--size=16"),
}


def test_a_directory_of_other_files_is_no_run_directory(data, tmp_path):
    for name, (files, _) in DIRECTORIES.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text("mine")
    commands = {name: arguments(name, data, size=16) for name in DIRECTORIES}
    for name, result in run_all("train.py", commands, tmp_path).items():
        assert_refused(result, DIRECTORIES[name][1])


def test_a_limit_of_time_is_that_of_one_call(tmp_path, data):
    run_dir = tmp_path / "run"
    result = train(run_dir, data, max_minutes=1e-6)
    assert "stopped by --max_minutes=1e-06 at step 1 of 12" in result.stdout, result.stderr
    again = run_all("train.py", {"": [f"--flagfile={run_dir}/flags.cfg"]}, tmp_path)[""]
    assert "all 12 steps are done" in again.stdout, again.stderr


def test_two_logical_cpus_train_mirrored(data, tmp_path):
    mirrored = {"distribution_strategy": "mirrored", "logical_cpus": 2, "train_steps": 2}
    result = train(tmp_path / "run", data, **mirrored)
    assert result.code == 0, result.stderr
    assert checkpoints.steps(tmp_path / "run/checkpoints") == [2]
    result = train(tmp_path / "odd", data, **mirrored, batch_size=3)
    assert_refused(result, "--batch_size=3", "2 replicas")


def assert_refused(result, *words):
    assert result.code == 1
    assert "Traceback" not in result.stderr and len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


MISTAKES = {
    "no data": ({"data_path": "nosuch.npy"}, ["nosuch.npy", "does not exist"]),
    "size": ({"size": 16}, ["size=16", "8 rows", "give 8"]),
    "frames": ({"frames": 8}, ["frames=8", "6 frames"]),
    "filters": ({"image_filters": 9}, ["image_filters=9"]),
    "no GPUs": ({"num_gpus": 0}, ["--num_gpus=0: must be an integer ≥ 1"]),
    "no directory": ({"run_dir": "/dev/null/run"}, ["--run_dir=/dev/null/run"]),
    "no steps": ({"train_steps": 0}, ["--train_steps=0"]),
    "seed": ({"seed": -1}, ["--seed=-1"]),
    "objective": ({"objective": "nosuch"}, []),
    "unbounded": ({"lipschitz": "none"}, ["--lipschitz=none", "no lower bound"]),
    "two methods": ({"gradient_penalty": 10}, ["--gradient_penalty=10", "--lipschitz=none"]),
    "useless limit": ({"weight_limit": 0.1}, ["--weight_limit=0.1", "weight_clipping"]),
    "useless layers": ({"generator": "conv3d", "gru_layers": 1}, ["--gru_layers=1", "conv3d"]),
    "penalty": ({"lipschitz": "none", "gradient_penalty": -1}, ["--gradient_penalty=-1"]),
    "probability": ({"shuffle_frames": 2}, ["shuffle_frames=2"]),
    "useless beta": ({"adam_beta_1": 0.1}, ["--adam_beta_1=0.1", "--optimizer=adam"]),
    "average": ({"ema_momentum": 1}, ["--ema_momentum=1"]),
    "decay": ({"learning_rate_decay_steps": 0}, ["--learning_rate_decay_steps=0"]),
    "noise": ({"critic_noise": -0.3}, ["critic_noise=-0.3"]),
    "no other run": ({"initial_run": "nosuch"}, ["nosuch: no such directory"]),
    "no classes": ({"conditional": True}, ["--conditional", "no classes"]),
}


@pytest.fixture(scope="module")
def mistaken(data, tmp_path_factory):
    """What became of the commands with mistakes, and where they ran."""
    directory = tmp_path_factory.mktemp("mistaken")
    commands = {
        name: arguments(**{"run_dir": "run", "data": data, **changes})
        for name, (changes, _) in MISTAKES.items()
    }
    return run_all("train.py", commands, directory), directory


@pytest.mark.parametrize("name", [name for name in MISTAKES if name != "objective"])
def test_a_users_mistake_is_one_clear_line(mistaken, name):
    results, directory = mistaken
    assert_refused(results[name], *MISTAKES[name][1])
    assert not (directory / "run").exists()


def test_every_configuration_is_one_of_train(tmp_path):
    # A seed that no run has is refused when all else has been read.
    configs = sorted((EXPERIMENTS / "configs").glob("*.cfg"))
    commands = {
        path.name: [f"--flagfile={path.relative_to(EXPERIMENTS.parent)}", "--train_steps=0"]
        for path in configs
    }
    results = run_all("train.py", commands, EXPERIMENTS.parent)
    assert len(results) > 20
    for name, result in results.items():
        assert result.code == 1 and "--train_steps=0" in result.stderr, (name, result.stderr)


def test_averages_decays_and_classes_are_trained_with_and_kept(tmp_path):
    flags = {**TINY, "size": 16, "num_digits": 1, "digit_size": 8, "run_dir": tmp_path / "run"}
    flags.update(ema_momentum=0.5, learning_rate_decay_steps=6, train_steps=6, optimizer="adam")
    flags.update(learning_rate=1e-4, critic_learning_rate=2e-4, adam_beta_1=0.0, adam_beta_2=0.99)
    flags.update(critic_normalization="none")
    command = [*(f"--{key}={value}" for key, value in flags.items()), "--conditional"]
    result = one("train.py", command, tmp_path)
    assert result.code == 0, result.stderr
    kept = runs.read(tmp_path / "run").configuration
    assert (kept.num_classes, kept.critic["normalization"]) == (10, "none")
    rates = {"generator_optimizer": 1e-4, "critic_optimizer": 2e-4}
    for part, rate in rates.items():
        own = getattr(kept, part)
        assert (own["learning_rate"], own["beta_1"], own["beta_2"]) == (rate, 0.0, 0.99)
    values = tensors(tmp_path / "run", 6)
    # At the end of the decay the rate is 0; the fixed samples show each of ten classes.
    sheet = Image.open(tmp_path / "run/samples/step-6.gif")
    assert sheet.size == (4 * 18 - 2, 10 * 18 - 2)
    kernel = "tgan/generator/temporal_generator/deconvolutions/0/kernel"
    generator, _ = runs.load_generator(tmp_path / "run")
    loaded = generator.temporal_generator.deconvolutions[0].kernel.numpy()
    assert np.abs(loaded - values[kernel]).max() > 0
    average = [v for k, v in values.items() if v.shape == loaded.shape and "optimizer" in k]
    assert any(np.array_equal(loaded, value) for value in average)


def test_an_unknown_flag_value_is_refused_without_a_traceback(mistaken):
    result = mistaken[0]["objective"]
    assert result.code != 0
    assert "objective" in result.stderr and "wasserstein" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, data):
    """A run that was evaluated while it trained, and how it ended."""
    run_dir = tmp_path_factory.mktemp("evaluated") / "run"
    flags = {"evaluate_every": 6, "evaluate_metrics": "motion10,wasserstein10"}
    return run_dir, train(run_dir, data, **flags)


def test_evaluates_while_it_trains(evaluated, data):
    run_dir, result = evaluated
    assert result.code == 0, result.stderr
    lines = (run_dir / "evaluation/metrics.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in lines]
    assert [(one["metric"], one.get("step")) for one in kept] == [
        ("motion10_4f", None),
        ("motion10_4f", 6),
        ("wasserstein10_4f", 6),
        ("motion10_4f", 12),
        ("wasserstein10_4f", 12),
    ]
    assert kept[1]["real"]["path"] == str(data)


def test_what_a_kill_after_the_last_checkpoint_left_out_is_made_up(evaluated, tmp_path):
    run_dir = shutil.copytree(evaluated[0], tmp_path / "run")
    metrics, samples = run_dir / "evaluation/metrics.jsonl", run_dir / "samples/step-12.gif"
    lines, picture = metrics.read_text().splitlines(), samples.read_bytes()
    # The last record was being written.
    metrics.write_text("\n".join([*lines[:3], lines[3][:100]]))
    (run_dir / "evaluation/metrics.png").unlink()
    samples.unlink()
    shutil.copytree(run_dir / "checkpoints/step-4", run_dir / "checkpoints/step-1")
    result = one("train.py", [f"--flagfile={run_dir}/flags.cfg"], tmp_path)
    assert result.code == 0 and "all 12 steps are done" in result.stdout, result.stderr
    again = metrics.read_text().splitlines()
    assert len(again) == 6
    for before, after in zip(lines[3:], again[4:]):
        assert json.loads(after)["value"] == json.loads(before)["value"]
    assert (run_dir / "evaluation/metrics.png").exists()
    assert samples.read_bytes() == picture
    assert checkpoints.steps(run_dir / "checkpoints") == [4, 8, 12]


def test_refuses_an_evaluation_that_cannot_be_made_before_anything_is(tmp_path, data):
    flags = {"evaluate_every": 6, "evaluate_metrics": "fvd10"}
    result = train(tmp_path / "run", data, **flags)
    assert result.code == 1
    assert "10 clips are too few for the 128 features" in result.stderr
    assert not (tmp_path / "run").exists()
