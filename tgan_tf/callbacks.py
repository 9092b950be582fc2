"""What a training run shows and keeps: Keras callbacks for a `TGAN`.

The step of a run is `TGAN.step`, the generator's updates, not Keras's epoch: an epoch is only how
many steps pass from one report to the next, see `AlignedEpochs`.

At a step where several are due, samples and the report come before the checkpoint and evaluations
after it, so put the callbacks into this order:

    [StopWhenNotFinite(), StopAtStep(n), AlignedEpochs(...), CheckpointSaver(...), Evaluate(...)]

Then whatever kills a training, nothing is lost but time. Of a step that has no checkpoint yet all
is made again; what is slow, and may be missing at a step that has one, is made up when training
resumes.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tgan_tf import checkpoints, rendering
from tgan_tf.constraints import BatchNormScaleClipping
from tgan_tf.convolutions import unwrapped
from tgan_tf.errors import InputError
from tgan_tf.evaluation import records, spectral_report
from tgan_tf.evaluation.clip_sets import GeneratedClips
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.metrics import Request
from tgan_tf.spectral import singular_values


class StopAtStep(keras.callbacks.Callback):
    """Ends training when the model has made `step` steps, those of earlier runs included."""

    def __init__(self, step: int):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step >= self.step:
            self.model.stop_training = True


class AlignedEpochs(keras.callbacks.Callback):
    """Gives callbacks epochs of `interval` steps, whose ends are multiples of it.

    Keras's own epochs begin where training begins, so that a resumed training would report at other
    steps than an unbroken one, of other means. Make all of `fit` one epoch of Keras's, and put the
    callbacks that an epoch's end means something to in here. The model's metrics, which `fit`
    resets when it begins, go on from where `checkpoints.restore` has set them.

    An epoch also ends at the last step of a run.

    Args:
        callbacks: their epochs are numbered by step // interval.
        interval: steps from one epoch's end to the next.
        train_steps: the step at which training ends.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], interval: int, train_steps: int
    ):
        super().__init__()
        self.interval = interval
        self.train_steps = train_steps
        self._callbacks = keras.callbacks.CallbackList(callbacks)

    def set_params(self, params):
        self._callbacks.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        self._callbacks.set_model(model)

    def on_train_begin(self, logs=None):
        self._means = [variable.numpy() for variable in self._variables()]
        self._callbacks.on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        for variable, value in zip(self._variables(), self._means):
            variable.assign(value)
        self._callbacks.on_epoch_begin(self.model.step // self.interval)

    def on_train_batch_begin(self, batch, logs=None):
        self._callbacks.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._callbacks.on_train_batch_end(batch, logs)
        step = self.model.step
        if step % self.interval == 0 or step == self.train_steps:
            self._callbacks.on_epoch_end((step - 1) // self.interval, logs)
            self.model.reset_metrics()
            self._callbacks.on_epoch_begin(step // self.interval)

    def on_train_end(self, logs=None):
        self._callbacks.on_train_end(logs)

    def _variables(self):
        return [variable for metric in self.model.metrics for variable in metric.variables]


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends training with an error at the first NaN or infinity in a loss or a weight.

    Put it before the callback that saves checkpoints, so that no such weight is saved.

    Raises:
        FloatingPointError: names the step, and the losses and weights that are not finite.
    """

    def on_train_begin(self, logs=None):
        variables = self.model.generator.variables + self.model.critic.variables

        @tf.function
        def not_finite():
            return tf.stack([tf.logical_not(_all_finite(variable)) for variable in variables])

        self._names = [variable.name for variable in variables]
        self._not_finite = not_finite

    def on_train_batch_end(self, batch, logs=None):
        bad = [name for name, value in (logs or {}).items() if not np.isfinite(value)]
        flags = self._not_finite().numpy()
        bad += [name for name, flag in zip(self._names, flags) if flag]
        if bad:
            shown = ", ".join(bad[:6]) + (f" and {len(bad) - 6} more" if len(bad) > 6 else "")
            raise FloatingPointError(
                f"step {self.model.step}: NaN or infinity in {shown}: the last checkpoint is "
                "kept; try a lower learning rate, or float32 instead of mixed precision"
            )


def _all_finite(variable):
    # A sum is not finite if a term is not, and costs no tensor of the variable's size. It can also
    # overflow by itself; then, and only then, each entry is looked at.
    value = tf.cast(variable, tf.float32)
    return tf.cond(
        tf.math.is_finite(tf.reduce_sum(value)),
        lambda: True,
        lambda: tf.reduce_all(tf.math.is_finite(value)),
    )


class CheckpointSaver(keras.callbacks.Callback):
    """Saves every `interval` steps, at the end of training, and on SIGTERM and SIGINT.

    After a signal the step under way is finished and saved, and training ends; `stopped_by` is
    the signal then, else None.

    Args:
        directory: where the checkpoints go, as of `tgan_tf.checkpoints.save`.
        interval: steps from one checkpoint to the next.
        keep: how many are left.
    """

    def __init__(self, directory: str | Path, interval: int, keep: int = 3):
        super().__init__()
        self.directory = directory
        self.interval = interval
        self.keep = keep
        self.stopped_by = None
        self._saved = None
        self._handlers = {}

    def on_train_begin(self, logs=None):
        self._saved = self.model.step
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._stop)

    def on_train_batch_end(self, batch, logs=None):
        if self.stopped_by is not None:
            self.model.stop_training = True
        if self.model.step % self.interval == 0:
            self._save()

    def on_train_end(self, logs=None):
        self._save()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _save(self):
        step = self.model.step
        if step != self._saved:
            checkpoints.save(self.model, self.directory, step, self.keep)
            self._saved = step

    def _stop(self, number, frame):
        self.stopped_by = signal.Signals(number)


def progress_bar(train_steps: int, first_step: int = 0) -> keras.callbacks.Callback:
    """TensorFlow Addons' bar, one for the whole run: steps, time left, losses of the epoch so far.

    Args:
        train_steps: the step at which training ends.
        first_step: the steps made before.
    """

    class TQDMProgressBar(_addons().callbacks.TQDMProgressBar):
        # To the bar the run is one epoch; an epoch of Keras only begins new means of the losses.
        def set_params(self, params):
            super().set_params({**params, "epochs": 1, "steps": train_steps})

        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            with contextlib.redirect_stdout(None):  # "Epoch 1/1"
                super().on_epoch_begin(0, logs)
            self.steps_so_far = first_step
            self.epoch_progress_tqdm.initial = self.epoch_progress_tqdm.n = first_step
            self.epoch_progress_tqdm.refresh()

        def on_epoch_begin(self, epoch, logs=None):
            self.logs.clear()
            self.num_samples_seen = 0

        def on_epoch_end(self, epoch, logs=None):
            self._last_logs = logs

        def on_train_end(self, logs=None):
            # Else the bar of a run that stopped early would jump to its end.
            self.total_steps = self.steps_so_far
            super().on_epoch_end(0, self._last_logs)

    return TQDMProgressBar(
        epoch_bar_format="{n_fmt}/{total_fmt} {bar} {remaining} left - {desc}",
        metrics_format="{name} {value:0.4f}",
        show_overall_progress=False,
    )


def time_limit(minutes: float) -> keras.callbacks.Callback:
    """TensorFlow Addons' `TimeStopping`: ends training at the first epoch's end after `minutes`."""
    return _addons().callbacks.TimeStopping(seconds=round(60 * minutes))


def _addons():
    try:
        import tensorflow_addons
    except ImportError as error:
        raise InputError(
            f"TensorFlow Addons cannot be imported ({error}): install the locked requirements"
        ) from error
    return tensorflow_addons


class ProgressLines(keras.callbacks.Callback):
    """Prints a line an epoch: step, losses, speed and time left. For logs; a terminal has a bar.

    Args:
        train_steps: the step at which training ends.
        batch_size: clips of the generator in a step.
    """

    def __init__(self, train_steps: int, batch_size: int):
        super().__init__()
        self.train_steps = train_steps
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        self._step, self._time = self.model.step, time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        seconds = (time.monotonic() - self._time) / max(step - self._step, 1)
        left = time.strftime("%H:%M:%S", time.gmtime(seconds * max(self.train_steps - step, 0)))
        losses = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        print(
            f"step {step}/{self.train_steps}  {losses}  {seconds:.2f} s/step  "
            f"{self.batch_size / seconds:.1f} clips/s  {left} left",
            flush=True,
        )


class TrainingSummary(keras.callbacks.Callback):
    """Writes TensorBoard's events, and samples as files.

    Every epoch of `AlignedEpochs`: losses and Wasserstein estimate (means of the epoch's steps),
    clips a second, each critic kernel's singular values as a histogram and the largest as a scalar,
    the norm of its convolution, how much of its bounds each scale γ uses, and a bound of the
    critic's Lipschitz constant. Every `sample_interval` steps, at the start and at the end: clips
    of fixed latents beside real ones as an animated GIF. At the start: the flags as text, and
    samples of the step that training resumes at, if they are due and missing.

    Args:
        directory: where the events go.
        samples_directory: where `step-N.gif` and `step-N.png` go.
        real_clips: float32 [n, frames, size, size, channels] in [-1, 1], shown beside.
        latents: float32 [m, latent_dim], the fixed latents of the samples.
        sample_interval: steps from one sample to the next.
        train_steps: the step at which training ends.
        batch_size: clips of the generator in a step.
        text: Markdown shown on TensorBoard's Text page.
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
    ):
        super().__init__()
        self.directory = Path(directory)
        self.samples_directory = Path(samples_directory)
        self.real_clips = rendering.to_uint8(real_clips)
        self.latents = latents
        self.sample_interval = sample_interval
        self.train_steps = train_steps
        self.batch_size = batch_size
        self.text = text

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(str(self.directory))
        step = self.model.step
        with self._writer.as_default(step=step):
            tf.summary.text("flags", self.text)
            if self.lacks_samples():
                self._write_samples(step)

    def on_epoch_begin(self, epoch, logs=None):
        self._step, self._time = self.model.step, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        step = self.model.step
        if self._are_due(step):
            with self._writer.as_default(step=step):
                self._write_samples(step)

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        seconds = time.monotonic() - self._time
        with self._writer.as_default(step=step):
            for name, value in (logs or {}).items():
                tf.summary.scalar(f"training/{name}", value)
            clips = (step - self._step) * self.batch_size
            tf.summary.scalar("training/clips_per_second", clips / seconds)
            self._write_critic()
        self._writer.flush()

    def on_train_end(self, logs=None):
        step = self.model.step
        if not self._exist(step):
            with self._writer.as_default(step=step):
                self._write_samples(step)
        self._writer.close()

    def lacks_samples(self) -> bool:
        """Whether samples of the model's step are due and not there."""
        step = self.model.step
        return self._are_due(step) and not self._exist(step)

    def _are_due(self, step):
        return step % self.sample_interval == 0 or step == self.train_steps

    def _exist(self, step):
        return all(path.exists() for path in self._paths(step))

    def _paths(self, step):
        return [self.samples_directory / f"step-{step}{suffix}" for suffix in (".gif", ".png")]

    def _write_samples(self, step):
        generator = self.model.averaged_generator()
        clips = rendering.to_uint8(generator(self.latents, training=False).numpy())
        generated = rendering.video_grid(clips, num_classes=generator.num_classes)
        real = rendering.video_grid(self.real_clips)
        _write_gif("samples/generated", generated)
        _write_gif("samples/real", real)
        self._writer.flush()
        self.samples_directory.mkdir(parents=True, exist_ok=True)
        sheet = rendering.contact_sheet(clips[:8])
        writers = ((rendering.save_gif, generated), (rendering.save_png, sheet))
        for path, (write, picture) in zip(self._paths(step), writers):
            # A resumed run makes the same samples again.
            path.unlink(missing_ok=True)
            write(path, picture)

    def _write_critic(self):
        critic = self.model.critic
        # Seldom a hundredth off, at a fraction of the time.
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
            # Beside its layer, of one of two critics after the critic's name.
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


class Evaluate(keras.callbacks.Callback):
    """Judges the generator every `interval` steps; the results are those of evaluate.py.

    They go to `metrics.jsonl`, a plot and TensorBoard's events in RUN_DIR/evaluation, and a line is
    printed. What the metrics are of real clips is measured when training begins.

    Args:
        evaluation: what judges.
        requests: of `tgan_tf.evaluation.metrics.parse_metrics`.
        interval: steps from one evaluation to the next.
        run_dir: where the run is kept.
        seed: of the latents that are judged.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        requests: Sequence[Request],
        interval: int,
        run_dir: str | Path,
        seed: int = 0,
    ):
        super().__init__()
        self.evaluation = evaluation
        self.requests = requests
        self.interval = interval
        self.run_dir = Path(run_dir)
        self.seed = seed

    def check(self):
        """Raises an `InputError` if the model's clips cannot be judged, before training begins."""
        fake = GeneratedClips(self.model.generator, self.seed)
        self.evaluation.check(self.requests, fake, self.model.critic)

    def make_up(self):
        """Judges the model at a step where it was due, if the training was killed before it was."""
        self.check()
        path, step = self.run_dir / "evaluation" / records.FILE, self.model.step
        if not step or step % self.interval:
            return
        # Those of evaluate.py have a command, and may be of other metrics.
        kept = records.read(path) if path.exists() else []
        if not any(one.get("step") == step and "command" not in one for one in kept):
            self._judge(step)
            return
        plot = path.parent / records.PLOT
        if not plot.exists() or plot.stat().st_mtime < path.stat().st_mtime:
            records.plot_run(path.parent)

    def on_train_begin(self, logs=None):
        self.make_up()
        floor, real = self.evaluation.floor(self.requests), self.evaluation.other_real
        records.append(
            self.run_dir / "evaluation" / records.FILE,
            self._records("real", floor, real.description),
        )

    def on_train_batch_end(self, batch, logs=None):
        step = self.model.step
        if step % self.interval == 0:
            self._judge(step)

    def _judge(self, step):
        fake = GeneratedClips(self.model.averaged_generator(), self.seed)
        results = self.evaluation(self.requests, fake, self.model.critic, what=f"step {step}")
        more = {"run_dir": str(self.run_dir), "step": step}
        kept = self._records("checkpoint", results, fake.description, **more)
        directory = self.run_dir / "evaluation"
        # The lines are last, but for the plot of them: they say that the rest was done.
        records.write_scalars(directory, kept)
        records.append(directory / records.FILE, kept)
        records.plot_run(directory)
        shown = (f"{record['metric']} {records.shown(record)}" for record in kept)
        # Not through the bar.
        tqdm.write(f"step {step}: {'  '.join(shown)}")

    def _records(self, of, results, description, **more):
        return records.of_results(results, of, self.evaluation, description, seed=self.seed, **more)


def _write_gif(tag: str, video: np.ndarray) -> None:
    """An animated picture for TensorBoard, whose own image summary would be a still PNG."""
    frames, height, width, _ = video.shape
    with tf.summary.experimental.summary_scope(tag) as (name, _):
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "images"
        tf.summary.write(
            name,
            tf.constant([str(width).encode(), str(height).encode(), rendering.encode_gif(video)]),
            metadata=metadata,
        )
