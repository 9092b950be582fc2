"""A TGAN small enough to train within a test."""

import functools
import pathlib
import pickle

import h5py
import keras
import numpy as np

from tgan_tf import checkpoints, runs, stack
from tgan_tf.configuration import Configuration, build
from tgan_tf.tgan import rmsprop

CLIP_SHAPE = (4, 16, 16, 1)
Z0_DIM = 6


def configuration(interval=2, num_classes=0, **entries):
    """Of clips 4x16x16x1."""
    return Configuration(
        **{
            "frames": CLIP_SHAPE[0],
            "size": CLIP_SHAPE[1],
            "channels": 1,
            "num_classes": num_classes,
            "generator": {
                "name": "tgan",
                "z0_dim": Z0_DIM,
                "z1_dim": 5,
                "temporal_filters": 8,
                "image_filters": 8,
            },
            "critic": {"name": "tgan", "filters": 3},
            "lipschitz": {"name": "singular_value_clipping", "interval": interval},
            # Of the test, if it has set one.
            "dtype_policy": keras.mixed_precision.global_policy().name,
            "generator_optimizer": {"name": "rmsprop", "learning_rate": 1e-3},
            "critic_optimizer": {"name": "rmsprop", "learning_rate": 1e-3},
            **entries,
        }
    )


def make_tgan(seed=0, interval=2, num_classes=0, eager=True, **compile_arguments):
    """A TGAN of clips 4x16x16x1, compiled; plain SGD shows the gradients in the weights.

    Its steps run eagerly unless told otherwise: a step takes half a second then, but to trace one
    takes as long as ten of them.
    """
    keras.utils.set_random_seed(seed)
    tgan = build(configuration(interval, num_classes, seed=seed))
    if compile_arguments:
        arguments = {"generator_optimizer": rmsprop(1e-3), "critic_optimizer": rmsprop(1e-3)}
        tgan.compile(**{**arguments, **compile_arguments})
    tgan.run_eagerly = eager
    return tgan


def untrained_tgan():
    """What `make_tgan()` makes, but made and traced only once in a test process.

    A test has it for itself until the next one asks for it; it is to set nothing but variables.
    """
    tgan, variables, values = _tgan_and_values()
    for variable, value in zip(variables, values):
        variable.assign(value)
    return tgan


@functools.cache
def _tgan_and_values():
    tgan = make_tgan(eager=False)
    optimizers = (tgan.generator_optimizer, tgan.critic_optimizer)
    parts = (*optimizers, *tgan.metrics)
    variables = [*tgan.variables, *(v for part in parts for v in part.variables)]
    return tgan, variables, [variable.numpy() for variable in variables]


def make_generator(seed=0, num_classes=0):
    """Weights, scales and running averages none of which are those of a new generator."""
    generator = make_tgan(seed, num_classes=num_classes).generator
    rng = np.random.default_rng(seed)
    weights = [w + rng.uniform(-0.3, 0.3, w.shape) for w in generator.get_weights()]
    generator.set_weights(weights)
    return generator


def save_run(run_dir, step=3, seed=0, flags=None, **entries):
    """A run directory as train.py leaves it, with one checkpoint; gives the TGAN that is in it."""
    keras.utils.set_random_seed(seed)
    settings = configuration(seed=seed, **entries)
    tgan = build(settings)
    checkpoints.save(tgan, run_dir / "checkpoints", step)
    flagfile = "".join(f"--{name}={value}\n" for name, value in (flags or {}).items())
    runs.write(run_dir, settings, flags or {}, flagfile)
    return tgan


def plant_pickle(run_dir):
    """Gives a run data with a pickle that makes a file when it is read, and says yes to it.

    Returns:
        The file that must never be made.
    """
    made = run_dir.absolute() / "made by the pickle"
    with h5py.File(run_dir / "films.h5", "w") as file:
        file["image"] = np.zeros([20, 3, 64, 85], np.uint8)
    (run_dir / "films_pd.pkl").write_bytes(pickle.dumps(_Planted(made)))
    lines = [f"--data_path={run_dir.absolute()}/films.h5", "--allow_unpickling"]
    (run_dir / "flags.cfg").write_text("\n".join(["--frames=4", "--size=16", *lines, ""]))
    return made


class _Planted:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def real_clips(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *CLIP_SHAPE)).astype(np.float32)


def weights(network):
    return {stack.variable_path(v): v.numpy() for v in network.variables}
