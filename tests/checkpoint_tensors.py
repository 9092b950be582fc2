"""The tensors of a run's checkpoint, read by TensorFlow's own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def tensors(run_dir: Path, step: int) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint by their places, such as "tgan/critic/convolutions/0/kernel"."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run_dir / f"checkpoints/step-{step}/tgan"))
    return {
        name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def assert_equal_tensors(run_dir: Path, expected_dir: Path, step: int, more_than: int = 20) -> None:
    """Two runs have the same tensors at a step, to the bit, and more than so many."""
    found, expected = tensors(run_dir, step), tensors(expected_dir, step)
    assert found.keys() == expected.keys()
    assert len(expected) > more_than
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
