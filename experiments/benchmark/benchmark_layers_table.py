"""Results computed from the seconds of `benchmark_layers`: shares, floors met, tables."""

from __future__ import annotations

from benchmark_machine import machine_line

PAPER = "experiments/configs/moving_mnist.cfg"
DIGITS = "experiments/configs/moving_mnist_digits.cfg"

FLOORS = {
    PAPER: {
        "share_of_peak": ("≥", 0.6),
        "normalization_share": ("≤", 0.06),
        "speedup_over_pytorch": ("≥", 1.7),
    },
    DIGITS: {"normalization_share": ("≤", 0.08)},
}
"""Bounds promised for the faster of the two stacks, by flagfile and measure."""

# Label, measure, form.
ROWS = (
    ("A step, seconds", "step_seconds", "{:.3f}"),
    ("Peak: a float32 matrix product, GFLOP/s", "peak_gflop_per_second", "{:.1f}"),
    ("A step, share of the peak", "share_of_peak", "{:.1%}"),
    ("Convolutions, share of the step", "convolution_share", "{:.1%}"),
    ("Batch normalisation, share of the step", "normalization_share", "{:.1%}"),
    ("The same step in PyTorch, seconds", "pytorch_step_seconds", "{:.3f}"),
    ("Clipping, share of the step in PyTorch", "pytorch_clipping_share", "{:.1%}"),
    ("A step, times as fast as in PyTorch", "speedup_over_pytorch", "{:.3g}"),
    (
        "A step, times as fast as in PyTorch without clipping",
        "speedup_over_unclipped_pytorch",
        "{:.3g}",
    ),
)
PASSES = ("forward", "by_input", "by_kernel")


def evaluate_layers(results: dict) -> None:
    """Adds the measures of each network, and the floors of all, to the results."""
    results["floors"] = []
    for path, network in results["networks"].items():
        seconds = network["seconds"]
        step, product = min(seconds["step"]), min(seconds["product"])
        peak = 2e-9 * results["product_size"] ** 3 / product
        in_convolutions = 0.0
        for name, convolution in network["convolutions"].items():
            best = {part: min(times) for part, times in seconds["convolutions"][name].items()}
            convolution["seconds"] = best
            convolution["share_of_peak"] = {
                part: convolution["gflop"] / best[part] / peak for part in PASSES
            }
            in_convolutions += sum(convolution["times"][part] * best[part] for part in PASSES)
        in_normalizations = 0.0
        for name, normalization in network["normalizations"].items():
            best = {part: min(times) for part, times in seconds["normalizations"][name].items()}
            backward = max(best["both"] - best["forward"], 0.0)
            normalization["seconds"] = {"forward": best["forward"], "backward": backward}
            in_normalizations += sum(
                normalization["times"][part] * taken
                for part, taken in normalization["seconds"].items()
            )
        network["measures"] = {
            "step_seconds": step,
            "peak_gflop_per_second": peak,
            "share_of_peak": network["step_gflop"] / step / peak,
            "convolution_share": in_convolutions / step,
            "normalization_share": in_normalizations / step,
        }
        if "pytorch_step" in seconds:
            theirs = min(seconds["pytorch_step"])
            interval = network["configuration"]["lipschitz"]["interval"]
            clipping = min(seconds["pytorch_clipping"]) / interval
            network["measures"] |= {
                "pytorch_step_seconds": theirs,
                "pytorch_clipping_share": clipping / theirs,
                "speedup_over_pytorch": theirs / step,
                "speedup_over_unclipped_pytorch": (theirs - clipping) / step,
            }
        for measure, (sign, bound) in FLOORS.get(path, {}).items():
            value = network["measures"].get(measure)
            met = None
            if value is not None:
                met = value >= bound if sign == "≥" else value <= bound
            results["floors"].append(
                {
                    "network": path,
                    "measure": measure,
                    "value": value,
                    "floor": f"{sign} {bound}",
                    "met": met,
                }
            )


def layers_table(results: dict) -> str:
    """The results in Markdown: the machine, and for each network its convolutions and its step."""
    lines = [machine_line(results["machine"])]
    for path, network in results["networks"].items():
        lines += [
            "",
            f"`{path}`, {network['batch_size']} clips a step:",
            "",
            "| Convolution | Input | Output | GFLOP | Forward | Gradient of the input "
            "| Gradient of the kernel |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, convolution in network["convolutions"].items():
            passes = [
                f"{1e3 * convolution['seconds'][part]:.3g} ms, "
                f"{convolution['share_of_peak'][part]:.1%}"
                for part in PASSES
            ]
            shapes = [
                "×".join(map(str, convolution[f"{end}_shape"])) for end in ("input", "output")
            ]
            cells = [name, *shapes, f"{convolution['gflop']:.3g}", *passes]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "| | | Floor | Met |", "| --- | ---: | --- | --- |"]
        for label, measure, form in ROWS:
            if measure in network["measures"]:
                value = form.format(network["measures"][measure])
                floor, met = _floor_cells(results, path, measure, form)
                lines.append(f"| {label} | {value} | {floor} | {met} |")
        if "pytorch_left_out" in network:
            lines += ["", f"Without PyTorch: {network['pytorch_left_out']}."]
        else:
            lines += ["", f"PyTorch {network['pytorch']}."]
        lines.append(
            f"A step is {network['step_gflop']:.4g} GFLOP; {network['steps']} are timed together, "
            f"with clipping every {network['configuration']['lipschitz']['interval']}."
        )
    repeats = max(len(network["seconds"]["step"]) for network in results["networks"].values())
    lines += [
        "",
        f"Fastest of {repeats} repeats; shares are of the peak, the product of "
        f"{results['product_size']}² float32 matrices in the same run. A layer is timed alone, the "
        "critic's on half of what it sees in a step. The floors are those of the faster stack.",
    ]
    return "\n".join(lines)


def _floor_cells(results: dict, path: str, measure: str, form: str) -> tuple[str, str]:
    """The table's cells for the floor of a measure and whether it is met."""
    if path not in FLOORS:
        known = any(measure in floors for floors in FLOORS.values())
        return "", "not judged: another network" if known else ""
    if measure not in FLOORS[path]:
        return "", ""
    sign, bound = FLOORS[path][measure]
    (judged,) = (
        floor
        for floor in results["floors"]
        if (floor["network"], floor["measure"]) == (path, measure)
    )
    return f"{sign} {form.format(bound)}", "yes" if judged["met"] else "**missed**"
