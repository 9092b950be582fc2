"""The programs on an object store, s3:// of a server that runs here."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import h5py
import numpy as np
import pytest
from films import write_ucf101
from programs import run_all

pytestmark = pytest.mark.slow

IN_MEMORY = ("--", "--direct_running_mode=in_memory", "--direct_num_workers=1")


class Bucket:
    """A bucket of a server at a URL, and the environment in which programs find it."""

    url = "s3://bucket"

    def __init__(self, server):
        self.environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_ENDPOINT": server,
            "S3_USE_HTTPS": "0",
        }
        self.client = boto3.client("s3", "us-east-1", None, False, None, server, "key", "secret")
        self.client.create_bucket(Bucket="bucket")

    def upload(self, directory):
        for path in directory.rglob("*.*"):
            self.client.upload_file(str(path), "bucket", str(path.relative_to(directory)))

    def read(self, prefix):
        """The contents of all files under a prefix, by their names under it."""
        listed = self.client.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]
        return {
            key[len(prefix) :]: self.client.get_object(Bucket="bucket", Key=key)["Body"].read()
            for key in (entry["Key"] for entry in listed)
            if not key.endswith("/")
        }


@pytest.fixture(scope="module")
def bucket():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end
        bucket = Bucket(url)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in bucket.environment.items():
                patch.setenv(name, value)
            yield bucket
    finally:
        server.kill()


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
