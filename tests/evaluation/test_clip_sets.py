"""The clips that are measured: in an order that a seed fixes, each of which can be made again."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_tgan import make_tgan

from tgan_tf.data import MovingMNIST, Windows
from tgan_tf.data.moving_mnist_file import MovingMNISTFile
from tgan_tf.errors import InputError
from tgan_tf.evaluation.clip_sets import GeneratedClips, SourceClips
from tgan_tf.latents import latents


@pytest.fixture(scope="module")
def generated():
    return GeneratedClips(make_tgan().generator, seed=5)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """37 videos of 6 frames; the pixels of frame t of video v are 6 v + t."""
    path = tmp_path_factory.mktemp("data") / "sequences.npy"
    values = 6 * np.arange(37) + np.arange(6)[:, None]
    np.save(path, np.broadcast_to(values[..., None, None], (6, 37, 4, 4)).astype(np.uint8))
    return SourceClips(Windows(MovingMNISTFile(path), 2, 4), seed=1, path="sequences.npy")


def together(clips, count, draw=0):
    return np.concatenate(list(clips.batches(count, draw)))


@pytest.mark.slow
def test_generated_clips_are_those_of_the_latents_of_the_seed(generated):
    z0 = latents(5, 11, generated.generator.z0_dim)
    expected = generated.generator(z0, training=False)
    np.testing.assert_allclose(together(generated, 11), expected, atol=1e-6)


@pytest.mark.slow
def test_another_draw_generates_the_clips_of_the_next_seed(generated):
    z0 = latents(6, 3, generated.generator.z0_dim)
    expected = generated.generator(z0, training=False)
    np.testing.assert_allclose(together(generated, 3, draw=1), expected, atol=1e-6)


@pytest.mark.slow
def test_makes_a_generated_clip_again_by_its_place(generated):
    clips = together(generated, 20)
    np.testing.assert_array_equal(generated.clips([17, 2], 0), clips[[17, 2]])


@pytest.mark.slow
def test_shows_each_real_video_once(numbered):
    clips = together(numbered, 37)
    videos = np.rint((clips[:, 0, 0, 0, 0] * 128 + 128) // 6)
    assert sorted(videos) == list(range(37))


@pytest.mark.slow
def test_another_draw_shows_the_videos_in_another_order(numbered):
    first, second = (together(numbered, 37, draw)[:, 0, 0, 0, 0] for draw in (0, 1))
    assert not np.array_equal((first * 128 + 128) // 6, (second * 128 + 128) // 6)


@pytest.mark.slow
def test_fewer_clips_are_the_first_of_more(numbered):
    np.testing.assert_array_equal(together(numbered, 5), together(numbered, 20)[:5])


@pytest.mark.slow
def test_reads_a_real_clip_again_by_its_place(numbered):
    for draw in (0, 2):
        clips = together(numbered, 37, draw)
        np.testing.assert_array_equal(numbered.clips([30, 4], draw), clips[[30, 4]])


@pytest.mark.slow
def test_draws_of_a_source_without_end_have_no_clip_in_common():
    clips = SourceClips(MovingMNIST(frames=4, size=32))
    first, second = (together(clips, 12, draw) for draw in (0, 1))
    assert not {clip.tobytes() for clip in first} & {clip.tobytes() for clip in second}


@pytest.mark.slow
def test_describes_the_first_clips_by_their_hash(tmp_path):
    sets = []
    for brightness in (3, 3, 4):
        np.save(tmp_path / "a.npy", np.full((4, 5, 4, 4), brightness, np.uint8))
        sets.append(SourceClips(Windows(MovingMNISTFile(tmp_path / "a.npy"), 4, 4)))
    hashes = [clips.description["first_clips_sha256"] for clips in sets]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.slow
def test_refuses_more_clips_than_there_are(numbered):
    with pytest.raises(InputError, match="38 clips: there are only 37"):
        next(numbered.batches(38, 0))
