"""Object stores by fsspec: `s3://` of a server that runs here, and what fails on the way."""

from __future__ import annotations

import sys

import boto3
import pytest

from tgan_tf import stack
from tgan_tf.data import object_store, storage
from tgan_tf.data.object_store import ObjectStore
from tgan_tf.errors import InputError

if not stack.KERAS_3:
    pytest.skip("tensorflow-io has s3:// there", allow_module_level=True)


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def environment(server, monkeypatch):
    """The environment in which the server is found."""
    monkeypatch.setattr(storage, "_file_systems", {})
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT": server,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def bucket(server, environment):
    """A bucket of its own, with files, and marks of directories as some programs make them."""
    client = boto3.client("s3", "us-east-1", None, False, None, server, "key", "secret")
    client.create_bucket(Bucket="bucket")
    for name in ("[1]/a", "1/a", "folder/", "folder/a", "folder/sub/", "folder/sub/b"):
        client.put_object(Bucket="bucket", Key=name, Body=b"" if name[-1] == "/" else b"0123456789")
    yield "s3://bucket"
    for each in client.list_objects_v2(Bucket="bucket")["Contents"]:
        client.delete_object(Bucket="bucket", Key=each["Key"])
    client.delete_bucket(Bucket="bucket")


class TestListing:
    @pytest.mark.parametrize("end", ["", "/"])
    def test_has_files_and_no_marks_of_directories(self, bucket, end):
        assert storage.files(f"{bucket}/folder{end}") == ["a", "sub/b"]
        assert storage.names(f"{bucket}/folder{end}") == {"a", "sub"}

    def test_says_what_is_there(self, bucket):
        assert storage.exists(bucket)
        assert storage.exists(f"{bucket}/folder")
        assert storage.exists(f"{bucket}/folder/a")
        assert not storage.exists(f"{bucket}/fold")
        assert not storage.exists("s3://another-bucket")
        assert storage.is_directory(f"{bucket}/folder/sub")
        assert not storage.is_directory(f"{bucket}/folder/a")

    def test_knows_what_another_process_has_written_since(self, bucket, server):
        assert storage.names(f"{bucket}/folder") == {"a", "sub"}
        client = boto3.client("s3", "us-east-1", None, False, None, server, "key", "secret")
        client.put_object(Bucket="bucket", Key="folder/c", Body=b"")
        assert storage.names(f"{bucket}/folder") == {"a", "sub", "c"}

    def test_of_what_is_not_there_is_refused_or_empty(self, bucket):
        with pytest.raises(InputError, match=r"none: cannot be read \(No such file or directory\)"):
            storage.files(f"{bucket}/none")
        assert storage.names(f"{bucket}/none") == set()


class TestReading:
    def test_gives_a_part(self, bucket):
        assert storage.read(f"{bucket}/folder/a", 2, 5) == b"234"
        assert storage.size(f"{bucket}/folder/a") == 10

    def test_seeks_as_in_a_local_file(self, bucket):
        with storage.open_file(f"{bucket}/folder/a") as file:
            assert file.read(2) == b"01"
            file.seek(-3, 2)
            assert file.read() == b"789"
            file.seek(4)
            assert file.read(2) == b"45"
            file.seek(99)
            assert file.read() == b""


class TestWriting:
    def test_appears_whole_or_not_at_all(self, bucket):
        path = f"{bucket}/new/file"
        with pytest.raises(ValueError, match="on the way"):
            with storage.replacing(path) as temporary:
                with open(temporary, "wb") as file:
                    file.write(b"half")
                raise ValueError("on the way")
        assert not storage.exists(f"{bucket}/new")
        storage.write(path, b"whole")
        assert storage.read(path) == b"whole"

    def test_makes_no_bucket(self, environment):
        storage.make_directories("s3://another-bucket/folder")
        with pytest.raises(FileNotFoundError, match="bucket does not exist"):
            storage.write("s3://another-bucket/folder/file", b"")

    def test_removes_a_tree_by_its_name_not_as_a_pattern(self, bucket):
        storage.remove_tree(f"{bucket}/[1]")
        assert storage.names(bucket) == {"1", "folder"}


class TestBadInput:
    @pytest.mark.slow
    def test_server_that_does_not_answer_is_named_in_one_line(self, environment):
        environment.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
        with pytest.raises(InputError) as error:
            storage.exists("s3://bucket/a")
        assert "s3://bucket/a: cannot be read (Could not connect" in str(error.value)
        assert "\n" not in str(error.value)

    def test_scheme_that_nobody_knows_is_refused(self):
        with pytest.raises(InputError, match=r"nosuch://a/b: nosuch:// is not a file system of"):
            storage.register("nosuch://a/b")

    @pytest.mark.parametrize("package", ["fsspec", "s3fs"])
    def test_package_that_is_missing_is_named_with_its_extra(self, environment, package):
        environment.setitem(sys.modules, package, None)
        with pytest.raises(InputError) as error:
            storage.register("s3://bucket/a")
        assert str(error.value) == (
            f"s3://bucket/a: needs {package}, which is not installed: "
            "pip install 'tgan_tf[storage]'"
        )

    def test_profile_that_is_not_there_is_named(self, environment):
        environment.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(InputError, match=r"s3://b/a: cannot be reached .*nobody.*: correct"):
            ObjectStore("s3://b/a")


class TestOptions:
    @pytest.mark.parametrize(
        ("endpoint", "https", "url"),
        [
            ("http://here:9000", "1", "http://here:9000"),
            ("here:9000", "0", "http://here:9000"),
            ("here:9000", "1", "https://here:9000"),
            ("", "1", None),
        ],
    )
    def test_say_where_the_store_is(self, environment, endpoint, https, url):
        environment.setenv("S3_ENDPOINT", endpoint)
        environment.setenv("S3_USE_HTTPS", https)
        environment.setenv("AWS_REGION", "eu-west-3")
        options = object_store._s3_options()
        assert options["endpoint_url"] == url
        assert options["use_ssl"] == (https == "1")
        assert options["client_kwargs"] == {"region_name": "eu-west-3"}

    def test_ask_for_what_is_public_without_keys(self, environment, tmp_path):
        assert not object_store._s3_options()["anon"]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.delenv(name)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            environment.setenv(name, str(tmp_path / "none"))
        assert object_store._s3_options()["anon"]
