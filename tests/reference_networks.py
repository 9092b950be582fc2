"""The paper's networks in plain NumPy, written from their description, to check the real ones by.

Convolutions are sums over the taps of the kernel, in float64, channels last.
"""

from itertools import product

import numpy as np


def convolution(x, kernel, bias=0.0, stride=2, pad=1):
    """Of x [n, *space, inputs] with a kernel [*taps, inputs, outputs]."""
    dims = kernel.ndim - 2
    strides = np.broadcast_to(stride, dims)
    x = np.pad(x, [(0, 0), *[(p, p) for p in np.broadcast_to(pad, dims)], (0, 0)])
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], kernel.shape[:dims], strides)]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    for tap in product(*map(range, kernel.shape[:dims])):
        window = [slice(t, t + s * n, s) for t, s, n in zip(tap, strides, sizes)]
        y += x[(slice(None), *window)] @ kernel[tap]
    return y + bias


def transposed_convolution(x, kernel, bias=0.0, stride=2, pad=1):
    """Of x [n, *space, inputs] with a kernel [*taps, outputs, inputs], as Keras lays it out."""
    dims = kernel.ndim - 2
    sizes = [(n - 1) * stride + k for n, k in zip(x.shape[1:-1], kernel.shape[:dims])]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-2]))
    for tap in product(*map(range, kernel.shape[:dims])):
        window = [slice(t, t + stride * n, stride) for t, n in zip(tap, x.shape[1:-1])]
        y[(slice(None), *window)] += x @ kernel[tap].T
    crop = [slice(pad, n - pad) for n in sizes]
    return y[(slice(None), *crop)] + bias


def batch_normalization(x, gamma, beta=0.0, mean=None, variance=None):
    """With the moments of the batch, or the given ones."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes) if mean is None else mean
    variance = x.var(axes) if variance is None else variance
    return gamma * (x - mean) / np.sqrt(variance + 2e-5) + beta


class Weights:
    """A network's weights by the ends of their names, in float64."""

    def __init__(self, network):
        self._weights = {
            "/".join(v.name.split(":")[0].split("/")[-2:]): v.numpy().astype(np.float64)
            for v in network.variables
        }

    def __getitem__(self, name):
        return self._weights[name]

    def normalize(self, x, layer, training):
        moments = {}
        if not training:
            moments["mean"] = self[f"{layer}/moving_mean"]
            moments["variance"] = self[f"{layer}/moving_variance"]
        beta = self._weights.get(f"{layer}/beta", 0.0)
        return batch_normalization(x, self[f"{layer}/gamma"], beta, **moments)


def relu(x):
    return np.maximum(x, 0.0)


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def temporal_generator(network, z0, training):
    w = Weights(network)
    h = z0[:, None, :].astype(np.float64)
    doublings = int(np.log2(network.frames))
    for i in range(doublings + 1):
        kernel, bias = w[f"deconv{i}/kernel"], w[f"deconv{i}/bias"]
        h = transposed_convolution(h, kernel, bias, *((2, 1) if i else (1, 0)))
        if i < doublings:
            h = relu(w.normalize(h, f"bn{i}", training))
    return np.tanh(h)


def image_generator(network, z0, z1, training):
    w = Weights(network)
    n, frames, _ = z1.shape
    z0 = np.repeat(z0.astype(np.float64), frames, axis=0)
    z1 = z1.astype(np.float64).reshape(n * frames, -1)
    h0 = relu(w.normalize(z0 @ w["z0_dense/kernel"], "z0_bn", training))
    h1 = relu(w.normalize(z1 @ w["z1_dense/kernel"], "z1_bn", training))
    h = np.concatenate([h.reshape(n * frames, 4, 4, -1) for h in (h0, h1)], axis=-1)
    doublings = int(np.log2(network.size // 4))
    for i in range(1, doublings + 1):
        if i == 1:
            halves = w["z0_deconv1/kernel"], w["z1_deconv1/kernel"]
            kernel = np.concatenate(halves, axis=-1)
        else:
            kernel = w[f"deconv{i}/kernel"]
        h = relu(w.normalize(transposed_convolution(h, kernel), f"bn{i}", training))
    h = transposed_convolution(h, w["to_frame/kernel"], w["to_frame/bias"], stride=1)
    return np.tanh(h).reshape(n, frames, *h.shape[1:])


def critic(network, clips, training):
    w = Weights(network)
    h = clips.astype(np.float64)
    halvings = int(np.log2(network.size // 4))
    for i in range(halvings):
        kernel = w[f"conv{i}/kernel"]
        in_time = kernel.shape[0] == 4
        h = convolution(
            h,
            kernel,
            w[f"conv{i}/bias"],
            stride=(2 if in_time else 1, 2, 2),
            pad=(1 if in_time else 0, 1, 1),
        )
        if i:
            h = w.normalize(h, f"bn{i}", training)
        h = leaky_relu(h)
    return np.tensordot(h, w["score/kernel"][..., 0], axes=4)[:, None] + w["score/bias"]
