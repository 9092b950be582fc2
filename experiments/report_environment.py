"""Prints what a bug report needs to say about the machine and the software.

    python experiments/report_environment.py

It prints versions, the processor, the devices, and a few environment variables: no paths, no names
of users or hosts, no other variables. It also works where TensorFlow cannot be imported, and then
says why.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "tensorflow",
    "keras",
    "tf-keras",
    "tensorflow-addons",
    "tensorflow-io",
    "tensorboard",
    "numpy",
    "scipy",
    "protobuf",
    "h5py",
    "av",
    "apache-beam",
    "grpcio",
    "s3fs",
    "torch",
)
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "OMP_NUM_THREADS",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_USE_LEGACY_KERAS",
    "XLA_FLAGS",
)
# Runs in its own process: TensorFlow may end the one that loads it, on a processor without AVX.
_DEVICES = """
import tgan_tf, tensorflow as tf
for kind in ("CPU", "GPU", "TPU"):
    for device in tf.config.list_physical_devices(kind):
        details = tf.config.experimental.get_device_details(device) if kind == "GPU" else {}
        print("device", device.name, *details.values())
"""


def report() -> list[str]:
    """The lines of the report, each a name and a value."""
    top = Path(__file__).resolve().parents[1]
    package = (top / "tgan_tf/__init__.py").read_text(encoding="utf-8")
    lines = [
        f"tgan_tf: {re.search('__version__ = .(.+).', package)[1]}",
        f"Python: {platform.python_version()}, {platform.python_implementation()}",
        f"system: {platform.system()} {platform.release()}, {platform.machine()}",
        f"processor: {_processor()}, {os.cpu_count()} cores",
    ]
    for name in PACKAGES:
        try:
            lines.append(f"{name}: {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed")
    lines.extend(_devices(top))
    lines.extend(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ)
    return lines


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _devices(top: Path) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", _DEVICES],
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": _path_with(top)},
        capture_output=True,
        text=True,
        check=False,
    )
    devices = [line for line in result.stdout.splitlines() if line.startswith("device ")]
    if result.returncode == 0:
        return [f"TensorFlow sees: {line.removeprefix('device ')}" for line in devices]
    said = result.stderr.strip().splitlines()
    # The last line says what, without the paths of a traceback.
    reason = said[-1] if said else f"it ended with {result.returncode}"
    return [f"TensorFlow cannot be imported: {re.sub(r'(/[^ :]+)+/', '…/', reason)}"]


def _path_with(top: Path) -> str:
    return os.pathsep.join(filter(None, [str(top), os.environ.get("PYTHONPATH")]))


if __name__ == "__main__":
    print("\n".join(report()))
