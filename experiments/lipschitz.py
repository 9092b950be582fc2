"""Reports how far a run's critic is from 1-Lipschitz, and which layers are responsible.

    python experiments/lipschitz.py --run_dir=runs/moving_mnist

It prints one row per layer: the largest singular value of its kernel's matrix, which singular value
clipping clips; the norm of its convolution, by power iteration, and an upper bound on that, by the
Fourier transform; the most that the batch normalisation after it stretches a channel; and the norm
of both together. Then come the product of the matrices' values, the layers' upper bound on the
critic's Lipschitz constant, and as a lower bound the largest gradient of the score at real and
generated clips; a conditional critic gets its classes in turn. Everything is in inference mode,
with the running averages. See docs/lipschitz.md.
"""

from __future__ import annotations

from program_flags import checked_flags, command_line, data_flags, evaluation_flags, run_flags

import numpy as np
from absl import flags

from tgan_tf import remote_runs, runs
from tgan_tf.convolutions import convolution_of, unwrapped
from tgan_tf.evaluation import records
from tgan_tf.evaluation.clip_sets import GeneratedClips
from tgan_tf.evaluation.spectral_report import gradient_norms, lipschitz_bound, stages

FLAGS = flags.FLAGS

run_flags.define_run(required=True)
flags.adopt_module_key_flags(run_flags)
checked_flags.integer(
    "num_clips", 64, "Clips of each kind at which gradients are computed.", at_least=1
)
checked_flags.integer(
    "seed", 0, "Seed of the latents, and of the real clips' windows and order.", at_least=0
)
data_flags.define_videos(path_flag="real_data")
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)


def main(_) -> None:
    with remote_runs.copied(FLAGS.run_dir, FLAGS.checkpoint_step) as run_dir:
        generator, critic, step = runs.load_networks(run_dir, FLAGS.checkpoint_step)
        data_flags.take_from_run(run_dir, "real_data")
    corpus = data_flags.open_data("real_data")
    clip_sets = {
        "real": evaluation_flags.clips_of(corpus, "train", "random", FLAGS.seed),
        "generated": GeneratedClips(generator, FLAGS.seed),
    }

    measured = stages(critic)
    rows = [["layer", "matrix", "operator", "at most", "γ / √(variance + ε)", "together"]]
    for stage, (layer, _) in zip(measured, critic.stages):
        most = convolution_of(layer).norm_bound(unwrapped(layer).kernel.numpy())
        values = (stage.matrix_norm, stage.operator_norm, most, stage.gamma, stage.norm)
        rows.append([stage.name, *(f"{value:.4g}" for value in values)])
    print(f"{FLAGS.run_dir}, step {step}\n")
    print(records.table(rows))
    product = np.prod([stage.matrix_norm for stage in measured])
    print(f"\nproduct of the matrices' largest singular values: {product:.4g}")
    print(f"Lipschitz bound of the critic, by its layers: {lipschitz_bound(critic, measured):.4g}")
    for kind, clips in clip_sets.items():
        norms = []
        for batch in clips.batches(FLAGS.num_clips, 0):
            labels = None
            if critic.num_classes:
                classes = np.arange(len(norms), len(norms) + len(batch)) % critic.num_classes
                labels = np.eye(critic.num_classes, dtype=np.float32)[classes]
            norms.extend(gradient_norms(critic, batch, labels))
        print(
            f"gradient at {len(norms)} {kind} clips: mean {np.mean(norms):.4g}, "
            f"largest {np.max(norms):.4g}"
        )


if __name__ == "__main__":
    command_line.run(main)
