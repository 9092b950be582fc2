"""The benchmark, run as a user runs it on a tiny network; its table of made-up times."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from programs import run_all

from tgan_tf.models import Critic, VideoGenerator
from tgan_tf.models.flops import generator_flops, step_flops

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

TINY = {
    "frames": 4,
    "size": 16,
    "temporal_filters": 8,
    "image_filters": 16,
    "critic_filters": 4,
    "batch_size": 3,
}
SETTINGS = {"repeats": 2, "product_size": 128}
PAPER = {
    "frames": 16,
    "size": 64,
    "temporal_filters": 512,
    "image_filters": 512,
    "critic_filters": 64,
    "batch_size": 32,
}
MISTAKES = {
    "--precisions=float64": "--precisions=float64: 'float64' must be one of float32, mixed_",
    "--precisions=": "--precisions=: must not be empty",
    "--precisions=float32,float32": "--precisions=float32,float32: must not repeat items",
    "--repeats=0": "--repeats=0: must be an integer ≥ 1",
    "--batch_size=-2": "--batch_size=-2: must be an integer ≥ 1",
    "--product_size=0": "--product_size=0: must be an integer ≥ 1",
    "--max_minutes=0": "--max_minutes=0: must be a number > 0",
    "--max_minutes=nan": "--max_minutes=nan: must be a finite number > 0",
    "--frames=3": "--frames=3: must be a power of two",
    "--size=20": "--size=20: must be a power of two",
    "--image_filters=10": "--image_filters=10: for size 64 must be a multiple of 16",
    "--output=missing/b.json": "there is no directory missing",
    "--output=there.json": "--output=there.json: already exists: give another name",
    "--networks=tiny.cfg": "--networks=tiny.cfg: give --layers with it",
    "--networks=tiny": "--networks=tiny: 'tiny' must be a flagfile, ending in .cfg",
    "--objective=hinge": "--objective has no effect here: put it into a flagfile",
    "--layers --size=16": "--size has no effect here: put it into a flagfile",
    "--layers --networks=none.cfg": "none.cfg: cannot be read (No such file or directory)",
    "--layers --networks=noisy.cfg": (
        "noisy.cfg: --critic_noise=0.3: cannot be measured by layers, only 0.0 can"
    ),
    "--layers --networks=labelled.cfg": "labelled.cfg: --conditional: networks with classes",
}
FLAGFILES = {
    "tiny": [f"--{key}={value}" for key, value in TINY.items()],
    "noisy": ["--flagfile=tiny.cfg", "--critic_noise=0.3"],
    "labelled": ["--flagfile=tiny.cfg", "--conditional"],
    # As of moving_mnist_digits.cfg.
    "hinge": [
        "--flagfile=tiny.cfg",
        "--run_dir=runs/hinge",
        "--num_digits=1",
        "--objective=hinge",
        "--critic_normalization=none",
        "--critic_frames=2",
        "--clipping_interval=1",
        "--optimizer=adam",
        "--ema_momentum=0.99",
    ],
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("benchmark")
    (directory / "there.json").write_text("earlier")
    for name, lines in FLAGFILES.items():
        (directory / f"{name}.cfg").write_text("\n".join(lines))
    return directory


@pytest.fixture(scope="module")
def finished(directory):
    """All commands of this file, and what became of each."""
    flags = {**TINY, **SETTINGS, "output": "tiny.json"}
    commands = {
        "finished": [f"--{key}={value}" for key, value in flags.items()],
        "layers": [
            "--layers",
            "--networks=hinge.cfg",
            "--product_size=128",
            "--repeats=1",
            "--output=layers.json",
        ],
        **{flags: ["--output=b.json", *flags.split()] for flags in MISTAKES},
    }
    return run_all("benchmark/benchmark.py", commands, directory)


@pytest.fixture(scope="module")
def results(finished, directory):
    assert finished["finished"].code == 0, finished["finished"].stderr
    return json.loads((directory / "tiny.json").read_text())


def test_the_operations_are_those_of_the_network(results):
    generator = VideoGenerator(4, 16, 1, temporal_filters=8, image_filters=16)
    step = step_flops(generator, Critic(4, 16, 1, filters=4), batch_size=3)
    assert results["step_gflop"] == pytest.approx(step / 1e9)
    assert results["video_gflop"] == pytest.approx(sum(generator_flops(generator)) / 1e9)


def test_the_file_tells_what_was_measured_where(results):
    assert results["network"] == TINY
    assert results["product_size"] == 128
    assert list(results["precisions"]) == ["float32", "mixed_bfloat16"]
    machine = results["machine"]
    assert machine["processor"] and machine["cores"] >= 1 and machine["tensorflow"]
    assert machine["onednn"] is (os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0")
    for precision, measured in results["precisions"].items():
        emulated = precision == "mixed_bfloat16" and not machine["bfloat16_arithmetic"]
        assert measured["emulated"] is emulated
        assert measured["batch_size"] == (1 if emulated else 3)
        assert all(time > 0 for times in measured["seconds"].values() for time in times)
        assert len(measured["seconds"]["step"]) == (1 if emulated else 2)


def test_each_measure_is_the_quotient_of_its_parts(results):
    for measured in results["precisions"].values():
        best = {part: min(times) for part, times in measured["seconds"].items()}
        batch = measured["batch_size"]
        product_gflop = 2 * 128**3 / 1e9
        step_gflop = results["step_gflop"] * batch / 3
        video_gflop = results["video_gflop"]
        requests = measured["seconds"].get("first_and_tenth_request")
        expected = {
            "clips_per_second": batch / best["step"],
            "gflop_per_second": step_gflop / best["step"],
            "peak_gflop_per_second": product_gflop / best["product"],
            "share_of_peak": step_gflop / best["step"] * best["product"] / product_gflop,
        }
        if not measured["emulated"]:
            expected |= {
                "steps_per_second": 1 / best["step"],
                "speedup_over_two_phase": best["two_phase_step"] / best["one_pass_step"],
                "clipping_share": best["clipping"] / (5 * best["step"]),
                "input_clips_per_second": 3 / best["input_batch"],
                "input_speedup": best["step"] / best["input_batch"],
                "serving_1_ms": 1000 * best["serving_1"],
                "serving_32_ms": 1000 * best["serving_32"],
                "serving_1_share": video_gflop
                / best["serving_1"]
                * best["product"]
                / product_gflop,
                "serving_32_share": 32
                * video_gflop
                / best["serving_32"]
                * best["product"]
                / product_gflop,
                "first_request": np.median(requests[::2]) / np.median(requests[1::2]),
                "peak_memory_gb": measured["peak_memory_bytes"] / 1e9,
            }
        measures = dict(measured["measures"])
        measures.pop("speedup_over_float32", None)
        assert measures == pytest.approx(expected)
    float32, bfloat16 = (measured["measures"] for measured in results["precisions"].values())
    assert bfloat16["speedup_over_float32"] == pytest.approx(
        bfloat16["clips_per_second"] / float32["clips_per_second"]
    )
    assert "speedup_over_float32" not in float32


def test_peak_memory_is_that_of_a_process_with_tensorflow(results):
    assert 0.1 < results["precisions"]["float32"]["measures"]["peak_memory_gb"] < 4


def test_the_table_has_each_measure_and_judges_no_other_network(finished, results):
    result = finished["finished"]
    lines = result.stdout.splitlines()
    assert results["machine"]["processor"] in lines[0]
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert len(rows) == 2 + 16
    columns = {row[0]: row[1] for row in rows}
    measures = results["precisions"]["float32"]["measures"]
    assert columns["| Training, clips a second"] == f"{measures['clips_per_second']:.2f}"
    assert columns["| Clipping, share of the step"] == f"{measures['clipping_share']:.2%}"
    assert all(floor["met"] is None for floor in results["floors"])
    assert result.stdout.count("not judged: another network") == 9
    assert "missed" not in result.stdout


def test_each_part_is_named_while_it_runs(finished):
    result = finished["finished"]
    for part in ("product", "step", "two_phase_step", "clipping", "input_batch", "serving_32"):
        assert f"float32, repeat 2 of 2: {part}\n" in result.stderr
    assert "mixed_bfloat16, repeat 1 of 2: step\n" in result.stderr


@pytest.mark.parametrize("flag", MISTAKES)
def test_a_flag_that_cannot_be_used_is_one_line_before_anything_is_measured(
    finished, directory, flag
):
    result = finished[flag]
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("benchmark.py: error: ")
    assert MISTAKES[flag] in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (directory / "b.json").exists()


def test_an_earlier_result_is_left_as_it_is(finished, directory):
    flagfiles = [f"{name}.cfg" for name in FLAGFILES]
    assert sorted(os.listdir(directory)) == sorted(
        ["layers.json", "there.json", "tiny.json", *flagfiles]
    )
    assert (directory / "there.json").read_text() == "earlier"


def made_up(bfloat16_arithmetic=True, peak_memory_bytes=4_000_000_000, **seconds):
    """Results of the paper's network before they are evaluated: 170 of 275 GFLOP/s."""
    parts = {
        "product": 0.5,
        "step": 2.0,
        "one_pass_step": 2.0,
        "two_phase_step": 2.4,
        "clipping": 0.1,
        "input_batch": 0.4,
        "serving_1": 0.06,
        "serving_32": 0.5,
    }
    requests = seconds.pop("first_and_tenth_request", [1.1, 1.0, 1.3, 1.1, 1.25, 0.9])
    parts.update(seconds)
    measured = {
        "emulated": False,
        "batch_size": 32,
        "peak_memory_bytes": peak_memory_bytes,
        "seconds": {
            **{part: [value + 1, value] for part, value in parts.items()},
            "first_and_tenth_request": requests,
        },
    }
    emulated = {
        "emulated": True,
        "batch_size": 1,
        "seconds": {"product": [0.5], "step": [2.0]},
    }
    return {
        "machine": {
            "processor": "Abacus",
            "cores": 2,
            "gpus": 0,
            "bfloat16_arithmetic": bfloat16_arithmetic,
            "load_before": 0.0,
            "tensorflow": "2.15.1",
            "onednn": True,
        },
        "network": PAPER,
        "clipping_interval": 5,
        "step_gflop": 340.0,
        "video_gflop": 4.0,
        "product_size": 4096,
        "precisions": {
            "float32": measured,
            "mixed_bfloat16": measured if bfloat16_arithmetic else emulated,
        },
    }


@pytest.fixture(scope="module")
def judged():
    """For each case whether each floor is met, and the last cell of each row of the table."""
    cases = {
        "reached": made_up(),
        "missed": made_up(
            peak_memory_bytes=4_000_000_001,
            product=0.48,
            two_phase_step=2.29,
            clipping=0.151,
            input_batch=0.401,
            serving_1=0.11,
            serving_32=0.9,
            first_and_tenth_request=[1.26, 1.0, 1.27, 1.0, 1.2, 1.0],
        ),
        "without arithmetic": made_up(bfloat16_arithmetic=False),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS / "benchmark")
        table = importlib.import_module("benchmark_table")
    judged = {}
    for case, results in cases.items():
        table.evaluate(results)
        met = {(floor["measure"], floor["precision"]): floor["met"] for floor in results["floors"]}
        shown = table.table(results)
        rows = [line.split(" | ") for line in shown.splitlines() if line.startswith("| ")]
        last_cells = {row[0].lstrip("| "): row[-1].removesuffix(" |") for row in rows}
        judged[case] = met, last_cells
    return judged


def test_a_floor_that_is_reached_is_met_and_one_that_is_missed_is_shown_so(judged):
    met, last_cells = judged["reached"]
    assert met == {
        ("share_of_peak", "float32"): True,
        ("speedup_over_float32", "mixed_bfloat16"): False,
        ("speedup_over_two_phase", "float32"): True,
        ("speedup_over_two_phase", "mixed_bfloat16"): True,
        ("clipping_share", "float32"): True,
        ("clipping_share", "mixed_bfloat16"): True,
        ("input_speedup", "float32"): True,
        ("input_speedup", "mixed_bfloat16"): True,
        ("serving_1_share", "float32"): True,
        ("serving_32_share", "float32"): True,
        ("first_request", "float32"): True,
        ("peak_memory_gb", "float32"): True,
        ("peak_memory_gb", "mixed_bfloat16"): True,
    }
    assert last_cells["Training, share of the peak"] == "yes"
    assert last_cells["Training, times as fast as in float32"] == "**missed** in mixed_bfloat16"
    assert last_cells["Peak memory of training, GB"] == "yes"


def test_every_floor_can_be_missed(judged):
    met, last_cells = judged["missed"]
    assert not any(met.values()) and len(met) == 13
    assert sum(cell.startswith("**missed** in ") for cell in last_cells.values()) == 9
    assert last_cells["Clipping, share of the step"] == "**missed** in float32, mixed_bfloat16"


def test_a_processor_without_bfloat16_arithmetic_is_not_held_to_its_speed(judged):
    met, last_cells = judged["without arithmetic"]
    assert met["speedup_over_float32", "mixed_bfloat16"] is None
    assert last_cells["Training, times as fast as in float32"] == (
        "not judged: the processor has no bfloat16 arithmetic"
    )


def test_layers_are_measured_and_pytorch_s_step_where_it_is(finished, directory):
    result = finished["layers"]
    assert result.code == 0, result.stderr
    ((path, network),) = json.loads((directory / "layers.json").read_text())["networks"].items()
    assert path == "hinge.cfg" and f"`{path}`, 3 clips a step:" in result.stdout
    for convolution in network["convolutions"].values():
        assert all(share > 0 for share in convolution["share_of_peak"].values())
    assert network["convolutions"]["critic conv0"]["input_shape"] == [3, 2, 16, 16, 1]
    assert network["measures"]["normalization_share"] > 0
    pytorch = "pytorch" in network
    assert ("speedup_over_pytorch" in network["measures"]) == pytorch
    assert ("pytorch_left_out" in network) != pytorch
    line = "which is not installed: pip install 'tgan_tf[import]'"
    assert result.stdout.count(line) == (0 if pytorch else 1)
