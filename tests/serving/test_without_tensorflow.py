"""The client where TensorFlow is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from tiny_tgan import CLIP_SHAPE

pytestmark = pytest.mark.slow

CLIENT = """
    import importlib.abc, json, sys, time

    class NotInstalled(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("tensorflow", "keras", "tensorflow_serving", "scipy"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, NotInstalled())
    start = time.process_time()
    from tgan_tf.serving import Client
    clients = [Client(address, "tiny") for address in sys.argv[1:]]
    seconds = time.process_time() - start
    videos = [client.generate([1, 2**64 - 1]).tolist() for client in clients]
    frames = [len(client.interpolate([[0.5] * 6], 3)[0]) for client in clients]
    print(json.dumps([seconds, videos, frames]))
"""


def test_is_imported_in_less_than_a_second_and_works_over_both_protocols(ours):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLIENT), *ours.values()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    seconds, videos, frames = json.loads(result.stdout)
    assert seconds < 1
    assert np.shape(videos) == (2, 2, *CLIP_SHAPE)
    np.testing.assert_array_equal(videos[0], videos[1])
    assert frames == [10, 10]
