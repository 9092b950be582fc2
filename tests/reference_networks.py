"""The networks in plain NumPy, written from their description, to check the real ones by.

Convolutions are sums over the taps of the kernel, in float64, channels last.
"""

from itertools import product

import numpy as np

from tgan_tf import stack


def trained_looking(network, seed=0):
    """Gives every weight a value, so that no bias is zero and no scale one."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        name = stack.variable_path(variable).split("/")[-1]
        low, high = (0.5, 1.5) if name in ("gamma", "moving_variance") else (-0.3, 0.3)
        variable.assign(rng.uniform(low, high, variable.shape))
    return network


def latents(n, dim=6, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (n, dim)).astype(np.float32)


def clips(n, clip_shape, seed=4):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *clip_shape)).astype(np.float32)


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
    strides, pads = np.broadcast_to(stride, dims), np.broadcast_to(pad, dims)
    space = x.shape[1:-1]
    sizes = [(n - 1) * s + k for n, s, k in zip(space, strides, kernel.shape[:dims])]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-2]))
    for tap in product(*map(range, kernel.shape[:dims])):
        window = [slice(t, t + s * n, s) for t, s, n in zip(tap, strides, space)]
        y[(slice(None), *window)] += x @ kernel[tap].T
    crop = [slice(p, n - p) for p, n in zip(pads, sizes)]
    return y[(slice(None), *crop)] + bias


def batch_normalization(x, gamma, beta=0.0, mean=None, variance=None, epsilon=2e-5):
    """With the moments of the batch, or the given ones."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes) if mean is None else mean
    variance = x.var(axes) if variance is None else variance
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


class Weights:
    """A network's weights by the ends of their names, in float64."""

    def __init__(self, network):
        self._weights = {
            "/".join(stack.variable_path(v).split("/")[-2:]): v.numpy().astype(np.float64)
            for v in network.variables
        }
        self._epsilon = network.epsilon

    def __getitem__(self, name):
        return self._weights[name]

    def normalize(self, x, layer, training):
        moments = {"epsilon": self._epsilon}
        if not training:
            moments["mean"] = self[f"{layer}/moving_mean"]
            moments["variance"] = self[f"{layer}/moving_variance"]
        beta = self._weights.get(f"{layer}/beta", 0.0)
        return batch_normalization(x, self[f"{layer}/gamma"], beta, **moments)


def relu(x):
    return np.maximum(x, 0.0)


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def frames_as_channels(clips):
    """[n, T, rows, columns, C] to [n, rows, columns, C * T], the frames of a channel together."""
    _, frames, _, _, channels = clips.shape
    planes = [clips[:, t, :, :, c] for c in range(channels) for t in range(frames)]
    return np.stack(planes, axis=-1)


def with_labels(values, labels):
    """Joins each row's label to the channels at every position."""
    everywhere = np.zeros((*values.shape[:-1], labels.shape[-1]))
    for row, label in zip(everywhere, labels):
        row[...] = label
    return np.concatenate([values, everywhere], axis=-1)


def max_pooling(x):
    return np.max([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)


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


def gated_recurrent_unit(x, state, weights):
    """Of x [n, steps, inputs], with the gates in the order update, reset, candidate.

    h ← z h + (1 - z) h̃ with h̃ = tanh(W x + b + r (U h + c)), the reset gate r after U as in
    cuDNN: x's bias b and the state's c are two.
    """
    kernel, recurrent_kernel, (input_bias, state_bias) = [w.astype(np.float64) for w in weights]
    outputs = []
    for step in range(x.shape[1]):
        of_input = np.split(x[:, step] @ kernel + input_bias, 3, axis=-1)
        of_state = np.split(state @ recurrent_kernel + state_bias, 3, axis=-1)
        update, reset = (sigmoid(a + b) for a, b in zip(of_input[:2], of_state[:2]))
        candidate = np.tanh(of_input[2] + reset * of_state[2])
        state = update * state + (1.0 - update) * candidate
        outputs.append(state)
    return np.stack(outputs, axis=1)


def recurrent_temporal_generator(network, z0):
    def dense(layer, x):
        kernel, bias = (w.astype(np.float64) for w in layer.get_weights())
        return np.tanh(x @ kernel + bias)

    states = np.split(dense(network.to_state, z0), network.num_layers, axis=-1)
    h = np.stack([z0.astype(np.float64)] * network.frames, axis=1)
    for layer, state in zip(network.recurrent_layers, states):
        h = gated_recurrent_unit(h, state, layer.get_weights())
    return dense(network.to_frame_latents, h)


def features(network, name, latents, frames, training):
    """The stream `name` of a volume generator, to maps of half the size.

    Time doubles in the last of all the doublings of the size, the one after these maps included.
    """
    w = Weights(network)
    doublings = int(np.log2(network.size // 4))
    time_doublings = min(doublings, int(np.log2(frames)))
    h = latents @ w[f"{name}_dense/kernel"]
    h = h.reshape(len(latents), frames // 2**time_doublings, 4, 4, network.filters)
    h = relu(w.normalize(h, f"{name}_bn0", training))
    for i in range(1, doublings):
        in_time = i > doublings - time_doublings
        kernel = w[f"{name}_deconv{i}/kernel"]
        assert kernel.shape[0] == (4 if in_time else 1)
        stride, pad = ((2, 2, 2), (1, 1, 1)) if in_time else ((1, 2, 2), (0, 1, 1))
        h = transposed_convolution(h, kernel, 0.0, stride, pad)
        h = relu(w.normalize(h, f"{name}_bn{i}", training))
    return h


def conv3d_generator(network, latents, training):
    w = Weights(network)
    h = features(network, "volume", latents, network.frames, training)
    return np.tanh(transposed_convolution(h, w["to_clip/kernel"], w["to_clip/bias"]))


def two_stream_generator(network, latents, training):
    """Also gives the mask and the background."""
    w = Weights(network)
    h = features(network, "foreground", latents, network.frames, training)
    foreground = np.tanh(
        transposed_convolution(h, w["to_foreground/kernel"], w["to_foreground/bias"])
    )
    mask = sigmoid(transposed_convolution(h, w["to_mask/kernel"], w["to_mask/bias"]))
    # An image without an axis of time, by convolutions that know of none.
    h = features(network, "background", latents, 1, training)[:, 0]
    background = np.tanh(
        transposed_convolution(h, w["to_background/kernel"][0], w["to_background/bias"])
    )
    clips = np.zeros_like(foreground)
    for t in range(network.frames):
        clips[:, t] = mask[:, t] * foreground[:, t] + (1.0 - mask[:, t]) * background
    return clips


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
        if i and network.normalization == "batch":
            h = w.normalize(h, f"bn{i}", training)
        h = leaky_relu(h, network.slope)
    if network.head == "mean":
        return h.reshape(len(h), -1).mean(axis=1, keepdims=True)
    return np.tensordot(h, w["score/kernel"][..., 0], axes=4)[:, None] + w["score/bias"]


def frame_critic(network, images, training):
    """Of images [n, rows, columns, channels], the frames already channels of them."""
    w = Weights(network)
    h = images.astype(np.float64)
    by_stride = network.downsampling == "stride"
    for i in range(int(np.log2(network.size // 4))):
        kernel = w[f"conv{i}/kernel"]
        assert kernel.shape[:2] == ((4, 4) if by_stride else (3, 3))
        h = convolution(h, kernel, w[f"conv{i}/bias"], stride=2 if by_stride else 1)
        if i:
            h = w.normalize(h, f"bn{i}", training)
        h = leaky_relu(h, network.slope)
        if not by_stride:
            h = max_pooling(h)
    # The reference has a linear layer here.
    kernel = w["score/kernel"]
    return h.reshape(len(h), -1) @ kernel.reshape(-1, kernel.shape[-1]) + w["score/bias"]
