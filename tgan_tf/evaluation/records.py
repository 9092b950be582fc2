"""Keeps and shows results: `metrics.jsonl`, a table, TensorBoard scalars, plots.

A record is one line of JSON with everything needed to repeat it. It describes a checkpoint ("of":
"checkpoint"), other clips ("clips"), or real clips ("real"), the value of a perfect generator.
"""

from __future__ import annotations

import io
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy
import tensorflow as tf

from tgan_tf import __version__
from tgan_tf.arguments import Integer, Number
from tgan_tf.data import storage
from tgan_tf.errors import InputError, remedy
from tgan_tf.evaluation.evaluation import Evaluation, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "metrics.jsonl"
PLOT = "metrics.png"
_MARKED = 40  # the most points that a curve with markers has


def of_results(
    results: Sequence[Result], of: str, evaluation: Evaluation, fake: dict[str, Any], **more: Any
) -> list[dict[str, Any]]:
    """Makes a record of each result, with everything needed to repeat it.

    Args:
        results: results of an `Evaluation`.
        of: "checkpoint", "clips" or "real".
        evaluation: the evaluation.
        fake: the description of the evaluated clips.
        **more: further entries, such as step, seed and run_dir.
    """
    extractor = {"name": evaluation.extractor.name, "sha256": evaluation.extractor.sha256}
    return [
        {
            "metric": result.name,
            "value": result.estimate.value,
            "error": result.estimate.error,
            "error_of": result.estimate.error_of,
            "of": of,
            "n": result.count,
            "n_real": result.real_count,
            "frames": result.frames,
            "draws": result.draws,
            **more,
            "extractor": extractor,
            "fake": fake,
            "real": evaluation.real.description,
            "details": result.estimate.details,
            "versions": {
                "tgan_tf": __version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
                "scipy": scipy.__version__,
                "python": platform.python_version(),
            },
            "seconds": result.seconds,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        for result in results
    ]


def append(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Appends records to a file, one per line.

    Raises:
        InputError: the file cannot be written.
    """
    # One write, so that two evaluations do not mix their lines.
    lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in map(_plain, records))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            before = file.seek(0, os.SEEK_END)
            file.seek(max(before - 1, 0))
            # A line that a killed process truncated stays a separate line.
            begin = b"\n" if file.read(1) not in (b"", b"\n") else b""
            try:
                file.write(begin + lines.encode())
                file.flush()
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): {remedy(error)}"
        ) from error


def read(path: Path) -> list[dict[str, Any]]:
    """Reads the records of a file in order; other lines are skipped with a warning.

    Raises:
        InputError: the file does not exist or cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): make it with evaluate.py"
        ) from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if _is_record(found):
            records.append(found)
        else:
            version = _version(found)
            what = (
                "not a record of this program"
                if version in (None, __version__)
                else f"a record of tgan_tf {version}, which tgan_tf {__version__} cannot read"
            )
            warnings.warn(f"{path}, line {number}: {what}, skipped", stacklevel=2)
    return records


def _version(found: object) -> object:
    """The version of tgan_tf in a record of any form."""
    versions = found.get("versions") if isinstance(found, dict) else None
    return versions.get("tgan_tf") if isinstance(versions, dict) else None


def table(rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; all columns but the first are aligned right.

    Args:
        rows: rows of cells, equally many in each; the first is the head.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        lines.append("| " + " | ".join([first, *rest]) + " |")
    head, *others = widths
    line = "| " + " | ".join(["-" * head, *("-" * (width - 1) + ":" for width in others)]) + " |"
    return "\n".join([lines[0], line, *lines[1:]])


def shown(record: dict[str, Any] | None) -> str:
    """A record's value and error, rounded by the error: "4.83 ± 0.12".

    "–" if the record has no value, "" if there is no record.
    """
    if record is None:
        return ""
    value, error = record["value"], record["error"]
    if value is None:
        return "–"
    if not error:
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 6:
        return f"{value:.3g} ± {error:.1g}"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def write_scalars(directory: Path, records: Sequence[dict[str, Any]]) -> None:
    """Writes records of checkpoints as TensorBoard scalars evaluation/METRIC.

    Args:
        directory: a directory inside the run's, which TensorBoard shows with the run. It must not
            hold the training's events: TensorBoard stops reading these once it sees a newer file
            beside them.
        records: records with a step.
    """
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for found in records:
            if found["value"] is not None:
                name = f"evaluation/{found['metric']}"
                tf.summary.scalar(name, found["value"], step=found["step"])
    writer.close()


def same_protocol(records: Sequence[dict[str, Any]], like: dict[str, Any]) -> list[dict[str, Any]]:
    """The records that may be compared with `like`: same metric, extractor and real clips."""
    return [
        found
        for found in records
        if all(found.get(key) == like.get(key) for key in ("metric", "extractor", "real"))
    ]


def curve(
    records: Sequence[dict[str, Any]],
) -> tuple[list[int], list[float | None], list[float]]:
    """Steps, values and errors of the records of checkpoints; the last record of a step counts."""
    by_step = {found["step"]: found for found in records if found["of"] == "checkpoint"}
    steps = sorted(by_step)
    return (
        steps,
        [by_step[step]["value"] for step in steps],
        [by_step[step]["error"] or 0.0 for step in steps],
    )


class Panel(NamedTuple):
    """A plot of a metric.

    Attributes:
        title: the title, such as the metric's name.
        curves: x positions, values and errors (None for no error), see `curve`, by their label.
        real: the record of real clips, drawn as a line; or None.
        x: label of the x axis.
    """

    title: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float | None], Sequence[float]]]
    real: dict[str, Any] | None = None
    x: str = "training step"


def plot(path: Path, panels: Sequence[Panel]) -> None:
    """Draws panels, three in a row.

    Args:
        path: a PNG file, replaced if it exists.
        panels: at least one panel.
    """
    # Without pyplot, which keeps figures and may need a display.
    from matplotlib.figure import Figure

    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(
        figsize=(5 * columns if columns > 1 else 7, 4.5 * rows), dpi=120, layout="constrained"
    )
    for number, panel in enumerate(panels, 1):
        draw(figure.add_subplot(rows, columns, number), panel)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    storage.write(str(path), file.getvalue())


def draw(axes: Axes, panel: Panel) -> None:
    """Draws a panel; curves of many points have no markers."""
    for label, (steps, values, errors) in panel.curves.items():
        heights = np.array(values, float)  # None, for no value, becomes NaN: a gap.
        marker = "o" if len(steps) <= _MARKED else None
        if any(errors):
            axes.errorbar(
                steps, heights, errors, marker=marker, markersize=4, capsize=3, label=label
            )
        else:
            axes.plot(steps, heights, marker=marker, markersize=4, label=label)
    if panel.real is not None and panel.real["value"] is not None:
        value, error = panel.real["value"], panel.real["error"] or 0.0
        axes.axhline(value, color="0.4", linestyle="--", label="real clips")
        axes.axhspan(value - error, value + error, color="0.4", alpha=0.15, linewidth=0)
    axes.ticklabel_format(axis="y", useOffset=False)
    low, high = axes.get_ylim()
    if high - low < 1e-3 * abs(high):  # The differences are rounding, not a curve.
        axes.set_ylim(low - 0.05 * abs(high), high + 0.05 * abs(high))
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # A single curve with the name of its panel needs no legend.
    if list(panel.curves) != [panel.title] or panel.real is not None:
        # Below the panel, where no curve can be.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)


def panels_of_run(kept: Sequence[dict[str, Any]], run: str) -> list[Panel]:
    """A panel for each metric of a run's checkpoints, from records of the newest one's protocol.

    Args:
        kept: the run's records.
        run: name of the run, for records without it.
    """
    panels = []
    newest = {one["metric"]: one for one in kept if one["of"] == "checkpoint"}
    for name, newest_record in newest.items():
        alike = same_protocol(kept, newest_record)
        real = [one for one in alike if one["of"] == "real"]
        label = Path(newest_record.get("run_dir") or run).name
        panels.append(Panel(name, {label: curve(alike)}, real[-1] if real else None))
    return panels


def plot_run(directory: Path) -> Path:
    """Draws every metric of a run over the recorded steps.

    Args:
        directory: the directory of `metrics.jsonl`, and of the plot.

    Returns:
        The plot's path.
    """
    panels = panels_of_run(read(directory / FILE), directory.resolve().parent.name)
    plot(directory / PLOT, panels)
    return directory / PLOT


def _is_record(found: object) -> bool:
    """Whether a parsed line is a valid record."""
    if not isinstance(found, dict) or found.get("of") not in (
        "checkpoint",
        "clips",
        "real",
    ):
        return False
    numbers = {"value": Number(), "error": Number(at_least=0)}
    return (
        isinstance(found.get("metric"), str)
        and all(
            key in found and (found[key] is None or not kind.refusal(found[key]))
            for key, kind in numbers.items()
        )
        and (found["of"] != "checkpoint" or not Integer(0).refusal(found.get("step")))
        and isinstance(found.get("extractor"), dict)
        and isinstance(found["extractor"].get("name"), str)
        and isinstance(found.get("real"), dict)
        and all(isinstance(found.get(key, ""), str) for key in ("date", "run_dir"))
    )


def _plain(value: Any) -> Any:
    """Converts NumPy's types to Python's, and NaN and infinities, which JSON lacks, to None."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
