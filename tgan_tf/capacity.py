"""Checks that memory and disks have room, and refuses what does not fit with its size.

    check_memory(16 * 10**12, "num_clips=1000000", "give at most 1,200")

raises "num_clips=1000000: would take 16.0 TB of memory, of which 19.2 GB are free: give at most
1,200" before any work is done; otherwise the program would grow until it is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tgan_tf.errors import Argument, InputError

_CGROUP = Path("/sys/fs/cgroup")


def check_memory(needed: int, what: str | Sequence[str | Argument], remedy: str) -> None:
    """Raises an `InputError` if there is not enough free memory.

    Args:
        needed: bytes needed.
        what: the value that needs them and where it comes from, for the message; or its parts, as
            `InputError` takes them.
        remedy: what to give instead.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise InputError(
            *([what] if isinstance(what, str) else what),
            f": would take {readable(needed)} of memory, of which {readable(free)} are free: "
            f"{remedy}",
        )


def check_disk(
    needed: int,
    directory: str | os.PathLike[str],
    what: str | Sequence[str | Argument],
    remedy: str,
) -> None:
    """Raises an `InputError` if the disk of a directory does not have enough room.

    Args:
        needed: bytes needed.
        directory: a local directory, which need not exist yet.
        what: see `check_memory`.
        remedy: see `check_memory`.
    """
    place = Path(directory).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # writing there will raise it again
        return
    if needed > free:
        raise InputError(
            *([what] if isinstance(what, str) else what),
            f": would take {readable(needed)} in {directory}, where {readable(free)} are free: "
            f"{remedy}",
        )


def free_memory() -> int | None:
    """Bytes that this process can still get from its machine or container; None if unknown."""
    limits = []
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        if found is not None:
            limits.append(1024 * int(found[1]))
    # Version 2, and version 1, where no limit is a huge number.
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, used = (int((_CGROUP / name).read_text()) for name in (limit, usage))
            statistics = (_CGROUP / limit).with_name("memory.stat").read_text()
            # Cached pages of files are freed when needed.
            pages = re.search(r"^(?:total_)?inactive_file (\d+)", statistics, re.MULTILINE)
        except (OSError, ValueError):  # "max" means no limit
            continue
        if pages is not None:
            limits.append(most - used + int(pages[1]))
    return min(limits, default=None)


def readable(size: int) -> str:
    """Formats a number of bytes, such as "19.2 GB"."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.0f} PB"
