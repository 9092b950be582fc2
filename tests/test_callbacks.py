"""Callbacks: what is shown, kept and stopped."""

import io
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_tgan import Z0_DIM, make_tgan, real_clips, untrained_tgan

from tgan_tf import callbacks, checkpoints, stack
from tgan_tf.data import MovingMNIST
from tgan_tf.evaluation import extractors, records
from tgan_tf.evaluation.clip_sets import SourceClips
from tgan_tf.evaluation.evaluation import Evaluation
from tgan_tf.evaluation.metrics import parse_metrics


def fit(tgan, used, steps=4, steps_per_epoch=2, clips=None):
    dataset = tf.data.Dataset.from_tensors(real_clips(2) if clips is None else clips).repeat()
    return tgan.fit(
        dataset,
        steps_per_epoch=steps_per_epoch,
        epochs=steps // steps_per_epoch,
        verbose=0,
        callbacks=used,
    )


class At(keras.callbacks.Callback):
    """Does something at the end of a step."""

    def __init__(self, step, action):
        super().__init__()
        self.step, self.action = step, action

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step == self.step:
            self.action(self.model)


@pytest.mark.slow
def test_training_stops_at_its_step_inside_an_epoch():
    tgan = untrained_tgan()
    fit(tgan, [callbacks.StopAtStep(3)], steps=10, steps_per_epoch=5)
    assert tgan.step == 3


class Reported(keras.callbacks.Callback):
    """Keeps what an epoch's end would report: step, and losses."""

    def __init__(self):
        super().__init__()
        self.reports = []

    def on_epoch_end(self, epoch, logs=None):
        self.reports.append((epoch, self.model.step, logs["critic_loss"]))


def fit_aligned(tgan, directory, train_steps, until):
    """Trains up to step `until`, with reports every 5 steps and checkpoints every 4."""
    reported, start = Reported(), tgan.step
    clips = [real_clips(2, seed) for seed in range(start, until)]
    tgan.fit(
        tf.data.Dataset.from_tensor_slices(clips),
        steps_per_epoch=until - start,
        verbose=0,
        callbacks=[
            callbacks.AlignedEpochs([reported], 5, train_steps),
            callbacks.CheckpointSaver(directory, 4),
        ],
    )
    return reported.reports


@pytest.mark.slow
def test_reports_of_a_resumed_training_are_those_of_an_unbroken_one_to_the_bit(tmp_path):
    unbroken = fit_aligned(untrained_tgan(), tmp_path / "unbroken", 12, 12)
    assert [report[:2] for report in unbroken] == [(0, 5), (1, 10), (2, 12)]
    first = fit_aligned(untrained_tgan(), tmp_path / "broken", 12, 8)
    resumed = make_tgan(seed=1, eager=False)
    resumed.seed = 0
    assert checkpoints.restore(resumed, tmp_path / "broken") == 8
    assert first + fit_aligned(resumed, tmp_path / "broken", 12, 12) == unbroken


@pytest.mark.slow
def test_checkpoints_come_at_the_interval_and_at_the_end(tmp_path):
    fit(untrained_tgan(), [callbacks.CheckpointSaver(tmp_path, 2)], steps=5, steps_per_epoch=5)
    assert checkpoints.steps(tmp_path) == [2, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_and_the_handlers_come_back(tmp_path, number):
    tgan, before = untrained_tgan(), signal.getsignal(number)
    saver = callbacks.CheckpointSaver(tmp_path, 100)
    fit(tgan, [At(2, lambda _: os.kill(os.getpid(), number)), saver], steps=10)
    assert checkpoints.steps(tmp_path) == [tgan.step] == [2]
    assert saver.stopped_by is number
    assert signal.getsignal(number) is before


@pytest.mark.slow
def test_a_weight_that_is_not_finite_stops_training_and_names_step_and_layer(tmp_path):
    tgan = untrained_tgan()
    kernel = tgan.generator.image_generator.to_frame.kernel

    def spoil(_):
        value = kernel.numpy()
        value.flat[3] = np.inf
        kernel.assign(value)

    saver = callbacks.CheckpointSaver(tmp_path, 1)
    with pytest.raises(FloatingPointError, match=r"step 3: .*image_generator.*/to_frame/kernel"):
        fit(tgan, [At(3, spoil), callbacks.StopWhenNotFinite(), saver], steps=6)
    assert checkpoints.steps(tmp_path) == [1, 2]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_training_by_name():
    with pytest.raises(FloatingPointError, match="step 1: .*critic_loss"):
        fit(
            untrained_tgan(),
            [callbacks.StopWhenNotFinite()],
            clips=np.full_like(real_clips(2), np.nan),
        )


@pytest.mark.slow
def test_large_finite_weights_do_not_stop_training():
    tgan = untrained_tgan()
    tgan.critic.score.bias.assign([3e38])
    tgan.generator.temporal_generator.deconvolutions[0].bias.assign(np.full(8, 3e38))
    callback = callbacks.StopWhenNotFinite()
    callback.set_model(tgan)
    callback.on_train_begin()
    callback.on_train_batch_end(0, {"critic_loss": 1.0})


@pytest.mark.slow
def test_progress_lines_tell_step_losses_speed_and_time_left(capsys):
    fit(untrained_tgan(), [callbacks.ProgressLines(train_steps=4, batch_size=2)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["2/4", "4/4"]
    for words in ("critic_loss", "generator_loss", "wasserstein_estimate", "clips/s", "left"):
        assert words in lines[0]


def test_progress_bar_of_a_resumed_run_goes_on_where_it_was_and_stays_where_it_stopped(capsys):
    bar = callbacks.progress_bar(train_steps=20, first_step=6)
    fit(untrained_tgan(), [bar], steps=4)
    shown = capsys.readouterr()
    assert shown.out == ""
    states = [state for state in shown.err.split("\r") if state.strip()]
    # Addons draw the bar at 0 before they are told.
    assert any(state.startswith("6/20") for state in states[:2])
    assert states[-1].startswith("10/20")
    for words in ("left", "critic_loss", "generator_loss", "wasserstein_estimate"):
        assert words in states[-1]


def test_progress_bar_shows_the_losses_of_the_last_epoch(capsys):
    history = fit(untrained_tgan(), [callbacks.progress_bar(train_steps=4)]).history
    last = capsys.readouterr().err.split("\r")[-1]
    assert f"critic_loss {history['critic_loss'][-1]:.4f}" in last


def test_time_limit_ends_training_at_the_next_step_not_at_an_epochs_end():
    tgan = untrained_tgan()
    fit(tgan, [callbacks.TimeLimit(0.0)], steps=10)
    assert tgan.step == 1


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A short training's events as TensorBoard reads them, and its samples directory."""
    directory = tmp_path_factory.mktemp("run")
    tgan = make_tgan()
    summary = callbacks.TrainingSummary(
        directory / "tensorboard",
        directory / "samples",
        real_clips(4),
        np.zeros((4, Z0_DIM), "f"),
        sample_interval=2,
        train_steps=4,
        batch_size=2,
        text="    --seed=0",
    )
    fit(tgan, [summary], steps=4)
    accumulator = EventAccumulator(
        str(directory / "tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    return accumulator, directory / "samples", tgan


def scalar(events, tag):
    return [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]


@pytest.mark.slow
def test_tensorboard_has_losses_at_the_epochs_steps(events):
    for name in ("critic_loss", "generator_loss", "wasserstein_estimate", "clips_per_second"):
        assert [step for step, _ in scalar(events[0], f"training/{name}")] == [2, 4]


@pytest.mark.slow
def test_tensorboard_has_each_kernels_singular_values(events):
    accumulator, _, tgan = events
    for name in ("conv0", "conv1", "score"):
        kernel = next(
            v for v in tgan.critic.variables if f"{name}/kernel" in stack.variable_path(v)
        ).numpy()
        values = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)
        step, top = scalar(accumulator, f"critic/{name}/largest_singular_value")[-1]
        assert step == 4 and top == pytest.approx(values[0], rel=1e-5)
        last = accumulator.Tensors(f"critic/{name}/singular_values")[-1]
        assert tf.make_ndarray(last.tensor_proto)[:, 2].sum() == len(values)


@pytest.mark.slow
def test_tensorboard_has_gamma_between_its_bounds_after_clipping(events):
    accumulator, *_ = events
    assert scalar(accumulator, "critic/bn1/gamma_over_upper_bound")[-1][1] <= 1 + 1e-6
    assert scalar(accumulator, "critic/bn1/gamma_over_lower_bound")[-1][1] >= 1 - 1e-6


@pytest.mark.slow
def test_tensorboard_has_generated_and_real_clips_as_animated_gifs(events):
    for tag in ("samples/generated", "samples/real"):
        width, height, data = tf.make_ndarray(events[0].Tensors(tag)[-1].tensor_proto)
        picture = Image.open(io.BytesIO(data))
        assert picture.format == "GIF" and picture.n_frames == 4
        assert picture.size == (int(width), int(height)) == (34, 34)


@pytest.mark.slow
def test_tensorboard_has_the_signs_of_the_samples_after_the_start(events):
    # The latents are all the same, and so are their clips.
    assert scalar(events[0], "signs/diversity") == [(2, 0.0), (4, 0.0)]
    assert [step for step, _ in scalar(events[0], "signs/motion")] == [2, 4]
    assert all(0 <= value <= 1 for _, value in scalar(events[0], "signs/critic_auc"))


@pytest.mark.slow
def test_a_generator_collapsed_in_two_samples_in_a_row_is_told_of(tmp_path, capsys):
    latents = np.zeros((2, Z0_DIM), "f")
    summary = callbacks.TrainingSummary(
        tmp_path,
        tmp_path / "samples",
        real_clips(2),
        latents,
        sample_interval=2,
        train_steps=4,
        batch_size=2,
        text="",
    )
    fit(untrained_tgan(), [summary], steps=4)
    told = [line for line in capsys.readouterr().out.splitlines() if "collapsing" in line]
    assert [line.split(":")[0] for line in told] == ["step 4"]


def test_tensorboard_has_the_flags(events):
    text = tf.make_ndarray(events[0].Tensors("flags")[0].tensor_proto)
    assert "--seed=0" in str(text)


@pytest.mark.slow
def test_samples_are_written_at_the_start_and_at_the_interval(events):
    names = sorted(path.name for path in events[1].iterdir())
    assert names == [f"step-{n}.{kind}" for n in (0, 2, 4) for kind in ("gif", "png")]
    with Image.open(events[1] / "step-4.png") as sheet:
        assert sheet.size == (4 * 18 - 2, 4 * 18 - 2)


def digits(split):
    return SourceClips(MovingMNIST(4, 16, 12, 1, split), path="digits", subset=split)


def evaluate(run_dir):
    evaluation = Evaluation(
        digits("train"),
        digits("held_out"),
        extractors.DigitClassifier(),
        run_dir / "evaluation/real",
    )
    return callbacks.Evaluate(
        evaluation, parse_metrics(["motion20", "wasserstein20"], 4), 2, run_dir
    )


@pytest.mark.slow
def test_evaluates_at_the_interval(tmp_path, capsys):
    tgan = untrained_tgan()
    fit(tgan, [evaluate(tmp_path)], steps=5, steps_per_epoch=5)
    kept = records.read(tmp_path / "evaluation/metrics.jsonl")
    assert [(one["metric"], one.get("step"), one["of"]) for one in kept] == [
        ("motion20_4f", None, "real"),
        ("motion20_4f", 2, "checkpoint"),
        ("wasserstein20_4f", 2, "checkpoint"),
        ("motion20_4f", 4, "checkpoint"),
        ("wasserstein20_4f", 4, "checkpoint"),
    ]
    assert (tmp_path / "evaluation/metrics.png").exists()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in printed] == [
        ["step", "2:", "motion20_4f"],
        ["step", "4:", "motion20_4f"],
    ]
    # TensorBoard would read no more of the training's events beside newer ones.
    assert not list(tmp_path.glob("events*"))
    events = EventAccumulator(str(tmp_path / "evaluation"), {"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("evaluation/wasserstein20_4f")] == [2, 4]


@pytest.mark.slow
def test_an_evaluation_that_a_kill_left_out_is_made_up_once(tmp_path):
    tgan = untrained_tgan()
    fit(tgan, [], steps=2)
    callback = evaluate(tmp_path)
    callback.set_model(tgan)
    for _ in range(2):
        callback.make_up()
        kept = records.read(tmp_path / "evaluation/metrics.jsonl")
        assert [one["step"] for one in kept] == [2, 2]
    assert (tmp_path / "evaluation/metrics.png").exists()


@pytest.mark.slow
def test_evaluating_changes_nothing_of_the_training(tmp_path):
    fit(tgan := untrained_tgan(), [evaluate(tmp_path)])
    evaluated = [variable.numpy() for variable in tgan.variables]
    fit(tgan := untrained_tgan(), [])
    for one, other in zip(tgan.variables, evaluated):
        np.testing.assert_array_equal(one, other)
