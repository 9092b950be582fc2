"""A run's report: one HTML page to send to a colleague or attach to a paper.

    kept = records.read("runs/mine/evaluation/metrics.jsonl")
    html = page("runs/mine", kept, flags=["--size=64"], commands=["python train.py ..."])

The page shows the run directory's samples, metrics, losses, singular values of the critic and
signs. Pictures are embedded; it loads nothing and runs no scripts. A sentence replaces whatever the
run does not have.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tgan_tf import __version__, checkpoints, runs, training_events
from tgan_tf.configuration import Configuration
from tgan_tf.evaluation import records
from tgan_tf.evaluation.records import Panel
from tgan_tf.evaluation.signs import Signs
from tgan_tf.html_elements import Element, document, element, picture, preformatted, scrolled, table
from tgan_tf.training_events import Events

EARLIER_SAMPLES = 3
"""Number of earlier samples shown, evenly spaced over the training."""

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: #1b1b1b; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.5rem; border-bottom: 1px solid #ccc; }
p { max-width: 44rem; }
nav a { margin-right: 0.9rem; white-space: nowrap; }
a { color: #0a58a8; }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: 0.88rem; color: #444; margin-top: 0.25rem; }
.charts, .clips { display: grid; gap: 1.2rem; margin: 1rem 0; }
.charts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.clips { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.earlier { grid-template-columns: repeat(3, 1fr); }
.sheet { grid-template-columns: 1fr; }
.clips img { image-rendering: pixelated; }
table { border-collapse: collapse; margin: 0.8rem 0; }
th, td { text-align: left; padding: 0.25rem 0.9rem 0.25rem 0; vertical-align: top;
  border-bottom: 1px solid #e3e3e3; }
td.number, th.number { text-align: right; }
.scrolled { overflow-x: auto; }
.scrolled table { overflow-wrap: normal; }
pre { background: #f4f4f4; padding: 0.8rem; font-size: 0.85rem; }
"""

_LOSSES = {
    "critic_loss": "The loss that the critic minimises.",
    "generator_loss": "The loss that the generator minimises.",
    "wasserstein_estimate": "Mean score of real clips minus mean score of generated clips.",
}
_SIGNS = {
    "diversity": "Difference between generated clips, relative to real clips. Near 0 the generator "
    "makes only one clip.",
    "motion": "Difference between successive frames, relative to real clips. Near 0 the clips "
    "stand still; far above 1 they flicker.",
    "critic_auc": "Fraction of pairs in which the critic scores the real clip higher. At 0.5 it "
    "cannot distinguish generated clips from real ones.",
}


def page(
    run_dir: str | Path,
    kept: Sequence[dict[str, Any]],
    flags: Sequence[str],
    commands: Sequence[str],
    more: Mapping[str, str] | None = None,
) -> str:
    """Makes the page of a run.

    Args:
        run_dir: a run directory.
        kept: the records of the run's evaluations.
        flags: the flags of the training, as the lines of a flagfile.
        commands: commands that reproduce the run and its results.
        more: name → value of facts to show with those of the configuration.

    Returns:
        An HTML document, mostly of pictures, of about a megabyte.

    Raises:
        InputError: `run_dir` is not a run directory, or a file in it is damaged.
    """
    run_dir = Path(run_dir)
    run = runs.read(run_dir)
    name = run_dir.resolve().name
    events = training_events.read(run_dir)
    facts = {
        "Trained": _trained(run_dir, events),
        **(more or {}),
        **_facts(run.configuration),
        "Page written": f"{time.strftime('%Y-%m-%d', time.gmtime())}, by tgan_tf {__version__}",
    }
    parts = {
        "Samples": _samples(run_dir, events),
        "Metrics": _metrics(kept, name),
        "Losses": _losses(events),
        "Spectra of the critic": _spectra(events),
        "Signs": _signs(events),
        "Flags": _flags(flags),
        "Make it again": [preformatted(commands)],
    }
    links = [element("a", title, href=f"#{_anchor(title)}") for title in parts]
    sections = [
        element("section", element("h2", title), *contents, id=_anchor(title))
        for title, contents in parts.items()
    ]
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element(
            "meta",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
            **{"http-equiv": "Content-Security-Policy"},
        ),
        element("title", f"{name}: a TGAN"),
        element("style", _STYLE),
    ]
    body = [
        element(
            "header",
            element("h1", name),
            element("p", "A generative adversarial network for videos, trained with tgan_tf."),
            table([[key, value] for key, value in facts.items()], heading_column=True),
            element("nav", *links, **{"aria-label": "Sections"}),
        ),
        element("main", *sections),
    ]
    html = element("html", element("head", *head), element("body", *body), lang="en")
    return document(html)


def _trained(run_dir: Path, events: Events) -> str:
    """The number of steps trained."""
    steps = [step for of, _ in events.scalars.values() for step in of[-1:]]
    step = max([*checkpoints.steps(run_dir / "checkpoints"), *steps], default=None)
    return "no step yet" if step is None else f"{step:,} steps"


def _facts(configuration: Configuration) -> dict[str, str]:
    """The main facts of a configuration."""
    size, objective = configuration.size, configuration.objective
    colour = {1: "grey", 3: "colour"}.get(configuration.channels, "")
    classes = f", of {configuration.num_classes} classes" if configuration.num_classes else ""
    rates = [
        f"{part['name']}, rate {part['learning_rate']:g}"
        for part in (configuration.generator_optimizer, configuration.critic_optimizer)
        if "learning_rate" in part
    ]
    return {
        "Clips": f"{configuration.frames} frames of {size}×{size} pixels, {colour}{classes}",
        "Networks": f"generator {configuration.generator['name']}, critic "
        f"{configuration.critic['name']}",
        "Objective": objective if isinstance(objective, str) else "a custom one",
        "Kept Lipschitz by": configuration.lipschitz["name"].replace("_", " "),
        "Optimiser": "; critic ".join(dict.fromkeys(rates)),
    }


def _samples(run_dir: Path, events: Events) -> list[Element]:
    """The newest samples, real clips and earlier samples."""
    gifs = {
        int(path.stem.split("-")[1]): path
        for path in (run_dir / "samples").glob("step-*.gif")
        if path.stem.split("-")[1].isdecimal()
    }
    if not gifs:
        made = sorted(run_dir.glob("generated/*/grid.gif"), key=lambda path: path.stat().st_mtime)
        if not made:
            return [
                element(
                    "p",
                    "The run has no samples and no videos of generate.py.",
                )
            ]
        alt = "Generated clips side by side, moving."
        caption = f"Generated clips: {made[-1].parent.name.replace('_', ', ')}."
        return [_grid("clips", [picture(made[-1].read_bytes(), alt, caption)])]
    *before, newest = sorted(gifs)
    alt = f"Clips of the generator after {newest:,} steps, side by side, moving."
    shown = [picture(gifs[newest].read_bytes(), alt, f"Generated, after {newest:,} steps.")]
    if "samples/real" in events.pictures:
        alt = "Real clips side by side, moving."
        shown.append(picture(events.pictures["samples/real"], alt, "Real clips."))
    contents = [_grid("clips", shown)]
    if before:
        places = np.linspace(0, len(before) - 1, min(EARLIER_SAMPLES, len(before)))
        earlier = [
            picture(
                gifs[step].read_bytes(),
                f"Clips of the same latents after {step:,} steps, moving.",
                f"After {step:,} steps.",
            )
            for step in (before[round(place)] for place in places)
        ]
        contents += [
            element("p", "The same latents, earlier:"),
            _grid("clips earlier", earlier),
        ]
    sheet = gifs[newest].with_suffix(".png")
    if sheet.exists():
        alt = f"Frames of the generator's clips after {newest:,} steps, one row per clip."
        caption = "The same clips for printing: one row per clip, one column per frame."
        contents.append(_grid("clips sheet", [picture(sheet.read_bytes(), alt, caption)]))
    return contents


def _metrics(kept: Sequence[dict[str, Any]], name: str) -> list[Element]:
    panels = records.panels_of_run(kept, name)
    if not panels:
        return [element("p", "The run has not been evaluated: evaluate.py computes metrics.")]
    rows = [["metric", "value", "step", "real clips"]]
    for panel in panels:
        newest = [one for one in kept if one["of"] == "checkpoint" and one["metric"] == panel.title]
        alike = records.same_protocol(newest, newest[-1])
        last = max(reversed(alike), key=lambda one: one["step"])
        row = [panel.title, records.shown(last), f"{last['step']:,}", records.shown(panel.real)]
        # On a phone a value and its error take two lines.
        rows.append([text.replace("± ", "±\N{NO-BREAK SPACE}") for text in row])
    extractors = {one["extractor"]["name"] for one in kept if one["of"] == "checkpoint"}
    about = (
        f"Measured by {', '.join(sorted(extractors))}. The values of real clips are of other real "
        "clips: the best score a generator can expect."
    )
    return [
        element("p", about),
        scrolled(table(rows)),
        _charts([(panel, "") for panel in panels]),
    ]


def _losses(events: Events) -> list[Element]:
    found = events.scalars_in("training/")
    if not found:
        return [element("p", "The run has no losses: it has no events for TensorBoard.")]
    return [
        _charts(
            [(_panel(key, found[key]), about) for key, about in _LOSSES.items() if key in found]
        )
    ]


def _spectra(events: Events) -> list[Element]:
    scalars = events.scalars_in("critic/")
    largest = _by_layer(scalars, "/largest_singular_value")
    if not largest:
        return [element("p", "The run has no spectra: its events have none of the critic.")]
    shown = [
        (
            Panel("largest singular value", largest),
            "Of each kernel as a matrix, as singular value clipping limits it.",
        )
    ]
    norms = _by_layer(scalars, "/operator_norm")
    if norms:
        about = "The largest factor by which a convolution stretches its input."
        shown.append((Panel("norm of the convolution", norms), about))
    if "lipschitz_bound" in scalars:
        about = "Of the whole critic in inference: the product of its layers' factors."
        shown.append((_panel("Lipschitz bound", scalars["lipschitz_bound"]), about))
    for tag, (steps, by_name) in events.histograms.items():
        layer, _, rest = tag.removeprefix("critic/").partition("/")
        if rest == "singular_values":
            curves = {name: (steps, values, ()) for name, values in by_name.items()}
            about = "Quantiles, exact to 1/30 of their range."
            shown.append((Panel(f"singular values of {layer}", curves), about))
    return [_charts(shown)]


def _signs(events: Events) -> list[Element]:
    found = events.scalars_in("signs/")
    # A conditional critic has no such fraction.
    found = {key: of for key, of in found.items() if np.isfinite(of[1]).any()}
    if not found:
        return [
            element("p", "The run has no signs: they are written with samples after the start.")
        ]
    last = {key: values[-1] for key, (_, values) in found.items() if key in Signs._fields}
    bad = Signs(**{**dict.fromkeys(Signs._fields, float("nan")), **last}).warnings()
    told = [f"At the last samples {warning}." for warning in bad.values()]
    real = {"value": 1.0, "error": 0.0}
    shown = [
        (_panel(key, found[key], None if key == "critic_auc" else real), about)
        for key, about in _SIGNS.items()
        if key in found
    ]
    return [element("p", " ".join(told) or "No sign is bad at the last samples."), _charts(shown)]


def _flags(flags: Sequence[str]) -> list[Element]:
    if not flags:
        return [element("p", "The run has no flags.")]
    return [preformatted(flags)]


def _panel(title: str, of: tuple[list[int], list[float]], real: dict | None = None) -> Panel:
    steps, values = of
    return Panel(title, {title: (steps, values, ())}, real)


def _by_layer(scalars: Mapping[str, tuple[list[int], list[float]]], ending: str) -> dict:
    """Curves of the scalars whose tags have an ending, by layer."""
    return {
        tag.removesuffix(ending): (steps, values, ())
        for tag, (steps, values) in scalars.items()
        if tag.endswith(ending)
    }


def _charts(shown: Sequence[tuple[Panel, str]]) -> Element:
    """Charts, each with its caption."""
    return _grid("charts", [picture(_svg(panel), _in_words(panel), text) for panel, text in shown])


def _svg(panel: Panel) -> bytes:
    # Without pyplot, which keeps figures and may need a display.
    from matplotlib.figure import Figure

    # As wide as a page on a phone, so that the text is not made smaller there.
    figure = Figure(figsize=(4.4, 3), layout="constrained")
    records.draw(figure.add_subplot(), panel)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _in_words(panel: Panel) -> str:
    """The alternative text of a chart."""
    words = []
    for label, (steps, values, _) in panel.curves.items():
        known = [(step, value) for step, value in zip(steps, values) if value is not None]
        if known:
            (first, start), (last, end) = known[0], known[-1]
            words.append(f"{label} {start:.4g} at step {first:,}, {end:.4g} at step {last:,}")
    if panel.real is not None and panel.real["value"] is not None:
        words.append(f"real clips {panel.real['value']:.4g}")
    return f"Chart of {panel.title} over the training steps: {'; '.join(words)}."


def _grid(kind: str, figures: Sequence[Element]) -> Element:
    return element("div", *figures, **{"class": kind})


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
