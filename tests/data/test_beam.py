"""Apache Beam in this process; with processes of its own it runs in test_preparation.py."""

from __future__ import annotations

import os

import pytest

from tgan_tf.data.beam import on_beam

HERE = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


def write(element: bytes) -> None:
    path = os.fsdecode(element)
    if path.endswith("full"):
        raise OSError(28, "No space left on device", path)
    with open(path, "x"):
        pass


@pytest.mark.slow
def test_does_the_work_of_each_element_and_shows_it(tmp_path):
    paths, shown = [tmp_path / name for name in "abc"], []
    on_beam(HERE)(write, [os.fsencode(path) for path in paths], lambda: shown.append(True))
    assert sorted(tmp_path.iterdir()) == paths
    assert shown


@pytest.mark.slow
def test_tells_a_failure_in_a_line_without_beams_own_words(tmp_path, capfd):
    path = tmp_path / "full"
    with pytest.raises(RuntimeError) as error:
        on_beam(HERE)(write, [os.fsencode(path)], lambda: None)
    assert str(error.value) == f"OSError: [Errno 28] No space left on device: '{path}'"
