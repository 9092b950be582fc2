"""What every test process needs before TensorFlow is loaded, and which tests --fast leaves out."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without bytecode on the disk each process compiles TensorFlow anew: two thirds of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import pytest  # noqa: E402

import tgan_tf  # noqa: E402, F401


def pytest_addoption(parser):
    parser.addoption(
        "--fast",
        action="store_true",
        help="skip each test as soon as it starts a process, trains, exports or is marked slow",
    )


def pytest_collection_modifyitems(items):
    """Files that start processes take longest and come first, so that workers end together."""
    starts_processes = {"kill_trainings", "run_all", "subprocess"}
    items.sort(key=lambda item: starts_processes.isdisjoint(vars(item.module)))


def pytest_runtest_setup(item):
    if item.config.getoption("--fast") and item.get_closest_marker("slow"):
        pytest.skip("slow")


@pytest.fixture(scope="session", autouse=True)
def only_what_is_fast(request):
    """With --fast, what takes seconds skips the test that comes to it: a new test, too."""
    if not request.config.getoption("--fast"):
        yield
        return
    import multiprocessing.process
    import subprocess

    import keras

    from tgan_tf import export

    def skip(*_, **__):
        pytest.skip("starts a process, trains or exports")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fork", skip)
        patch.setattr(subprocess, "Popen", skip)
        patch.setattr(multiprocessing.process.BaseProcess, "start", skip)
        patch.setattr(keras.Model, "fit", skip)
        patch.setattr(export, "_save", skip)
        yield
