"""The training of the classifier that comes with the package, run for a moment."""

from __future__ import annotations

import re

import numpy as np
import pytest
from programs import run_all

from tgan_tf.evaluation.extractors.moving_mnist import DigitClassifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("classifier")
    (directory / "there.npz").write_text("mine")
    return directory


@pytest.fixture(scope="module")
def results(directory):
    few = ["--train_steps=5", "--batch_size=2", "--test_clips=50"]
    return run_all(
        "studies/train_classifier.py",
        {"short": ["--output=short.npz", *few], "there": ["--output=there.npz"]},
        directory,
    )


def test_writes_weights_that_the_extractor_reads(results, directory):
    assert results["short"].code == 0, results["short"].stderr
    extractor = DigitClassifier(directory / "short.npz")
    with np.load(directory / "short.npz") as file:
        kernel = file["conv0/kernel"]
    np.testing.assert_array_equal(extractor.network.convolutions[0].kernel, kernel)


def test_the_card_names_the_command_and_the_accuracy(results, directory):
    assert results["short"].code == 0, results["short"].stderr
    card = (directory / "short.md").read_text()
    assert "train_classifier.py --output=short.npz --train_steps=5 --batch_size=2" in card
    assert re.search(r"64×64 \| 28×28 \| +\d+\.\d\d% \| +\d+\.\d\d%", card)


def test_overwrites_nothing(results, directory):
    assert results["there"].code == 1
    assert "--output=there.npz: already exists: give another name" in results["there"].stderr
    assert (directory / "there.npz").read_text() == "mine"
