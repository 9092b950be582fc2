"""Runs an exported generator by OpenVINO, which knows nothing of TensorFlow or of this project.

python openvino_runtime.py VERSION_DIR Z0.npy VIDEOS.npy
"""

import sys

import numpy as np
import openvino

version_dir, z0, videos = sys.argv[1:]
# By itself it computes in bfloat16 on a processor that has it, to two or three digits.
model = openvino.compile_model(version_dir, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.save(videos, model({"z0": np.load(z0)})["videos"])
