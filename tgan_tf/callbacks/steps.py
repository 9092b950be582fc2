"""The steps of a run: where it ends, what an epoch is, when checkpoints are saved."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tgan_tf import checkpoints, stack
from tgan_tf.workers import ALONE, Alone, Workers


class StopAtStep(keras.callbacks.Callback):
    """Ends training when the model has made `step` steps, including those of earlier runs."""

    def __init__(self, step: int):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.model.step >= self.step:
            self.model.stop_training = True


class _WithCallbacks(keras.callbacks.Callback):
    """Holds other callbacks, and passes the model and the parameters of `fit` on to them."""

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]):
        super().__init__()
        self._callbacks = keras.callbacks.CallbackList(callbacks)

    def set_params(self, params: dict[str, Any]) -> None:
        self._callbacks.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._callbacks.set_model(model)


class AlignedEpochs(_WithCallbacks):
    """Gives callbacks epochs that end at multiples of `interval` steps.

    Keras's own epochs begin where training begins, so a resumed training would report other means
    at other steps than an uninterrupted one. Run `fit` as a single Keras epoch, and pass the
    callbacks that depend on epochs here. `fit` resets the model's metrics when it begins; this
    callback sets them back to the values that `checkpoints.restore` gave them.

    An epoch also ends at the last step of the run.

    Args:
        callbacks: the callbacks; they see epoch numbers step // interval.
        interval: steps from one end of an epoch to the next.
        train_steps: the step at which training ends.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], interval: int, train_steps: int
    ):
        super().__init__(callbacks)
        self.interval = interval
        self.train_steps = train_steps

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._means = self.model.means
        self._callbacks.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.model.means = self._means
        self._callbacks.on_epoch_begin(self.model.step // self.interval)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._callbacks.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._callbacks.on_train_batch_end(batch, logs)
        step = self.model.step
        if step % self.interval == 0 or step == self.train_steps:
            self._callbacks.on_epoch_end((step - 1) // self.interval, logs)
            self.model.reset_metrics()
            self._callbacks.on_epoch_begin(step // self.interval)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._callbacks.on_train_end(logs)


class NotShared(_WithCallbacks):
    """Runs callbacks on one of several workers; the others neither wait for them nor take part.

    Args:
        callbacks: the callbacks, in order. None may run an operation that all workers share.
    """

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        stack.outside_strategy(self._callbacks.on_train_begin, logs)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        stack.outside_strategy(self._callbacks.on_epoch_begin, epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        stack.outside_strategy(self._callbacks.on_train_batch_begin, batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        stack.outside_strategy(self._callbacks.on_train_batch_end, batch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        stack.outside_strategy(self._callbacks.on_epoch_end, epoch, logs)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        stack.outside_strategy(self._callbacks.on_train_end, logs)


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends training with an error at the first NaN or infinity in a loss or a weight.

    Put it before the callback that saves checkpoints, so that no such weights are saved.

    Raises:
        FloatingPointError: names the step, and the losses and weights that are not finite.
    """

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._variables = self.model.generator.variables + self.model.critic.variables

        # A sum is not finite if a term is not, and it needs no tensor of the variable's size.
        @tf.function(autograph=False)
        def sums() -> tf.Tensor:
            return tf.stack([tf.reduce_sum(tf.cast(v, tf.float32)) for v in self._variables])

        self._sums = sums

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        bad = [name for name, value in (logs or {}).items() if not np.isfinite(value)]
        for variable, total in zip(self._variables, self._sums().numpy()):
            # A sum can also overflow.
            if not np.isfinite(total) and not np.isfinite(variable.numpy()).all():
                bad.append(stack.variable_path(variable))
        if bad:
            shown = ", ".join(bad[:6]) + (f" and {len(bad) - 6} more" if len(bad) > 6 else "")
            raise FloatingPointError(
                f"step {self.model.step}: NaN or infinity in {shown}: the last checkpoint is "
                "kept; try a lower learning rate, or float32 instead of mixed precision"
            )


class CheckpointSaver(keras.callbacks.Callback):
    """Saves every `interval` steps, at the end of training, and on SIGTERM and SIGINT.

    After a signal the current step is finished and saved, and training ends; `stopped_by` is then
    the signal, otherwise None. Several workers all end after the same step, the next one or a later
    one, whichever of them received the signal. Only the chief's `stop_training` counts, and only
    the chief saves.

    Args:
        directory: directory of the checkpoints, see `tgan_tf.checkpoints.save`.
        interval: steps from one checkpoint to the next.
        keep: number of newest checkpoints to keep.
        peers: the workers that train together.
        then: called after each save.
    """

    def __init__(
        self,
        directory: str | Path,
        interval: int,
        keep: int = 3,
        peers: Alone | Workers = ALONE,
        then: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self.directory = directory
        self.interval = interval
        self.keep = keep
        self.peers = peers
        self.then = then
        self.stopped_by: signal.Signals | None = None
        self._signal = 0
        self._saved: int | None = None
        self._handlers: dict[int, Callable[..., Any] | int | None] = {}

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._saved = self.model.step
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._stop)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        stop = self.peers.stop(self.model.step, self._signal, self.model.stop_training)
        self.model.stop_training = stop is not None
        if stop:
            self.stopped_by = signal.Signals(stop)
        if self.model.step % self.interval == 0:
            self._save()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._save()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _save(self) -> None:
        step = self.model.step
        if step != self._saved and self.peers.is_chief:
            checkpoints.save(self.model, self.directory, step, self.keep)
            self._saved = step
            self.then()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
