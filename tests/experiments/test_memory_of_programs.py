"""What the programs do with the memory of freed tensors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from programs import EXPERIMENTS

# Memory of a tensor's size is written, freed and allocated anew, in a thread as TensorFlow's are.
PAGES = """
import resource, threading
import program_flags

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * (1 << 27)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

found = []
thread = threading.Thread(target=lambda: [faults() for _ in range(2)])
thread.start()
thread.join()
print(*found)
"""


@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in os.confstr_names,
    reason="only glibc is told to keep freed memory",
)
def test_a_freed_tensor_of_any_thread_costs_no_pages_the_next_time():
    result = subprocess.run(
        [sys.executable, "-c", PAGES],
        env={**os.environ, "PYTHONPATH": str(EXPERIMENTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(int, result.stdout.split())
    pages = (1 << 27) // os.sysconf("SC_PAGE_SIZE")
    assert first > 0.9 * pages
    assert second < 0.1 * pages
