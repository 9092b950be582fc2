"""The page of a run, made as a user makes it; read with Python's HTML parser and with Chromium."""

from __future__ import annotations

import base64
import html
import html.parser
import io
import json
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from programs import run_all
from tiny_tgan import save_run

from tgan_tf import rendering

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert('&amp;')</script>\"><img src=http://example.com>"
RECORD = {
    "metric": "fvd200_4f", "error": 0.5, "extractor": {"name": "a"}, "real": {"path": HOSTILE},
    "command": "evaluate.py --run_dir=run --metrics=fvd200",
}  # fmt: skip
SECTIONS = [
    *("Samples", "Metrics", "Losses", "Spectra of the critic", "Signs", "Flags", "Make it again"),
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def gif(value):
    return rendering.encode_gif(np.full((2, 34, 34, 1), value, np.uint8))


def write_events(directory):
    """What a training writes, of numbers that are known."""
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for step, loss in ((2, 3.25), (4, 1.5)):
            tf.summary.scalar("training/critic_loss", loss, step=step)
            tf.summary.scalar("training/generator_loss", -loss, step=step)
            for layer, value in (("conv0", 0.75), ("conv1", 0.9)):
                name = f"critic/{layer}"
                tf.summary.scalar(f"{name}/largest_singular_value", value, step=step)
                tf.summary.scalar(f"{name}/operator_norm", 2 * value, step=step)
                values = np.linspace(0.25, value, 9)
                tf.summary.histogram(f"{name}/singular_values", values, step=step)
            tf.summary.scalar("critic/lipschitz_bound", 2.7, step=step)
            tf.summary.scalar("signs/diversity", 0.125, step=step)
            tf.summary.scalar("signs/motion", 0.9, step=step)
            tf.summary.scalar("signs/critic_auc", 0.875, step=step)
    writer.close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs")
    run = directory / "run"
    flags = {"train_steps": 9, "data_path": HOSTILE, "mirror": False, "metrics": ["a", "b"]}
    save_run(run, step=4, flags=flags)
    write_events(run)
    (run / "samples").mkdir()
    for step in range(5):
        (run / f"samples/step-{step}.gif").write_bytes(gif(10 * step))
    (run / "evaluation").mkdir()
    kept = [
        {**RECORD, "of": "real", "value": 0.25},
        {**RECORD, "of": "checkpoint", "step": 2, "value": 42.0},
        {**RECORD, "of": "checkpoint", "step": 4, "value": 21.0},
    ]
    (run / "evaluation/metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept))
    save_run(directory / "bare")
    save_run(directory / "made")
    (directory / "made/generated/step-3_seed-0").mkdir(parents=True)
    (directory / "made/generated/step-3_seed-0/grid.gif").write_bytes(gif(99))
    (directory / "nothing").mkdir()
    (directory / "mine.html").write_text("mine")
    return directory


@pytest.fixture(scope="module")
def results(directory):
    commands = {
        "full": ["--run_dir=run"],
        "again": ["--run_dir=run"],
        "bare": ["--run_dir=bare", "--output=bare.html"],
        "made": ["--run_dir=made"],
        "missing": ["--run_dir=nowhere"],
        "a file": ["--run_dir=mine.html"],
        "no run": ["--run_dir=nothing"],
        "existing": ["--run_dir=bare", "--output=mine.html"],
        "no page": ["--run_dir=bare", "--output=bare.pdf"],
    }
    return run_all("report.py", commands, directory)


class Page(html.parser.HTMLParser):
    """Elements with their attributes, the text of a document, and that of each section."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.sections = [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "section":
            self._current = self.sections.setdefault(dict(attributes)["id"], [])
        if self.sections:
            self._current.append("\n")

    def handle_data(self, data):
        self.text.append(data)
        if self.sections:
            self._current.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def section(self, title):
        return "".join(self.sections[title.lower().replace(" ", "-")])


def picture(image):
    """Kind and bytes of a picture that is in the page."""
    kind, data = re.fullmatch(r"data:image/(.+);base64,(.+)", image["src"]).groups()
    return kind, base64.b64decode(data)


def page_of(result, path):
    assert result.code == 0, result.stderr
    assert result.stderr == "" and result.stdout == f"page: {path}\n"
    return path


@pytest.fixture(scope="module")
def full(directory, results):
    page_of(results["full"], "run/report.html")
    return (directory / "run/report.html").read_text()


@pytest.fixture(scope="module")
def bare(directory, results):
    page_of(results["bare"], "bare.html")
    return (directory / "bare.html").read_text()


class TestPage:
    def test_has_its_sections_and_links_to_them(self, full):
        page = Page(full)
        assert [attributes["id"] for attributes in page.all("section")] == [
            link["href"].removeprefix("#") for link in page.all("a")
        ]
        assert re.findall("<h2>(.*?)</h2>", full) == SECTIONS

    @pytest.mark.parametrize("kind", ["full", "bare"])
    def test_loads_nothing_and_runs_nothing(self, kind, request):
        page = Page(request.getfixturevalue(kind))
        assert not {"script", "link", "iframe", "object", "video"} & {
            tag for tag, _ in page.elements
        }
        for tag, attributes in page.elements:
            for name, value in attributes.items():
                assert not name.startswith("on"), tag
                if name in ("src", "href", "srcset", "data"):
                    assert value.startswith(("data:image/", "#")), (tag, value[:80])
        assert "url(" not in "".join(page.text) and "@import" not in "".join(page.text)

    def test_every_picture_has_a_text_instead(self, full):
        images = Page(full).all("img")
        assert len(images) == 1 + 3 + 1 + 2 + 5 + 3
        texts = [image["alt"] for image in images]
        assert all(len(text) > 20 for text in texts) and len(set(texts)) == len(texts)

    def test_is_made_for_a_phone_too(self, full):
        (viewport,) = [m for m in Page(full).all("meta") if m.get("name") == "viewport"]
        assert viewport["content"] == "width=device-width, initial-scale=1"

    def test_shows_text_of_a_run_as_text(self, full):
        page = Page(full)
        assert f"--data_path={HOSTILE}\n" in page.section("Flags")
        assert not page.all("script")


class TestContents:
    def test_are_the_newest_samples_moving_and_earlier_ones(self, full):
        pictures = [picture(image) for image in Page(full).all("img")]
        gifs = [data for kind, data in pictures if kind == "gif"]
        assert gifs == [gif(value) for value in (40, 0, 20, 30)]
        with Image.open(io.BytesIO(gifs[0])) as image:
            assert image.n_frames == 2

    def test_are_the_metrics_beside_those_of_real_clips(self, full):
        page = Page(full)
        cells = " ".join(page.section("Metrics").split())
        assert "fvd200_4f" in cells and "21.00 ± 0.50" in cells and "0.25 ± 0.50" in cells
        assert (
            "Chart of fvd200_4f over the training steps: run 42 at step 2, 21 at step 4; "
            "real clips 0.25." in [image["alt"] for image in page.all("img")]
        )

    @pytest.mark.parametrize(
        "text",
        [
            "Chart of critic_loss over the training steps: critic_loss 3.25 at step 2, 1.5 at step "
            "4.",
            "Chart of largest singular value over the training steps: conv0 0.75 at step 2, 0.75 "
            "at step 4; conv1 0.9 at step 2, 0.9 at step 4.",
            "Chart of norm of the convolution over the training steps: conv0 1.5 at step 2, 1.5 at "
            "step 4; conv1 1.8 at step 2, 1.8 at step 4.",
            "Chart of motion over the training steps: motion 0.9 at step 2, 0.9 at step 4; real "
            "clips 1.",
        ],
    )
    def test_are_what_the_training_has_logged(self, full, text):
        assert text in [image["alt"] for image in Page(full).all("img")]

    def test_are_charts_that_can_be_drawn(self, full):
        charts = [picture(image) for image in Page(full).all("img")]
        charts = [ElementTree.fromstring(data) for kind, data in charts if kind == "svg+xml"]
        assert len(charts) == 11
        for chart in charts:
            assert chart.tag == "{http://www.w3.org/2000/svg}svg"
            links = [v for e in chart.iter() for k, v in e.attrib.items() if k.endswith("href")]
            assert all(link.startswith("#") for link in links)

    def test_tell_a_bad_sign(self, full):
        text = Page(full).section("Signs")
        assert "differ 0.12 times as much as real ones: the generator is collapsing" in text

    def test_are_the_flags_as_a_flagfile(self, full):
        lines = Page(full).section("Flags").splitlines()
        assert {"--train_steps=9", "--nomirror", "--metrics=a,b"} <= set(lines)

    def test_are_the_commands_that_make_it_again(self, full):
        assert Page(full).section("Make it again").splitlines()[-6:] == [
            "# The flags above, saved as run.cfg:",
            "python experiments/train.py --flagfile=run.cfg --run_dir=runs/run --train_steps=4",
            "# The run was evaluated with:",
            "python experiments/evaluate.py --run_dir=run --metrics=fvd200",
            "python experiments/generate.py --run_dir=runs/run",
            "python experiments/report.py --run_dir=runs/run",
        ]

    def test_that_a_run_does_not_have_are_told(self, bare):
        page = Page(bare)
        for title, words in {
            "Samples": "The run has no samples",
            "Metrics": "The run has not been evaluated",
            "Losses": "The run has no losses",
            "Spectra of the critic": "The run has no spectra",
            "Signs": "The run has no signs",
            "Flags": "The run has no flags.",
            "Make it again": "The run has no events of a training",
        }.items():
            assert words in page.section(title)
        assert page.all("img") == []

    def test_are_generated_videos_where_there_are_no_samples(self, directory, results):
        page = Page((directory / page_of(results["made"], "made/report.html")).read_text())
        assert [picture(image) for image in page.all("img")] == [("gif", gif(99))]
        assert "step-3, seed-0" in page.section("Samples")


class TestMistakes:
    @pytest.mark.parametrize(
        "name, message",
        [
            ("again", "run/report.html: already exists: give another --output"),
            ("missing", "--run_dir=nowhere: no such directory"),
            ("a file", "--run_dir=mine.html: not a directory"),
            ("no run", "nothing: has no configuration.json, so it is not a run directory"),
            ("existing", "--output=mine.html: already exists"),
            ("no page", "--output=bare.pdf: must end in .html"),
        ],
    )
    def test_are_one_line(self, results, name, message):
        result = results[name]
        assert result.code == 1 and result.stdout == ""
        assert message in result.stderr and len(result.stderr.splitlines()) == 1

    def test_overwrite_nothing(self, results, directory, full):
        assert results["existing"].code == results["again"].code == 1
        assert (directory / "mine.html").read_text() == "mine"
        assert (directory / "run/report.html").read_text() == full


def chromium(path, profile, *flags):
    """What Chromium prints of a page, on stdout and stderr."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        "--hide-scrollbars",
        *(f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom", *flags),
        path.as_uri(),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def width(text, tmp_path):
    """How wide a page is in a window 390 pixels wide: that, or more where something sticks out."""
    framed = tmp_path / "framed.html"
    framed.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><title>none</title><body onload="document.title = '
        "document.querySelector('iframe').contentDocument.documentElement.scrollWidth\">"
        f'<iframe style="width: 390px; height: 844px; border: 0" srcdoc="{html.escape(text)}">'
    )
    dom, _ = chromium(framed, tmp_path / "profile")
    return int(re.search("<title>(.*?)</title>", dom)[1])


class TestBrowser:
    def test_has_nothing_to_complain_of(self, directory, full, tmp_path):
        dom, logged = chromium(directory / "run/report.html", tmp_path / "profile")
        assert "<h2>Make it again</h2>" in dom
        assert "CONSOLE" not in logged, logged

    def test_says_what_it_complains_of(self, tmp_path):
        (tmp_path / "bad.html").write_text("<script>nothing()</script>")
        assert "CONSOLE" in chromium(tmp_path / "bad.html", tmp_path / "profile")[1]

    @pytest.mark.parametrize("kind", ["full", "bare"])
    def test_shows_the_page_on_a_phone_without_moving_it_sideways(self, kind, request, tmp_path):
        assert width(request.getfixturevalue(kind), tmp_path) == 390

    def test_tells_what_is_wider_than_a_phone(self, tmp_path):
        assert width('<div style="width: 500px">wide</div>', tmp_path) > 390
