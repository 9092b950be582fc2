"""The largest singular values of a critic's kernels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import make_tgan, real_clips

from tgan_tf import stack
from tgan_tf.errors import InputError
from tgan_tf.evaluation.spectral_report import (
    gradient_norms,
    lipschitz_bound,
    spectral_report,
    stages,
)
from tgan_tf.models import Critic, VideoAndFrameCritic


@pytest.fixture
def critic():
    critic = make_tgan().critic
    rng = np.random.default_rng(0)
    # Variances are positive.
    critic.set_weights([abs(rng.normal(size=weight.shape)) for weight in critic.get_weights()])
    return critic


def matrices(critic):
    """The kernels by layer, flattened to [everything else, outputs]."""
    return {
        stack.variable_path(variable).split("/")[-2]: variable.numpy().reshape(
            -1, variable.shape[-1]
        )
        for variable in critic.variables
        if stack.variable_path(variable).endswith("kernel")
    }


@pytest.mark.slow
def test_gives_the_largest_singular_value_of_every_kernel_and_the_product(critic):
    report = spectral_report(critic)
    largest = {
        name: np.linalg.svd(matrix, compute_uv=False)[0]
        for name, matrix in matrices(critic).items()
    }
    assert list(report) == ["conv0", "conv1", "score", "product", "bound"]
    report.pop("bound")
    assert report.pop("product").value == pytest.approx(np.prod(list(largest.values())), rel=1e-5)
    assert {name: estimate.value for name, estimate in report.items()} == pytest.approx(
        largest, rel=1e-5
    )


@pytest.mark.slow
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


@pytest.mark.slow
def test_kernel_that_is_not_finite_is_refused(critic):
    kernel = critic.layers[0].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(InputError, match="the kernel of conv0 has NaN"):
        spectral_report(critic)


def linear_map(function, shape):
    """The matrix of a function that is linear but for an offset, by its values at unit inputs."""
    units = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    outputs = np.reshape(function(units), (len(units), -1))
    return outputs - np.reshape(function(np.zeros([1, *shape], np.float32)), (1, -1))


@pytest.fixture
def small():
    """A critic of 2x8x8: a convolution, the score; with one batch normalisation none trained."""
    critic = Critic(2, 16, 1, filters=2)
    rng = np.random.default_rng(1)
    critic.set_weights([abs(rng.normal(size=weight.shape)) for weight in critic.get_weights()])
    return critic


@pytest.mark.slow
def test_a_stage_is_the_convolution_with_its_batch_normalisation(small):
    (first, normalized, _), shape = stages(small), (1, 8, 8, 2)
    layer, normalization = small.convolutions[1], small.normalizations[0]
    alone = linear_map(layer, shape)
    together = linear_map(lambda x: normalization(layer(x)), shape)
    assert first.gamma == 1.0 and first.norm == first.operator_norm
    assert normalized.operator_norm == pytest.approx(np.linalg.norm(alone, 2), rel=1e-3)
    assert normalized.norm == pytest.approx(np.linalg.norm(together, 2), rel=1e-3)
    deviations = np.sqrt(normalization.moving_variance.numpy() + 2e-5)
    assert normalized.gamma == pytest.approx((normalization.gamma.numpy() / deviations).max())


@pytest.mark.slow
def test_the_bound_is_the_product_of_the_stages_and_above_every_gradient(small):
    bound = lipschitz_bound(small)
    assert bound == pytest.approx(np.prod([stage.norm for stage in stages(small)]), rel=1e-6)
    clips = np.random.default_rng(2).uniform(-1, 1, (5, *small.clip_shape)).astype(np.float32)
    norms = gradient_norms(small, clips)
    assert norms.shape == (5,) and 0 < norms.max() <= bound


@pytest.mark.slow
def test_gradient_norms_are_the_slopes_of_the_score(critic):
    clip = real_clips(1)
    norm = gradient_norms(critic, clip)[0]
    x = tf.constant(clip)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = critic(x)
    direction = (tape.gradient(score, x) / norm).numpy()
    assert np.linalg.norm(direction) == pytest.approx(1.0, rel=1e-5)
    small_step = 1e-3
    above, below = (
        critic(clip + step * direction).numpy().item() for step in (small_step, -small_step)
    )
    assert (above - below) / (2 * small_step) == pytest.approx(norm, rel=0.02)


@pytest.mark.slow
def test_a_mean_of_features_stretches_by_the_root_of_their_number_less():
    critic = Critic(2, 16, 1, filters=2, head="mean")
    norms = [stage.norm for stage in stages(critic)]
    assert lipschitz_bound(critic) == pytest.approx(np.prod(norms) / np.sqrt(4 * 4 * 4), rel=1e-6)


@pytest.mark.slow
def test_the_bounds_of_two_critics_are_added():
    critic = VideoAndFrameCritic(2, 8, 1, filters=2)
    names = ["video_critic_conv0", "video_critic_score", "frame_critic_conv0", "frame_critic_score"]
    assert list(spectral_report(critic)) == [*names, "product", "bound"]
    parts = [lipschitz_bound(part) for part in critic.critics()]
    assert lipschitz_bound(critic) == pytest.approx(sum(parts), rel=1e-4)
