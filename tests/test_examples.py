"""The examples of README.md, of docs/ and of the docstrings, run as they stand.

What an example needs lies in the directory where they run. A docstring's may use the names of its
module, the public ones of the package, and `tf`, `keras`, `np` and `recipe`.
"""

from __future__ import annotations

import ast
import doctest
import importlib

import keras
import model_servers
import numpy as np
import pytest
import tensorflow as tf
from documents import DOCUMENTS, TOP, TUTORIALS, code_blocks, name_of
from tiny_tgan import make_generator, save_run

import tgan_tf
from tgan_tf.data.recordings import recipe
from tgan_tf.export import export_generator
from tgan_tf.rendering import encode_gif

NOT_RUN = {
    "tgan_tf.data.golf.GolfScenes": "needs scenes of Golf",
    "tgan_tf.data.hdf5.HDF5File": "needs a file of the reference's, 85 columns wide",
    "tgan_tf.data.tfrecord_videos.TFRecordVideos": "needs videos that Apache Beam has prepared",
    "tgan_tf.data.windows.Windows": "needs videos that Apache Beam has prepared",
}
# Of the documents, where an example would take days: what is put in place of what, all of it there.
SMALLER = {
    "steps_per_epoch=1000, epochs=100": "steps_per_epoch=1, epochs=1, verbose=0",
    "generator = VideoGenerator(frames=16, size=64,": "generator = VideoGenerator(4, 16,",
    "    frames=16,\n    size=64,": "    frames=4,\n    size=16,",
    "MovingMNIST(), batch_size=32": "MovingMNIST(4, 16, digit_size=16), batch_size=2",
    "tf.random.uniform([8,": "tf.random.uniform([2,",
    "Windows(videos,": "Windows(videos, frames=4, size=16,",
    "prepared/ucf101": "clips",
}


def examples() -> list[tuple[str, str]]:
    """The Python of the documents: where each stands, and what it is.

    A tutorial is one example, whose blocks follow each other. Those of adding_your_own.md are run
    by test_adding_your_own.py, a section at a time.
    """
    found = []
    for document in DOCUMENTS:
        if document.name == "adding_your_own.md":
            continue
        blocks = code_blocks(document, "python")
        if document in TUTORIALS and blocks:
            blocks = [(blocks[0][0], "\n".join(block for _, block in blocks))]
        found.extend((f"{name_of(document)}:{line}", block) for line, block in blocks)
    return found


def docstring_examples() -> list[str]:
    """The full names of what has an example in its docstring."""
    names = []
    for path in sorted((TOP / "tgan_tf").rglob("*.py")):
        module = ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                if ">>>" in (ast.get_docstring(node) or ""):
                    names.append(f"{module}.{node.name}")
    return names


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where the examples run: files by the names that they have there."""
    directory = tmp_path_factory.mktemp("examples")
    frames = np.random.default_rng(0).integers(0, 256, [20, 64, 85, 3], np.uint8)
    (directory / "clips").mkdir()
    (directory / "clips/a.gif").write_bytes(encode_gif(frames))
    np.save(directory / "mnist_test_seq.npy", np.zeros([20, 30, 64, 64], np.uint8))
    generated = directory / "generated/step-1000_seed-0"
    generated.mkdir(parents=True)
    np.savez(generated / "clips.npz", clips=np.zeros([2, 16, 64, 64, 1], np.uint8))
    save_run(directory / "runs/mine")
    (directory / "saved_models").symlink_to(TOP / "saved_models")
    return directory


@pytest.fixture(scope="module")
def server(directory):
    """The address of a server of the model "mine"."""
    export_generator(make_generator(), directory / "mine")
    models = model_servers.Models(mine=directory / "mine")
    with model_servers.grpc_server(models) as address:
        yield address
    models.close()


def test_what_is_changed_of_the_documents_is_there():
    text = "\n".join(block for _, block in examples())
    assert [there for there in SMALLER if there not in text] == []
    assert "localhost:8500" in text


@pytest.mark.slow
@pytest.mark.parametrize(("place", "block"), examples(), ids=lambda value: value[:40])
def test_an_example_of_the_documents_runs(place, block, directory, request, monkeypatch):
    monkeypatch.chdir(directory)
    if "localhost:8500" in block:
        block = block.replace("localhost:8500", request.getfixturevalue("server"))
    for there, smaller in SMALLER.items():
        block = block.replace(there, smaller)
    exec(compile(block, place, "exec"), {"__name__": place})


@pytest.mark.slow
@pytest.mark.parametrize("name", docstring_examples())
def test_an_example_of_a_docstring_gives_what_it_says(name, directory, monkeypatch):
    if name in NOT_RUN:
        pytest.skip(NOT_RUN[name])
    monkeypatch.chdir(directory)
    module = importlib.import_module(name.rpartition(".")[0])
    public = {each: getattr(tgan_tf, each) for each in tgan_tf.__all__}
    names = {**public, "keras": keras, "np": np, "tf": tf, "recipe": recipe, **vars(module)}
    example = getattr(module, name.rpartition(".")[2])
    said = []
    for test in doctest.DocTestFinder(recurse=False).find(example, name, globs=names):
        doctest.DocTestRunner().run(test, out=said.append)
    assert "".join(said) == ""


@pytest.mark.slow
def test_what_is_not_run_has_an_example():
    assert set(NOT_RUN) <= set(docstring_examples())
