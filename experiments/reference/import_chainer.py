r"""Makes a run directory from a training with the authors' Chainer code (pfnet-research/tgan).

    python experiments/reference/import_chainer.py --config=results/ucf101.yml --snapshot=results \
        --run_dir=runs/imported

--config is the YAML file of their train.py, which leaves a copy in its results directory.
generate.py, evaluate.py and export.py accept the run; train.py --flagfile=RUN/flags.cfg resumes it.
A whole snapshot (snapshot_iter_N.npz) includes RMSprop's state; the files of single networks
(gen_iter_N.npz, vgen_iter_N.npz, vdis_iter_N.npz) do not. Flags of train.py that the configuration
does not set may also be given, and so may --data_path, the present place of the data.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line, training_flags

from absl import flags

import imported_run
from tgan_tf import reference_weights
from tgan_tf.configuration import Configuration
from tgan_tf.errors import InputError

FLAGS = flags.FLAGS

checked_flags.existing(
    "config", "YAML file of the training.", remedy="give the .yml of the training", required=True
)
checked_flags.existing(
    "snapshot",
    "Results directory of the training, or a snapshot_iter_N.npz in it.",
    kind="path",
    remedy="give the results directory of the reference's train.py",
    required=True,
)
checked_flags.integer("iteration", None, "N of the snapshot; default: the last one.", at_least=0)
flags.adopt_module_key_flags(training_flags)

INITIALIZERS = {"Uniform": "uniform", "Default": "lecun_normal"}

# The objective and the Lipschitz method of each updater.
UPDATERS = {
    "TGANUpdaterWGANSVC": ("wasserstein", "singular_value_clipping"),
    "TGANUpdaterWGANParallelSVC": ("wasserstein", "singular_value_clipping"),
    "TGANUpdaterWGANVideoFrameDis": ("wasserstein", "singular_value_clipping"),
    "TGANUpdaterWGANClip": ("wasserstein", "weight_clipping"),
    "TGANUpdaterLSGAN": ("least_squares", "none"),
    "TGANUpdaterVanilla": ("normal", "none"),
}

# The key of the data's path, and the flags for cutting clips.
DATASETS = {
    "MovingMNISTDataset": ("dataset_path", {}),
    "UCFDataset": ("h5path", {}),
    "UCFDatasetAugmented": ("h5path", {"crop": "random", "mirror": True}),
    "GolfDataset": ("root_path", {}),
    "GolfDatasetAugmented": ("root_path", {"mirror": True}),
}


def main(_) -> None:
    imported_run.check_new_run_dir()
    config = imported_run.Config(FLAGS.config)
    path, iteration = find_snapshot(Path(FLAGS.snapshot), FLAGS.iteration)
    configuration = configuration_of(config)
    path_key, own = DATASETS[one_of(DATASETS, config, "dataset.dataset_name")]
    imported_run.set_flags(
        configuration,
        {
            "conditional": False,
            "batch_size": config.get("batchsize", int),
            "checkpoint_interval": config.get("snapshot_interval", int),
            "summary_interval": config.get("display_interval", int),
            "data_path": config.get(f"dataset.args.{path_key}", str),
            **own,
        },
    )
    # Their code labels generated clips 1.
    negated = configuration.objective == "normal"

    def load(tgan):
        if path.is_dir():
            return reference_weights.load_chainer_networks(path, iteration, tgan, negated)
        return reference_weights.load_chainer(path, tgan, negated)

    imported_run.write(configuration, load)


def find_snapshot(path: Path, iteration: int | None) -> tuple[Path, int | None]:
    """Finds the whole snapshot, or else the directory and iteration of the networks' files.

    Raises:
        InputError: neither exists.
    """
    if not path.is_dir():
        if iteration is not None:
            raise InputError(
                f"--iteration={iteration}: has no effect with a file as --snapshot: leave it out"
            )
        return path, None
    names = (re.fullmatch(r"(?:snapshot|gen)_iter_(\d+)\.npz", p.name) for p in path.iterdir())
    found = sorted({int(name[1]) for name in names if name})
    if not found:
        raise InputError(
            f"--snapshot={path}: no snapshot_iter_N.npz or gen_iter_N.npz in it: give the results "
            "directory of the reference's train.py"
        )
    if iteration is None:
        iteration = found[-1]
    if iteration not in found:
        raise InputError(f"--iteration={iteration}: {path} has {', '.join(map(str, found))}")
    whole = path / f"snapshot_iter_{iteration}.npz"
    return (whole, None) if whole.exists() else (path, iteration)


def configuration_of(config: imported_run.Config) -> Configuration:
    """The configuration of the model that their file describes.

    Raises:
        InputError: it lacks a key that their train.py needs, or has a name that is not in their
            code.
    """
    temporal = of_class(
        config, "frame_seed_generator", "FrameSeedGenerator(NoBeta)?Init(Uniform|Default)"
    )
    image = of_class(config, "video_generator", "VideoGeneratorInit(Uniform|Default)")
    critic = of_class(
        config,
        "video_discriminator",
        "VideoDiscriminator(NoBeta)?Init(Uniform|Default)(WithNoise)?|VideoAndFrameDiscriminator",
    )
    objective, method = UPDATERS[one_of(UPDATERS, config, "updater.name")]
    arguments = {
        "singular_value_clipping": lambda: {
            "interval": config.get("updater.args.freq", int, 1),
            "max_singular_value": FLAGS.max_singular_value,
            "norm": FLAGS.clipped_norm,
        },
        "weight_clipping": lambda: {"limit": FLAGS.weight_limit},
        "none": dict,
    }[method]()
    noise = config.get("models.video_discriminator.args.sigma", float) if critic[3] else 0.0
    return Configuration(
        channels=config.get("models.video_generator.args.out_channels", int),
        generator={
            "name": "tgan",
            "z0_dim": config.get("models.frame_seed_generator.args.z_slow_dim", int, 256),
            "z1_dim": config.get("models.frame_seed_generator.args.z_fast_dim", int, 256),
            "image_filters": config.get("models.video_generator.args.conv_ch", int, 512),
            "temporal_initializer": INITIALIZERS[temporal[2]],
            "image_initializer": INITIALIZERS[image[1]],
            "center": temporal[1] is None,
        },
        critic={
            "name": "tgan" if critic[2] else "video_and_frame",
            "filters": config.get("models.video_discriminator.args.mid_ch", int),
            # The two critics together use Chainer's default.
            "kernel_initializer": INITIALIZERS[critic[2] or "Default"],
            "center": critic[1] is None,
            "noise": noise,
        },
        lipschitz={"name": method, **arguments},
        objective=objective,
        generator_optimizer={"name": "rmsprop", "ema_momentum": FLAGS.ema_momentum},
        learning_rate_decay_steps=FLAGS.learning_rate_decay_steps,
        # Their value is the probability of not shuffling.
        shuffle_frames=1.0 - config.get("updater.args.shuffle_time_order", float, 1.0),
        dtype_policy=FLAGS.mixed_precision,
        seed=config.get("seed", int),
    )


def of_class(config: imported_run.Config, network: str, pattern: str) -> re.Match:
    """Matches the class name of a network.

    Raises:
        InputError: their code has no such class.
    """
    keys = f"models.{network}.name"
    name = config.get(keys, str)
    match = re.fullmatch(pattern, name)
    if match is None:
        raise InputError(
            f"--config={config.path}: {keys} is {name}, which is not a class of "
            "pfnet-research/tgan that can be imported: give the class of the weights"
        )
    return match


def one_of(known: dict, config: imported_run.Config, keys: str) -> str:
    """Reads a name from a configuration.

    Raises:
        InputError: the name is not in `known`.
    """
    name = config.get(keys, str)
    if name not in known:
        raise InputError(
            f"--config={config.path}: {keys} is {name}: must be one of {', '.join(known)}"
        )
    return name


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=training_flags.FLAGS_OF_ARGUMENTS)
