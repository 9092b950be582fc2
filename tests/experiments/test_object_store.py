"""The programs on an object store, s3:// of a server that runs here."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from films import write_ucf101
from programs import run_all
from stores import served_bucket

pytestmark = pytest.mark.slow

IN_MEMORY = ("--", "--direct_running_mode=in_memory", "--direct_num_workers=1")


@pytest.fixture(scope="module")
def bucket():
    with served_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def local(bucket, tmp_path_factory):
    """A directory of data, which is in the bucket too."""
    directory = tmp_path_factory.mktemp("local")
    write_ucf101(directory / "UCF-101", groups=1, clips=1, frames=16)
    frames = np.random.default_rng(0).integers(0, 256, (40, 3, 64, 85), dtype=np.uint8)
    with h5py.File(directory / "train.h5", "w") as file:
        file["image"] = frames
    (directory / "train.csv").write_text(
        "start,end,category,group,scene\n0,20,Archery,1,1\n20,40,Surfing,1,1\n"
    )
    bucket.upload(directory)
    return directory


@pytest.fixture(scope="module")
def prepared(bucket, local):
    """What became of preparing videos, from there to there and from here to here."""
    small = ("--size=16", *IN_MEMORY)
    prepared = run_all(
        "prepare_data.py",
        {
            "there": [
                f"--data_path={bucket.url}/UCF-101",
                f"--output_dir={bucket.url}/prepared_there",
                *small,
            ],
            "here": [f"--data_path={local}/UCF-101", f"--output_dir={local}/small", *small],
            "as large as usual": [
                f"--data_path={local}/UCF-101",
                f"--output_dir={local}/prepared",
                *IN_MEMORY,
            ],
        },
        local,
        beam=True,
    )
    bucket.upload(local)
    return prepared


DATA = ("UCF-101", "train.h5", "prepared")


@pytest.fixture(scope="module")
def inspected(bucket, local, prepared):
    """What became of looking at data, there and here."""
    commands = {"nothing": [f"--data_path={bucket.url}/nothing", "--output=nothing.png"]}
    for data in DATA:
        for place, path in (("there", bucket.url), ("here", local)):
            output = f"{place}-{data}.png"
            commands[output] = [f"--data_path={path}/{data}", f"--output={output}"]
    return run_all("inspect_data.py", commands, local)


def test_videos_are_prepared_from_there_to_there(bucket, local, prepared):
    for result in prepared.values():
        assert result.code == 0, result.stderr
        assert result.stderr == ""
    files = {path.name: path.read_bytes() for path in (local / "small").iterdir()}
    assert bucket.read("prepared_there/") == files


@pytest.mark.parametrize("data", DATA)
def test_clips_are_read_from_there_as_from_here(local, inspected, data):
    for place in ("there", "here"):
        result = inspected[f"{place}-{data}.png"]
        assert result.code == 0, result.stderr
        assert result.stderr == ""
    assert (local / f"there-{data}.png").read_bytes() == (local / f"here-{data}.png").read_bytes()


def test_path_that_is_not_there_is_refused_in_one_line(bucket, inspected):
    result = inspected["nothing"]
    assert result.code == 1
    assert f"{bucket.url}/nothing: does not exist" in result.stderr
    assert len(result.stderr.splitlines()) == 1
