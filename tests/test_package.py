"""The package's public names, and what importing them brings in."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tgan_tf


def packages_of(statement: str, after: str = "pass") -> set[str]:
    """The packages, but Python's own, that a statement loads in a fresh Python after another."""
    program = (
        f"import json, sys; {after}; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    packages = {module.split(".")[0] for module in json.loads(result.stdout)}
    # The standard library's own list is of Python 3.10 and later.
    return packages - set(getattr(sys, "stdlib_module_names", packages - {"tgan_tf", "tensorflow"}))


def test_importing_the_package_imports_no_other():
    assert packages_of("import tgan_tf; dir(tgan_tf)") == {"tgan_tf"}


@pytest.mark.slow
def test_the_constraints_import_nothing_but_keras_and_tensorflow():
    assert packages_of("import tgan_tf.constraints", "import keras, tensorflow") == {"tgan_tf"}


@pytest.mark.parametrize("name", sorted(set(tgan_tf.__all__) - {"__version__"}))
def test_a_public_name_is_that_of_its_module(name):
    value = getattr(tgan_tf, name)
    assert value.__name__ == name and value.__doc__
    assert getattr(importlib.import_module(value.__module__), name) is value
    assert name in dir(tgan_tf)


def test_type_checkers_see_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(tgan_tf.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(seen) == set(tgan_tf.__all__) - {"__version__"}
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(tgan_tf, name)


def test_another_name_is_none():
    with pytest.raises(AttributeError, match="module 'tgan_tf' has no attribute 'Gan'"):
        tgan_tf.Gan  # noqa: B018
