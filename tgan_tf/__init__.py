"""TGAN, the Temporal Generative Adversarial Net with Singular Value Clipping, in TensorFlow.

Saito, Matsumoto and Saito, ICCV 2017, arXiv 1611.06624v3.

    from tgan_tf import TGAN, Critic, SingularValueClipping, VideoGenerator

imports only what these names need; `import tgan_tf` alone does not import TensorFlow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tgan_tf.lazy_names import lazy_names

if TYPE_CHECKING:
    from tgan_tf.constraints import (
        BatchNormScaleClipping,
        SingularValueClipping,
        WeightClipping,
    )
    from tgan_tf.data import MovingMNIST, Windows, batches, open_corpus
    from tgan_tf.errors import InputError
    from tgan_tf.evaluation.evaluation import Evaluation
    from tgan_tf.export import export_generator
    from tgan_tf.models import Critic, VideoGenerator
    from tgan_tf.serving import Client
    from tgan_tf.tgan import TGAN

__version__ = "0.1.0"

# TensorFlow reads this when it is first imported. By default it leaves oneDNN off on processors
# without AVX-512 VNNI, where its own 3-D convolutions are many times slower.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BatchNormScaleClipping": "constraints",
        "Client": "serving",
        "Critic": "models",
        "Evaluation": "evaluation.evaluation",
        "InputError": "errors",
        "MovingMNIST": "data",
        "SingularValueClipping": "constraints",
        "TGAN": "tgan",
        "VideoGenerator": "models",
        "WeightClipping": "constraints",
        "Windows": "data",
        "batches": "data",
        "export_generator": "export",
        "open_corpus": "data",
    },
)

__all__ = [
    "TGAN",
    "BatchNormScaleClipping",
    "Client",
    "Critic",
    "Evaluation",
    "InputError",
    "MovingMNIST",
    "SingularValueClipping",
    "VideoGenerator",
    "WeightClipping",
    "Windows",
    "__version__",
    "batches",
    "export_generator",
    "open_corpus",
]
