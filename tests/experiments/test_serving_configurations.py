"""What the files of experiments/serving/ say, by the server's protos, and to one another."""

from __future__ import annotations

import http.server
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SERVING = REPOSITORY / "experiments" / "serving"

# Of TF Serving's session_bundle_config.proto and monitoring_config.proto, which its Python package
# does not have: fields by their published names, numbers and types.
PROTOS = """
    name: "published.proto" syntax: "proto3"
    message_type {
      name: "Int64Value" field { name: "value" number: 1 type: TYPE_INT64 }
    }
    message_type {
      name: "BatchingParameters"
      field { name: "max_batch_size" number: 1 type: TYPE_MESSAGE type_name: "Int64Value" }
      field { name: "batch_timeout_micros" number: 2 type: TYPE_MESSAGE type_name: "Int64Value" }
      field { name: "max_enqueued_batches" number: 3 type: TYPE_MESSAGE type_name: "Int64Value" }
      field { name: "num_batch_threads" number: 4 type: TYPE_MESSAGE type_name: "Int64Value" }
      field { name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
    }
    message_type {
      name: "PrometheusConfig"
      field { name: "enable" number: 1 type: TYPE_BOOL }
      field { name: "path" number: 2 type: TYPE_STRING }
    }
    message_type {
      name: "MonitoringConfig"
      field {
        name: "prometheus_config" number: 1 type: TYPE_MESSAGE type_name: "PrometheusConfig"
      }
    }
"""


def published(name: str, file: str):
    """The message of a text proto, of one of `PROTOS`."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(PROTOS, descriptor_pb2.FileDescriptorProto()))
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
    return text_format.Parse((SERVING / file).read_text(), message)


@pytest.fixture(scope="module")
def models():
    config = text_format.Parse(
        (SERVING / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    return {model.name: model for model in config.model_config_list.config}


@pytest.fixture(scope="module")
def batching():
    return published("BatchingParameters", "batching.config")


@pytest.fixture(scope="module")
def metrics_path():
    prometheus = published("MonitoringConfig", "monitoring.config").prometheus_config
    assert prometheus.enable
    return prometheus.path


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((SERVING / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def kubernetes():
    documents = yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(kubernetes):
    return kubernetes["Deployment"]["spec"]["template"]


class TestModels:
    def test_are_served_from_where_saved_models_is_mounted(self, models):
        assert {name: model.base_path for name, model in models.items()} == {
            "moving_mnist": "/models/moving_mnist"
        }
        assert models["moving_mnist"].model_platform == "tensorflow"

    def test_are_in_the_repository(self, models):
        for name in models:
            assert list((REPOSITORY / "saved_models" / name).glob("[0-9]*/saved_model.pb"))

    def test_are_served_in_their_latest_versions(self, models):
        assert models["moving_mnist"].model_version_policy.latest.num_versions == 2


class TestBatching:
    def test_has_sizes_that_grow_to_the_largest(self, batching):
        sizes = list(batching.allowed_batch_sizes)
        assert sizes == sorted(set(sizes))
        assert sizes[0] == 1
        assert sizes[-1] == batching.max_batch_size.value == 32

    def test_computes_in_parts_that_the_warm_up_has_run(self, batching):
        from tgan_tf.export import WARM_UP_BATCHES

        at_once = 8
        for size in batching.allowed_batch_sizes:
            parts = {min(at_once, size), size % at_once} - {0}
            assert parts <= set(WARM_UP_BATCHES["generate"])

    def test_bounds_the_wait(self, batching):
        assert 0 < batching.batch_timeout_micros.value <= 10_000
        assert batching.num_batch_threads.value >= 1
        assert batching.max_enqueued_batches.value >= 1


class TestCompose:
    def test_mounts_directories_of_the_repository_read_only(self, compose):
        mounts = {
            (service, volume["target"]): (SERVING / volume["source"]).resolve()
            for service, settings in compose.items()
            for volume in settings["volumes"]
            if volume["read_only"] is True
        }
        assert mounts == {
            ("serving", "/models"): REPOSITORY / "saved_models",
            ("serving", "/config"): SERVING,
            ("tensorboard", "/runs"): REPOSITORY / "runs",
        }

    def test_opens_each_port_to_this_machine_only(self, compose):
        assert {name: service["ports"] for name, service in compose.items()} == {
            "serving": ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"],
            "tensorboard": ["127.0.0.1:6006:6006"],
        }

    def test_gives_the_server_files_that_are_there(self, compose):
        check_flags(compose["serving"]["command"])

    def test_runs_the_server_of_the_tensorflow_that_exports(self, compose):
        locked = (REPOSITORY / "requirements.txt").read_text()
        version = compose["serving"]["image"].split(":")[1]
        assert f"\ntensorflow=={version}" in locked

    @pytest.mark.parametrize("state, healthy", [("AVAILABLE", True), ("LOADING", False)])
    def test_is_healthy_when_the_model_is_available(self, compose, models, state, healthy):
        command, *arguments = compose["serving"]["healthcheck"]["test"]
        assert command == "CMD"
        asked = []

        class Status(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"model_version_status": [{"state": "%s"}]}' % state.encode())

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Status) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"127.0.0.1/{server.server_port}"
            arguments[-1] = arguments[-1].replace("localhost/8501", address)
            result = subprocess.run(arguments, timeout=10)
            server.shutdown()
        assert (result.returncode == 0) == healthy
        assert asked == [f"/v1/models/{name}" for name in models]


class TestKubernetes:
    def test_runs_the_server_as_compose_does(self, compose, pod):
        (container,) = pod["spec"]["containers"]
        check_flags(container["args"])
        assert container["args"] == compose["serving"]["command"]
        images = {c["image"] for c in [container, *pod["spec"]["initContainers"]]}
        assert images == {compose["serving"]["image"]}

    def test_is_ready_when_the_server_answers_for_the_model(self, models, pod):
        (container,) = pod["spec"]["containers"]
        (name,) = models
        assert container["readinessProbe"]["httpGet"] == {
            "path": f"/v1/models/{name}",
            "port": "rest",
        }
        assert f"/models/{name}" in pod["spec"]["initContainers"][0]["command"][-1]

    def test_leads_the_service_to_the_pod(self, kubernetes, pod):
        (container,) = pod["spec"]["containers"]
        service = kubernetes["Service"]["spec"]
        labels = pod["metadata"]["labels"]
        assert service["selector"] == labels
        assert kubernetes["Deployment"]["spec"]["selector"]["matchLabels"] == labels
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"grpc": 8500, "rest": 8501}
        assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports

    def test_mounts_the_models_and_the_configuration(self, kubernetes, pod):
        (container,) = pod["spec"]["containers"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert {name: mount["mountPath"] for name, mount in mounts.items()} == {
            "models": "/models",
            "config": "/config",
        }
        assert all(mount["readOnly"] is True for mount in mounts.values())
        volumes = {volume.pop("name"): volume for volume in map(dict, pod["spec"]["volumes"])}
        claim = kubernetes["PersistentVolumeClaim"]["metadata"]["name"]
        assert volumes == {
            "models": {"persistentVolumeClaim": {"claimName": claim}},
            "config": {"configMap": {"name": "tgan-serving"}},
        }

    def test_sends_prometheus_where_the_metrics_are(self, metrics_path, pod):
        annotations = pod["metadata"]["annotations"]
        assert annotations["prometheus.io/path"] == metrics_path
        assert annotations["prometheus.io/port"] == "8501"


def check_flags(arguments: list[str]) -> None:
    """Asserts that the server is given the three files, as they lie in /config."""
    flags = dict(argument.split("=", 1) for argument in arguments)
    assert flags == {
        "--model_config_file": "/config/models.config",
        "--enable_batching": "true",
        "--batching_parameters_file": "/config/batching.config",
        "--monitoring_config_file": "/config/monitoring.config",
    }
    for path in flags.values():
        assert path == "true" or (SERVING / Path(path).name).is_file()
