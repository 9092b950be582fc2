"""Videos of exported and of served generators by the generation program, against a run's."""

from __future__ import annotations

import contextlib
import socket

import model_servers
import numpy as np
import pytest
from model_servers import http_json
from programs import run_all
from tiny_tgan import save_run

from tgan_tf import export

pytestmark = pytest.mark.slow

MISTAKES = {
    "no SavedModel": (["--saved_model=run"], "run: holds no SavedModel and no version of one"),
    "missing model": (
        ["--server={grpc}", "--model_name=x"],
        "Servable not found for request: Latest",
    ),
    "missing version": (["--server={rest}", "--model_version=7"], "Specific(default, 7)"),
    "server that is down": (["--server={closed}"], "check that TensorFlow Serving runs there"),
    "no address": (["--server=nowhere"], "--server=nowhere: must be HOST:PORT"),
    "timeout": (["--server={grpc}", "--timeout=0"], "--timeout=0: must be a number > 0"),
}
SIGNATURES = model_servers.SIGNATURES
FOREIGN_SERVERS = {
    "no generator": ({}, "has no signature 'serving_default' (it has none): serve a generator"),
    "another model": (
        {"serving_default": ({"x": ["DT_FLOAT", -1]}, {"y": ["DT_FLOAT", -1]})},
        "serving_default declares float32 [n] as x",
    ),
    "other videos": (SIGNATURES, "replied videos of shape [0], not [8, 1, 2, 2, 1]"),
}
SOURCES = {
    "run": (["--run_dir=run"], "run/generated/step-3_seed-7"),
    "export": (["--saved_model=models/tiny"], "generated/tiny/version-1_seed-7"),
    "version": (["--saved_model=models/tiny/1", "--output_dir=version"], "version"),
    "grpc": (["--server={grpc}"], "generated/default/version-1_seed-7"),
    "rest": (["--server={rest}", "--model_version=1", "--output_dir=rest"], "rest"),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("generate")


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, in this order, and what became of each."""
    tgan = save_run(directory / "run")
    export.export_generator(tgan.generator, directory / "models" / "tiny")
    with contextlib.ExitStack() as stack:
        grpc, rest = stack.enter_context(
            model_servers.server_process(directory / "models" / "tiny")
        )
        foreign = {}
        for name, (signatures, _) in FOREIGN_SERVERS.items():
            answers = model_servers.metadata(**signatures), {"outputs": []}
            server = model_servers.raw_server(*([http_json(answer)] for answer in answers))
            foreign[name] = stack.enter_context(server)[0]
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            closed = f"127.0.0.1:{unused.getsockname()[1]}"
        commands = {
            **{name: flags for name, (flags, _) in MISTAKES.items()},
            **{name: [*flags, "--num_videos=3"] for name, (flags, _) in SOURCES.items()},
            **{name: [f"--server=http://{address}"] for name, address in foreign.items()},
            "two sources": ["--run_dir=run", "--saved_model=models/tiny"],
            "no source": [],
        }
        return run_all(
            "generate.py",
            {
                name: [
                    "--seed=7",
                    *(flag.format(grpc=grpc, rest=rest, closed=closed) for flag in flags),
                ]
                for name, flags in commands.items()
            },
            directory,
        )


@pytest.mark.parametrize("name", SOURCES)
def test_are_the_same_files_whatever_makes_them(results, directory, name):
    assert results[name].code == 0, results[name].stderr
    assert results[name].stderr == ""
    expected, found = (directory / SOURCES[source][1] for source in ("run", name))
    names = sorted(path.relative_to(expected) for path in expected.rglob("*"))
    assert sorted(path.relative_to(found) for path in found.rglob("*")) == names
    assert {path.suffix for path in names} >= {".gif", ".mp4", ".png", ".npz"}
    expected, found = (np.load(path / "clips.npz") for path in (expected, found))
    np.testing.assert_array_equal(found["latents"], expected["latents"])
    difference = np.abs(found["clips"].astype(int) - expected["clips"])
    # Where the sum of a pixel lies within its rounding of a half.
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001


def test_what_made_them_is_printed(results):
    for name, line in {
        "run": "run, step 3: 3 videos of seed 7",
        "export": "models/tiny/1: 3 videos of seed 7",
        "grpc": "version 1 of default: 3 videos of seed 7",
    }.items():
        assert line in results[name].stdout.splitlines()[0]


@pytest.mark.parametrize("name", [*MISTAKES, *FOREIGN_SERVERS])
def test_a_mistake_is_one_line(results, name):
    result = results[name]
    _, words = {**MISTAKES, **FOREIGN_SERVERS}[name]
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("generate.py: error: ") and words in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["two sources", "no source"])
def test_there_is_one_source(results, name):
    assert results[name].code == 1
    assert "Exactly one of (run_dir, saved_model, server) must have a value" in results[name].stderr
