"""The benchmark, run as a user runs it on a tiny network; its numbers against counts by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[2] / "experiments/benchmark.py"
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

# Multiplications of one clip in the forward pass, layer by layer: positions x kernel.
TEMPORAL = [
    1 * 1 * 100 * 8,  # 1 step, kernel 1
    1 * 4 * 8 * 4,  # 1 step to 2, kernel 4
    2 * 4 * 4 * 100,  # 2 steps to 4
]
IMAGE_ONCE = [
    100 * (4 * 4 * 8),  # z0, dense to 8 maps of 4x4
    4 * 4 * (4 * 4 * 8 * 8),  # 4x4 to 8x8, kernel 4x4, z0's half
]
IMAGE_EACH_FRAME = [
    100 * (4 * 4 * 8),  # z1, dense
    4 * 4 * (4 * 4 * 8 * 8),  # 4x4 to 8x8, z1's half
    8 * 8 * (4 * 4 * 8 * 4),  # 8x8 to 16x16
    16 * 16 * (3 * 3 * 4 * 1),  # to the frame, kernel 3x3
]
CRITIC = [
    2 * 8 * 8 * (4 * 4 * 4 * 1 * 4),  # 4x16x16x1 to 2x8x8x4
    1 * 4 * 4 * (4 * 4 * 4 * 4 * 8),  # to 1x4x4x8
    1 * 4 * 4 * 8,  # to the score
]


def run(output, **flags):
    flags = {**TINY, **SETTINGS, "output": output, **flags}
    return subprocess.run(
        [sys.executable, str(BENCHMARK), *(f"--{key}={value}" for key, value in flags.items())],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("benchmark") / "tiny.json"
    result = run(output)
    assert result.returncode == 0, result.stderr
    return result, output


@pytest.fixture(scope="module")
def results(finished):
    _, output = finished
    return json.loads(output.read_text())


def test_a_step_has_the_operations_counted_by_hand(results):
    generator = sum(TEMPORAL) + sum(IMAGE_ONCE) + 4 * sum(IMAGE_EACH_FRAME)
    forward = generator + 2 * sum(CRITIC)
    by_kernels = forward
    # Nothing is to be learnt from the gradient by z0 or by a real clip.
    by_inputs = forward - TEMPORAL[0] - IMAGE_ONCE[0] - CRITIC[0]
    flops = 3 * 2 * (forward + by_kernels + by_inputs)
    assert results["step_gflop"] == pytest.approx(flops / 1e9, rel=1e-12)


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
        video_gflop = 2 * (sum(TEMPORAL) + sum(IMAGE_ONCE) + 4 * sum(IMAGE_EACH_FRAME)) / 1e9
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
    result, _ = finished
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
    result, _ = finished
    for part in ("product", "step", "two_phase_step", "clipping", "input_batch", "serving_32"):
        assert f"float32, repeat 2 of 2: {part}\n" in result.stderr
    assert "mixed_bfloat16, repeat 1 of 2: step\n" in result.stderr


def test_an_earlier_result_is_left_as_it_is(tmp_path):
    output = tmp_path / "benchmark.json"
    output.write_text("earlier")
    result = run(output)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (f"benchmark.py: error: --output={output}: exists, give another name\n")
    assert output.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["benchmark.json"]


def call(program, *arguments):
    """What a program that imports the benchmark prints, as JSON.

    In a process of its own, for the flags of two programs do not go together in one.
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(json.dumps, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARK.parent), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_flag_that_cannot_be_used_is_one_line_before_anything_is_measured(tmp_path):
    mistakes = {
        "--precisions=float64": "--precisions=float64: 'float64' must be one of float32, mixed_",
        "--precisions=": "--precisions=: must not be empty",
        "--precisions=float32,float32": "--precisions=float32,float32: must have each only once",
        "--repeats=0": "--repeats=0: must be an integer ≥ 1",
        "--batch_size=-2": "--batch_size=-2: must be an integer ≥ 1",
        "--product_size=0": "--product_size=0: must be an integer ≥ 1",
        "--max_minutes=0": "--max_minutes=0: must be a number > 0",
        "--max_minutes=nan": "--max_minutes=nan: must be a finite number > 0",
        "--frames=3": "frames=3: give a power of two",
        "--size=20": "size=20: give a power of two",
        "--image_filters=10": "image_filters=10: for size 64 give a multiple of 16",
        f"--output={tmp_path}/missing/b.json": f"there is no directory {tmp_path}/missing",
        f"--output={tmp_path}": f"--output={tmp_path}: exists, give another name",
    }
    program = """
        import contextlib, io, json, sys
        import benchmark, command_line
        from tgan_tf.errors import InputError

        messages = []
        for flag in json.loads(sys.argv[1]):
            benchmark.FLAGS.unparse_flags()
            with contextlib.redirect_stderr(io.StringIO()) as said:
                try:
                    given = ["benchmark.py", json.loads(sys.argv[2]), flag]
                    command_line.parse_flags("benchmark.py", given)
                    benchmark.main([])
                except InputError as error:
                    messages.append(str(error))
                except SystemExit:
                    messages.append(said.getvalue().strip())
        print(json.dumps(messages))
    """
    messages = call(program, list(mistakes), f"--output={tmp_path}/b.json")
    assert len(messages) == len(mistakes)
    for message, part in zip(messages, mistakes.values()):
        assert part in message and "\n" not in message
    assert os.listdir(tmp_path) == []


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
    program = """
        import json, sys
        import benchmark

        answers = []
        for results in json.loads(sys.argv[1]):
            benchmark.evaluate(results)
            answers.append([results["floors"], benchmark.table(results)])
        print(json.dumps(answers))
    """
    judged = {}
    for case, (floors, table) in zip(cases, call(program, list(cases.values()))):
        met = {(floor["measure"], floor["precision"]): floor["met"] for floor in floors}
        rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
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
