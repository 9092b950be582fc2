"""What memory and disks can hold, so that what they cannot is refused with its size.

    check_memory(16 * 10**12, "num_clips=1000000", "give at most 1,200")

raises "num_clips=1000000: would take 16.0 TB of memory, of which 19.2 GB are free: give at most
1,200", before anything is done, where a program would otherwise grow until it is killed.
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
    """Raises an `InputError` if there is less memory than something takes.

    Args:
        needed: bytes.
        what: for the message, the value that asks for them and where it is from; or parts of that,
            as `InputError` takes them.
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
    """Raises an `InputError` if the disk of a directory has less room than something takes.

    Args:
        needed: bytes.
        directory: local; it need not exist yet.
        what: as of `check_memory`.
        remedy: as of `check_memory`.
    """
    place = Path(directory).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # what is written there will tell
        return
    if needed > free:
        raise InputError(
            *([what] if isinstance(what, str) else what),
            f": would take {readable(needed)} in {directory}, where {readable(free)} are free: "
            f"{remedy}",
        )


def free_memory() -> int | None:
    """Bytes that this process can still take of its machine's or container's; None if unknown."""
    limits = []
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        if found is not None:
            limits.append(1024 * int(found[1]))
    # Version 2, and version 1, where no limit is a number larger than any memory.
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, used = (int((_CGROUP / name).read_text()) for name in (limit, usage))
            statistics = (_CGROUP / limit).with_name("memory.stat").read_text()
            # Pages of files are given back when they are needed.
            pages = re.search(r"^(?:total_)?inactive_file (\d+)", statistics, re.MULTILINE)
        except (OSError, ValueError):  # "max" is no limit
            continue
        if pages is not None:
            limits.append(most - used + int(pages[1]))
    return min(limits, default=None)


def readable(size: int) -> str:
    """A number of bytes, such as "19.2 GB"."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.0f} PB"
