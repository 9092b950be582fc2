"""What every test process needs before TensorFlow is loaded."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tgan_tf  # noqa: E402, F401
