"""TensorFlow Serving's REST protocol in its columnar format.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import functools
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from concurrent import futures
from typing import Any, Callable

import numpy as np

from tgan_tf.extras import extra
from tgan_tf.serving import messages
from tgan_tf.serving.addresses import is_here
from tgan_tf.serving.failures import (
    ATTEMPTS,
    FIRST_WAIT,
    WAIT_FACTOR,
    Failure,
    broken,
    foreign,
    late,
)
from tgan_tf.serving.limits import LARGEST_METADATA
from tgan_tf.serving.tensors import Output

with extra("serving", "a server over REST"):
    import requests
    import urllib3
    from google.protobuf import json_format

    from tgan_tf.serving.deadlines import Adapter, LeftThread

_HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Rest:
    """A model on a server."""

    # "-1.2345678806304932e-05, ", and the brackets around it.
    bytes_per_value = 32

    def __init__(self, address: str, model: str, version: int | None) -> None:
        self._url = f"{address.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._url += f"/versions/{version}"
        # To a proxy, localhost would be the proxy's own machine.
        host = urllib.parse.urlsplit(address).hostname
        self._proxies = {"no_proxy": host or ""} if is_here(address) else None
        self._session = requests.Session()
        # Otherwise requests sends passwords from .netrc.
        self._session.auth = lambda request: request
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, Adapter())
        self.close = self._session.close

    def metadata(self, end: float) -> tuple[Any, Any]:
        content = self._call("GET", "/metadata", LARGEST_METADATA, end)
        reply = _json(content)
        try:
            parts = reply["model_spec"], reply["metadata"]["signature_def"]
            if not all(isinstance(part, dict) for part in parts):
                raise TypeError(parts)
            spec, signatures = messages.ModelSpec(), messages.SignatureDefMap()
            for part, message in zip(parts, (spec, signatures)):
                json_format.ParseDict(part, message, ignore_unknown_fields=True)
        except (
            *(AttributeError, LookupError, RecursionError, TypeError, ValueError),
            json_format.ParseError,
        ) as error:
            raise foreign(content) from error
        return spec, signatures.signature_def

    def predict(
        self, name: str, tensors: dict[str, Any], names: set[str], most_bytes: int, end: float
    ) -> tuple[Any, Any]:
        inputs = {key: tensor.tolist() for key, tensor in tensors.items()}
        body = {"signature_name": name, "inputs": inputs}
        content = self._call("POST", ":predict", most_bytes, end, body)
        reply = _json(content)
        if not isinstance(reply, dict) or "outputs" not in reply:
            raise foreign(content)
        outputs = reply["outputs"]
        # A single output comes without its name.
        if len(names) == 1:
            outputs = {key: outputs for key in names}
        if not isinstance(outputs, dict):
            raise foreign(content)
        return messages.ModelSpec(), outputs  # The reply does not name its model.

    @staticmethod
    def array(value: Any, output: Output) -> np.ndarray:
        """The values of nested JSON lists."""
        array = np.array(value, object)
        output.check_shape(array.shape)
        wanted = {"float32": (float, int), "string": (dict,)}.get(output.dtype, (int,))
        for kind in set(map(type, array.flat)):
            if kind not in wanted:
                raise TypeError(f"of {kind.__name__}, not {wanted[0].__name__}")
        if output.dtype != "string":
            return array.astype(np.float64) if output.dtype == "float32" else array
        values = np.empty(output.size, object)
        for i, item in enumerate(array.flat):
            if set(item) != {"b64"}:
                raise TypeError(f"of {item!r:.60}, not of base64")
            values[i] = base64.b64decode(item["b64"], validate=True)
        return values.reshape(output.shape)

    def _call(
        self,
        method: str,
        path: str,
        most_bytes: int,
        end: float,
        body: dict[str, Any] | None = None,
    ) -> bytes:
        attempt = functools.partial(self._attempt, method, self._url + path, body, most_bytes)
        thread = LeftThread(lambda thread: self._attempts(thread, end, attempt))
        try:
            return thread.result(end - time.monotonic())
        except futures.TimeoutError as error:
            raise late() from error

    def _attempts(self, thread: LeftThread, end: float, attempt: Callable[[float], bytes]) -> bytes:
        """Repeats attempts until a common deadline, which urllib3's `Retry` does not have."""
        wait = FIRST_WAIT
        attempts_left = ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                return attempt(max(1e-3, end - time.monotonic()))
            except Failure as failure:
                last = not attempts_left or time.monotonic() + wait >= end
                if failure.code != "UNAVAILABLE" or last or thread.left.wait(wait):
                    raise
            wait *= WAIT_FACTOR

    def _attempt(
        self, method: str, url: str, body: dict[str, Any] | None, most_bytes: int, seconds: float
    ) -> bytes:
        has_begun = False
        try:
            with self._session.request(
                method,
                url,
                json=body,
                timeout=urllib3.Timeout(total=seconds),  # type: ignore[arg-type]  # goes to urllib3
                proxies=self._proxies,
                allow_redirects=False,
                stream=True,
            ) as response:
                has_begun = True
                content = _content(response, most_bytes)
        # requests raises OSErrors, except for errors that it does not wrap.
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise self._failure(error, has_begun) from error
        if response.status_code == 200:
            return content
        status = f"HTTP {response.status_code} {response.reason}"
        try:
            words = _json(content)["error"]
            if not isinstance(words, str):
                raise TypeError(words)
        except (Failure, LookupError, TypeError) as error:
            if response.status_code == 503:  # Such as from a proxy whose server is down.
                raise Failure("UNAVAILABLE", status) from error
            if "Location" in response.headers:
                words = f"{status}, to {response.headers['Location']}"
                raise Failure("UNIMPLEMENTED", words) from error
            raise foreign(content, status) from error
        raise Failure(_HTTP_CODES.get(response.status_code, status), words)

    def _failure(self, error: Exception, has_begun: bool) -> Failure:
        """Classifies an error: "UNAVAILABLE" only if another attempt may succeed."""
        causes = list(_causes(error))
        timeouts = requests.Timeout, urllib3.exceptions.ReadTimeoutError
        if any(isinstance(cause, timeouts) for cause in causes):
            return late()
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return Failure("TLS", f"no TLS: {getattr(cause, 'strerror', None) or cause}")
        no_http = [
            cause
            for cause in causes
            if isinstance(cause, http.client.HTTPException)
            and not isinstance(cause, http.client.RemoteDisconnected)
        ]
        if has_begun or no_http or isinstance(error, requests.exceptions.InvalidHeader):
            cause = (no_http or causes)[-1]
            return broken(f"the answer cannot be read: {type(cause).__name__}: {cause}")
        if not isinstance(error, requests.ConnectionError):
            return Failure("UNSENT", f"the request cannot be sent: {causes[-1]}")
        words = [word for cause in causes if (word := getattr(cause, "strerror", None))]
        return Failure("UNAVAILABLE", words[-1] if words else str(causes[-1]))


def _content(response: requests.Response, most_bytes: int) -> bytes:
    """The body of a response, decompressed; never holds much more than `most_bytes`."""
    content = bytearray()
    # A length that is not a number counts as missing.
    size = getattr(response.raw, "length_remaining", None) or 0
    chunks = response.iter_content(2**14)
    while size <= most_bytes:
        chunk = next(chunks, None)
        if chunk is None:
            missing = getattr(response.raw, "length_remaining", None)
            if missing:  # urllib3 before 2 does not report it.
                raise broken(f"the answer cannot be read: IncompleteRead: {missing} bytes missing")
            return bytes(content)
        content += chunk
        size = len(content)
    raise broken(f"the answer is larger than {most_bytes} bytes, the most that it can have")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _json(content: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            raise ValueError("a key occurs twice")
        return value

    try:
        return json.loads(content, object_pairs_hook=unique)
    except (MemoryError, RecursionError, ValueError) as error:
        raise foreign(content) from error
