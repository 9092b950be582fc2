"""The largest singular values of a critic's kernels."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_tgan import make_tgan

from tgan_tf.errors import InputError
from tgan_tf.evaluation.spectral_report import spectral_report


@pytest.fixture
def critic():
    critic = make_tgan().critic
    rng = np.random.default_rng(0)
    critic.set_weights([rng.normal(size=weight.shape) for weight in critic.get_weights()])
    return critic


def matrices(critic):
    """The kernels by layer, flattened to [everything else, outputs]."""
    return {
        variable.name.split("/")[-2]: variable.numpy().reshape(-1, variable.shape[-1])
        for variable in critic.variables
        if variable.name.endswith("kernel:0")
    }


def test_gives_the_largest_singular_value_of_every_kernel_and_the_product(critic):
    report = spectral_report(critic)
    largest = {
        name: np.linalg.svd(matrix, compute_uv=False)[0]
        for name, matrix in matrices(critic).items()
    }
    assert list(report) == ["conv0", "conv1", "score", "product"]
    assert report.pop("product").value == pytest.approx(np.prod(list(largest.values())), rel=1e-5)
    assert {name: estimate.value for name, estimate in report.items()} == pytest.approx(
        largest, rel=1e-5
    )


def test_tells_the_shape_of_the_matrix_and_how_many_values_are_large(critic):
    kernel = critic.layers[0].kernel
    values = np.array([3.0, 1.6, 0.2])
    left, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(kernel.shape[0] * 16, 3)))
    right, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    kernel.assign((left * values @ right).reshape(kernel.shape))
    estimate = spectral_report(critic)["conv0"]
    assert estimate.value == pytest.approx(3.0, rel=1e-5)
    assert estimate.details["shape"] == [64, 3]
    assert estimate.details["above_half"] == pytest.approx(2 / 3)


def test_kernel_that_is_not_finite_is_refused(critic):
    kernel = critic.layers[0].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(InputError, match="the kernel of conv0 has NaN"):
        spectral_report(critic)
