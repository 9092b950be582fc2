"""The clips to evaluate: a generator's, or real ones from videos.

A seed fixes the order of the clips, so that the clip of any row can be made again. Another `draw`
gives other clips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tgan_tf import rendering, runs
from tgan_tf.data.pipeline import Source, batches
from tgan_tf.errors import InputError
from tgan_tf.latents import LatentRows, generator_latents
from tgan_tf.models.network import GeneratorNetwork

BATCH_SIZE = 16
#: Clips of an endless source from one draw to the next.
_DRAW = 2**32


class ClipSet(Protocol):
    """Clips to evaluate.

    Attributes:
        clip_shape: (frames, rows, columns, channels).
        num_clips: their number; None if they are endless.
        num_classes: number of classes; clip i was asked to show class i modulo it. 0 without
            classes.
        description: what they are, in JSON types, for the record.
    """

    @property
    def clip_shape(self) -> tuple[int, int, int, int]: ...

    @property
    def num_clips(self) -> int | None: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def description(self) -> dict[str, Any]: ...

    def batches(self, count: int, draw: int, first: int = 0) -> Iterator[np.ndarray]:
        """Successive clips of a draw, as float32 [batch, *clip_shape] in [-1, 1].

        Args:
            count: number of clips.
            draw: number of the draw.
            first: number of the first clip, a multiple of `BATCH_SIZE`; the batches are then those
                of a call from 0 on. Only sets that are measured in parts need it.
        """

    def clips(self, places: Sequence[int], draw: int) -> np.ndarray:
        """The clips at some positions of a draw, float32 [places, *clip_shape] in [-1, 1]."""


class GeneratedClips:
    """A generator's clips, as `generate.py` makes them with the same seed; draw d has seed + d.

    Args:
        generator: a trained generator.
        seed: seed of the latents.

    Attributes: those of `ClipSet`.
    """

    num_clips = None

    def __init__(self, generator: GeneratorNetwork, seed: int = 0):
        self.generator = generator
        self.seed = seed
        self.clip_shape = generator.clip_shape
        self.num_classes = generator.num_classes
        drawn = {"uniform": "Uniform(-1, 1)", "normal": "Normal(0, 1)"}
        self.description = {
            "weights_sha256": runs.weights_sha256(generator),
            "latents": f"{drawn[generator.latent_distribution]}, seed {seed}",
            "values": "float32, [-1, 1]",
        }
        if generator.num_classes:
            self.description["classes"] = f"{generator.num_classes}, in turn"

    def batches(self, count: int, draw: int, first: int = 0) -> Iterator[np.ndarray]:
        """See `ClipSet`."""
        return runs.generate(self.generator, self._latents(count, draw, first))

    def clips(self, places: Sequence[int], draw: int) -> np.ndarray:
        """See `ClipSet`."""
        rows = self._latents(max(places) + 1, draw)
        z0 = np.concatenate([rows[place : place + 1] for place in places])
        return np.concatenate(list(runs.generate(self.generator, z0)))

    def _latents(self, count: int, draw: int, start: int = 0) -> LatentRows:
        seed = self.seed + draw
        return LatentRows(
            count,
            lambda first, rows: generator_latents(self.generator, seed, rows, first=start + first),
        )


class SourceClips:
    """A source's clips in shuffled order, each once; draw d is the source's epoch d.

    Args:
        source: a source of `tgan_tf.data`.
        seed: seed of the order.
        **description: what the clips are, for the record: path, subset, window and so on.

    Attributes: those of `ClipSet`. The description also holds the SHA-256 of the first clips.
    """

    num_classes = 0

    def __init__(self, source: Source, seed: int = 0, **description: Any):
        self.source = source
        self.seed = seed
        self.clip_shape = source.clip_shape
        self.num_clips = source.num_clips
        first = np.concatenate(list(self.batches(min(8, self.num_clips or 8), 0)))
        self.description = {
            **description,
            "clip_shape": list(self.clip_shape),
            "num_clips": self.num_clips,
            "order": f"shuffled, seed {seed}",
            "values": "uint8, (x - 128) / 128",
            "first_clips_sha256": hashlib.sha256(rendering.to_uint8(first).tobytes()).hexdigest(),
        }

    def batches(self, count: int, draw: int, first: int = 0) -> Iterator[np.ndarray]:
        """See `ClipSet`; raises an `InputError` if there are fewer than `first + count`."""
        if self.num_clips is not None and first + count > self.num_clips:
            raise InputError(
                f"{first + count} clips: there are only {self.num_clips}: ask for fewer"
            )
        start = draw * (self.num_clips or _DRAW) + first
        batch_size = min(BATCH_SIZE, count)
        dataset = batches(self.source, batch_size, self.seed, start)
        for number, clips in enumerate(dataset.take(-(-count // batch_size))):
            yield clips.numpy()[: count - number * batch_size]

    def clips(self, places: Sequence[int], draw: int) -> np.ndarray:
        """See `ClipSet`."""
        start = draw * (self.num_clips or _DRAW)
        found = []
        for place in places:
            for clips in batches(self.source, 1, self.seed, start + int(place)).take(1):
                found.append(clips.numpy())
        return np.concatenate(found)
