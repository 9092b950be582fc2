"""Measures the speed and memory of training and serving on this machine.

    python experiments/benchmark/benchmark.py --output=benchmark.json

prints a Markdown table and writes all measured times to a JSON file. The default network is the
paper's for Moving MNIST; the floors apply to it, on an idle machine with 2 cores.
`benchmark_workers.py` measures, and `benchmark_table.py` computes the table.

    python experiments/benchmark/benchmark.py --layers --output=layers.json

measures instead each convolution's passes as shares of the peak, the share of batch normalisation,
and the same step in PyTorch, for the paper's training and that of moving_mnist_digits.cfg, or for
any `--networks`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line, configuration_flags, flagfiles

from absl import flags

from benchmark_layers import Training, check_known, measure_layers
from benchmark_layers_table import DIGITS, evaluate_layers, layers_table
from benchmark_layers_table import PAPER as PAPER_FLAGFILE
from benchmark_machine import machine
from benchmark_network import CLIPPING_INTERVAL, PAPER, configuration
from benchmark_table import evaluate, table
from benchmark_workers import measure
from tgan_tf import __version__
from tgan_tf.capacity import check_memory
from tgan_tf.configuration import build
from tgan_tf.errors import InputError
from tgan_tf.models.flops import generator_flops, step_flops

FLAGS = flags.FLAGS

PRECISIONS = ("float32", "mixed_bfloat16")

FLAGFILE = ".cfg"


def _flagfile(path: str) -> str:
    if not path.endswith(FLAGFILE):
        raise ValueError(f"{path!r} must be a flagfile, ending in {FLAGFILE}")
    return path


for size, about in {
    "frames": "Frames per clip, a power of two (paper: 16).",
    "size": "Rows and columns of a frame (paper: 64).",
    "batch_size": "Clips per step (paper: 32).",
}.items():
    checked_flags.integer(size, PAPER[size], about, at_least=1, at_most=65536)
for size in ("temporal_filters", "image_filters", "critic_filters"):
    flags.declare_key_flag(size)
flags.DEFINE_bool(
    "layers",
    False,
    "Measure the layers of --networks instead, and the same step in PyTorch (extra import).",
)
checked_flags.items(
    "networks",
    [PAPER_FLAGFILE, DIGITS],
    "Comma-separated flagfiles of trainings for --layers; their clips are grey, whatever their "
    "data.",
    _flagfile,
)
checked_flags.names(
    "precisions", list(PRECISIONS), "Comma-separated Keras policies to measure.", PRECISIONS
)
checked_flags.integer("repeats", 3, "Repeats of each part, after a warm-up.", at_least=1)
checked_flags.number(
    "max_minutes",
    None,
    "Minutes after which no part is repeated; default: no limit.",
    above=0,
    at_most=1e6,
)
checked_flags.integer(
    "product_size", 4096, "Rows of the square matrices whose product determines the peak.", 1, 65536
)
checked_flags.new_file(
    "output", "benchmark.json", "JSON file for the results, which must not exist yet."
)


def main(_) -> None:
    check_memory(8 * FLAGS.product_size**2, f"--product_size={FLAGS.product_size}", "give less")
    refuse_useless()
    results, text = of_layers() if FLAGS.layers else of_training()
    print(text)
    command_line.write_new_file("output", json.dumps(results, indent=2) + "\n")
    print(f"{FLAGS.output}: written", file=sys.stderr)


def refuse_useless() -> None:
    """Raises an `InputError` for a given flag that would have no effect."""
    if FLAGS.networks != FLAGS["networks"].default and not FLAGS.layers:
        raise InputError(f"--networks={','.join(FLAGS.networks)}: give --layers with it")
    # A training's flags are defined here so that its flagfile can be read.
    of_training = {flag.name for flag in FLAGS.get_flags_for_module(configuration_flags.__name__)}
    useless = {*PAPER, "precisions"} if FLAGS.layers else of_training - {*PAPER}
    for name in sorted(useless | (of_training - {*PAPER})):
        if FLAGS[name].present:
            raise InputError(
                f"--{name} has no effect here: put it into a flagfile, and give --layers "
                "--networks=FLAGFILE"
            )


def of_training() -> tuple[dict, str]:
    """Measures speed and memory of training and serving; returns the results and their table."""
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
    return results, table(results)


def of_layers() -> tuple[dict, str]:
    """Measures the layers of trainings; returns the results and their tables."""
    trainings = {path: training(path) for path in FLAGS.networks}
    results = {
        "tgan_tf": __version__,
        "machine": machine(),
        "product_size": FLAGS.product_size,
        "networks": measure_layers(trainings, FLAGS.repeats, FLAGS.max_minutes, FLAGS.product_size),
    }
    evaluate_layers(results)
    return results, layers_table(results)


def training(path: str) -> Training:
    """The training of a flagfile.

    Raises:
        InputError: the file does not exist, or its training cannot be measured.
    """
    names = [*configuration_flags.ENTRIES, "batch_size", "conditional"]
    values = flagfiles.values(path, [FLAGS[name] for name in names])
    if values["conditional"]:
        raise InputError(
            f"{path}: --conditional: networks with classes cannot be measured by layers: give "
            "another flagfile"
        )
    try:
        found = configuration_flags.configuration(given=values)
        check_known(found)
        build(found)
    except InputError as error:
        error.parts = (f"{path}: ", *error.parts)
        raise
    return Training(found, values["batch_size"])


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=configuration_flags.FLAGS_OF_ENTRIES)
