"""Videos in shards, against those of a single process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_parts import here
from tiny_tgan import CLIP_SHAPE, make_generator

from tgan_tf import generation, rendering, runs
from tgan_tf.errors import InputError
from tgan_tf.latents import LatentRows, generator_latents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def generator():
    return make_generator()


@pytest.fixture(scope="module")
def conditional():
    return make_generator(num_classes=3)


def write(generator, directory, seed=7, count=37, run=here, **more):
    return generation.write_shards(generator, directory, seed, count, run, 16, **more)


def arrays(directory):
    """The arrays of all shards, one after the other."""
    shards = [np.load(path) for path in sorted(directory.glob("clips-*-of-*.npz"))]
    return {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0].files}


def single(generator, factor=1, labels=None):
    """The 37 videos of seed 7, of one process."""
    rows = LatentRows(
        37,
        lambda first, count: generator_latents(
            generator, 7, count, None if labels is None else labels[first : first + count], first
        ),
    )
    return rendering.to_uint8(np.concatenate(list(runs.generate(generator, rows, factor))))


def test_are_the_videos_of_a_single_process_to_the_bit(generator, tmp_path):
    write(generator, tmp_path / "videos")
    found = arrays(tmp_path / "videos")
    assert found["clips"].shape == (37, *CLIP_SHAPE)
    np.testing.assert_array_equal(found["clips"], single(generator))
    np.testing.assert_array_equal(found["latents"], generator_latents(generator, 7, 37))


def test_are_of_classes_in_turn(conditional, tmp_path):
    write(conditional, tmp_path / "videos")
    found = arrays(tmp_path / "videos")
    assert found["labels"].tolist() == [i % 3 for i in range(37)]
    np.testing.assert_array_equal(found["clips"], single(conditional))


def test_are_of_one_class(conditional, tmp_path):
    write(conditional, tmp_path / "videos", label=2)
    found = arrays(tmp_path / "videos")
    assert found["labels"].tolist() == [2] * 37 and found["labels"].dtype == np.int64
    np.testing.assert_array_equal(found["clips"], single(conditional, labels=[2] * 37))


def test_are_interpolated(generator, tmp_path):
    write(generator, tmp_path / "videos", factor=3)
    found = arrays(tmp_path / "videos")["clips"]
    assert found.shape[1] == 3 * (CLIP_SHAPE[0] - 1) + 1
    np.testing.assert_array_equal(found, single(generator, factor=3))


def test_go_on_where_they_were_stopped(generator, tmp_path):
    assert write(generator, tmp_path / "videos") == 0
    whole, cut, missing = sorted((tmp_path / "videos").glob("clips-*"))
    before, made = whole.stat().st_mtime_ns, arrays(tmp_path / "videos")["clips"]
    cut.write_bytes(cut.read_bytes()[:-9])
    missing.unlink()
    assert write(generator, tmp_path / "videos") == 1
    assert whole.stat().st_mtime_ns == before
    np.testing.assert_array_equal(arrays(tmp_path / "videos")["clips"], made)


def test_that_are_there_are_not_made_again(generator, tmp_path):
    write(generator, tmp_path / "videos")

    def never(work, elements, show):
        raise AssertionError(elements)

    assert write(generator, tmp_path / "videos", run=never) == 3


@pytest.mark.parametrize(
    "more, message",
    [
        ({"seed": 8}, "whose seed is 7, not 8"),
        ({"count": 38}, "whose num_videos is 37, not 38"),
        ({"factor": 2}, "whose factor is 1, not 2"),
    ],
)
def test_are_not_mixed_with_others(generator, tmp_path, more, message):
    write(generator, tmp_path / "videos")
    before = arrays(tmp_path / "videos")["clips"]
    with pytest.raises(InputError, match=message):
        write(generator, tmp_path / "videos", **more)
    np.testing.assert_array_equal(arrays(tmp_path / "videos")["clips"], before)


def test_are_not_mixed_with_those_of_other_weights(generator, tmp_path):
    write(generator, tmp_path / "videos")
    with pytest.raises(InputError, match="whose weights_sha256 is"):
        write(make_generator(seed=1), tmp_path / "videos")


def test_are_not_put_among_other_files(generator, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds mine.txt but no shards of videos"):
        write(generator, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_are_not_put_beside_a_damaged_plan(generator, tmp_path):
    write(generator, tmp_path / "videos")
    (tmp_path / "videos/shards.json").write_text(json.dumps([1]))
    with pytest.raises(InputError, match="shards.json: is damaged"):
        write(generator, tmp_path / "videos")


def test_are_made_in_whole_batches(generator, tmp_path):
    with pytest.raises(InputError, match="videos_per_shard=12: must be a multiple of 8.*give 16"):
        generation.write_shards(generator, tmp_path / "videos", 0, 40, here, 12)
    assert not (tmp_path / "videos").exists()


def test_are_refused_where_the_disk_does_not_hold_them(generator, tmp_path):
    with pytest.raises(InputError, match="count=1000000000000: videos of 4 frames: would take"):
        write(generator, tmp_path / "videos", count=10**12)
    assert not (tmp_path / "videos").exists()
