"""What clips are made of, and the pipeline that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tgan_tf.lazy_names import lazy_names

if TYPE_CHECKING:
    from tgan_tf.data.corpus import open_corpus
    from tgan_tf.data.moving_mnist import MovingMNIST
    from tgan_tf.data.pipeline import batches
    from tgan_tf.data.windows import Windows

# Not imported here: the core of the package needs the pipeline, and not what reads videos.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "MovingMNIST": "moving_mnist",
        "Windows": "windows",
        "batches": "pipeline",
        "open_corpus": "corpus",
    },
)

__all__ = ["MovingMNIST", "Windows", "batches", "open_corpus"]
