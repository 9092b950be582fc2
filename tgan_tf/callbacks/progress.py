"""Progress of a run, as a bar on a terminal or lines in a log; and a time limit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import keras
from tqdm import tqdm

from tgan_tf import stack

_BAR_FORMAT = "{n_fmt}/{total_fmt} {bar} {remaining} left - {desc}"


def progress_bar(train_steps: int, first_step: int = 0) -> keras.callbacks.Callback:
    """One bar for the whole run: steps, time left, mean losses of the epoch so far.

    It is TensorFlow Addons' `TQDMProgressBar` or, without Addons, a tqdm bar that shows the same.

    Args:
        train_steps: the step at which training ends.
        first_step: the step at which training begins.
    """
    if not stack.ADDONS_AND_IO:
        return _Bar(train_steps, first_step)
    base: Any = stack.addons().callbacks.TQDMProgressBar

    class TQDMProgressBar(base):
        # To the bar the run is one epoch; a Keras epoch only resets the mean losses.
        def set_params(self, params: dict[str, Any]) -> None:
            super().set_params({**params, "epochs": 1, "steps": train_steps})

        def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
            super().on_train_begin(logs)
            with contextlib.redirect_stdout(None):  # "Epoch 1/1"
                super().on_epoch_begin(0, logs)
            self.steps_so_far = first_step
            self.epoch_progress_tqdm.initial = self.epoch_progress_tqdm.n = first_step
            self.epoch_progress_tqdm.refresh()

        def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            self.logs.clear()
            self.num_samples_seen = 0

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            self._last_logs = logs

        def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
            # Otherwise the bar of a run that stopped early would jump to its end.
            self.total_steps = self.steps_so_far
            super().on_epoch_end(0, self._last_logs)

    return TQDMProgressBar(
        epoch_bar_format=_BAR_FORMAT,
        metrics_format="{name} {value:0.4f}",
        show_overall_progress=False,
    )


class TimeLimit(keras.callbacks.Callback):
    """Ends training after the first step that ends `minutes` after its start.

    TensorFlow Addons' `TimeStopping` waits for the end of an epoch, which may be many slow steps
    away.

    Args:
        minutes: the time that training may take.
    """

    def __init__(self, minutes: float):
        super().__init__()
        self.minutes = minutes

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._end = time.monotonic() + 60 * self.minutes

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if time.monotonic() >= self._end:
            self.model.stop_training = True


class _Bar(keras.callbacks.Callback):
    def __init__(self, train_steps: int, first_step: int):
        super().__init__()
        self.train_steps = train_steps
        self.first_step = first_step

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._bar = tqdm(
            total=self.train_steps,
            initial=self.first_step,
            bar_format=_BAR_FORMAT,
            dynamic_ncols=True,
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        shown = (f"{name} {value:0.4f}" for name, value in (logs or {}).items())
        self._bar.set_description_str(" - ".join(shown), refresh=False)
        self._bar.update()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._bar.close()


class ProgressLines(keras.callbacks.Callback):
    """Prints a line per epoch, for logs: step, losses, speed and time left.

    Args:
        train_steps: the step at which training ends.
        batch_size: clips that the generator makes per step.
    """

    def __init__(self, train_steps: int, batch_size: int):
        super().__init__()
        self.train_steps = train_steps
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._step, self._time = self.model.step, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        step = self.model.step
        seconds = (time.monotonic() - self._time) / max(step - self._step, 1)
        left = time.strftime("%H:%M:%S", time.gmtime(seconds * max(self.train_steps - step, 0)))
        losses = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        print(
            f"step {step}/{self.train_steps}  {losses}  {seconds:.2f} s/step  "
            f"{self.batch_size / seconds:.1f} clips/s  {left} left",
            flush=True,
        )
