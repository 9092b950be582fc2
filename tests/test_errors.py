"""What is left of the errors of others."""

import re
from pathlib import Path

import tensorflow as tf

from tgan_tf.errors import InputError, reason


def test_no_message_advises_to_delete_what_a_user_has():
    top = Path(__file__).parents[1]
    for path in [*top.glob("tgan_tf/**/*.py"), *top.glob("experiments/**/*.py")]:
        assert not re.search(r"[Dd]elete (it|them)\b", path.read_text()), path


def test_of_a_tensorflow_error_the_cause_is_left():
    message = "{{function_node __wrapped__SaveV2}} /runs/x; No space left on device [Op:SaveV2]"
    error = tf.errors.ResourceExhaustedError(None, None, message)
    assert reason(error) == "No space left on device"


def test_of_an_operating_systems_error_the_cause_is_left():
    assert reason(OSError(28, "No space left on device", "/runs/x")) == "No space left on device"


def test_an_error_without_words_is_named():
    assert reason(IndexError()) == "IndexError"


def test_an_input_error_is_one_line_whatever_names_are_in_it():
    error = InputError("a\nb\r\x1b[31m\u2028\udce9é 漢.mp4: give another")
    assert str(error) == "a\\nb\\r\\x1b[31m\\u2028\\xe9é 漢.mp4: give another"
    assert InputError("a").args == ("a",)
