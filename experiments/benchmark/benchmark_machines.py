"""Measures what it costs to share a training among workers, on this machine's loopback.

    python experiments/benchmark/benchmark_machines.py --workers=2,4 --output=machines.json

prints Markdown tables and keeps every time in a JSON file: the step of one process with all cores
beside that of 2 and of 4 workers with as many cores together, at the same global batch; the bytes
that a step sends, computed from the parameters' sizes and counted; and for 8 to 64 GPUs what the
communication of a step takes on paper, see `benchmark_communication.py`. The network is the paper's
unless flags say otherwise. Linux only.
"""

from __future__ import annotations

import json
import statistics
import sys
from operator import truediv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line

from absl import flags

from benchmark_cluster import ALL_REDUCES, Cluster
from benchmark_communication import Communication, communication, ring_seconds, step_seconds
from benchmark_machine import machine, machine_line
from benchmark_network import CLIPPING_INTERVAL, PAPER, configuration
from tgan_tf import __version__
from tgan_tf.configuration import build
from tgan_tf.errors import InputError

FLAGS = flags.FLAGS

OVERHEAD = 0.10
"""What sharing may add to a step of the paper's network, two workers at equal cores."""
GPUS = (8, 16, 32, 64)
LINKS = (10, 25, 100, 400)  # Gbit/s
LATENCY = 10e-6  # s, of a message between machines on a data centre's Ethernet or InfiniBand

for name, value in PAPER.items():
    checked_flags.integer(name, value, f"Of the network (paper: {value}).", 1, 65536)
checked_flags.items(
    "workers", ["2", "4"], "Numbers of workers to measure, with commas.", lambda text: text
)
checked_flags.integer("steps", CLIPPING_INTERVAL, "Steps that are timed together.", at_least=1)
checked_flags.integer("repeats", 3, "How often each is measured, after a warm-up.", at_least=1)
checked_flags.new_file("output", "machines.json", "JSON file of the results; must not exist yet.")


def main(_) -> None:
    network = {name: FLAGS[name].value for name in PAPER}
    counts = [1, *map(_count, FLAGS.workers)]
    for count in counts:
        if network["batch_size"] % count:
            raise InputError(
                f"--batch_size={network['batch_size']} does not divide by {count} workers: give a "
                "multiple of it"
            )
    sent = communication(build(configuration(network)))
    results = {
        "tgan_tf": __version__,
        "machine": machine(),
        "network": network,
        "communication": sent._asdict(),
        "workers": measure(counts, network),
    }
    print(tables(results))
    command_line.write_new_file("output", json.dumps(results, indent=2) + "\n")
    print(f"{FLAGS.output}: written", file=sys.stderr)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= 64:
        raise InputError(f"--workers={text}: must be integers from 2 to 64")
    return int(text)


def measure(counts: list[int], network: dict[str, int]) -> dict[str, dict]:
    """Seconds and bytes of a step and of an all-reduce, by the number of workers, in turns."""
    clusters = {count: Cluster(count, network, FLAGS.steps) for count in counts}
    results = {
        str(count): {"step": [], "step_bytes": [], "all_reduce": [], "all_reduce_bytes": []}
        for count in counts
    }
    for repeat in range(FLAGS.repeats + 1):
        for count, cluster in clusters.items():
            for part, calls in (("step", FLAGS.steps), ("all_reduce", ALL_REDUCES)):
                seconds, size = cluster.ask(part)
                print(f"{count} workers, {part}: {seconds:.4f} s", file=sys.stderr, flush=True)
                if repeat:  # The first one is the warm-up.
                    results[str(count)][part].append(seconds)
                    results[str(count)][f"{part}_bytes"].append(size / calls)
    return results


def tables(results: dict) -> str:
    """What was measured, and what follows on paper for GPUs."""
    sent = Communication(**results["communication"])
    measured = {int(count): found for count, found in results["workers"].items()}
    alone = measured.pop(1)["step"]
    # Of the all-reduce of the fewest workers; the formula is to say that of the others.
    first = min(measured)
    bandwidth = ring_seconds(sent.gradient_bytes, first, 1.0) / min(measured[first]["all_reduce"])
    lines = [
        machine_line(results["machine"]),
        "",
        "| Measured, on the loopback | 1 process | "
        + " | ".join(f"{count} workers" for count in measured)
        + " |",
        "| --- | ---: |" + " ---: |" * len(measured),
    ]

    def row(name, one, value):
        values = [value(count, found) for count, found in measured.items()]
        lines.append(f"| {name} | {one} | {' | '.join(values)} |")

    row("Step, seconds", f"{min(alone):.3f}", lambda count, found: f"{min(found['step']):.3f}")
    # Other programs slow a machine down for minutes at a time: what was measured in the same repeat
    # is compared.
    row(
        "Step, longer by",
        "",
        lambda count, found: f"{statistics.median(map(truediv, found['step'], alone)) - 1:.1%}",
    )
    row(
        "All-reduce of the gradients, seconds",
        "",
        lambda count, found: f"{min(found['all_reduce']):.4f}",
    )
    row(
        f"The same by the formula, at {bandwidth / 1e9:.2f} GB/s",
        "",
        lambda count, found: f"{ring_seconds(sent.gradient_bytes, count, bandwidth):.4f}",
    )
    row(
        "Sent in a step, all workers together, MB",
        "",
        lambda count, found: f"{min(found['step_bytes']) / 1e6:.2f}",
    )
    row(
        "The same by the formula, 2 (N - 1) B",
        "",
        lambda count, found: f"{_sent(sent, count) / 1e6:.2f}",
    )
    lines += [
        "",
        f"A step adds up {sent.gradient_bytes / 1e6:.2f} MB of gradients and "
        f"{sent.moment_bytes(first) / 1e6:.3f} MB of moments ({first} workers) in "
        f"{sent.moment_collectives} collectives. "
        f"Seconds are the fastest of {len(alone)} repeats; longer by: the median over the repeats "
        "of the ratio within one. "
        f"Floor: two workers at equal cores and batch, longer by ≤ {OVERHEAD:.0%}.",
        "",
        "| Computed: communication of a step, ms | "
        + " | ".join(f"{link} Gbit/s" for link in LINKS)
        + " |",
        "| --- |" + " ---: |" * len(LINKS),
    ]
    for gpus in GPUS:
        cells = [step_seconds(sent, gpus, link * 1e9 / 8, LATENCY) for link in LINKS]
        values = " | ".join(f"{1e3 * seconds:.1f}" for seconds in cells)
        lines.append(f"| {gpus} GPUs, one a machine | {values} |")
    lines.append("")
    lines.append(
        f"By the ring's formula at a latency of {1e6 * LATENCY:.0f} µs a message, nothing of it "
        "beside the computation."
    )
    return "\n".join(lines)


def _sent(sent: Communication, workers: int) -> int:
    return 2 * (workers - 1) * (sent.gradient_bytes + sent.moment_bytes(workers))


if __name__ == "__main__":
    command_line.run(main)
