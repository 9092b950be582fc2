"""What imported weights compute, and what the authors' code has computed of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures import seeded_arrays

FIXTURES = Path(__file__).with_name("fixtures")


def read_fixture(name):
    with np.load(FIXTURES / f"{name}.npz") as npz:
        return dict(npz)


def in_their_layout(place, value_of):
    """The entries of the variables that an array belongs to, in the array's own order."""
    numbers = np.arange(1.0, np.prod(place.shape) + 1).reshape(place.shape)
    entries = np.zeros(numbers.size)
    for variable, convert in place.parts:
        signed = np.ravel(convert(numbers))
        entries[np.abs(signed).astype(int) - 1] = np.sign(signed) * np.ravel(value_of(variable))
    return entries.reshape(place.shape)


def distance(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def compute(imported, mode):
    """Frame latents, some entries of the videos, and the scores with the sign of theirs."""
    tgan, training = imported.tgan, mode == "training"
    z0 = imported.fixture["z0"]
    computed = {}
    for name, make in {
        "frame_latents": lambda: tgan.generator.frame_latents(z0, training),
        "videos": lambda: seeded_arrays.sample(tgan.generator(z0, training=training).numpy(), 2000),
        "scores": lambda: (
            (-1.0 if imported.negated else 1.0)
            * tgan.critic(seeded_arrays.clips(imported.fixture["clips_shape"]), training=training)
        ),
    }.items():
        tgan.set_weights(imported.weights)
        computed[name] = np.asarray(make())
    tgan.set_weights(imported.weights)
    return computed
