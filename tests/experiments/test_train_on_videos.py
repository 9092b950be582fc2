"""The training program on prepared videos, run as a user runs it."""

from __future__ import annotations

import shutil

import pytest
from checkpoint_tensors import assert_equal_tensors
from films import write_ucf101
from preparing import in_turn
from programs import run_all

from tgan_tf.data.corpus import open_corpus
from tgan_tf.data.preparation import Settings, prepare

pytestmark = pytest.mark.slow

TINY = (
    "--frames=4 --size=16 --z0_dim=6 --z1_dim=5 --temporal_filters=8 --image_filters=8 "
    "--critic_filters=2 --batch_size=4 --learning_rate=1e-3 --clipping_interval=2 "
    "--checkpoint_interval=2 --sample_interval=2 --summary_interval=2"
).split()


VARIED = ("--data_path=prepared", "--crop=random", "--mirror", "--stride=2")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Prepared videos, with one shard damaged, and with all."""
    directory = tmp_path_factory.mktemp("videos")
    write_ucf101(directory / "UCF-101", groups=1, clips=2, frames=8)
    corpus = open_corpus(str(directory / "UCF-101"), size=16)
    settings = Settings(corpus.recipe, min_frames=4, videos_per_shard=2)
    prepared = directory / "prepared"
    prepare(corpus.recordings(), prepared, settings, corpus.classes, run=in_turn)
    for name, damaged in (("one damaged", slice(1, 2)), ("all damaged", slice(None))):
        shutil.copytree(prepared, directory / name)
        for shard in sorted((directory / name).glob("*.tfrecord"))[damaged]:
            flip_a_bit(shard)
    return directory


def flip_a_bit(shard):
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


@pytest.fixture(scope="module")
def results(directory):
    """All commands of this file, and what became of each."""
    commands = {
        "unbroken": ["--run_dir=unbroken", *VARIED, "--train_steps=4"],
        "stopped": ["--run_dir=resumed", *VARIED, "--train_steps=2"],
        "resumed": ["--run_dir=resumed", *VARIED, "--train_steps=4"],
        "refused": ["--run_dir=refused", "--data_path=one damaged", "--train_steps=1"],
        "skipped": [
            "--run_dir=skipped",
            "--data_path=one damaged",
            "--train_steps=1",
            "--damaged_shards=skip",
        ],
        "unverified": [
            "--run_dir=unverified",
            "--data_path=all damaged",
            "--train_steps=3",
            "--noverify_shards",
        ],
        "long": ["--run_dir=long", "--data_path=prepared", "--train_steps=1", "--stride=4"],
    }
    commands = {name: [*TINY, *flags] for name, flags in commands.items()}
    return run_all("train.py", commands, directory)


def test_resumed_training_sees_the_clips_of_an_unbroken_one(results, directory):
    for run in ("unbroken", "stopped", "resumed"):
        assert results[run].code == 0, results[run].stderr
    assert_equal_tensors(directory / "resumed", directory / "unbroken", 4)


def test_damaged_shard_is_named_and_refused_or_skipped(results, directory):
    shard = sorted((directory / "one damaged").glob("*.tfrecord"))[1]
    assert results["refused"].code == 1
    assert shard.name in results["refused"].stderr
    assert len(results["refused"].stderr.splitlines()) == 1
    assert results["refused"].stderr.endswith("leave the shard out with --damaged_shards=skip\n")
    assert not (directory / "refused").exists()
    assert results["skipped"].code == 0, results["skipped"].stderr
    assert shard.name in results["skipped"].stderr


def test_damage_found_while_training_names_the_record(results):
    result = results["unverified"]
    assert result.code == 1
    assert ".tfrecord: the record at byte" in result.stderr
    assert result.stderr.endswith("leave the shard out with --damaged_shards=skip\n")
    assert len(result.stderr.splitlines()) == 1


def test_clips_longer_than_all_videos_are_refused_before_the_run_directory_is_made(
    results, directory
):
    result = results["long"]
    assert result.code == 1
    assert "--frames=4, --stride=4: a clip spans 13 frames" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (directory / "long").exists()
