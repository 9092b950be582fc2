"""What is left of the errors of others."""

import errno
import os
import re
from pathlib import Path

import pytest
import tensorflow as tf

from tgan_tf.errors import Argument, InputError, reason, remedy, within


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


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk space"),
        (errno.EDQUOT, "disk space"),
        (errno.EFBIG, "disk space"),
        (errno.EMFILE, "open files"),
        (errno.EACCES, "you may use"),
        (errno.EROFS, "you may use"),
        (errno.ENOENT, "that exists"),
        (errno.EISDIR, "another path"),
    ],
)
def test_the_remedy_of_an_operating_systems_error_is_of_its_own_kind(number, words):
    said = remedy(OSError(number, os.strerror(number), "a"))
    assert words in said
    assert ("disk" in said) == (words == "disk space")


def test_the_remedy_of_tensorflows_full_disk_is_disk_space():
    error = tf.errors.ResourceExhaustedError(None, None, "/runs/x; No space left on device")
    assert remedy(error) == "free some disk space"
    assert "disk" not in remedy(tf.errors.NotFoundError(None, None, "/runs/x; No such file"))


class TestArguments:
    ERROR = InputError(
        Argument("frames", 5), " and ", Argument("axes", "n\nt"), ": give ", Argument("split")
    )

    def test_are_shown_as_python_has_them(self):
        assert str(self.ERROR) == r"frames=5 and axes='n\nt': give split"

    def test_can_be_shown_by_other_names(self):
        shown = self.ERROR.written(lambda argument: f"--{argument.name}")
        assert shown == "--frames and --axes: give --split"

    def test_are_of_the_entry_that_they_are_within(self):
        with pytest.raises(InputError, match=r"^critic.layer.filters=0: too few$") as caught:
            with within("critic"), within("layer"):
                raise InputError(Argument("filters", 0), ": too few")
        assert caught.value.parts[0] == Argument("critic.layer.filters", 0)

    def test_are_all_shown_of_an_error_in_a_keras_layer(self):
        class Refusing(tf.keras.layers.Layer):
            def call(self, inputs):
                raise InputError(Argument("axis", 5), ": too high")

        with pytest.raises(InputError, match="axis=5: too high"):
            Refusing()(tf.zeros([1]))
