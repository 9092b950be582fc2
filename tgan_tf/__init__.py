"""TGAN, the Temporal Generative Adversarial Net with Singular Value Clipping, in TensorFlow.

Saito, Matsumoto and Saito, ICCV 2017, arXiv 1611.06624v3.
"""

import os

__version__ = "0.1.0"

# TensorFlow reads this when it is first imported. It leaves oneDNN off on processors without
# AVX-512 VNNI, AMD's among them, where its own 3-D convolutions are many times slower.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
