"""Makes a run directory of a checkpoint of the PyTorch TGAN (proceduralia/tgan-pytorch).

    python experiments/import_pytorch.py --config=config.yml --checkpoint=checkpoint66000.pth \
        --run_dir=runs/imported

--config is the YAML file that its train.py was given. generate.py, evaluate.py and export.py take
the run; train.py --flagfile=RUN/flags.cfg trains it on, with a new optimiser, as their own program
does. It needs PyTorch. Flags of train.py that the configuration does not set may be given too; so
may --data_path, where the data lies now.
"""

from __future__ import annotations

import checked_flags
import command_line
import imported_run
import train
from absl import flags

from tgan_tf import reference_weights

FLAGS = flags.FLAGS

checked_flags.existing(
    "config", "The training's YAML file.", remedy="give the .yml of the training", required=True
)
checked_flags.existing(
    "checkpoint",
    "Its checkpointN.pth.",
    remedy="give a checkpoint of the PyTorch TGAN",
    required=True,
)
flags.adopt_module_key_flags(train)


def main(_) -> None:
    imported_run.check_new_run_dir()
    config = imported_run.Config(FLAGS.config)
    imported_run.set_flags(
        {
            "frames": 16,
            "size": 64,
            "generator": "tgan",
            "gru_layers": 0,
            "conditional": False,
            "latent_distribution": "normal",
            "z0_dim": config.get("models.generator.z_slow_dim", int),
            "z1_dim": config.get("models.generator.z_fast_dim", int),
            "temporal_filters": 512,
            "temporal_offset": True,
            "image_filters": config.get("models.generator.conv_ch", int),
            "critic": "tgan",
            "critic_filters": config.get("models.discriminator.mid_ch", int),
            "critic_offset": True,
            "critic_noise": 0.0,
            "critic_slope": 0.01,
            "critic_head": "mean",
            "batch_norm_epsilon": 1e-5,
            "objective": "wasserstein",
            "lipschitz": "none",
            "gradient_penalty": config.get("lambda", float),
            "n_critic": config.get("dis_iters", int),
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "shuffle_frames": 0.0,
            "batch_size": config.get("batch_size", int),
            "train_steps": config.get("epochs", int),
            "checkpoint_interval": config.get("save_every", int),
            "seed": config.get("seed", int),
            "data_path": config.get("dataset_path", str),
        }
    )
    imported_run.write(
        config.get("models.generator.out_channels", int),
        lambda tgan: reference_weights.load_pytorch(FLAGS.checkpoint, tgan),
    )


if __name__ == "__main__":
    command_line.run(main)
