"""Results as they are kept and shown; read back by json, Pillow and TensorBoard's own reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tgan_tf import __version__
from tgan_tf.errors import InputError
from tgan_tf.evaluation import records


def entry(step, value, of="checkpoint", metric="fvd40_4f", error=0.1, **more):
    return {
        "metric": metric, "value": value, "error": error, "of": of, "step": step,
        "run_dir": "runs/mine", "extractor": {"name": "a"}, "real": {"path": "b"}, **more,
    }  # fmt: skip


def test_appends_a_line_of_json_a_record(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    records.append(path, [entry(1, 2.0)])
    records.append(path, [entry(2, np.float32(1.5)), entry(3, 1.0)])
    values = [json.loads(line)["value"] for line in path.read_text().splitlines()]
    assert values == [2.0, 1.5, 1.0]


def test_a_line_that_a_kill_cut_short_costs_no_later_record(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"metric": "fv')
    records.append(path, [entry(1, 2.0)])
    records.append(path, [entry(2, 3.0)])
    cut, *lines = path.read_text().splitlines()
    assert cut == '{"metric": "fv'
    assert [json.loads(line)["value"] for line in lines] == [2.0, 3.0]


def test_writes_no_numbers_that_json_does_not_know(tmp_path):
    records.append(tmp_path / "m.jsonl", [entry(1, 1.0, details={"ratio": [float("nan")]})])
    assert "NaN" not in (tmp_path / "m.jsonl").read_text()
    assert records.read(tmp_path / "m.jsonl")[0]["details"] == {"ratio": [None]}


def test_passes_over_a_damaged_line(tmp_path):
    records.append(tmp_path / "m.jsonl", [entry(1, 1.0)])
    with (tmp_path / "m.jsonl").open("ab") as file:
        file.write(b'{"metric": "fv\n[]\n{"metric": "caf\xe9"}\n\0\0\n')
    records.append(tmp_path / "m.jsonl", [entry(2, 2.0)])
    with pytest.warns(UserWarning, match="line [2-5]: not a record"):
        assert [one["step"] for one in records.read(tmp_path / "m.jsonl")] == [1, 2]


def test_passes_over_a_line_of_another_version_and_names_both(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"measure": "fvd", "versions": {"tgan_tf": "9.9"}}\n')
    with pytest.warns(UserWarning, match=f"tgan_tf 9.9, which tgan_tf {__version__} cannot read"):
        assert records.read(tmp_path / "m.jsonl") == []


@pytest.mark.slow
def test_passes_over_a_line_that_lacks_what_its_readers_need(tmp_path):
    sound = entry(1, 1.0)
    wrong = {
        **{key: "x" for key in ("value", "error", "of", "step", "extractor", "real")},
        **{"metric": 3, "date": 5, "run_dir": 7},
    }
    lines = [{**sound, key: value} for key, value in wrong.items()]
    lines += [
        {key: value for key, value in sound.items() if key != lacking}
        for lacking in ("metric", "value", "error", "of", "step", "extractor", "real")
    ]
    lines += [
        {**sound, "value": float("nan")},
        {**sound, "error": -1.0},
        {**sound, "extractor": {}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, sound])
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.warns(UserWarning, match="not a record") as warned:
        assert records.read(tmp_path / "metrics.jsonl") == [sound]
    assert len(warned) == len(lines)
    with pytest.warns(UserWarning, match="not a record"):
        records.plot_run(tmp_path)


@pytest.mark.slow
def test_a_value_that_could_not_be_computed_is_a_gap_in_the_plot(tmp_path):
    kept = [entry(1, 1.0), entry(2, None, error=None), entry(None, None, of="real", error=None)]
    records.append(tmp_path / "metrics.jsonl", kept)
    assert records.plot_run(tmp_path).exists()
    records.write_scalars(tmp_path, kept[:2])


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\xfe{}\n")
    with pytest.warns(UserWarning, match="line 1: not a record"):
        assert records.read(tmp_path / "metrics.jsonl") == []


def test_names_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="metrics.jsonl: cannot be read"):
        records.read(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize(
    "value, error, text",
    [
        (123.456, 2.345, "123.5 ± 2.3"),
        (9.8765, 0.0123, "9.877 ± 0.012"),
        (0.5, None, "0.5"),
        (0.5, 0.0, "0.5"),
        (1234.5, 30.0, "1234 ± 30"),
    ],
)
def test_shows_as_many_digits_as_the_error_tells(value, error, text):
    assert records.shown({"value": value, "error": error}) == text


def test_a_table_is_aligned_markdown():
    table = records.table([["a", "long head"], ["name", "1"]])
    assert table.splitlines() == [
        "| a    | long head |",
        "| ---- | --------: |",
        "| name |         1 |",
    ]


def test_the_last_value_of_a_step_counts_in_a_curve():
    kept = [entry(20, 3.0), entry(10, 5.0), entry(20, 2.0, error=None), entry(30, 9.0, of="real")]
    assert records.curve(kept) == ([10, 20], [5.0, 2.0], [0.1, 0.0])


def test_only_records_that_were_judged_alike_are_compared():
    like = entry(1, 1.0)
    others = [
        entry(2, 2.0),
        entry(3, 3.0, metric="fvd80_4f"),
        entry(4, 4.0, extractor={"name": "c3d"}),
        entry(5, 5.0, real={"path": "c"}),
    ]
    assert [one["step"] for one in records.same_protocol(others, like)] == [2]


def test_tensorboard_reads_the_scalars(tmp_path):
    records.write_scalars(tmp_path, [entry(10, 5.0), entry(20, 2.0)])
    events = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()
    found = [
        (event.step, float(np.frombuffer(event.tensor_proto.tensor_content, np.float32)[0]))
        for event in events.Tensors("evaluation/fvd40_4f")
    ]
    assert found == [(10, 5.0), (20, 2.0)]


@pytest.mark.slow
def test_plots_every_metric_of_a_run(tmp_path):
    records.append(tmp_path / "metrics.jsonl", [entry(10, 5.0), entry(None, 1.0, of="real")])
    one = np.asarray(Image.open(records.plot_run(tmp_path)).convert("RGB")).astype(int)
    # The default blue of the curve is there, and the page is mostly white.
    assert (np.abs(one - (31, 119, 180)).sum(-1) < 10).sum() > 20
    assert (one.min(-1) > 250).mean() > 0.7
    records.append(tmp_path / "metrics.jsonl", [entry(10, 1.0, metric="kvd40_4f")])
    two = np.asarray(Image.open(records.plot_run(tmp_path)))
    assert two.shape[1] > one.shape[1]
