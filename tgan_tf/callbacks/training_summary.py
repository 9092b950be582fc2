"""TensorBoard events of a training, and its samples as files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from tgan_tf import rendering
from tgan_tf.constraints import BatchNormScaleClipping
from tgan_tf.convolutions import unwrapped
from tgan_tf.evaluation import spectral_report
from tgan_tf.evaluation.signs import signs
from tgan_tf.spectral import singular_values


class TrainingSummary(keras.callbacks.Callback):
    """Writes TensorBoard events and sample files.

    At each end of an epoch of `AlignedEpochs`: the losses and the Wasserstein estimate (means over
    the epoch), clips per second, each critic kernel's singular values as a histogram and the
    largest as a scalar, the norm of its convolution, the largest γ and the most that each batch
    normalisation stretches, clipped scales γ relative to their bounds, and a bound on the critic's
    Lipschitz constant. Every `sample_interval` steps and at the end: clips of fixed latents, and
    real ones, as animated GIFs, and except at step 0 the signs of a failing training (see
    `tgan_tf.evaluation.signs`), with a printed warning if a sign is bad twice in a row. At the
    start: the flags as text, and samples if they are due at that step and missing.

    Args:
        directory: directory of the events.
        samples_directory: directory of `step-N.gif` and `step-N.png`.
        real_clips: float32 [n, frames, size, size, channels] in [-1, 1], shown for comparison.
        latents: float32 [m, latent_dim], the fixed latents of the samples.
        sample_interval: steps from one sample to the next.
        train_steps: the step at which training ends.
        batch_size: clips that the generator makes per step.
        text: Markdown shown on TensorBoard's Text page.
        real_labels: int [n], the classes of `real_clips`, for conditional networks.
    """

    def __init__(
        self,
        directory: str | Path,
        samples_directory: str | Path,
        real_clips: np.ndarray,
        latents: np.ndarray,
        sample_interval: int,
        train_steps: int,
        batch_size: int,
        text: str,
        real_labels: np.ndarray | None = None,
    ):
        super().__init__()
        self.directory = Path(directory)
        self.samples_directory = Path(samples_directory)
        self.real_clips = real_clips
        self.latents = latents
        self.sample_interval = sample_interval
        self.train_steps = train_steps
        self.batch_size = batch_size
        self.text = text
        self.real_labels = real_labels
        self._bad_signs: set[str] = set()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._writer = tf.summary.create_file_writer(str(self.directory))
        step = self.model.step
        with self._writer.as_default(step=step):
            tf.summary.text("flags", self.text)
            if self.lacks_samples():
                self._write_samples(step)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._step, self._time = self.model.step, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        step = self.model.step
        if self._are_due(step):
            with self._writer.as_default(step=step):
                self._write_samples(step)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        step = self.model.step
        seconds = time.monotonic() - self._time
        with self._writer.as_default(step=step):
            for name, value in (logs or {}).items():
                tf.summary.scalar(f"training/{name}", value)
            clips = (step - self._step) * self.batch_size
            tf.summary.scalar("training/clips_per_second", clips / seconds)
            self._write_critic()
        self._writer.flush()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        step = self.model.step
        if not self._exist(step):
            with self._writer.as_default(step=step):
                self._write_samples(step)
        self._writer.close()

    def lacks_samples(self) -> bool:
        """Whether samples are due at the model's step and missing."""
        step = self.model.step
        return self._are_due(step) and not self._exist(step)

    def _are_due(self, step: int) -> bool:
        return step % self.sample_interval == 0 or step == self.train_steps

    def _exist(self, step: int) -> bool:
        return all(path.exists() for path in self._paths(step))

    def _paths(self, step: int) -> list[Path]:
        return [self.samples_directory / f"step-{step}{suffix}" for suffix in (".gif", ".png")]

    def _write_samples(self, step: int) -> None:
        generator = self.model.averaged_generator()
        clips = rendering.to_uint8(generator(self.latents, training=False).numpy())
        generated = rendering.video_grid(clips, num_classes=generator.num_classes)
        real = rendering.video_grid(rendering.to_uint8(self.real_clips))
        _write_gif("samples/generated", generated)
        _write_gif("samples/real", real)
        self._writer.flush()
        self.samples_directory.mkdir(parents=True, exist_ok=True)
        sheet = rendering.contact_sheet(clips[:8])
        gif, png = self._paths(step)
        # A resumed run makes the same samples again.
        gif.unlink(missing_ok=True)
        rendering.save_gif(gif, generated)
        png.unlink(missing_ok=True)
        rendering.save_png(png, sheet)
        # An untrained generator has every bad sign.
        if step:
            self._write_signs(step)

    def _write_signs(self, step: int) -> None:
        # From the weights that the critic sees, not from their averages.
        clips = self.model.generator(self.latents, training=False).numpy()
        labels = None
        if self.real_labels is not None:
            of_generated = self.latents[:, -self.model.generator.num_classes :].argmax(axis=1)
            labels = of_generated, self.real_labels
        found = signs(self.model.critic, clips, self.real_clips, labels)
        for name, value in found._asdict().items():
            tf.summary.scalar(f"signs/{name}", value)
        warnings = found.warnings()
        # A training has bad signs at first and by chance: only signs that stay bad are reported.
        for name, warning in warnings.items():
            if name in self._bad_signs:
                # Above the bar, if there is one.
                tqdm.write(f"step {step}: {warning}: see docs/learning.md")
        self._bad_signs = set(warnings)

    def _write_critic(self) -> None:
        critic = self.model.critic
        # The error is rarely as much as a hundredth, and it takes a fraction of the time.
        measured = spectral_report.stages(critic, tolerance=1e-3)
        for stage, (layer, normalization) in zip(measured, critic.stages):
            name = f"critic/{stage.name}"
            tf.summary.scalar(f"{name}/largest_singular_value", stage.matrix_norm)
            tf.summary.scalar(f"{name}/operator_norm", stage.operator_norm)
            tf.summary.histogram(
                f"{name}/singular_values", singular_values(unwrapped(layer).kernel)
            )
            if normalization is None:
                continue
            # Sorted beside its layer; with two critics, after the critic's name.
            name = f"critic/{stage.name.replace('conv', 'bn')}"
            tf.summary.scalar(f"{name}/largest_stretch", stage.gamma)
            gamma = tf.convert_to_tensor(normalization.gamma)
            tf.summary.scalar(f"{name}/largest_gamma", tf.reduce_max(gamma))
            constraint = normalization.gamma_constraint
            if isinstance(constraint, BatchNormScaleClipping):
                lowest, highest = constraint.bounds()
                tf.summary.scalar(f"{name}/gamma_over_upper_bound", tf.reduce_max(gamma / highest))
                tf.summary.scalar(f"{name}/gamma_over_lower_bound", tf.reduce_min(gamma / lowest))
        bound = spectral_report.lipschitz_bound(critic, measured)
        tf.summary.scalar("critic/lipschitz_bound", bound)


def _write_gif(tag: str, video: np.ndarray) -> None:
    """Writes an animated GIF to TensorBoard, whose own image summary is a still PNG."""
    frames, height, width, _ = video.shape
    with tf.summary.experimental.summary_scope(tag) as (name, _):
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "images"
        tf.summary.write(
            name,
            tf.constant([str(width).encode(), str(height).encode(), rendering.encode_gif(video)]),
            metadata=metadata,
        )
