"""The machine on which a benchmark runs."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import tensorflow as tf


def machine() -> dict:
    """The machine and the software, as far as the times depend on them."""
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        processor = ""
    model = re.search(r"^model name\s*: (.*)$", processor, re.MULTILINE)
    flags_line = re.search(r"^(?:flags|Features)\s*:(.*)$", processor, re.MULTILINE)
    features = set(flags_line[1].split()) if flags_line else set()
    affinity = getattr(os, "sched_getaffinity", None)
    gpus = len(tf.config.list_physical_devices("GPU"))
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        # The names on x86 and Arm; GPUs are assumed to have it.
        "bfloat16_arithmetic": bool(features & {"avx512_bf16", "amx_bf16", "bf16"} or gpus),
        "gpus": gpus,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"] != "0",
    }


def machine_line(machine: dict) -> str:
    """The machine in one line, from what `machine` gives."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['gpus']} GPUs, "
        f"{'with' if machine['bfloat16_arithmetic'] else 'without'} bfloat16 arithmetic, load "
        f"{machine['load_before']:.1f} before the run; TensorFlow {machine['tensorflow']}, oneDNN "
        f"{'on' if machine['onednn'] else 'off'}."
    )
