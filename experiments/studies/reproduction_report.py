"""The report of a comparison: results.md, results.json, metrics.png and samples.png."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from reproduction_jobs import Run, kept_records
from tgan_tf import rendering, runs
from tgan_tf.data import storage
from tgan_tf.data.pipeline import Source
from tgan_tf.evaluation import records
from tgan_tf.evaluation.metrics import parse_metrics
from tgan_tf.latents import generator_latents

SAMPLES = 3
"""Clips of each variant in samples.png."""


def write(
    output_dir: Path,
    every: Sequence[Run],
    titles: Mapping[str, str],
    settings: Sequence[str],
    real: Source,
    seed: int,
) -> None:
    """Writes the table, the numbers and the pictures of runs, all of them evaluated.

    Args:
        output_dir: directory for the report.
        every: the runs, with the first seed first; the very first has records of real clips.
        titles: titles of the variants, by name, in order.
        settings: everything that affects the results, for the record.
        real: real clips for the picture.
        seed: seed of the latents of the picture's generated clips.
    """
    kept = {run.directory: kept_records(run) for run in every}
    first = kept[every[0].directory]
    names = dict.fromkeys(one["metric"] for one in first if one["of"] == "checkpoint")
    floor = {one["metric"]: one for one in first if one["of"] == "real"}
    found, panels = {}, []
    for metric in names:
        found[metric] = {"real": floor.get(metric), "variants": {}}
        curves = {}
        for variant, title in titles.items():
            by_seed = {
                run.seed: records.curve(
                    [one for one in kept[run.directory] if one["metric"] == metric]
                )
                for run in every
                if run.variant == variant
            }
            summary = _over_seeds(by_seed)
            found[metric]["variants"][variant] = summary
            curves[title] = tuple(summary[name] for name in ("steps", "mean", "deviation"))
        panels.append(records.Panel(metric, curves, floor.get(metric)))
    records.plot(output_dir / "metrics.png", panels)
    storage.write(
        str(output_dir / "samples.png"), _samples(every[: len(titles)], titles, real, seed)
    )
    results = {
        "settings": settings,
        "metrics": found,
        "runs": {
            run.directory.name: {
                "variant": run.variant,
                "seed": run.seed,
                "train": shlex.join(["python", *run.train]),
                "evaluate": shlex.join(["python", *run.evaluate]),
                "flags": runs.flag_lines(run.directory),
                "records": kept[run.directory],
            }
            for run in every
        },
    }
    storage.write(str(output_dir / "results.json"), json.dumps(results, indent=1).encode())
    text = _tables(found, titles, every[0].steps[-1])
    storage.write(str(output_dir / "results.md"), text.encode())
    print(text)
    for name in ("results.md", "results.json", "metrics.png", "samples.png"):
        print(output_dir / name)


def _over_seeds(by_seed: dict[int, tuple[list, list, list]]) -> dict:
    """Mean and deviation over seeds at each step.

    Args:
        by_seed: curves with the same steps, as from `records.curve`.

    Returns:
        steps, mean, deviation (of a sample, with n - 1; 0 for one seed), and seeds, the values of
        each.
    """
    steps = next(iter(by_seed.values()))[0]
    values = np.array([curve[1] for curve in by_seed.values()], float)
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
    return {
        "steps": steps,
        "mean": values.mean(axis=0).tolist(),
        "deviation": deviation.tolist(),
        "seeds": {seed: curve[1] for seed, curve in by_seed.items()},
    }


def _tables(found: dict, titles: Mapping[str, str], step: int) -> str:
    """The text of results.md: the metrics of results.json after `step` steps."""
    head, rows = ["variant"], [[title] for title in titles.values()]
    real = ["real clips"]
    for metric, results in found.items():
        head += [metric, "each seed"]
        for row, name in zip(rows, titles):
            summary = results["variants"][name]
            of_seeds = {"value": summary["mean"][-1], "error": summary["deviation"][-1]}
            last = (values[-1] for values in summary["seeds"].values())
            row += [records.shown(of_seeds), ", ".join(f"{value:.4g}" for value in last)]
        real += [records.shown(results["real"]), ""]
    requests = parse_metrics(list(found), 10**9)
    about = [f"- `{request.name()}`: {request.metric.about}" for request in requests]
    seeds = list(summary["seeds"])
    lines = [
        f"# Results after {step:,} steps",
        "",
        records.table([head, *rows, real]),
        "",
        f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}; real clips, "
        "held-out ones if available, are evaluated once: value ± its error.",
        "",
        *about,
        "",
        "![Each metric over the steps, mean and deviation of the seeds](metrics.png)",
        "",
        f"![Videos from the same latents by each variant, seed {seeds[0]}](samples.png)",
        "",
    ]
    return "\n".join(lines)


def _samples(chosen: Sequence[Run], titles: Mapping[str, str], real: Source, seed: int) -> bytes:
    """Draws videos from the same latents by a run of each variant, and real ones."""
    # Without pyplot, which keeps figures and may need a display.
    from matplotlib.figure import Figure

    clips = {}
    for run in chosen:
        generator, _ = runs.load_generator(run.directory, run.steps[-1])
        z0 = generator_latents(generator, seed, SAMPLES)
        made = np.concatenate(list(runs.generate(generator, z0)))
        clips[titles[run.variant]] = rendering.to_uint8(made)
    clips["real clips"] = np.stack([real.clip(number).numpy() for number in range(SAMPLES)])

    sheets = {name: rendering.contact_sheet(group) for name, group in clips.items()}
    rows, columns, _ = next(iter(sheets.values())).shape
    # Drawn pixel by pixel: a size in inches would make some pixels wider than others.
    scale, title, dpi = max(1, 1200 // columns), 28, 100
    width, height = columns * scale, len(sheets) * (title + rows * scale)
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    bottom = height
    for name, sheet in sheets.items():
        figure.text(0, (bottom - title + 8) / height, name)
        bottom -= title + rows * scale
        pixels = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
        figure.figimage(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), 0, bottom)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
