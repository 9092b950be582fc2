"""Measures the speed and the memory of training and serving on this machine.

    python experiments/benchmark/benchmark.py --output=benchmark.json

prints a Markdown table and keeps every time it was made from in a JSON file. The network is the
paper's for Moving MNIST unless flags say otherwise; the floors are for that on an idle machine with
2 cores. `benchmark_workers.py` says how it is measured, `benchmark_table.py` what follows from it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line

from absl import flags

from benchmark_machine import machine
from benchmark_network import CLIPPING_INTERVAL, FLAGS_OF_ENTRIES, PAPER, configuration
from benchmark_table import evaluate, table
from benchmark_workers import measure
from tgan_tf import __version__
from tgan_tf.capacity import check_memory
from tgan_tf.configuration import build
from tgan_tf.models.flops import generator_flops, step_flops

FLAGS = flags.FLAGS

PRECISIONS = ("float32", "mixed_bfloat16")

for size, about in {
    "frames": "Frames of a clip, a power of two (paper: 16).",
    "size": "Rows and columns of a frame (paper: 64).",
    "temporal_filters": "Temporal generator's widest layer (paper: 512).",
    "image_filters": "Image generator's widest layer (paper: 512).",
    "critic_filters": "Critic's first layer, doubled by each (paper: 64).",
    "batch_size": "Clips in a step (paper: 32).",
}.items():
    checked_flags.integer(size, PAPER[size], about, at_least=1, at_most=65536)
checked_flags.names(
    "precisions", list(PRECISIONS), "Keras policies to measure, with commas.", PRECISIONS
)
checked_flags.integer("repeats", 3, "How often each part is measured, after a warm-up.", at_least=1)
checked_flags.number(
    "max_minutes",
    None,
    "Begin no second repeat of a part after this, if given.",
    above=0,
    at_most=1e6,
)
checked_flags.integer(
    "product_size", 4096, "Rows of the square matrices whose product is the peak.", 1, 65536
)
checked_flags.new_file("output", "benchmark.json", "JSON file of the results; must not exist yet.")


def main(_) -> None:
    check_memory(8 * FLAGS.product_size**2, f"--product_size={FLAGS.product_size}", "give less")
    network = {name: FLAGS[name].value for name in PAPER}
    tgan = build(configuration(network))
    results = {
        "tgan_tf": __version__,
        "machine": machine(),
        "network": network,
        "clipping_interval": CLIPPING_INTERVAL,
        "step_gflop": step_flops(tgan.generator, tgan.critic, network["batch_size"]) / 1e9,
        "video_gflop": sum(generator_flops(tgan.generator)) / 1e9,
        "product_size": FLAGS.product_size,
    }
    results["precisions"] = measure(
        network,
        FLAGS.precisions,
        results["machine"]["bfloat16_arithmetic"],
        FLAGS.repeats,
        FLAGS.max_minutes,
        FLAGS.product_size,
    )
    evaluate(results)
    print(table(results))
    command_line.write_new_file("output", json.dumps(results, indent=2) + "\n")
    print(f"{FLAGS.output}: written", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=FLAGS_OF_ENTRIES)
