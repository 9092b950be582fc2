"""An `InputError` out of a pipeline, in place of TensorFlow's."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tgan_tf import pipeline_errors
from tgan_tf.data.windows import read_in_python
from tgan_tf.errors import Argument, InputError


def dataset_of(refuse, threads: int = 4) -> tf.data.Dataset:
    """Numbers 0 to 99, each read in Python by `refuse`, which raises for some."""

    def read(number: np.int64) -> np.ndarray:
        refuse(number)
        return np.array([number], np.float32)

    return tf.data.Dataset.range(100).map(
        lambda number: read_in_python(read, [number], (1,), tf.float32),
        num_parallel_calls=threads,
    )


def refuses(first: int, name: str):
    def refuse(number: np.int64) -> None:
        if number >= first:
            raise InputError(f"caf\udce9\n{name}: give another ", Argument("table", name))

    return refuse


def test_is_the_very_one_that_a_worker_thread_has_raised():
    read = []
    with pytest.raises(InputError) as error, pipeline_errors.raised():
        for value in dataset_of(refuses(7, "a.csv")):
            read.append(value.numpy()[0])
    assert read == list(range(7))
    assert error.value.parts == ("caf\udce9\na.csv: give another ", Argument("table", "a.csv"))
    assert isinstance(error.value.__cause__, tf.errors.OpError)


@pytest.mark.slow
def test_comes_out_of_fit():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    dataset = dataset_of(refuses(3, "a.csv")).map(lambda x: (x, x)).batch(1)
    with pytest.raises(InputError, match=r"a\.csv: give another table='a\.csv'$"):
        with pipeline_errors.raised():
            model.fit(dataset, verbose=0)


def test_is_of_the_pipeline_that_is_read_where_another_has_failed_ahead():
    failed = threading.Event()

    def refuse_and_tell(number: np.int64) -> None:
        if number == 1:
            failed.set()
            raise InputError("b.csv: not asked for")

    ahead = iter(dataset_of(refuse_and_tell).prefetch(4))
    next(ahead)
    assert failed.wait(20)
    with pytest.raises(InputError, match=r"a\.csv"), pipeline_errors.raised():
        next(iter(dataset_of(refuses(0, "a.csv"))))
    with pytest.raises(InputError, match=r"b\.csv"), pipeline_errors.raised():
        next(ahead)


def test_is_left_alone_where_tensorflow_fails_by_itself_later():
    with pytest.raises(InputError), pipeline_errors.raised():
        next(iter(dataset_of(refuses(0, "a.csv"))))
    with pytest.raises(tf.errors.NotFoundError), pipeline_errors.raised():
        tf.io.read_file("nowhere")


def test_is_quoted_by_tensorflows_error_where_nobody_has_it_raised():
    with pytest.raises(tf.errors.OpError, match=r"InputError: caf.*a\.csv: give another table="):
        next(iter(dataset_of(refuses(0, "a.csv"))))


def test_is_not_made_of_another_programming_error():
    def refuse(number: np.int64) -> None:
        raise KeyError("bug")

    with pytest.raises(tf.errors.OpError, match="KeyError"), pipeline_errors.raised():
        next(iter(dataset_of(refuse)))
