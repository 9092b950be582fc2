"""What is read back of TensorBoard's events, against what was written."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tgan_tf import training_events


def write(directory, **losses):
    """Writes a file of events: losses by step, named step_N."""
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for name, value in losses.items():
            tf.summary.scalar("training/loss", value, step=int(name.removeprefix("step_")))
    writer.close()


def test_scalars_are_read_with_their_steps(tmp_path):
    write(tmp_path, step_10=0.5, step_20=0.25)
    assert training_events.read(tmp_path).scalars == {"training/loss": ([10, 20], [0.5, 0.25])}


def test_what_a_resumed_training_has_written_again_counts_last(tmp_path):
    write(tmp_path, step_10=1.0, step_20=2.0, step_30=3.0, step_40=4.0)
    write(tmp_path, step_20=5.0, step_25=6.0)
    found = training_events.read(tmp_path).scalars["training/loss"]
    assert found == ([10, 20, 25], [1.0, 5.0, 6.0])


def test_files_of_one_second_are_read_in_the_order_written(tmp_path):
    # A process numbers its files, and the tenth sorts before the ninth.
    for number, losses in ((9, {"step_20": 2.0}), (10, {"step_10": 1.0})):
        write(tmp_path / str(number), **losses)
        (path,) = (tmp_path / str(number)).iterdir()
        path.rename(tmp_path / f"events.out.tfevents.1.host.1.{number}.v2")
        (tmp_path / str(number)).rmdir()
    assert training_events.read(tmp_path).scalars["training/loss"] == ([10], [1.0])


def test_scalars_of_a_scope_are_named_by_what_follows_it(tmp_path):
    write(tmp_path, step_1=1.0)
    events = training_events.read(tmp_path)
    assert list(events.scalars_in("training/")) == ["loss"]
    assert events.scalars_in("signs/") == {}


def test_quantiles_of_a_histogram_are_exact_to_a_bucket(tmp_path):
    values = np.random.default_rng(0).beta(5, 2, 500)
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default(step=7):
        tf.summary.histogram("values", values)
    writer.close()
    steps, found = training_events.read(tmp_path).histograms["values"]
    assert steps == [7]
    bucket = (values.max() - values.min()) / 30
    for name, share in training_events.SHARES.items():
        assert found[name][0] == pytest.approx(np.quantile(values, share), abs=1.01 * bucket)


def test_quantiles_of_equal_values_are_these(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default(step=7):
        tf.summary.histogram("values", np.full(4, 0.5))
    writer.close()
    _, found = training_events.read(tmp_path).histograms["values"]
    assert found == {name: [0.5] for name in training_events.SHARES}


def test_the_newest_picture_is_read(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in (1, 2):
            tf.summary.image("picture", np.full((1, 2, 3, 1), step / 4, np.float32), step=step)
    writer.close()
    data = training_events.read(tmp_path).pictures["picture"]
    pixels = tf.io.decode_png(data).numpy()
    assert pixels.shape == (2, 3, 1) and abs(pixels.astype(int) - 128).max() <= 1


def test_a_directory_without_events_has_none(tmp_path):
    assert training_events.read(tmp_path) == ({}, {}, {})


def test_a_file_that_was_cut_short_is_read_as_far_as_it_is_whole(tmp_path):
    write(tmp_path, step_1=1.0, step_2=2.0)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    assert training_events.read(tmp_path).scalars["training/loss"] == ([1], [1.0])
