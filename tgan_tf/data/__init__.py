"""Data sources, and the pipeline that turns their clips into batches.

    recordings ── prepare ──▶ prepared TFRecords
        ▲                            │
      corpus ──── videos ◀───────────┘
                    │ windows
      digits ───▶ source ── batches ──▶ tf.data.Dataset of clips, for TGAN.fit

Corpus (`kind.Corpus`)
    The videos at a path, in the subsets "train" and "test". `open_corpus` detects its `Kind`; each
    kind is a module here.
Recording (`recordings.Recording`)
    One video of a corpus in its original form. Preparation reads it once, from its first frame to
    its last.
Videos (`windows.Videos`)
    The videos of one subset, with frames of one size. Any window of them can be read at any time.
Windows (`windows.Windows`)
    A source that cuts clips out of videos: it chooses the frames, the crop and the mirroring.
Source (`pipeline.Source`)
    Gives clip number n, always the same one: `Windows`, and `MovingMNIST`, which draws its clips.
    `batches` reads it in a shuffled order.
ClipSet (`tgan_tf.evaluation.clip_sets.ClipSet`)
    A number of clips to evaluate, from a source or generated.

A clip is uint8 [frames, rows, columns, channels] until `batches` returns it as float32 in [-1, 1).
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

# Imported lazily: the core of the package needs the pipeline, but not the readers of videos.
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
