"""Results computed from a benchmark's seconds: measures, floors met, a table."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from benchmark_machine import machine_line
from benchmark_network import PAPER


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        label: the row's name in the table.
        measure: the row's key in the JSON file.
        form: the format of the values.
        floor: the promised bound, ("≥", lowest) or ("≤", highest), if any.
        precision: the only precision with this floor; None for all.
    """

    label: str
    measure: str
    form: str
    floor: tuple[str, float] | None = None
    precision: str | None = None


ROWS = (
    Row("Training, steps a second", "steps_per_second", "{:.3f}"),
    Row("Training, clips a second", "clips_per_second", "{:.2f}"),
    Row("Training, GFLOP/s", "gflop_per_second", "{:.1f}"),
    Row("Peak: a float32 matrix product, GFLOP/s", "peak_gflop_per_second", "{:.1f}"),
    Row("Training, share of the peak", "share_of_peak", "{:.1%}", ("≥", 0.6), "float32"),
    Row(
        "Training, times as fast as in float32",
        "speedup_over_float32",
        "{:.3g}",
        ("≥", 1.3),
        "mixed_bfloat16",
    ),
    Row("Step, times as fast as in two phases", "speedup_over_two_phase", "{:.3g}", ("≥", 1.15)),
    Row("Clipping, share of the step", "clipping_share", "{:.2%}", ("≤", 0.015)),
    Row("Input pipeline alone, clips a second", "input_clips_per_second", "{:.0f}"),
    Row("Input pipeline, times what the step eats", "input_speedup", "{:.1f}", ("≥", 5.0)),
    Row("Served, 1 video of a seed, ms", "serving_1_ms", "{:.1f}"),
    Row("Served, 32 videos of seeds, ms", "serving_32_ms", "{:.0f}"),
    # 60 ms and 0.5 s at a peak of 453 GFLOP/s.
    Row("Served, 1 video, share of the peak", "serving_1_share", "{:.1%}", ("≥", 0.142), "float32"),
    Row("Served, 32, share of the peak", "serving_32_share", "{:.1%}", ("≥", 0.544), "float32"),
    # As fast as the tenth, except for the noise of the machine.
    Row(
        "Served, first request, times the tenth", "first_request", "{:.2f}", ("≤", 1.25), "float32"
    ),
    Row("Peak memory of training, GB", "peak_memory_gb", "{:.2f}", ("≤", 4.0)),
)


def evaluate(results: dict) -> None:
    """Adds the measures of each precision, and the floors of all, to the results."""
    clip_gflop = results["step_gflop"] / results["network"]["batch_size"]
    for measured in results["precisions"].values():
        batch_size = measured["batch_size"]
        best = {part: min(times) for part, times in measured["seconds"].items()}
        speed = batch_size * clip_gflop / best["step"]
        peak = 2e-9 * results["product_size"] ** 3 / best["product"]
        measured["measures"] = {
            "clips_per_second": batch_size / best["step"],
            "gflop_per_second": speed,
            "peak_gflop_per_second": peak,
            "share_of_peak": speed / peak,
        }
        if not measured["emulated"]:
            clipping = best["clipping"] / results["clipping_interval"]
            requests = measured["seconds"]["first_and_tenth_request"]
            measured["measures"] |= {
                "steps_per_second": 1.0 / best["step"],
                "speedup_over_two_phase": best["two_phase_step"] / best["one_pass_step"],
                "clipping_share": clipping / best["step"],
                "input_clips_per_second": batch_size / best["input_batch"],
                "input_speedup": best["step"] / best["input_batch"],
                "serving_1_ms": 1e3 * best["serving_1"],
                "serving_32_ms": 1e3 * best["serving_32"],
                "serving_1_share": results["video_gflop"] / best["serving_1"] / peak,
                "serving_32_share": 32 * results["video_gflop"] / best["serving_32"] / peak,
                "first_request": statistics.median(requests[::2])
                / statistics.median(requests[1::2]),
                "peak_memory_gb": measured["peak_memory_bytes"] / 1e9,
            }
    measures = {name: found["measures"] for name, found in results["precisions"].items()}
    if len(measures) == 2:
        measures["mixed_bfloat16"]["speedup_over_float32"] = (
            measures["mixed_bfloat16"]["clips_per_second"] / measures["float32"]["clips_per_second"]
        )
    results["floors"] = [
        judge(row, precision, values[row.measure], results)
        for row in ROWS
        for precision, values in measures.items()
        if row.floor and row.precision in (None, precision) and row.measure in values
    ]


def judge(row: Row, precision: str, value: float, results: dict) -> dict:
    """Judges whether a value meets the floor of its row; `met` is None if no floor applies."""
    sign, bound = row.floor
    met, reason = (value >= bound if sign == "≥" else value <= bound), None
    if results["network"] != PAPER:
        met, reason = None, "another network"
    elif results["precisions"][precision]["emulated"]:
        met, reason = None, "the processor has no bfloat16 arithmetic"
    return {
        "measure": row.measure,
        "precision": precision,
        "value": value,
        "floor": f"{sign} {bound}",
        "met": met,
        "not_judged_because": reason,
    }


def table(results: dict) -> str:
    """The results in Markdown: the machine, a table, and the method."""
    precisions = results["precisions"]
    names = [
        f"{name} (emulated, 1 clip a step)" if measured["emulated"] else name
        for name, measured in precisions.items()
    ]
    lines = [
        machine_line(results["machine"]),
        "",
        f"| | {' | '.join(names)} | Floor | Met |",
        f"| --- |{' ---: |' * len(names)} --- | --- |",
    ]
    for row in ROWS:
        values = [measured["measures"].get(row.measure) for measured in precisions.values()]
        cells = ["" if value is None else row.form.format(value) for value in values]
        if any(cells):
            judged = [floor for floor in results["floors"] if floor["measure"] == row.measure]
            lines.append(f"| {' | '.join([row.label, *cells, *floor_cells(row, judged)])} |")
    network = ", ".join(f"{name} {value}" for name, value in results["network"].items())
    repeats = max(len(measured["seconds"]["step"]) for measured in precisions.values())
    lines += [
        "",
        f"{'The paper’s' if results['network'] == PAPER else 'Another'} network: {network}. A step "
        f"is {results['step_gflop']:.4g} GFLOP, with clipping every {results['clipping_interval']} "
        f"steps. Fastest of {repeats} repeats; the peak is of {results['product_size']}² "
        "matrices in the same run. In two phases, critic and generator each have a forward and a "
        f"backward pass of their own. A video is {results['video_gflop']:.3g} GFLOP, when served "
        "made by the exported model in a session as TensorFlow Serving runs it, after its warm-up.",
    ]
    return "\n".join(lines)


def floor_cells(row: Row, judged: list[dict]) -> tuple[str, str]:
    """The table's cells for the floor of a row and whether it is met."""
    if row.floor is None:
        return "", ""
    sign, bound = row.floor
    floor = f"{sign} {row.form.format(bound)}" + (f" in {row.precision}" if row.precision else "")
    missed = [entry["precision"] for entry in judged if entry["met"] is False]
    if missed:
        return floor, f"**missed** in {', '.join(missed)}"
    reasons = {entry["not_judged_because"] for entry in judged if entry["met"] is None}
    if reasons:
        return floor, f"not judged: {', '.join(sorted(reasons))}"
    return floor, "yes" if judged else "not measured"
