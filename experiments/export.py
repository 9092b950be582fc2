"""Exports the generator of a training run as a SavedModel, for TensorFlow Serving.

    python experiments/export.py --run_dir=runs/moving_mnist --export_dir=saved_models/moving_mnist

The model is written as the next version, saved_models/moving_mnist/1 at first; the earlier ones
stay. Its signature `serving_default` takes latents z0, float32 [n, z0_dim] in [-1, 1], to `videos`,
float32 [n, frames, size, size, channels] in [-1, 1], and to `frame_latents`, float32 [n, frames,
z1_dim].
"""

from __future__ import annotations

import shlex

import command_line
from absl import flags

from tgan_tf import export, runs

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "Directory of the run, as of train.py.", required=True)
flags.DEFINE_integer(
    "checkpoint_step", None, "Training step of the checkpoint; default the newest sound one."
)
flags.DEFINE_string(
    "export_dir",
    None,
    "Directory of the model's versions, saved_models/NAME, made if missing.",
    required=True,
)


def main(_) -> None:
    generator, step = runs.load_generator(FLAGS.run_dir, FLAGS.checkpoint_step)
    version = export.export_generator(generator, FLAGS.export_dir)
    print(f"{FLAGS.run_dir}: the generator of step {step} is in {version}")
    print(
        f"Look at it: saved_model_cli show --dir {shlex.quote(str(version))} --tag_set serve "
        "--signature_def serving_default"
    )


if __name__ == "__main__":
    command_line.run(main)
