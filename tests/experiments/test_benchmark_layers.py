"""Which passes of which layers a step has, and what the table makes of made-up times."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tiny_tgan import configuration

from tgan_tf.configuration import build
from tgan_tf.models.flops import generator_layers, step_flops

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def load(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        patch.syspath_prepend(EXPERIMENTS / "benchmark")
        return importlib.import_module(name)


@pytest.mark.slow
def test_the_passes_of_convolutions_and_dense_layers_are_the_operations_of_a_step():
    tgan = build(configuration(critic_frames=2))
    convolutions, _ = load("benchmark_layers").uses(tgan, batch_size=3, zero_sum=True)
    counted = sum(use.flops * sum(use.times.values()) for use in convolutions.values())
    once, each_frame = generator_layers(tgan.generator)
    image = tgan.generator.image_generator
    (z0,) = (layer.flops for layer in once if layer.layer is image.z0_dense)
    (z1,) = (layer.flops for layer in each_frame if layer.layer is image.z1_dense)
    # By z0 there is no gradient; of a clip 2 frames are rendered.
    dense = 3 * 2 * z0 + 3 * 2 * 3 * z1
    assert counted + dense == step_flops(tgan.generator, tgan.critic, batch_size=3)


@pytest.mark.slow
def test_each_batch_normalisation_is_run_on_what_it_sees_in_a_step():
    tgan = build(configuration())
    _, normalizations = load("benchmark_layers").uses(tgan, batch_size=3, zero_sum=True)
    seen = {
        name: (use.input_shape, use.times["forward"], use.times["backward"])
        for name, use in normalizations.items()
    }
    assert seen == {
        "temporal bn0": ((3, 1, 8), 1, 1),
        "temporal bn1": ((3, 2, 4), 1, 1),
        "image z0_bn": ((3, 4, 64), 1, 1),
        "image z1_bn": ((12, 64), 1, 1),
        "image bn1": ((12, 8, 8, 4), 1, 1),
        "image bn2": ((12, 16, 16, 2), 1, 1),
        "critic bn1": ((3, 1, 4, 4, 6), 2, 2),
    }


@pytest.mark.slow
def test_a_game_that_is_not_zero_sum_goes_back_through_the_critic_once_more():
    tgan = build(configuration())
    layers = load("benchmark_layers")
    convolutions, normalizations = layers.uses(tgan, batch_size=3, zero_sum=False)
    # Of the first layer's input only the generator's gradient asks.
    assert convolutions["critic conv0"].times == {"forward": 2, "by_input": 1, "by_kernel": 2}
    assert convolutions["critic conv1"].times == {"forward": 2, "by_input": 3, "by_kernel": 2}
    assert normalizations["critic bn1"].times == {"forward": 2, "backward": 3}


def made_up(path, step=2.0, pytorch=4.0, forward=0.02):
    """A network of one convolution of 10 GFLOP, with a peak of 200 GFLOP/s."""
    return {
        "machine": {
            "processor": "Abacus",
            "cores": 2,
            "gpus": 0,
            "bfloat16_arithmetic": False,
            "load_before": 0.0,
            "tensorflow": "2.21.0",
            "onednn": True,
        },
        "product_size": 1000,
        "networks": {
            path: {
                "configuration": {"lipschitz": {"interval": 5}},
                "batch_size": 32,
                "steps": 5,
                "step_gflop": 260.0,
                "convolutions": {
                    "critic conv1": {
                        "input_shape": [32, 8, 8, 64],
                        "output_shape": [32, 4, 4, 128],
                        "gflop": 10.0,
                        "times": {"forward": 2, "by_input": 2, "by_kernel": 2},
                    }
                },
                "normalizations": {
                    "critic bn1": {"times": {"forward": 2, "backward": 3}},
                },
                "pytorch": "2.13.0",
                "seconds": {
                    "product": [0.02, 0.01],
                    "step": [step, 3.0],
                    "pytorch_step": [pytorch, pytorch + 1],
                    "pytorch_clipping": [5.0, 6.0],
                    "convolutions": {
                        "critic conv1": {
                            "forward": [0.06, 0.05],
                            "by_input": [0.1, 0.2],
                            "by_kernel": [0.25, 0.3],
                        }
                    },
                    "normalizations": {
                        "critic bn1": {"forward": [forward, 0.1], "both": [0.04, 0.1]}
                    },
                },
            }
        },
    }


def test_shares_and_ratios_are_of_the_fastest_repeat():
    table = load("benchmark_layers_table")
    results = made_up("mine.cfg")
    table.evaluate_layers(results)
    network = results["networks"]["mine.cfg"]
    assert network["convolutions"]["critic conv1"]["share_of_peak"] == pytest.approx(
        {"forward": 1.0, "by_input": 0.5, "by_kernel": 0.2}
    )
    assert network["measures"] == pytest.approx(
        {
            "step_seconds": 2.0,
            "peak_gflop_per_second": 200.0,
            "share_of_peak": 0.65,
            "convolution_share": 2 * (0.05 + 0.1 + 0.25) / 2.0,
            "normalization_share": (2 * 0.02 + 3 * 0.02) / 2.0,
            "pytorch_step_seconds": 4.0,
            "pytorch_clipping_share": 0.25,
            "speedup_over_pytorch": 2.0,
            "speedup_over_unclipped_pytorch": 1.5,
        }
    )
    assert results["floors"] == []
    shown = table.layers_table(results)
    assert (
        "| critic conv1 | 32×8×8×64 | 32×4×4×128 | 10 | 50 ms, 100.0% | 100 ms, 50.0% "
        "| 250 ms, 20.0% |" in shown
    )
    assert "| A step, share of the peak | 65.0% |  | not judged: another network |" in shown


@pytest.mark.parametrize(
    "times, met",
    [
        ({}, {"share_of_peak": True, "normalization_share": True, "speedup_over_pytorch": True}),
        (
            {"step": 2.2, "pytorch": 3.7, "forward": 0.0},
            {"share_of_peak": False, "normalization_share": True, "speedup_over_pytorch": False},
        ),
    ],
)
def test_the_paper_s_network_is_judged(times, met):
    table = load("benchmark_layers_table")
    results = made_up(table.PAPER, **times)
    table.evaluate_layers(results)
    assert {floor["measure"]: floor["met"] for floor in results["floors"]} == met
    shown = table.layers_table(results)
    assert shown.count("| yes |") == sum(met.values())
    assert shown.count("**missed**") == 3 - sum(met.values())


def test_without_pytorch_its_rows_are_left_out_and_a_line_says_why():
    table = load("benchmark_layers_table")
    results = made_up(table.PAPER)
    network = results["networks"][table.PAPER]
    del network["pytorch"], network["seconds"]["pytorch_step"]
    network["pytorch_left_out"] = "it needs torch, which is not installed"
    table.evaluate_layers(results)
    shown = table.layers_table(results)
    assert "| A step, share of the peak |" in shown
    assert "in PyTorch" not in shown
    assert "Without PyTorch: it needs torch, which is not installed." in shown
