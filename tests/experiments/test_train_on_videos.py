"""The training program on prepared videos, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from films import write_ucf101

from tgan_tf.data.corpus import open_corpus
from tgan_tf.data.preparation import Settings, prepare

TRAIN = Path(__file__).parents[2] / "experiments/train.py"
IN_MEMORY = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
TINY = (
    "--frames=4 --size=16 --z0_dim=6 --z1_dim=5 --temporal_filters=8 --image_filters=8 "
    "--critic_filters=2 --batch_size=4 --learning_rate=1e-3 --clipping_interval=2 "
    "--checkpoint_interval=2 --sample_interval=2 --summary_interval=2"
).split()


@pytest.fixture
def prepared(tmp_path):
    write_ucf101(tmp_path / "UCF-101", groups=1, clips=2, frames=8)
    corpus = open_corpus(str(tmp_path / "UCF-101"), size=16)
    settings = Settings(corpus.recipe, min_frames=4, videos_per_shard=2)
    prepare(
        corpus.recordings(),
        tmp_path / "prepared",
        settings,
        corpus.classes,
        beam_arguments=IN_MEMORY,
    )
    return tmp_path / "prepared"


def train(run_dir, data_path, *flags):
    return subprocess.run(
        [sys.executable, str(TRAIN), *TINY, f"--run_dir={run_dir}", f"--data_path={data_path}"]
        + list(flags),
        capture_output=True,
        text=True,
    )


def flip_a_bit(shard):
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


def test_resumed_training_sees_the_clips_of_an_unbroken_one(prepared, tmp_path):
    varied = ("--crop=random", "--mirror", "--stride=2")
    for run, steps in (("unbroken", 4), ("resumed", 2), ("resumed", 4)):
        result = train(tmp_path / run, prepared, *varied, f"--train_steps={steps}")
        assert result.returncode == 0, result.stderr
    one, other = (
        tf.train.load_checkpoint(str(tmp_path / run / "checkpoints/step-4/tgan"))
        for run in ("unbroken", "resumed")
    )
    names = [name for name in one.get_variable_to_shape_map() if "CHECKPOINTABLE" not in name]
    assert len(names) > 20
    for name in names:
        np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name), name)


def test_damaged_shard_is_named_and_refused_or_skipped(prepared, tmp_path):
    shard = sorted(prepared.glob("*.tfrecord"))[1]
    flip_a_bit(shard)
    result = train(tmp_path / "run", prepared, "--train_steps=1")
    assert result.returncode == 1
    assert shard.name in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()

    result = train(tmp_path / "run", prepared, "--train_steps=1", "--damaged_shards=skip")
    assert result.returncode == 0, result.stderr
    assert shard.name in result.stderr


def test_damage_found_while_training_names_the_record(prepared, tmp_path):
    for shard in prepared.glob("*.tfrecord"):
        flip_a_bit(shard)
    result = train(tmp_path / "run", prepared, "--train_steps=3", "--noverify_shards")
    assert result.returncode == 1
    assert ".tfrecord: the record at byte" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_clips_longer_than_all_videos_are_refused_before_the_run_directory_is_made(
    prepared, tmp_path
):
    result = train(tmp_path / "run", prepared, "--train_steps=1", "--stride=4")
    assert result.returncode == 1
    assert "a clip spans 13 frames" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
