from __future__ import annotations

import threading

import numpy as np
import pytest
import tensorflow as tf
from clipping import exact_projection, largest, matrix_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tgan_tf.spectral import (
    circular_operator_norm,
    clip_singular_values,
    kernel_matrix,
    operator_norm,
    singular_values,
)

# Shape of the kernel and its output axis, as Keras lays them out.
KERNELS = {
    "dense, tall": ((24, 6), -1),
    "dense, wide": ((6, 24), -1),
    "dense, square": ((8, 8), -1),
    "dense, 2 x 2": ((2, 2), -1),
    "dense to one": ((32, 1), -1),
    "dense from one": ((1, 32), -1),
    "1-D convolution": ((4, 3, 8), -1),
    "2-D convolution": ((4, 4, 3, 8), -1),
    "3-D convolution": ((4, 4, 4, 2, 8), -1),
    "2-D convolution, wide": ((1, 1, 4, 32), -1),
    "1-D transposed convolution": ((4, 8, 3), -2),
    "2-D transposed convolution": ((4, 4, 8, 3), -2),
    "3-D transposed convolution": ((4, 4, 4, 8, 2), -2),
    "2-D transposed convolution, wide": ((1, 1, 32, 4), -2),
}

# The singular values for a largest one, of which there are k.
SPECTRA = {
    "even": lambda top, k: np.linspace(top, 0.0, k),
    "geometric": lambda top, k: np.geomspace(top, top / 1000, k),
    "all equal": lambda top, k: np.full(k, top),
    "half of them zero": lambda top, k: np.where(2 * np.arange(k) < k, top, 0.0),
    "one large, the others near 1": lambda top, k: np.r_[top, np.linspace(1.001, 0.999, k - 1)],
    "one large, the others small": lambda top, k: np.r_[top, np.full(k - 1, 0.3)],
    "one small": lambda top, k: np.r_[np.full(k - 1, top), 0.5],
}


def kernel_with(spectrum, shape, output_axis=-1, seed=0):
    """A kernel, float64, with random singular vectors and a given spectrum."""
    random = np.random.default_rng(seed)
    columns = shape[output_axis]
    rows = int(np.prod(shape)) // columns
    k = min(rows, columns)
    left, _ = np.linalg.qr(random.standard_normal((rows, k)))
    right, _ = np.linalg.qr(random.standard_normal((columns, k)))
    others = [size for axis, size in enumerate(shape) if axis != output_axis % len(shape)]
    matrix = left * np.asarray(spectrum, np.float64) @ right.T
    return np.moveaxis(matrix.reshape(*others, columns), -1, output_axis)


def within_seconds(seconds, function, *arguments):
    """Runs a function that might not end, so that the test fails where it would hang."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, f"no result within {seconds} s"
    return results[0]


def test_kernel_matrix_has_a_column_for_each_output():
    kernel = np.arange(12.0).reshape(2, 3, 2)
    columns_of_axis_2 = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    columns_of_axis_1 = [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]
    np.testing.assert_array_equal(kernel_matrix(kernel), columns_of_axis_2)
    np.testing.assert_array_equal(kernel_matrix(kernel, 2), columns_of_axis_2)
    np.testing.assert_array_equal(kernel_matrix(kernel, -2), columns_of_axis_1)
    np.testing.assert_array_equal(kernel_matrix(kernel, 1), columns_of_axis_1)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("kind", KERNELS)
def test_clipping_is_the_exact_projection_to_2e_6(kind, spectrum):
    shape, output_axis = KERNELS[kind]
    k = min(shape[output_axis], int(np.prod(shape)) // shape[output_axis])
    for seed, top in enumerate((0.5, 1.0, 1.5, 1.999, 2.001, 10.0, 100.0)):
        kernel = kernel_with(SPECTRA[spectrum](top, k), shape, output_axis, seed)
        kernel = kernel.astype(np.float32)
        clipped = clip_singular_values(kernel, output_axis=output_axis).numpy()
        assert clipped.dtype == np.float32 and clipped.shape == shape
        error = np.abs(clipped - exact_projection(kernel, output_axis=output_axis)).max()
        assert error <= 2e-6, f"error {error:.1e} at {top}"
        excess = largest(clipped, output_axis) - 1
        assert excess <= 1e-5, f"largest singular value 1 + {excess:.1e} at {top}"


@pytest.mark.parametrize("top", (1.2, 1.9, 10.0))
def test_clipping_of_a_kernel_of_the_critic_s_size_is_exact_to_2e_6(top):
    shape = (4, 4, 4, 32, 64)
    kernel = kernel_with(np.linspace(top, 0.1, 64), shape).astype(np.float32)
    clipped = clip_singular_values(kernel).numpy()
    assert np.abs(clipped - exact_projection(kernel)).max() <= 2e-6
    assert largest(clipped) <= 1 + 1e-5


@pytest.mark.parametrize("top", (1e3, 1e4))
def test_clipping_stays_exact_far_outside_the_ball(top):
    kernel = kernel_with(np.geomspace(top, 0.1, 8), (16, 8)).astype(np.float32)
    clipped = clip_singular_values(kernel).numpy()
    assert np.abs(clipped - exact_projection(kernel)).max() <= 2e-6
    assert largest(clipped) <= 1 + 1e-5


def test_a_kernel_whose_squares_overflow_float32_is_clipped_too():
    kernel = kernel_with(np.full(4, 1e22), (8, 4)).astype(np.float32)
    assert largest(clip_singular_values(kernel).numpy()) < 1e9


@pytest.mark.parametrize("kind", KERNELS)
def test_a_kernel_inside_the_ball_is_left_as_it_is_to_the_bit(kind):
    shape, output_axis = KERNELS[kind]
    k = min(shape[output_axis], int(np.prod(shape)) // shape[output_axis])
    kernel = kernel_with(np.linspace(0.9999, 0.0, k), shape, output_axis).astype(np.float32)
    clipped = clip_singular_values(kernel, output_axis=output_axis)
    np.testing.assert_array_equal(clipped, kernel)


@pytest.mark.parametrize("kind", KERNELS)
def test_a_zero_kernel_stays_zero(kind):
    shape, output_axis = KERNELS[kind]
    clipped = clip_singular_values(np.zeros(shape, np.float32), output_axis=output_axis)
    np.testing.assert_array_equal(clipped, np.zeros(shape, np.float32))


def test_a_kernel_of_rank_one_is_scaled_to_the_maximum():
    kernel = np.outer([3.0, 0.0, 4.0], [0.6, 0.8]).astype(np.float32)
    expected = np.outer([0.6, 0.0, 0.8], [0.6, 0.8])
    np.testing.assert_allclose(clip_singular_values(kernel), expected, atol=2e-7)


@pytest.mark.parametrize("maximum", (0.01, 0.5, 2.0, 30.0))
@pytest.mark.parametrize("kind", ("dense, tall", "2-D convolution", "3-D transposed convolution"))
def test_the_maximum_need_not_be_1(kind, maximum):
    shape, output_axis = KERNELS[kind]
    k = min(shape[output_axis], int(np.prod(shape)) // shape[output_axis])
    for ratio in (0.9, 1.5, 10.0):
        kernel = kernel_with(np.linspace(ratio * maximum, 0.0, k), shape, output_axis)
        kernel = kernel.astype(np.float32)
        clipped = clip_singular_values(kernel, maximum, output_axis).numpy()
        error = np.abs(clipped - exact_projection(kernel, maximum, output_axis)).max()
        assert error <= 2e-6 * maximum
        assert largest(clipped, output_axis) <= maximum * (1 + 1e-5)


@pytest.mark.parametrize("top", (0.5, 1.5, 10.0, 100.0))
@pytest.mark.parametrize("dtype, rounding", ((tf.float16, 2.0**-11), (tf.bfloat16, 2.0**-8)))
@pytest.mark.parametrize("kind", ("dense, wide", "3-D convolution", "2-D transposed convolution"))
def test_half_precision_kernels_are_clipped_to_their_own_rounding(kind, dtype, rounding, top):
    shape, output_axis = KERNELS[kind]
    k = min(shape[output_axis], int(np.prod(shape)) // shape[output_axis])
    kernel = tf.cast(kernel_with(np.linspace(top, 0.0, k), shape, output_axis), dtype)
    clipped = clip_singular_values(kernel, output_axis=output_axis)
    assert clipped.dtype == dtype
    exact = exact_projection(tf.cast(kernel, tf.float64).numpy(), output_axis=output_axis)
    error = np.abs(tf.cast(clipped, tf.float64).numpy() - exact)
    assert np.all(error <= rounding * np.abs(exact) + 2e-6)


def test_a_float64_kernel_is_clipped_in_float64():
    kernel = kernel_with(np.linspace(10.0, 0.0, 6), (24, 6))
    clipped = clip_singular_values(kernel)
    assert clipped.dtype == tf.float64
    assert np.abs(clipped - exact_projection(kernel)).max() <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("dtype", (tf.float16, tf.bfloat16, tf.float32, tf.float64))
@pytest.mark.parametrize("compiled", (False, True), ids=("eager", "tf.function"))
def test_a_kernel_that_is_not_finite_is_returned_as_it_is(dtype, compiled):
    clip = tf.function(clip_singular_values) if compiled else clip_singular_values
    for value in (np.nan, np.inf, -np.inf):
        kernel = kernel_with(np.linspace(3.0, 0.0, 16), (4, 8, 16))
        kernel[1, 2, 3] = value
        kernel = tf.cast(kernel, dtype)
        clipped = within_seconds(30, clip, kernel)
        assert clipped.dtype == dtype
        # Compared in float32: NumPy has no NaN-aware comparison of bfloat16.
        np.testing.assert_array_equal(tf.cast(clipped, tf.float32), tf.cast(kernel, tf.float32))


@pytest.mark.slow
def test_clipping_in_a_compiled_function_is_the_same_projection():
    compiled = tf.function(clip_singular_values)
    for top in (0.5, 1.5, 10.0):
        kernel = kernel_with(np.linspace(top, 0.0, 8), (4, 4, 3, 8)).astype(np.float32)
        assert np.abs(compiled(kernel) - exact_projection(kernel)).max() <= 2e-6


@st.composite
def clipped_kernels(draw):
    """A float32 matrix with singular values of up to 10 times the maximum, and the maximum."""
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    maximum = draw(st.sampled_from((0.5, 1.0, 4.0)))
    k = min(rows, columns)
    ratios = draw(st.lists(st.floats(0.0, 10.0), min_size=k, max_size=k))
    seed = draw(st.integers(0, 2**32 - 1))
    spectrum = maximum * np.sort(ratios)[::-1]
    kernel = kernel_with(spectrum, (rows, columns), seed=seed).astype(np.float32)
    return kernel, maximum, seed


few = settings(deadline=None, max_examples=30, derandomize=True)


@pytest.mark.slow
@few
@given(clipped_kernels())
def test_clipping_twice_is_clipping_once(example):
    kernel, maximum, _ = example
    once = clip_singular_values(kernel, maximum)
    twice = clip_singular_values(once, maximum)
    np.testing.assert_allclose(twice, once, rtol=0, atol=1e-6 * maximum)


@pytest.mark.slow
@few
@given(clipped_kernels(), st.floats(0.0, 1.0))
def test_clipping_never_moves_away_from_a_matrix_inside_the_ball(example, size):
    kernel, maximum, seed = example
    inside = np.random.default_rng(seed).standard_normal(kernel.shape)
    inside *= size * maximum / largest(inside)
    before = np.linalg.norm(kernel - inside)
    after = np.linalg.norm(clip_singular_values(kernel, maximum).numpy() - inside)
    assert after <= before + 2e-6 * maximum


@pytest.mark.slow
@few
@given(clipped_kernels(), st.floats(0.0, 10.0))
def test_clipping_never_moves_two_matrices_apart(example, size):
    kernel, maximum, seed = example
    other = np.random.default_rng(seed).standard_normal(kernel.shape)
    other = (other * size * maximum / largest(other)).astype(np.float32)
    before = np.linalg.norm(kernel.astype(np.float64) - other)
    clipped, other = (clip_singular_values(w, maximum).numpy() for w in (kernel, other))
    assert np.linalg.norm(clipped.astype(np.float64) - other) <= before + 5e-6 * maximum


@pytest.mark.slow
@few
@given(clipped_kernels())
def test_clipping_keeps_the_singular_vectors(example):
    kernel, maximum, _ = example
    left, values, right = np.linalg.svd(kernel.astype(np.float64))
    diagonal = np.zeros(kernel.shape)
    np.fill_diagonal(diagonal, np.minimum(values, maximum))
    turned = left.T @ clip_singular_values(kernel, maximum).numpy() @ right.T
    np.testing.assert_allclose(turned, diagonal, rtol=0, atol=2e-6 * maximum)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("kind", KERNELS)
def test_singular_values_are_those_of_the_full_decomposition(kind, spectrum):
    shape, output_axis = KERNELS[kind]
    k = min(shape[output_axis], int(np.prod(shape)) // shape[output_axis])
    kernel = kernel_with(SPECTRA[spectrum](3.0, k), shape, output_axis).astype(np.float32)
    values = singular_values(kernel, output_axis)
    assert values.dtype == tf.float64
    expected = np.linalg.svd(matrix_of(kernel, output_axis), compute_uv=False)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-7 * expected[0])


def test_singular_values_of_a_diagonal_kernel_are_its_entries_in_falling_order():
    np.testing.assert_allclose(singular_values(np.diag([0.5, -3.0, 0.0])), [3.0, 0.5, 0.0])


# Window, inputs, outputs, input sizes, strides.
CONVOLUTIONS = {
    "1-D": ((3,), 2, 3, (7,), (1,)),
    "1-D, stride 2": ((4,), 2, 3, (8,), (2,)),
    "2-D": ((3, 3), 1, 2, (5, 4), (1, 1)),
    "2-D, stride 2": ((4, 4), 2, 3, (6, 8), (2, 2)),
    "3-D, stride 2": ((4, 4, 4), 1, 2, (4, 4, 4), (2, 2, 2)),
    "3-D, flat window": ((1, 4, 4), 2, 2, (2, 4, 4), (1, 2, 2)),
}


def convolution_kernel(kind):
    window, inputs, outputs, sizes, strides = CONVOLUTIONS[kind]
    kernel = np.random.default_rng(3).normal(size=(*window, inputs, outputs))
    return kernel, sizes, strides


def dense_matrix(kernel, sizes, strides, lows, output_sizes, circular=False):
    """A convolution as the matrix that it is, entry by entry."""
    *window, inputs, outputs = kernel.shape
    matrix = np.zeros([*output_sizes, outputs, *sizes, inputs])
    for place in np.ndindex(*output_sizes):
        for tap in np.ndindex(*window):
            at = [p * s + t - low for p, s, t, low in zip(place, strides, tap, lows)]
            if circular:
                at = [a % size for a, size in zip(at, sizes)]
            if all(0 <= a < size for a, size in zip(at, sizes)):
                matrix[(*place, slice(None), *at, slice(None))] += kernel[tap].T
    return matrix.reshape(int(np.prod(output_sizes)) * outputs, -1)


def padded_matrix(kernel, sizes, strides, padding):
    """With TensorFlow's zero padding: of what is needed, the larger half behind."""
    window = kernel.shape[:-2]
    if padding == "VALID":
        places = [(size - k) // s + 1 for size, k, s in zip(sizes, window, strides)]
        return dense_matrix(kernel, sizes, strides, [0] * len(sizes), places)
    places = [-(-size // s) for size, s in zip(sizes, strides)]
    needed = zip(places, strides, window, sizes)
    lows = [max((p - 1) * s + k - size, 0) // 2 for p, s, k, size in needed]
    return dense_matrix(kernel, sizes, strides, lows, places)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_operator_norm_is_that_of_the_dense_matrix(kind, padding):
    kernel, sizes, strides = convolution_kernel(kind)
    expected = np.linalg.norm(padded_matrix(kernel, sizes, strides, padding), 2)
    norm, change = operator_norm(kernel, sizes, strides, padding, tolerance=1e-9)
    assert change <= 1e-9
    assert expected * (1 - 1e-5) <= norm <= expected * (1 + 1e-12)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_circular_operator_norm_is_that_of_the_dense_matrix(kind):
    kernel, sizes, strides = convolution_kernel(kind)
    sizes = tuple(-(-size // stride) * stride for size, stride in zip(sizes, strides))
    places = [size // stride for size, stride in zip(sizes, strides)]
    matrix = dense_matrix(kernel, sizes, strides, [0] * len(sizes), places, circular=True)
    expected = np.linalg.norm(matrix, 2)
    assert circular_operator_norm(kernel, sizes, strides) == pytest.approx(expected, rel=1e-10)


def test_windows_that_overlap_twice_stretch_root_two_times_the_matrix():
    # All ones: the constant input, which every window sees alike.
    kernel = np.ones((4, 1, 1)) / 2
    assert singular_values(kernel)[0].numpy() == pytest.approx(1.0)
    assert circular_operator_norm(kernel, (8,), (2,)) == pytest.approx(2**0.5)


@pytest.mark.slow
def test_a_kernel_of_zeros_has_the_norm_zero():
    norm, _ = operator_norm(np.zeros((3, 1, 1), np.float32), (5,), (1,))
    assert float(norm) == 0.0
