"""The flags of a model, and the entries of its configuration that they set.

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
    "Generator network. tgan: temporal and image generator (paper). conv3d: 3-D transposed "
    "convolutions (the paper's 3D model). two_stream: conv3d with a mask and a static background "
    "(Vondrick et al. 2016).",
)
flags.DEFINE_enum(
    "critic",
    "tgan",
    sorted(CRITICS),
    "Critic network. tgan: 3-D convolutions (paper). frames_as_channels: 2-D convolutions with "
    "max pooling. video_and_frame: a 3-D and a 2-D critic, with their losses added (reference).",
)
flags.DEFINE_bool(
    "conditional",
    False,
    "Condition generator and critic on a clip's class: the digit, or the data set's class.",
)
checked_flags.integer("z0_dim", 100, "Size of a video's latent z0 (paper: 100).", 1, 65536)
checked_flags.integer("z1_dim", 100, "Size of a frame's latent z1 (paper: 100).", 1, 65536)
flags.DEFINE_enum(
    "latent_distribution",
    "uniform",
    LATENT_DISTRIBUTIONS,
    "Distribution of z0: Uniform(-1, 1) (paper) or Normal(0, 1) (PyTorch TGAN).",
)
checked_flags.integer(
    "temporal_filters",
    512,
    "Width of the temporal generator's widest layer (paper: 512).",
    1,
    65536,
)
checked_flags.integer(
    "gru_layers",
    0,
    "Recurrent layers (GRU) of the temporal generator; 0: transposed convolutions (paper).",
    at_least=0,
    at_most=100,
)
checked_flags.integer(
    "image_filters",
    512,
    "Width of the widest layer of the image generator, conv3d or two_stream (paper: 512).",
    at_least=1,
    at_most=65536,
)
checked_flags.integer(
    "critic_frames",
    None,
    "Number of successive frames of a clip that the critic sees, a different window in each "
    "update: at most --frames, and a power of two but for --critic=frames_as_channels; default: "
    "all (paper).",
    at_least=2,
)
checked_flags.integer(
    "critic_filters",
    64,
    "Width of the critic's first layer; each later one doubles it (paper: 64).",
    1,
    65536,
)
for network in ("temporal", "image", "critic"):
    flags.DEFINE_enum(
        f"{network}_initializer",
        "uniform",
        sorted(INITIALIZERS),
        f"Initial kernels of the {network} network: Uniform(-0.01, 0.01) (reference: Moving MNIST) "
        "or LeCun normal (reference: UCF-101, except for the image generator).",
    )

flags.DEFINE_bool(
    "temporal_offset",
    False,
    "Use offsets in the temporal generator's batch normalisations (paper: none).",
)
flags.DEFINE_bool(
    "critic_offset", False, "Use offsets in the critic's batch normalisations (paper: none)."
)
checked_flags.number(
    "batch_norm_epsilon", 2e-5, "Epsilon of all batch normalisations (reference: 2e-5).", above=0
)
checked_flags.number(
    "critic_slope",
    0.2,
    "Negative slope of the critic's leaky ReLU (reference: 0.2).",
    at_least=0,
    at_most=1,
)
flags.DEFINE_enum(
    "critic_head",
    "convolution",
    HEADS,
    "How the critic makes its score from the last features: convolution (paper), projection on the "
    "class (Miyato and Koyama 2018), or, for the tgan critic, mean (PyTorch TGAN).",
)
flags.DEFINE_enum(
    "critic_normalization",
    "batch",
    NORMALIZATIONS,
    "Normalisation after all critic convolutions except the first: batch normalisation (paper), or "
    "none.",
)
checked_flags.number(
    "critic_noise",
    0.0,
    "Standard deviation of Gaussian noise before the critic's leaky ReLUs (reference's normal "
    "GAN: 0.3).",
    at_least=0,
)

flags.DEFINE_enum(
    "objective",
    "wasserstein",
    sorted(objectives.OBJECTIVES),
    "Losses of generator and critic (paper: wasserstein).",
)
checked_flags.integer("n_critic", 1, "Critic updates per generator update (reference: 1).", 1, 1000)
flags.DEFINE_enum(
    "optimizer",
    "rmsprop",
    list(OPTIMIZERS),
    "Optimiser of generator and critic: RMSprop (paper) or Adam.",
)
checked_flags.number(
    "learning_rate", 5e-5, "Learning rate of both optimisers (paper: 5e-5).", above=0
)
checked_flags.number(
    "critic_learning_rate", None, "Learning rate of the critic's optimiser, if different.", above=0
)
checked_flags.number("adam_beta_1", 0.5, "Adam's β₁ (PyTorch TGAN: 0.5).", at_least=0, below=1)
checked_flags.number("adam_beta_2", 0.9, "Adam's β₂ (PyTorch TGAN: 0.9).", at_least=0, below=1)
checked_flags.integer(
    "learning_rate_decay_steps",
    None,
    "Generator updates over which the learning rates fall linearly to 0; default: constant rates.",
    at_least=1,
)
checked_flags.number(
    "ema_momentum",
    None,
    "Momentum of a moving average of the generator's weights, such as 0.999, which is then shown, "
    "evaluated and exported; default: no average.",
    at_least=0,
    below=1,
)
checked_flags.number(
    "shuffle_frames",
    0.0,
    "Probability that a step's clips have their frames in a random order.",
    at_least=0,
    at_most=1,
)
flags.DEFINE_enum(
    "lipschitz",
    "singular_value_clipping",
    [name for name in lipschitz.METHODS if name != "gradient_penalty"],
    "Method that keeps the critic Lipschitz: singular_value_clipping (paper), weight_clipping "
    "(Arjovsky et al. 2017), spectral_normalization (Miyato et al. 2018), or none.",
)
checked_flags.number(
    "max_singular_value",
    1.0,
    "Largest singular value of each critic kernel after clipping (paper: 1).",
    above=0,
)
flags.DEFINE_enum(
    "clipped_norm",
    "matrix",
    NORMS,
    "Norm that singular value clipping limits: that of the kernel's matrix (paper), or of the "
    "convolution as an operator.",
)
checked_flags.integer(
    "clipping_interval",
    5,
    "Critic updates between clippings of singular values and of batch normalisation scales "
    "(paper: 5).",
    at_least=1,
)
checked_flags.number(
    "weight_limit",
    0.01,
    "Largest magnitude of a weight with weight_clipping (reference: 0.01).",
    above=0,
)
checked_flags.number(
    "gradient_penalty",
    0.0,
    "Weight of the critic's gradient penalty (Gulrajani et al. 2017: 10); needs --lipschitz=none.",
    at_least=0,
)
checked_flags.integer(
    "seed", 0, "Seed of initial weights, latents and data, 0 to 2^31 - 1.", at_least=0
)

flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    POLICIES,
    "Keras policy, the dtype that the layers compute in; weights and clipping stay float32.",
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
"""The entries that each flag sets, if the chosen parts have them."""

FLAGS_OF_ENTRIES = {entry: flag for flag, entries in ENTRIES.items() for entry in entries}
"""The flag of each entry, for messages."""

# Flagfiles have these for other variants too.
_OF_OTHER_VARIANTS = {"z1_dim", "temporal_filters", "temporal_initializer", "clipping_interval"}


def configuration(
    channels: int = 1, num_classes: int = 0, given: Mapping[str, Any] | None = None
) -> Configuration:
    """Makes the configuration of the flags.

    Args:
        channels: channels of the clips.
        num_classes: number of classes of the clips, for conditional networks.
        given: the flags' values, such as those of a flagfile; default: those of the command line.

    Raises:
        InputError: flags contradict each other, or a flag has no effect.
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
                # The name is set already; for the penalty it is the method's.
                entries[section].setdefault(name, value)
            else:
                continue
            set_entries += 1
        if not set_entries and flag not in _OF_OTHER_VARIANTS:
            _refuse_useless(flag, value, names)
    return Configuration(channels=channels, num_classes=num_classes, **entries)


def flags_of(configuration: Configuration) -> dict[str, Any]:
    """The values of the flags that make up a configuration."""
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
    """Raises an `InputError` for a flag without effect that is not at its default."""
    if value == FLAGS[flag].default:
        return
    section, _, name = ENTRIES[flag][0].rpartition(".")
    choice = FLAGS_OF_ENTRIES[f"{section}.name"]
    users = [other for other in TABLES[section] if name in arguments_of(section, other)]
    raise InputError(
        f"--{flag}={value}: has no effect with --{choice}={names[section]}: leave it out, or give "
        f"--{choice}={' or '.join(users)}"
    )
