"""What memory and disks can hold."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from tgan_tf import capacity
from tgan_tf.errors import InputError


def test_memory_that_is_there_is_taken_and_more_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(capacity, "free_memory", lambda: 3 * 10**9)
    capacity.check_memory(3 * 10**9, "count=3", "give 2")
    with pytest.raises(InputError) as error:
        capacity.check_memory(16 * 10**12, "count=4", "give 3")
    assert str(error.value) == (
        "count=4: would take 16 TB of memory, of which 3 GB are free: give 3"
    )


def test_a_disk_is_that_of_the_directory_that_is_to_be_made(tmp_path):
    capacity.check_disk(1, tmp_path / "a" / "b", "count=1", "give 1")
    with pytest.raises(InputError, match=r"count=2: would take 1,000 PB in .*b, where .* are free"):
        capacity.check_disk(10**18, tmp_path / "a" / "b", "count=2", "give 1")


@pytest.mark.slow
def test_free_memory_is_what_can_be_taken():
    free = capacity.free_memory()
    taken = np.ones(free // 16, np.uint8)
    used = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(taken) < used < free


@pytest.mark.parametrize(
    ("limit", "usage", "pages"),
    [
        ("memory.max", "memory.current", "inactive_file 300"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file 300"),
    ],
)
def test_a_container_s_limit_counts(tmp_path, monkeypatch, limit, usage, pages):
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text("5000\n")
    (tmp_path / usage).write_text("1000\n")
    (tmp_path / limit).with_name("memory.stat").write_text(f"anon 700\n{pages}\nslab 1\n")
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    assert capacity.free_memory() == 4300


def test_a_container_without_a_limit_has_the_machine_s(tmp_path, monkeypatch):
    before = capacity.free_memory()
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    assert capacity.free_memory() > before / 2
