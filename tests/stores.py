"""An object store for the programs: s3:// of a server that runs here."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest


class Bucket:
    """A bucket of a server at a URL, and the environment in which programs find it."""

    url = "s3://bucket"

    def __init__(self, server: str):
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

    def upload(self, directory: Path) -> None:
        for path in directory.rglob("*.*"):
            self.client.upload_file(str(path), "bucket", str(path.relative_to(directory)))

    def names(self, prefix: str) -> list[str]:
        """The names of all files under a prefix, without it."""
        listed = self.client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
        keys = (entry["Key"] for entry in listed)
        return [key[len(prefix) :] for key in keys if not key.endswith("/")]

    def read(self, prefix: str) -> dict[str, bytes]:
        """The contents of all files under a prefix, by their names under it."""
        return {
            name: self.client.get_object(Bucket="bucket", Key=prefix + name)["Body"].read()
            for name in self.names(prefix)
        }

    def download(self, prefix: str, directory: Path) -> None:
        """Writes all files under a prefix into a directory."""
        for name, data in self.read(prefix).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


@contextlib.contextmanager
def served_bucket() -> Iterator[Bucket]:
    """A bucket of a server of its own; the environment leads to it."""
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
