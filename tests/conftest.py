"""What every test process needs before TensorFlow is loaded."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without bytecode on the disk each process compiles TensorFlow anew: two thirds of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import tgan_tf  # noqa: E402, F401
