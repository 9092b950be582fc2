"""The training step of `tgan_tf` in PyTorch, for comparison: the same networks and updates.

    training = PyTorchTGAN(build(configuration), configuration)
    training.step(real, z0)

The networks copy their weights from a `TGAN`'s layers and are then independent of it. The z0 half
of the first transposed convolution is computed once per video, as in
`tgan_tf.models.image_generator`, so that both compute the same. Kernels are clipped by the singular
value decomposition of the whole matrix, `torch.linalg.svd`.

Clips are [batch, channels, frames, rows, columns], as PyTorch's convolutions expect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import keras
import numpy as np

from tgan_tf.configuration import Configuration
from tgan_tf.extras import extra
from tgan_tf.models.batch_normalization import BatchNormalization
from tgan_tf.models.critic import Critic
from tgan_tf.models.sizes import BASE_SIZE
from tgan_tf.models.video_generator import VideoGenerator
from tgan_tf.tgan import TGAN

with extra("import", "the step in PyTorch"):
    import torch
    from torch.nn import functional


class PyTorchTGAN:
    """Both networks and their optimisers.

    Args:
        tgan: the TGAN with the initial weights.
        configuration: its configuration, which must pass `benchmark_layers.check_known`.
    """

    def __init__(self, tgan: TGAN, configuration: Configuration):
        self.configuration = configuration
        self.generator = PyTorchGenerator(tgan.generator)
        self.critic = PyTorchCritic(tgan.critic)
        self.of_critic = list(self.critic.parameters())
        self.of_generator = list(self.generator.parameters())
        self.critic_optimizer = _optimizer(self.of_critic, configuration.critic_optimizer)
        self.generator_optimizer = _optimizer(self.of_generator, configuration.generator_optimizer)
        self.momentum = configuration.generator_optimizer["ema_momentum"]
        self.averages = [weight.detach().clone() for weight in self.of_generator]
        self.steps = 0

    def step(
        self, real: torch.Tensor, z0: torch.Tensor, starts: tuple[int, int] | None = None
    ) -> None:
        """Updates the critic and the generator once, both from one forward pass.

        Args:
            real: clips in [-1, 1].
            z0: [batch, z0_dim].
            starts: first frames that the critic sees of the real and of the generated clips, if it
                sees only a part; random by default.
        """
        frames = self.configuration.critic_frames or self.configuration.frames
        left_out = self.configuration.frames - frames
        of_real, of_fake = starts or [random.randint(0, left_out) for _ in range(2)]
        fake_scores = self.critic(self.generator(z0, slice(of_fake, of_fake + frames)))
        real_scores = self.critic(real[:, :, of_real : of_real + frames])
        if self.configuration.objective == "wasserstein":
            critic_loss = fake_scores.mean() - real_scores.mean()
            both = torch.autograd.grad(critic_loss, [*self.of_critic, *self.of_generator])
            of_critic = both[: len(self.of_critic)]
            # The generator's loss is the negative of the critic's on fake clips.
            of_generator = [-part for part in both[len(self.of_critic) :]]
        else:
            critic_loss = (1 - real_scores).relu().mean() + (1 + fake_scores).relu().mean()
            of_critic = torch.autograd.grad(critic_loss, self.of_critic, retain_graph=True)
            of_generator = torch.autograd.grad(-fake_scores.mean(), self.of_generator)
        self.critic_optimizer.update(of_critic)
        self.steps += 1
        if self.steps % self.configuration.lipschitz["interval"] == 0:
            self.critic.clip(self.configuration.lipschitz["max_singular_value"])
        self.generator_optimizer.update(of_generator)
        if self.momentum is not None:
            for average, weight in zip(self.averages, self.of_generator):
                average.lerp_(weight.detach(), 1 - self.momentum)


class PyTorchGenerator(torch.nn.Module):
    """`tgan_tf.models.VideoGenerator` with its weights: latents to clips."""

    def __init__(self, generator: VideoGenerator):
        super().__init__()
        temporal, image = generator.temporal_generator, generator.image_generator
        self.channels, self.size = generator.channels, generator.size
        self.temporal_convolutions = _convolutions(temporal.deconvolutions)
        self.temporal_normalizations = _normalizations(temporal.normalizations)
        # The order of the dense layers' outputs, where channels come last.
        order = np.arange(BASE_SIZE * BASE_SIZE * image.filters // 2)
        order = order.reshape(BASE_SIZE, BASE_SIZE, -1).transpose(2, 0, 1).ravel()
        self.z0_kernel = _parameter(image.z0_dense.kernel, lambda kernel: kernel.T[order])
        self.z1_kernel = _parameter(image.z1_dense.kernel, lambda kernel: kernel.T[order])
        self.z0_normalization = Normalization(image.z0_normalization, order)
        self.z1_normalization = Normalization(image.z1_normalization, order)
        self.z0_convolution = Convolution(image.z0_deconvolution)
        self.convolutions = _convolutions(image.deconvolutions)
        self.normalizations = _normalizations(image.normalizations)
        self.to_frame = Convolution(image.to_frame)

    def forward(self, z0: torch.Tensor, window: slice = slice(None)) -> torch.Tensor:
        """Generates clips, or some of their frames, from latents [batch, z0_dim]."""
        h = z0[:, :, None]
        for convolution, normalization in zip(
            self.temporal_convolutions, self.temporal_normalizations
        ):
            h = normalization(convolution(h)).relu()
        z1 = self.temporal_convolutions[-1](h).tanh().transpose(1, 2)[:, window]

        batch, frames, _ = z1.shape
        h0 = functional.linear(z0, self.z0_kernel)
        # Normalised with rows repeated for each frame, for the same unbiased running variance.
        h0 = self.z0_normalization(h0.repeat_interleave(frames, 0))[::frames].relu()
        h0 = self.z0_convolution(h0.reshape(batch, -1, BASE_SIZE, BASE_SIZE))
        h1 = self.z1_normalization(functional.linear(z1.flatten(0, 1), self.z1_kernel)).relu()
        h = self.convolutions[0](h1.reshape(batch * frames, -1, BASE_SIZE, BASE_SIZE))
        h = self.normalizations[0](h + h0.repeat_interleave(frames, 0)).relu()
        for convolution, normalization in zip(self.convolutions[1:], self.normalizations[1:]):
            h = normalization(convolution(h)).relu()
        images = self.to_frame(h).tanh()
        return images.reshape(batch, frames, self.channels, self.size, self.size).transpose(1, 2)


class PyTorchCritic(torch.nn.Module):
    """`tgan_tf.models.Critic` with its weights: clips to scores [batch]."""

    def __init__(self, critic: Critic):
        super().__init__()
        self.slope = critic.slope
        self.convolutions = _convolutions(critic.convolutions)
        self.normalizations = _normalizations(
            [layer for layer in critic.normalizations if layer is not None]
        )
        self.score = Convolution(critic.score)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        h = functional.leaky_relu(self.convolutions[0](clips), self.slope)
        for i, convolution in enumerate(self.convolutions[1:]):
            h = convolution(h)
            if self.normalizations:
                h = self.normalizations[i](h)
            h = functional.leaky_relu(h, self.slope)
        return self.score(h).flatten()

    @torch.no_grad()
    def clip(self, max_singular_value: float) -> None:
        """Clips the kernels' singular values and the scales of batch normalisations."""
        for convolution in [*self.convolutions, self.score]:
            kernel = convolution.kernel
            # For the tall matrix LAPACK is three times as fast as for the wide one.
            u, values, v = torch.linalg.svd(kernel.flatten(1).T, full_matrices=False)
            clipped = (u * values.clamp(max=max_singular_value)) @ v
            kernel.copy_(clipped.T.reshape(kernel.shape))
        for normalization in self.normalizations:
            deviation = normalization.running_variance.sqrt()
            normalization.gamma.clamp_(0.01 * deviation, deviation)


class Convolution(torch.nn.Module):
    """A Keras convolution or transposed convolution, with its weights."""

    def __init__(self, layer: keras.layers.Layer):
        super().__init__()
        rank = len(layer.kernel_size)
        transposed = isinstance(layer, (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose))
        self.function = getattr(functional, f"conv{'_transpose' if transposed else ''}{rank}d")
        self.stride = tuple(layer.strides)
        self.padding = tuple((n - 1) // 2 * (layer.padding == "same") for n in layer.kernel_size)
        # [*window, a, b] to [b, a, *window], also for transposed convolutions.
        self.kernel = _parameter(layer.kernel, lambda kernel: np.moveaxis(kernel, (-1, -2), (0, 1)))
        self.bias = _parameter(layer.bias) if layer.use_bias else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.function(inputs, self.kernel, self.bias, self.stride, self.padding)


class Normalization(torch.nn.Module):
    """A `BatchNormalization` with its weights and running averages.

    Args:
        layer: the Keras layer.
        order: order of its channels here.
    """

    def __init__(self, layer: BatchNormalization, order: slice | np.ndarray = slice(None)):
        super().__init__()
        self.momentum, self.epsilon = layer.momentum, layer.epsilon
        self.gamma = _parameter(layer.gamma, lambda values: values[order])
        self.beta = _parameter(layer.beta, lambda values: values[order]) if layer.center else None
        self.register_buffer("running_mean", _tensor(layer.moving_mean)[order].clone())
        self.register_buffer("running_variance", _tensor(layer.moving_variance)[order].clone())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(
            inputs,
            self.running_mean,
            self.running_variance,
            self.gamma,
            self.beta,
            self.training,
            1 - self.momentum,
            self.epsilon,
        )


# Written out with the operations of `torch.optim`, which loads Triton in PyTorch's GPU build; a
# process that has loaded TensorFlow 2.21 then ends in a segmentation fault.
class RMSprop:
    """The reference's RMSprop: decay 0.99, and ε = 1e-8 outside the root."""

    def __init__(self, weights: list[torch.nn.Parameter], rate: float):
        self.weights, self.rate = weights, rate
        self.squares = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def update(self, gradients: Sequence[torch.Tensor]) -> None:
        for weight, gradient, square in zip(self.weights, gradients, self.squares):
            square.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
            weight.addcdiv_(gradient, square.sqrt().add_(1e-8), value=-self.rate)


class Adam:
    """Adam with Keras's ε = 1e-7, which is not corrected for the first steps' bias."""

    def __init__(
        self, weights: list[torch.nn.Parameter], rate: float, beta_1: float, beta_2: float
    ):
        self.weights, self.rate, self.beta_1, self.beta_2 = weights, rate, beta_1, beta_2
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]
        self.updates = 0

    @torch.no_grad()
    def update(self, gradients: Sequence[torch.Tensor]) -> None:
        self.updates += 1
        correction = (1 - self.beta_2**self.updates) ** 0.5 / (1 - self.beta_1**self.updates)
        for weight, gradient, mean, square in zip(
            self.weights, gradients, self.means, self.squares
        ):
            mean.lerp_(gradient, 1 - self.beta_1)
            square.mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
            weight.addcdiv_(mean, square.sqrt().add_(1e-7), value=-self.rate * correction)


def channels_first(clips: np.ndarray) -> torch.Tensor:
    """Converts clips [batch, frames, rows, columns, channels] to the layout here."""
    return torch.tensor(np.moveaxis(clips, -1, 1).copy())


def _convolutions(layers: Sequence[keras.layers.Layer]) -> torch.nn.ModuleList:
    return torch.nn.ModuleList(Convolution(layer) for layer in layers)


def _normalizations(layers: Sequence[BatchNormalization]) -> torch.nn.ModuleList:
    return torch.nn.ModuleList(Normalization(layer) for layer in layers)


def _tensor(variable) -> torch.Tensor:
    return torch.tensor(np.asarray(variable.numpy()))


def _parameter(variable, arranged=lambda values: values) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(arranged(variable.numpy()).copy()))


def _optimizer(weights: list[torch.nn.Parameter], part: dict) -> RMSprop | Adam:
    """Makes the optimiser of a configuration's entry."""
    if part["name"] == "rmsprop":
        return RMSprop(weights, part["learning_rate"])
    return Adam(weights, part["learning_rate"], part["beta_1"], part["beta_2"])
