"""Evaluates the generated clips during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from tgan_tf.evaluation import records
from tgan_tf.evaluation.clip_sets import GeneratedClips
from tgan_tf.evaluation.evaluation import Evaluation, Result
from tgan_tf.evaluation.metrics import Request


class Evaluate(keras.callbacks.Callback):
    """Evaluates the generator every `interval` steps, with the same results as evaluate.py.

    The results go to `metrics.jsonl`, a plot and TensorBoard events in RUN_DIR/evaluation, and a
    line is printed. The metrics of other real clips are computed when training begins.

    Args:
        evaluation: the evaluation.
        requests: the metrics, from `tgan_tf.evaluation.metrics.parse_metrics`.
        interval: steps from one evaluation to the next.
        run_dir: directory of the run.
        seed: seed of the latents.
        place: where the records say that the run is; default: `run_dir`.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        requests: Sequence[Request],
        interval: int,
        run_dir: str | Path,
        seed: int = 0,
        place: str | None = None,
    ):
        super().__init__()
        self.evaluation = evaluation
        self.requests = requests
        self.interval = interval
        self.run_dir = Path(run_dir)
        self.seed = seed
        self.place = place or str(run_dir)

    def check(self) -> None:
        """Raises an `InputError` before training if the model's clips cannot be evaluated."""
        fake = GeneratedClips(self.model.generator, self.seed)
        self.evaluation.check(self.requests, fake, self.model.critic)

    def make_up(self) -> None:
        """Makes up the evaluation of the current step if it was due but the training was killed.

        If only the plot is missing or older than the records, it is drawn again.

        Raises:
            InputError: see `check`.
        """
        self.check()
        path, step = self.run_dir / "evaluation" / records.FILE, self.model.step
        if not step or step % self.interval:
            return
        # Records of evaluate.py have a command and may be for other metrics.
        kept = records.read(path) if path.exists() else []
        if not any(one.get("step") == step and "command" not in one for one in kept):
            self._judge(step)
            return
        plot = path.parent / records.PLOT
        if not plot.exists() or plot.stat().st_mtime < path.stat().st_mtime:
            records.plot_run(path.parent)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.make_up()
        floor, real = self.evaluation.floor(self.requests), self.evaluation.other_real
        records.append(
            self.run_dir / "evaluation" / records.FILE,
            self._records("real", floor, real.description),
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        step = self.model.step
        if step % self.interval == 0:
            self._judge(step)

    def _judge(self, step: int) -> None:
        fake = GeneratedClips(self.model.averaged_generator(), self.seed)
        results = self.evaluation(self.requests, fake, self.model.critic, what=f"step {step}")
        more = {"run_dir": self.place, "step": step}
        kept = self._records("checkpoint", results, fake.description, **more)
        directory = self.run_dir / "evaluation"
        # The records are written last, before only their plot: they show that the rest is done.
        records.write_scalars(directory, kept)
        records.append(directory / records.FILE, kept)
        records.plot_run(directory)
        shown = (f"{record['metric']} {records.shown(record)}" for record in kept)
        # Unlike `print`, it does not disturb the progress bar.
        tqdm.write(f"step {step}: {'  '.join(shown)}")

    def _records(
        self, of: str, results: Sequence[Result], description: dict[str, Any], **more: Any
    ) -> list[dict[str, Any]]:
        return records.of_results(results, of, self.evaluation, description, seed=self.seed, **more)
