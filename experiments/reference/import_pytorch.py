r"""Makes a run directory from a checkpoint of the PyTorch TGAN (proceduralia/tgan-pytorch).

    python experiments/reference/import_pytorch.py --config=config.yml \
        --checkpoint=checkpoint66000.pth --run_dir=runs/imported

--config is the YAML file of its train.py. generate.py, evaluate.py and export.py accept the run;
train.py --flagfile=RUN/flags.cfg resumes it with a new optimiser, as the original program does.
This needs PyTorch. Flags of train.py that the configuration does not set may also be given, and so
may --data_path, the present place of the data.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line, training_flags

from absl import flags

import imported_run
from tgan_tf import reference_weights
from tgan_tf.configuration import Configuration

FLAGS = flags.FLAGS

checked_flags.existing(
    "config", "YAML file of the training.", remedy="give the .yml of the training", required=True
)
checked_flags.existing(
    "checkpoint",
    "File checkpointN.pth of the training.",
    remedy="give a checkpoint of the PyTorch TGAN",
    required=True,
)
flags.adopt_module_key_flags(training_flags)


def main(_) -> None:
    imported_run.check_new_run_dir()
    config = imported_run.Config(FLAGS.config)
    learning_rate = 1e-4
    configuration = Configuration(
        channels=config.get("models.generator.out_channels", int),
        generator={
            "name": "tgan",
            "z0_dim": config.get("models.generator.z_slow_dim", int),
            "z1_dim": config.get("models.generator.z_fast_dim", int),
            "image_filters": config.get("models.generator.conv_ch", int),
            "center": True,
            "epsilon": 1e-5,
            "latent_distribution": "normal",
        },
        critic={
            "name": "tgan",
            "filters": config.get("models.discriminator.mid_ch", int),
            "center": True,
            "epsilon": 1e-5,
            "slope": 0.01,
            "head": "mean",
        },
        lipschitz={"name": "gradient_penalty", "weight": config.get("lambda", float)},
        generator_optimizer={
            "name": "adam",
            "learning_rate": learning_rate,
            "ema_momentum": FLAGS.ema_momentum,
        },
        critic_optimizer={"name": "adam", "learning_rate": learning_rate},
        learning_rate_decay_steps=FLAGS.learning_rate_decay_steps,
        n_critic=config.get("dis_iters", int),
        dtype_policy=FLAGS.mixed_precision,
        seed=config.get("seed", int),
    )
    imported_run.set_flags(
        configuration,
        {
            "conditional": False,
            "batch_size": config.get("batch_size", int),
            "train_steps": config.get("epochs", int),
            "checkpoint_interval": config.get("save_every", int),
            "data_path": config.get("dataset_path", str),
        },
    )
    imported_run.write(
        configuration, lambda tgan: reference_weights.load_pytorch(FLAGS.checkpoint, tgan)
    )


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=training_flags.FLAGS_OF_ARGUMENTS)
