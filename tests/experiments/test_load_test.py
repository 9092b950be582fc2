"""The load test, run as a user runs it, against servers in a process of their own."""

from __future__ import annotations

import contextlib
import json

import model_servers
import pytest
from model_servers import http_json
from programs import run_all
from tiny_tgan import make_tgan

from tgan_tf.export import export_generator

pytestmark = pytest.mark.slow

MISTAKES = {
    "no batch": (["--batch_size=0"], "--batch_size=0: must be an integer ≥ 1"),
    "no time": (["--seconds=nan"], "--seconds=nan: must be a finite number > 0"),
    "no clients": (["--concurrencies=1,0"], "--concurrencies=1,0: '0' must be an integer ≥ 1"),
    "no number": (["--concurrencies=a"], "--concurrencies=a: 'a' must be an integer ≥ 1"),
    "no directory": (
        ["--output=missing/a.json"],
        "a.json: there is no directory missing",
    ),
    "there already": (["--output=there.json"], "--output=there.json: already exists"),
    "no address": (["--server=nowhere"], "--server=nowhere: must be HOST:PORT"),
    "no model": (["--model_name=other"], "Servable not found for request: Latest(other)"),
    "too large": (["--batch_size=5000"], "5000 times 4 frames: give at most 4096 rows"),
}


METADATA = http_json(model_servers.metadata(**model_servers.SIGNATURES))
VIDEO = http_json({"outputs": [[[[[1], [2]], [[3], [4]]]]]})
# A client for the version, one to measure: its metadata, its warm-up, its requests.
SOUND = [[METADATA]] * 2 + [[VIDEO]] * 4
FAILING = {
    "dies": ([*SOUND, []], "check that TensorFlow Serving runs there and is ready"),
    "rubbish": (
        [*SOUND, [b"HTTP/1.1 200 OK\r\nno header\r\n\r\nrubbish"]],
        "the reply is not TensorFlow Serving's: ",
    ),
    "sometimes": (
        [*SOUND, [b"rubbish"], [VIDEO]],
        "requests failed: http://",
    ),
    "at first": ([[METADATA], [b"rubbish"]], "the answer cannot be read: BadStatusLine"),
}
SIGNATURES = ("serving_default", "generate_encoded", "interpolate", "latent_walk")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("load_test")
    (directory / "there.json").write_text("")
    return directory


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, in this order, and what became of each."""
    export_generator(make_tgan().generator, directory / "tiny")
    with contextlib.ExitStack() as stack:
        grpc, rest = stack.enter_context(model_servers.server_process(directory / "tiny"))
        short = ["--seconds=0.2"]
        commands = {name: [*short, *flags] for name, (flags, _) in MISTAKES.items()}
        commands["grpc"] = [*short, "--concurrencies=1,3", "--batch_size=2", "--output=a.json"]
        for name in SIGNATURES:
            commands[name] = [*short, "--concurrencies=1", f"--signature={name}"]
        commands = {name: [f"--server={grpc}", *flags] for name, flags in commands.items()}
        commands["rest"] = [*short, f"--server={rest}", "--concurrencies=2"]
        for name, (answers, _) in FAILING.items():
            failing, _ = stack.enter_context(model_servers.raw_server(*answers))
            flags = ["--concurrencies=1", "--timeout=1", f"--output={name}.json"]
            commands[name] = [*short, f"--server=http://{failing}", *flags]
        return run_all("serving/load_test.py", commands, directory)


def rows(stdout):
    """Numbers of a table's rows."""
    lines = [line for line in stdout.splitlines() if line.startswith("| ")][2:]
    return [[float(cell) for cell in line.strip("| ").split(" | ")] for line in lines]


@pytest.mark.parametrize("name", ["grpc", "rest", *SIGNATURES])
def test_measures_each_protocol_and_signature(results, name):
    result = results[name]
    assert (result.code, result.stderr) == (0, "")
    concurrencies = [row[0] for row in rows(result.stdout)]
    assert concurrencies == {"grpc": [1, 3], "rest": [2]}.get(name, [1])
    for _, requests, videos, p50, p99, errors in rows(result.stdout):
        assert requests > 0
        assert 0 < p50 <= p99
        assert errors == 0
        videos_a_request = {"grpc": 2, "latent_walk": 8}.get(name, 1)
        assert videos == pytest.approx(videos_a_request * requests, rel=0.01, abs=0.5)


def test_keeps_the_numbers_of_the_table_in_json(results, directory):
    assert results["grpc"].code == 0
    kept = json.loads((directory / "a.json").read_text())
    assert (kept["signature"], kept["batch_size"], kept["model_version"]) == ("generate", 2, 1)
    for row, shown in zip(kept["concurrencies"], rows(results["grpc"].stdout)):
        assert row["requests_per_second"] == pytest.approx(row["requests"] / row["seconds"])
        assert shown[1] == pytest.approx(row["requests_per_second"], abs=0.051)
        assert shown[3] == pytest.approx(row["p50_ms"], abs=0.051)
        assert row["seconds"] >= 0.2


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(results, name):
    result = results[name]
    assert result.code == 1
    assert result.stderr.startswith("load_test.py: error: ")
    assert MISTAKES[name][1] in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("name", FAILING)
def test_a_server_that_fails_half_way_is_one_line(results, name):
    result = results[name]
    assert result.code == 1
    assert result.stderr.startswith("load_test.py: error: ")
    assert FAILING[name][1] in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stdout


def test_what_was_measured_of_a_server_that_sometimes_fails_is_kept(results, directory):
    (row,) = rows(results["sometimes"].stdout)
    assert row[1] > 0 and row[-1] == 1
    kept = json.loads((directory / "sometimes.json").read_text())
    assert kept["concurrencies"][0]["errors"] == 1
