"""The notebooks of examples/, run whole in small sizes; in git they are without outputs."""

from __future__ import annotations

import os
import sys

import nbclient
import nbformat
import pytest
from documents import TOP

NOTEBOOKS = sorted((TOP / "examples").glob("*.ipynb"))
# What follows the cell of parameters, as papermill does it.
SMALLER = {
    "clipping_in_keras": "points, epochs = 256, 2",
    "moving_mnist": """
size, frames, temporal_filters, image_filters, critic_filters = 16, 4, 8, 8, 4
batch_size, steps, rounds, judged = 4, 2, 1, 140""",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_installs_the_package_first(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[] for _ in code]
    assert {cell.execution_count for cell in code} == {None}
    assert "%pip install" in code[0].source


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(path, tmp_path, monkeypatch):
    # The kernel is a process of its own.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOP), *sys.path]))
    notebook = nbformat.read(path, as_version=4)
    tagged = [
        i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())
    ]
    (place,) = tagged
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(SMALLER[path.stem]))
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output for output in shown if output.output_type == "error"] == []
    data = [output.data for output in shown if "data" in output]
    pictures = [each for each in data if "image/png" in each or "<img" in each.get("text/html", "")]
    assert len(pictures) >= 2
