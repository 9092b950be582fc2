"""What every test process needs before TensorFlow is loaded, and the order of the files."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without bytecode on the disk each process compiles TensorFlow anew: two thirds of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import tgan_tf  # noqa: E402, F401


def pytest_collection_modifyitems(items):
    """Files that start processes take longest and come first, so that workers end together."""
    starts_processes = {"kill_trainings", "run_all", "subprocess"}
    items.sort(key=lambda item: starts_processes.isdisjoint(vars(item.module)))
