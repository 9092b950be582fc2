"""What clips are made of, and the pipeline that they share.

    recordings ── prepare ──▶ prepared TFRecords
        ▲                            │
      corpus ──── videos ◀───────────┘
                    │ windows
      digits ───▶ source ── batches ──▶ tf.data.Dataset of clips, for TGAN.fit

Corpus (`kind.Corpus`)
    What lies at a path: videos, in the subsets "train" and "test". `open_corpus` finds out its
    `Kind`, and each kind is a module here.
Recording (`recordings.Recording`)
    One video of a corpus as it lies there, to be read once from its first frame to its last, when
    videos are prepared.
Videos (`windows.Videos`)
    The videos of one subset, all frames of one size, any window of which can be read at any time.
Windows (`windows.Windows`)
    Clips cut out of videos: which frames, which crop, mirrored or not. A source.
Source (`pipeline.Source`)
    What gives clip number n, always the same: `Windows`, and `MovingMNIST`, which draws its clips.
    `batches` reads it in a shuffled order.
ClipSet (`tgan_tf.evaluation.clip_sets.ClipSet`)
    A number of clips to be judged: of a source, or generated.

A clip is uint8 [frames, rows, columns, channels] until `batches` gives it out: float32 in [-1, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tgan_tf.lazy_names import lazy_names

if TYPE_CHECKING:
    from tgan_tf.data.corpus import open_corpus
    from tgan_tf.data.kind import Corpus, Kind
    from tgan_tf.data.moving_mnist import MovingMNIST
    from tgan_tf.data.pipeline import batches
    from tgan_tf.data.windows import Windows

# Not imported here: the core of the package needs the pipeline, and not what reads videos.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Corpus": "kind",
        "Kind": "kind",
        "MovingMNIST": "moving_mnist",
        "Windows": "windows",
        "batches": "pipeline",
        "open_corpus": "corpus",
    },
)

__all__ = ["Corpus", "Kind", "MovingMNIST", "Windows", "batches", "open_corpus"]
