"""The commands of the documents.

Those of the tutorials are run, in smaller sizes. Of all of our programs the flags are checked by
the program itself. Of what is neither it is said here why.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from documents import DOCUMENTS, TOP, TUTORIALS, commands, languages, name_of
from films import FILMS, cut
from programs import run_all
from tiny_tgan import save_run

pytestmark = pytest.mark.slow

# Commands of other programs, by how they begin, and why they are not run here.
NOT_RUN = {
    ".": "activates an environment",
    "make": "installs packages, or takes minutes: tests/test_makefile.py has its choice of Python",
    ".ci/run": "runs this suite",
    "pip install": "installs packages",
    "pre-commit install": "changes the repository that it is run in",
    ".venv/bin/pip install": "installs packages",
    "python3.13 -m venv": "makes an environment",
    "uv pip compile": "makes the locks, from a package index",
    "echo openvino": "makes a lock, from a package index",
    ".venv/bin/python -c import tensorflow": "needs a GPU to say something",
    "python -m pytest": "runs this suite",
    "tensorboard": "is a server; tests/test_callbacks.py reads what it shows",
    "saved_model_cli": "tests/experiments/test_export.py runs it",
    "tensorflow_model_server": "is a server: tests/serving/ and tests/test_export_elsewhere.py",
    "docker": "needs Docker: tests/experiments/test_serving_configurations.py reads its files",
    "export TF_CONFIG": "names machines: tests/experiments/test_several_machines.py has processes",
    "curl": "needs a server: tests/serving/test_rest.py sends such requests",
    "mkdir": "goes before docker",
    "git checkout": "changes the sources that are tested",
}
# Programs of the tutorials of which only the flags are checked, and why.
NOT_RUN_IN_TUTORIALS = {
    "--extractor=i3d": "needs weights of others",
    "load_test.py": "needs a server: tests/experiments/test_load_test.py has one",
    "distort.py": "measures thousands of clips: tests/evaluation/test_distortions.py",
}
# What a program of a tutorial is given in addition, so that it ends in seconds.
SMALLER = {
    "train.py": "--frames=4 --critic_frames=4 --size=16 --digit_size=12 --z0_dim=6 --z1_dim=5 "
    "--temporal_filters=8 --image_filters=8 --critic_filters=2 --batch_size=4 --train_steps=2 "
    "--checkpoint_interval=2 --sample_interval=2 --summary_interval=2",
    "generate.py": "--num_videos=2",
}
MADE = {
    "digits": [
        "runs/moving_mnist_demo/samples/step-*.gif",
        "saved_models/*/1/saved_model.pb",
    ],
    "own_videos": ["before.png", "after.png", "prepared/mine/skipped.csv", "runs/try/generated/*"],
    "judging": ["judged/metrics.jsonl"],
    "serving": ["saved_models/mine/1/model_card.json"],
    "clipping": [],
}
# What the commands name, so that a program finds it.
RUNS = """
    a b imported mine moving_mnist_digits moving_mnist_digits_64
    moving_mnist_digits_conditional moving_mnist_demo moving_mnist_long
    moving_mnist_small moving_mnist_small_operator_norm my_videos other recurrent try
""".split()
FOLDERS = "UCF-101 generated my_videos prepared/mine prepared/small prepared/ucf101 results".split()
FILES = """
    checkpoint66000.pth config.yml conv3d_deepnetA_ucf.npz generated.npz mean2.npz
    results/ucf101.yml ucf101_train_pd.pkl
""".split()


def is_program(command):
    return command[0].endswith("python") and command[1].startswith("experiments/")


def test_blocks_are_of_python_of_the_shell_or_no_code():
    found = {kind for document in DOCUMENTS for kind in languages(document)}
    assert found == {"python", "sh", "bibtex", "text"}


def test_of_every_command_that_is_not_run_it_is_said_why():
    unknown = [
        command
        for document in DOCUMENTS
        for command in commands(document)
        if not is_program(command)
        and command[:2] != ["python", "tests/films.py"]
        and not any(" ".join(command).startswith(start) for start in NOT_RUN)
    ]
    assert unknown == []


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where flags are checked."""
    directory = tmp_path_factory.mktemp("commands")
    (directory / "experiments").symlink_to(TOP / "experiments")
    (directory / "saved_models").symlink_to(TOP / "saved_models")
    for folder in FOLDERS:
        (directory / folder).mkdir(parents=True)
    for file in FILES:
        (directory / file).touch()
    save_run(directory / "run")
    for run in RUNS:
        shutil.copytree(directory / "run", directory / "runs" / run)
    return directory


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_programs_take_the_flags(document, directory):
    for command in filter(is_program, commands(document)):
        program = command[1].removeprefix("experiments/")
        flags = command[2:]
        own = flags[: flags.index("--")] if "--" in flags else flags
        flags = [*own, "--only_check_args", *flags[len(own) :]]
        result = run_all(program, {"": flags}, directory)[""]
        assert (result.code, result.stderr) == (0, ""), command


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_s_commands_make_what_it_says(tutorial, tmp_path):
    (tmp_path / "experiments").symlink_to(TOP / "experiments")
    prepare(tutorial.stem, tmp_path)
    for command in filter(is_program, commands(tutorial)):
        if any(word.endswith(left_out) for word in command for left_out in NOT_RUN_IN_TUTORIALS):
            continue
        program = command[1].removeprefix("experiments/")
        # Of each metric 140 clips, a few more than its features.
        flags = [
            re.sub(r"(?<=[a-z])\d*(?=,|$)", "140", word) if word[:10] == "--metrics=" else word
            for word in command[2:]
        ]
        flags += SMALLER.get(program, "").split()
        result = run_all(program, {"": flags}, tmp_path, beam=True)[""]
        assert result.code == 0, (command, result.stdout, result.stderr)
    assert [file for file in MADE[tutorial.stem] if not list(tmp_path.glob(file))] == []


def prepare(tutorial, directory):
    """Makes what a tutorial takes for given."""
    if tutorial == "own_videos":
        for number, film in enumerate(sorted(FILMS)):
            (directory / "my_videos" / film).mkdir(parents=True)
            for half in range(2):
                path = directory / "my_videos" / film / f"{half}.mp4"
                cut(film, path, 30 * half, 40 + number, "h264", (160, 120))
    if tutorial == "judging":
        clips = np.random.default_rng(0).integers(0, 256, [256, 16, 64, 64, 1], np.uint8)
        np.savez(directory / "generated.npz", clips=clips)
    if tutorial == "serving":
        save_run(directory / "runs/mine")


def test_films_for_those_who_have_none_are_made_by_the_command(tmp_path):
    subprocess.run([sys.executable, TOP / "tests/films.py", "my_videos"], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "my_videos").rglob("*.avi"))) == 12
