"""Servers of TensorFlow Serving's two protocols, for exported models, on loopback.

    python tests/model_servers.py EXPORT_DIR

serves a model called "default", prints the addresses of gRPC and of REST, and ends with its input.

Not by KServe's model server, which has of this protocol :predict alone, without versions, with
other messages, for one server a process, and which reads the process's flags when it is imported.
Long, as both protocols serve the same models, with the same faults.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class ServingError(Exception):
    """What the server answers with instead."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(code, message)
        self.code, self.message = code, message


class Servable:
    """A version of a model, loaded and run as the server does."""

    def __init__(self, path: Path):
        with tf.Graph().as_default() as graph:
            self.session = tf.compat.v1.Session(graph=graph)
            meta_graph = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(path))
        self.signatures = dict(meta_graph.signature_def)

    def signature(self, name: str):
        if name not in self.signatures:
            message = f'Serving signature name: "{name}" not found in signature def'
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)
        return self.signatures[name]

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        signature = self.signature(name)
        if set(inputs) != set(signature.inputs):
            message = f"input size does not match signature: {len(inputs)}!={len(signature.inputs)}"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
        try:
            return self.session.run(
                {key: info.name for key, info in signature.outputs.items()},
                {signature.inputs[key].name: value for key, value in inputs.items()},
            )
        except tf.errors.OpError as error:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            raise ServingError(codes[error.error_code], error.message) from error
        except (TypeError, ValueError) as error:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


class Models:
    """All versions of some models, given by the directories that hold them."""

    def __init__(self, **directories: Path):
        self.versions = {
            (name, int(path.name)): Servable(path)
            for name, directory in directories.items()
            for path in directory.iterdir()
        }

    def find(self, name: str, version: int | None) -> tuple[int, Servable]:
        numbers = [number for model, number in self.versions if model == name]
        if not numbers or version not in (None, *numbers):
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            message = f"Servable not found for request: {asked}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, message)
        version = max(numbers) if version is None else version
        return version, self.versions[name, version]

    def close(self) -> None:
        for servable in self.versions.values():
            servable.session.close()


class FirstUnavailable:
    """Models that are not available for some requests, and then are."""

    def __init__(self, models: Models, failures: int):
        self.models, self.failures = models, failures

    def find(self, name, version):
        if self.failures:
            self.failures -= 1
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "not yet")
        return self.models.find(name, version)


class Silent:
    """Models that never answer, until it is closed."""

    def __init__(self):
        self.closed = threading.Event()

    def find(self, name, version):
        self.closed.wait()
        raise ServingError(grpc.StatusCode.UNAVAILABLE, "closed")


class Altered:
    """Models of which `change` alters each answer: it is given the outputs by name.

    It gives arrays, or what the protocol has for them: `TensorProto`s, or the values of JSON.
    """

    def __init__(self, models: Models):
        self.models, self.change, self.requests = models, None, 0

    def find(self, name, version):
        version, servable = self.models.find(name, version)
        altered = copy.copy(servable)
        altered.run = functools.partial(self._run, servable)
        return version, altered

    def _run(self, servable, name, inputs):
        self.requests += 1
        return self.change(servable.run(name, inputs))


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):  # noqa: N802
        def answer(version, servable):
            name = request.model_spec.signature_name or "serving_default"
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            for key, value in servable.run(name, inputs).items():
                if isinstance(value, np.ndarray):
                    value = tf.make_tensor_proto(value)
                response.outputs[key].CopyFrom(value)
            response.model_spec.signature_name = name
            return response

        return self._answer(request, context, answer)

    def GetModelMetadata(self, request, context):  # noqa: N802
        def answer(version, servable):
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(_signature_map(servable))
            return response

        return self._answer(request, context, answer)

    def _answer(self, request, context, answer):
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        try:
            version, servable = self.models.find(spec.name, version)
            response = answer(version, servable)
        except ServingError as error:
            context.abort(error.code, error.message)
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        return response


def _signature_map(servable: Servable):
    return get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)


@contextlib.contextmanager
def grpc_server(models):
    """Yields the address of a gRPC server."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Service(models), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models = None

    def handle(self):
        # A client that has given up does not listen any more.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self):  # noqa: N802
        self._answer("/metadata", self._metadata)

    def do_POST(self):  # noqa: N802
        self._answer(":predict", self._predict)

    def _metadata(self, name, version, servable):
        signatures = json_format.MessageToDict(
            _signature_map(servable), True, preserving_proto_field_name=True
        )
        return {
            "model_spec": {"name": name, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": signatures},
        }

    def _predict(self, name, version, servable):
        request = json.loads(self.body)
        signature_name = request.get("signature_name", "serving_default")
        signature = servable.signature(signature_name)
        try:
            inputs = {
                key: np.array(value, tf.as_dtype(signature.inputs[key].dtype).as_numpy_dtype)
                for key, value in request["inputs"].items()
            }
        except (LookupError, ValueError) as error:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        outputs = {
            key: encoded(value.tolist()) if isinstance(value, np.ndarray) else value
            for key, value in servable.run(signature_name, inputs).items()
        }
        # Of one output the server gives the value alone.
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}

    def _answer(self, ending, answer):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = re.fullmatch(rf"/v1/models/([^/:]+)(?:/versions/(\d+))?{ending}", self.path)
        try:
            if path is None:
                message = f"Malformed request: {self.command} {self.path}"
                raise ServingError(grpc.StatusCode.NOT_FOUND, message)
            version, servable = self.models.find(path[1], int(path[2]) if path[2] else None)
            status, reply = 200, answer(path[1], version, servable)
        except ServingError as error:
            status, reply = HTTP_STATUS.get(error.code, 500), {"error": error.message}
        self._send(status, "application/json", json.dumps(reply).encode())

    def _send(self, status, content_type, content):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class HtmlHandler(_Handler):
    """What is no model server at all."""

    def _answer(self, ending, answer):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(200, "text/html", b"<html>\n<body>Welcome</body></html>")


def encoded(value):
    """Lists as JSON has them."""
    if isinstance(value, list):
        return [encoded(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


@contextlib.contextmanager
def rest_server(models, handler=_Handler):
    """Yields the address of a REST server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"models": models}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer of a `raw_server`, which closes its connections."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    if not any(line.startswith(("Content-Length", "Transfer")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def http_json(value) -> bytes:
    return http(json.dumps(value).encode())


def metadata(**signatures: tuple[dict, dict]) -> dict:
    """A reply over REST for the model "default" of version 3.

    Args:
        signatures: inputs and outputs by name, each a list of its dtype and its sizes.
    """

    def infos(tensors):
        return {
            key: {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size)} for size in sizes]}}
            for key, (dtype, *sizes) in tensors.items()
        }

    definitions = {
        name: {
            "inputs": infos(inputs),
            "outputs": infos(outputs),
            "method_name": "tensorflow/serving/predict",
        }
        for name, (inputs, outputs) in signatures.items()
    }
    return {
        "model_spec": {"name": "default", "signature_name": "", "version": "3"},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


# Of videos of 1 frame of 2 rows and 2 columns.
SIGNATURES = {
    "serving_default": ({"z0": ["DT_FLOAT", -1, 2]}, {"videos": ["DT_FLOAT", -1, 1, 2, 2, 1]}),
    "generate": ({"seed": ["DT_INT64", -1]}, {"videos": ["DT_UINT8", -1, 1, 2, 2, 1]}),
}


@contextlib.contextmanager
def raw_server(*answers, pause=0.0):
    """Yields the address, HOST:PORT, of a server of bytes, and the list of what it was sent.

    Args:
        answers: of each connection in turn, of the last one for all further ones: the pieces that
            it is sent, whatever it asks for, before it is closed.
        pause: seconds after a piece.
    """
    requests, closed = [], threading.Event()

    def answer(connection, pieces):
        with connection, contextlib.suppress(OSError):
            requests.append(connection.recv(1 << 16))
            for piece in pieces:
                connection.sendall(piece)
                if closed.wait(pause):
                    break

    def serve():
        with contextlib.suppress(OSError):
            for pieces in itertools.chain(answers, itertools.repeat(answers[-1])):
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=[connection, pieces], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}", requests
        finally:
            closed.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def server_process(export_dir: Path):
    """Yields the gRPC and the REST address of servers in a process of their own."""
    command = [sys.executable, __file__, str(export_dir)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process.stdout.readline().split()
        finally:
            process.stdin.close()


def binary() -> str | None:
    """TensorFlow Serving itself, if it is there."""
    return os.environ.get("TF_SERVING_BINARY") or shutil.which("tensorflow_model_server")


@contextlib.contextmanager
def binary_server(scratch: Path, **directories: Path):
    """Yields the gRPC and the REST address of TensorFlow Serving; it may still be loading."""
    models = "".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" '
        "model_version_policy { all {} } }\n"
        for name, path in directories.items()
    )
    config = scratch / "models.config"
    config.write_text(f"model_config_list {{\n{models}}}\n")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        grpc_port, rest_port = (each.getsockname()[1] for each in sockets)
    process = subprocess.Popen(
        [
            binary(),
            f"--port={grpc_port}",
            f"--rest_api_port={rest_port}",
            f"--model_config_file={config}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{rest_port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    loaded = Models(default=Path(sys.argv[1]))
    with grpc_server(loaded) as grpc_address, rest_server(loaded) as rest_address:
        print(grpc_address, rest_address, flush=True)
        sys.stdin.read()
