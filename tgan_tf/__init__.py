"""TGAN, the Temporal Generative Adversarial Net with Singular Value Clipping, in TensorFlow.

Saito, Matsumoto and Saito, ICCV 2017, arXiv 1611.06624v3.
"""

__version__ = "0.1.0"
