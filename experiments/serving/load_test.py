"""Measures how many videos per second a model server makes, and how long a request takes.

    python experiments/serving/load_test.py --server=localhost:8500 --model_name=moving_mnist

prints a Markdown table: for each number of clients, the requests and videos per second, the median
and 99th percentile of the time per request, and the failed requests. Each client sends its next
request as soon as the last one is answered. If a request fails, the exit code is 1; three failures
in a row of one client end the test, and the table has the earlier results. The clients are threads
of one process; over REST, whose replies are long texts, they use a share of the machine themselves.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line, server_flags

import numpy as np
from absl import flags

from tgan_tf import __version__, serving
from tgan_tf.errors import InputError
from tgan_tf.evaluation import records

FLAGS = flags.FLAGS

FACTOR = 2
WARM_UP_REQUESTS = 3
MOST_FAILURES = 3  # in a row

server_flags.define_server(required=True)
flags.adopt_module_key_flags(server_flags)
flags.DEFINE_enum(
    "signature",
    "generate",
    ["serving_default", "generate", "generate_encoded", "interpolate", "latent_walk"],
    f"Signature of the requests; interpolate has a factor of {FACTOR}.",
)
checked_flags.integer(
    "batch_size", 1, "Seeds or latents per request, at least 1.", at_least=1, at_most=65536
)
checked_flags.integers(
    "concurrencies", [1, 2, 4, 8], "Comma-separated numbers of parallel clients.", 1, at_most=4096
)
checked_flags.number(
    "seconds", 10.0, "Seconds of measurement for each number of clients.", above=0, at_most=1e6
)
checked_flags.new_file("output", None, "New JSON file for the numbers; default: none.")


def main(_) -> None:
    results = {
        "tgan_tf": __version__,
        "server": FLAGS.server,
        "model_name": FLAGS.model_name,
        "signature": FLAGS.signature,
        "batch_size": FLAGS.batch_size,
        "concurrencies": [],
    }
    with server_flags.open_client() as client:
        results["model_version"] = client.metadata().version
    failure = None
    try:
        for concurrency in FLAGS.concurrencies:
            results["concurrencies"].append(measure(concurrency))
    except InputError as error:
        failure = error
    if results["concurrencies"]:
        print(table(results))
        if FLAGS.output:
            command_line.write_new_file("output", json.dumps(results, indent=2) + "\n")
    if failure:
        raise failure
    for row in results["concurrencies"]:
        if row["errors"]:
            total = row["requests"] + row["errors"]
            raise InputError(f"{row['errors']} of {total} requests failed: {row['first_error']}")


def ask(client: serving.Client, rng: np.random.Generator) -> int:
    """Sends a request with random seeds or latents; returns the number of videos in the answer."""
    seeds = rng.integers(2**63, size=FLAGS.batch_size)
    if FLAGS.signature == "generate":
        return len(client.generate(seeds))
    if FLAGS.signature == "generate_encoded":
        return len(client.generate_encoded(seeds))
    if FLAGS.signature == "latent_walk":
        walks = client.latent_walk(seeds, seeds[::-1])
        return walks.shape[0] * walks.shape[1]
    z0_dim = client.metadata().signature(FLAGS.signature).inputs["z0"].shape[1]
    z0 = rng.uniform(-1, 1, [FLAGS.batch_size, z0_dim])
    if FLAGS.signature == "interpolate":
        return len(client.interpolate(z0, FACTOR))
    return len(client.render(z0).videos)


def measure(concurrency: int) -> dict:
    """Measures parallel clients, after a few requests that are not counted.

    Raises:
        InputError: one of the first requests fails, or several later ones in a row.
    """
    seconds, errors, videos = [], [], []
    warm, ended = threading.Barrier(concurrency), threading.Event()

    def run(number: int) -> tuple[float, float]:
        rng = np.random.default_rng([concurrency, number])
        with server_flags.open_client() as client:
            try:
                for _ in range(WARM_UP_REQUESTS):
                    ask(client, rng)
            except BaseException:
                warm.abort()
                raise
            warm.wait()
            failures = 0
            start = now = time.perf_counter()
            while now - start < FLAGS.seconds and not ended.is_set():
                sent = now
                try:
                    videos.append(ask(client, rng))
                    now = time.perf_counter()
                    seconds.append(now - sent)
                    failures = 0
                except InputError as error:
                    errors.append(str(error))
                    now = time.perf_counter()
                    failures += 1
                    if failures == MOST_FAILURES:
                        ended.set()
                        raise
            return start, now

    with futures.ThreadPoolExecutor(concurrency) as pool:
        clients = [pool.submit(run, number) for number in range(concurrency)]
    failures = [error for error in map(futures.Future.exception, clients) if error]
    for error in failures:
        # Clients that only waited for the failed one have no error of their own.
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    if not seconds:
        raise InputError(errors[0])
    starts, ends = zip(*(client.result() for client in clients))
    elapsed = max(ends) - min(starts)
    p50, p99 = np.percentile(seconds, [50, 99])
    return {
        "concurrency": concurrency,
        "seconds": elapsed,
        "requests": len(seconds),
        "requests_per_second": len(seconds) / elapsed,
        "videos_per_second": sum(videos) / elapsed,
        "p50_ms": 1e3 * p50,
        "p99_ms": 1e3 * p99,
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
    }


def table(results: dict) -> str:
    """The results in Markdown."""
    head = ["Clients", "Requests a second", "Videos a second", "p50, ms", "p99, ms", "Errors"]
    forms = {
        "concurrency": "{}",
        "requests_per_second": "{:.1f}",
        "videos_per_second": "{:.1f}",
        "p50_ms": "{:.1f}",
        "p99_ms": "{:.1f}",
        "errors": "{}",
    }
    rows = [
        [form.format(row[key]) for key, form in forms.items()] for row in results["concurrencies"]
    ]
    lines = [
        f"{results['server']}, version {results['model_version']} of {results['model_name']}, "
        f"{results['signature']}, batches of {results['batch_size']}",
        "",
        records.table([head, *rows]),
    ]
    for row in results["concurrencies"]:
        if row["first_error"]:
            lines += ["", f"First error of {row['concurrency']} clients: {row['first_error']}"]
    return "\n".join(lines)


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=server_flags.FLAGS_OF_ARGUMENTS)
