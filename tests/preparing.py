"""Preparing videos without Apache Beam."""

from collections.abc import Callable, Sequence


def in_turn(
    work: Callable[[bytes], None], elements: Sequence[bytes], show: Callable[[], None]
) -> None:
    """Does the work here and now, one element after the other; see `tgan_tf.data.beam.Run`."""
    for element in elements:
        work(element)
        show()
