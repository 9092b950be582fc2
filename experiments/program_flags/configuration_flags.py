"""The flags of a model, and which entries of its configuration they set.

flags.adopt_module_key_flags(configuration_flags)
configuration = configuration_flags.configuration(channels=1)
command_line.run(main, flags_of_arguments=configuration_flags.FLAGS_OF_ENTRIES)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from program_flags import checked_flags

from absl import flags

from tgan_tf import lipschitz, objectives
from tgan_tf.configuration import (
    INITIALIZERS,
    POLICIES,
    TABLES,
    Configuration,
    arguments_of,
)
from tgan_tf.constraints import NORMS
from tgan_tf.errors import InputError
from tgan_tf.models import CRITICS, GENERATORS
from tgan_tf.models.critic import HEADS
from tgan_tf.models.network import LATENT_DISTRIBUTIONS, NORMALIZATIONS
from tgan_tf.optimizers import OPTIMIZERS

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "generator",
    "tgan",
    sorted(GENERATORS),
    "tgan: temporal and image generator (paper). conv3d: 3-D transposed convolutions (the paper's "
    "3D model). two_stream: the same with a mask and a static background (Vondrick et al. 2016).",
)
flags.DEFINE_enum(
    "critic",
    "tgan",
    sorted(CRITICS),
    "tgan: 3-D convolutions (paper). frames_as_channels: 2-D ones with max pooling. "
    "video_and_frame: 3-D ones and 2-D ones, their losses added (reference).",
)
flags.DEFINE_bool(
    "conditional", False, "Give generator and critic the class of a clip: digit, or data set's."
)
checked_flags.integer("z0_dim", 100, "Entries of a video's latent z0 (paper: 100).", 1, 65536)
checked_flags.integer("z1_dim", 100, "Entries of a frame's latent z1 (paper: 100).", 1, 65536)
flags.DEFINE_enum(
    "latent_distribution",
    "uniform",
    LATENT_DISTRIBUTIONS,
    "z0 of Uniform(-1, 1) (paper) or Normal(0, 1) (PyTorch TGAN).",
)
checked_flags.integer(
    "temporal_filters", 512, "Temporal generator's widest layer (paper: 512).", 1, 65536
)
checked_flags.integer(
    "gru_layers",
    0,
    "Temporal generator of that many recurrent layers (GRU); 0: transposed convolutions (paper).",
    at_least=0,
    at_most=100,
)
checked_flags.integer(
    "image_filters",
    512,
    "Widest layer of image generator, conv3d or two_stream (paper: 512).",
    at_least=1,
    at_most=65536,
)
checked_flags.integer(
    "critic_frames",
    None,
    "Successive frames of a clip that the critic sees, others in each update: a power of two, at "
    "most --frames; all if not given (paper).",
    at_least=2,
)
checked_flags.integer(
    "critic_filters", 64, "Critic's first layer, doubled by each (paper: 64).", 1, 65536
)
for network in ("temporal", "image", "critic"):
    flags.DEFINE_enum(
        f"{network}_initializer",
        "uniform",
        sorted(INITIALIZERS),
        f"Initial kernels of the {network} network: Uniform(-0.01, 0.01) (reference: Moving "
        "MNIST) or LeCun normal (reference: UCF-101, all but the image generator).",
    )

flags.DEFINE_bool(
    "temporal_offset", False, "Offset in temporal generator's batch normalisations (paper: none)."
)
flags.DEFINE_bool("critic_offset", False, "Offset in critic's batch normalisations (paper: none).")
checked_flags.number(
    "batch_norm_epsilon", 2e-5, "Of all batch normalisations (reference: 2e-5).", above=0
)
checked_flags.number(
    "critic_slope", 0.2, "Of the critic's leaky ReLU (reference: 0.2).", at_least=0, at_most=1
)
flags.DEFINE_enum(
    "critic_head",
    "convolution",
    HEADS,
    "The tgan critic's score of the last features: convolution (paper), mean (PyTorch TGAN), or "
    "projection of the class (Miyato and Koyama 2018).",
)
flags.DEFINE_enum(
    "critic_normalization",
    "batch",
    NORMALIZATIONS,
    "After the critic's convolutions but the first: batch normalisation (paper), or none.",
)
checked_flags.number(
    "critic_noise",
    0.0,
    "Deviation of Gaussian noise before the critic's leaky ReLU (reference's normal GAN: 0.3).",
    at_least=0,
)

flags.DEFINE_enum(
    "objective", "wasserstein", sorted(objectives.OBJECTIVES), "What generator and critic minimise."
)
checked_flags.integer(
    "n_critic", 1, "Critic's updates for one of the generator (reference: 1).", 1, 1000
)
flags.DEFINE_enum(
    "optimizer",
    "rmsprop",
    list(OPTIMIZERS),
    "Of generator and critic: RMSprop (paper), or Adam.",
)
checked_flags.number("learning_rate", 5e-5, "Of both optimizers (paper: 5e-5).", above=0)
checked_flags.number(
    "critic_learning_rate", None, "Of the critic's optimizer, if it has another.", above=0
)
checked_flags.number("adam_beta_1", 0.5, "Adam's β₁ (PyTorch TGAN: 0.5).", at_least=0, below=1)
checked_flags.number("adam_beta_2", 0.9, "Adam's β₂ (PyTorch TGAN: 0.9).", at_least=0, below=1)
checked_flags.integer(
    "learning_rate_decay_steps",
    None,
    "The rates fall linearly to 0 over so many updates of the generator; constant if not given.",
    at_least=1,
)
checked_flags.number(
    "ema_momentum",
    None,
    "Keep a moving average of the generator's weights, such as 0.999, and show, evaluate and "
    "export that one.",
    at_least=0,
    below=1,
)
checked_flags.number(
    "shuffle_frames",
    0.0,
    "Probability that a step's clips are seen in a random order of frames.",
    at_least=0,
    at_most=1,
)
flags.DEFINE_enum(
    "lipschitz",
    "singular_value_clipping",
    [name for name in lipschitz.METHODS if name != "gradient_penalty"],
    "What keeps the critic Lipschitz: singular_value_clipping (paper); weight_clipping (Arjovsky "
    "et al. 2017); spectral_normalization (Miyato et al. 2018); none.",
)
checked_flags.number(
    "max_singular_value", 1.0, "Largest of each critic kernel after clipping (paper: 1).", above=0
)
flags.DEFINE_enum(
    "clipped_norm",
    "matrix",
    NORMS,
    "What singular value clipping clips: matrix, the kernel's (paper), or operator, the "
    "convolution's own.",
)
checked_flags.integer(
    "clipping_interval",
    5,
    "Critic's updates between clippings of singular values and of the scales of batch "
    "normalisations (paper: 5).",
    at_least=1,
)
checked_flags.number(
    "weight_limit", 0.01, "weight_clipping: of each entry (reference: 0.01).", above=0
)
checked_flags.number(
    "gradient_penalty",
    0.0,
    "Weight of the critic's gradient penalty (Gulrajani et al. 2017: 10); with --lipschitz=none.",
    at_least=0,
)
checked_flags.integer("seed", 0, "Of initial weights, latents and data, 0 to 2^31 - 1.", at_least=0)

flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    POLICIES,
    "Keras policy: what the layers compute in; weights and clipping stay float32.",
)

ENTRIES = {
    "frames": ["frames"],
    "size": ["size"],
    "generator": ["generator.name"],
    "z0_dim": ["generator.z0_dim"],
    "z1_dim": ["generator.z1_dim"],
    "latent_distribution": ["generator.latent_distribution"],
    "temporal_filters": ["generator.temporal_filters"],
    "gru_layers": ["generator.gru_layers"],
    "image_filters": ["generator.image_filters", "generator.filters"],
    "temporal_initializer": ["generator.temporal_initializer"],
    "image_initializer": ["generator.image_initializer", "generator.kernel_initializer"],
    "temporal_offset": ["generator.center"],
    "batch_norm_epsilon": ["generator.epsilon", "critic.epsilon"],
    "critic": ["critic.name"],
    "critic_frames": ["critic_frames"],
    "critic_filters": ["critic.filters"],
    "critic_initializer": ["critic.kernel_initializer"],
    "critic_offset": ["critic.center"],
    "critic_slope": ["critic.slope"],
    "critic_head": ["critic.head"],
    "critic_normalization": ["critic.normalization"],
    "critic_noise": ["critic.noise"],
    "lipschitz": ["lipschitz.name"],
    "max_singular_value": ["lipschitz.max_singular_value"],
    "clipped_norm": ["lipschitz.norm"],
    "clipping_interval": ["lipschitz.interval"],
    "weight_limit": ["lipschitz.limit"],
    "gradient_penalty": ["lipschitz.weight"],
    "objective": ["objective"],
    "optimizer": ["generator_optimizer.name", "critic_optimizer.name"],
    "learning_rate": ["generator_optimizer.learning_rate"],
    "critic_learning_rate": ["critic_optimizer.learning_rate"],
    "adam_beta_1": ["generator_optimizer.beta_1", "critic_optimizer.beta_1"],
    "adam_beta_2": ["generator_optimizer.beta_2", "critic_optimizer.beta_2"],
    "ema_momentum": ["generator_optimizer.ema_momentum"],
    "learning_rate_decay_steps": ["learning_rate_decay_steps"],
    "n_critic": ["n_critic"],
    "shuffle_frames": ["shuffle_frames"],
    "mixed_precision": ["dtype_policy"],
    "seed": ["seed"],
}
"""The entries that each flag sets, those of them that the parts have which are chosen by name."""

FLAGS_OF_ENTRIES = {entry: flag for flag, entries in ENTRIES.items() for entry in entries}
"""The flag of each entry, for messages."""

# A flagfile has these for the other variants too.
_OF_OTHER_VARIANTS = {"z1_dim", "temporal_filters", "temporal_initializer", "clipping_interval"}


def configuration(
    channels: int = 1, num_classes: int = 0, given: Mapping[str, Any] | None = None
) -> Configuration:
    """The configuration of the flags.

    Args:
        channels: of the clips.
        num_classes: of the clips, if the networks are to be conditioned on them.
        given: the flags' values, if not those of the command line, such as those of a flagfile.

    Raises:
        InputError: flags cannot be, or have no use, together.
    """
    values = {flag: FLAGS[flag].value if given is None else given[flag] for flag in ENTRIES}
    if values["critic_learning_rate"] is None:
        values["critic_learning_rate"] = values["learning_rate"]
    if values["gradient_penalty"]:
        if values["lipschitz"] != "none":
            raise InputError(
                f"--gradient_penalty={values['gradient_penalty']} with "
                f"--lipschitz={values['lipschitz']}: "
                "both keep the critic Lipschitz: give --lipschitz=none with the penalty"
            )
        values["lipschitz"] = "gradient_penalty"
    names = {section: values[FLAGS_OF_ENTRIES[f"{section}.name"]] for section in TABLES}
    entries: dict[str, Any] = {section: {"name": name} for section, name in names.items()}
    for flag, value in values.items():
        set_entries = 0
        for entry in ENTRIES[flag]:
            section, _, name = entry.rpartition(".")
            if not section:
                entries[name] = value
            elif name == "name" or name in arguments_of(section, names[section]):
                # The name is there already, of the penalty the method that it is.
                entries[section].setdefault(name, value)
            else:
                continue
            set_entries += 1
        if not set_entries and flag not in _OF_OTHER_VARIANTS:
            _refuse_useless(flag, value, names)
    return Configuration(channels=channels, num_classes=num_classes, **entries)


def flags_of(configuration: Configuration) -> dict[str, Any]:
    """The values of the flags that make a configuration."""
    values = {flag: FLAGS[flag].default for flag in ENTRIES}
    for flag, entries in ENTRIES.items():
        for entry in entries:
            section, _, name = entry.rpartition(".")
            found = getattr(configuration, section) if section else vars(configuration)
            if name in found:
                values[flag] = found[name]
    if values["lipschitz"] == "gradient_penalty":
        values["lipschitz"] = "none"
    if values["critic_learning_rate"] == values["learning_rate"]:
        values["critic_learning_rate"] = None
    return values


def _refuse_useless(flag: str, value: Any, names: dict[str, str]) -> None:
    """Raises an `InputError` for a flag that sets nothing, but is not at its default."""
    if value == FLAGS[flag].default:
        return
    section, _, name = ENTRIES[flag][0].rpartition(".")
    choice = FLAGS_OF_ENTRIES[f"{section}.name"]
    users = [other for other in TABLES[section] if name in arguments_of(section, other)]
    raise InputError(
        f"--{flag}={value} has no use with --{choice}={names[section]}: leave it out, "
        f"or give --{choice}={' or '.join(users)}"
    )
