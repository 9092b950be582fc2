"""Exports the generator of a training run as a SavedModel for TensorFlow Serving.

    python experiments/export.py --run_dir=runs/mine --export_dir=saved_models/mine
    tensorflow_model_server --rest_api_port=8501 --model_base_path=$PWD/saved_models/mine

The model is written as the next version, saved_models/mine/1 at first; earlier versions stay. It
makes videos from latents (signature serving_default) or from seeds (generate, or generate_encoded
for PNGs), with more frames (interpolate), or along a line from one seed's latent to another's
(latent_walk); tgan_tf/signatures.py describes their inputs and outputs. A model_card.json beside it
has the run, its flags, the results of evaluate.py and a checksum.
"""

from __future__ import annotations

import shlex

from program_flags import checked_flags, command_line, run_flags

from absl import flags

from tgan_tf import export, remote_runs, runs

FLAGS = flags.FLAGS

run_flags.define_run(required=True)
flags.adopt_module_key_flags(run_flags)
checked_flags.output_directory(
    "export_dir",
    None,
    "Directory for the model's versions, such as saved_models/NAME, made if missing.",
    required=True,
)
flags.DEFINE_enum(
    "compute_dtype",
    "float32",
    export.COMPUTE_DTYPES,
    "Dtype that the layers compute in, for hardware that is faster with it; weights and videos "
    "stay float32.",
)
checked_flags.new_file(
    "keras_file",
    None,
    "Also write the generator to this .keras file, which must not exist yet.",
    suffixes=(".keras",),
)


def main(_) -> None:
    with remote_runs.copied(FLAGS.run_dir, FLAGS.checkpoint_step) as run_dir:
        generator, step = runs.load_generator(run_dir, FLAGS.checkpoint_step)
        training = export.describe_run(run_dir, step)
    if FLAGS.keras_file:
        export.save_keras(generator, FLAGS.keras_file)
        print(f"{FLAGS.keras_file}: the generator of step {step} for keras.models.load_model")
    version = export.export_generator(generator, FLAGS.export_dir, FLAGS.compute_dtype, training)
    print(f"{FLAGS.run_dir}: the generator of step {step} is in {version}")
    print(
        # Otherwise the output begins with TensorFlow's start-up messages.
        "Inspect it: TF_CPP_MIN_LOG_LEVEL=3 saved_model_cli show --tag_set serve --all --dir "
        f"{shlex.quote(str(version))}"
    )
    print(f"Make videos: python experiments/generate.py --saved_model={shlex.quote(str(version))}")


if __name__ == "__main__":
    command_line.run(main)
