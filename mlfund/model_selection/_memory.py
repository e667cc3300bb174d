"""How much memory a search may take: the parameter `memory_limit`, and what is free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

UNITS = {
    "": 1,
    "B": 1,
    **{name: 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB"), start=1)},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)},
}
# Without case, for those who write "gb" or "Kb".
_FACTORS = {name.lower(): factor for name, factor in UNITS.items()}
# Where half of what is free is more, families take what pays for speed, which is less.
PLENTY = 4 * 1024**3
_MEMINFO = Path("/proc/meminfo")
# Limit and use of the control group of a container: version 2, then version 1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def memory_bytes(limit: Any) -> int | None:
    """Return a memory limit in bytes, as the parameter `memory_limit` gives it.

    Parameters
    ----------
    limit : int, str or None
        Bytes, at least 1, or a text with a unit: B, kB, MB, GB, TB are powers of 1,000 and
        KiB, MiB, GiB, TiB powers of 1,024. None stays None.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> memory_bytes("2GB"), memory_bytes("1.5 GiB"), memory_bytes(4096)
    (2000000000, 1610612736, 4096)
    """
    if limit is None:
        return None
    if isinstance(limit, Integral) and not isinstance(limit, bool) and int(limit) >= 1:
        return int(limit)
    if isinstance(limit, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", limit, re.IGNORECASE)
        factor = _FACTORS.get(match[2].lower()) if match else None
        if match and factor is not None and float(match[1]) * factor >= 1:
            return int(float(match[1]) * factor)
    raise ValueError(
        f"memory_limit must be a number of bytes, at least 1, or a text with a unit such as "
        f"'500MB', '2GB' or '1.5GiB'; got {limit!r}."
    )


def stack_bytes(limit: Any) -> int | None:
    """Return what stacks may take, in bytes; None where there is no need to save.

    Parameters
    ----------
    limit : int, str or None
        The parameter `memory_limit`. None means half of what is free.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    given = memory_bytes(limit)
    if given is not None:
        return given
    free = free_memory_bytes()
    return None if free is None or free // 2 >= PLENTY else max(free // 2, 1)


def free_memory_bytes() -> int | None:
    """Return the main memory that can be taken now, in bytes.

    That is what the system has available and, inside a container, what its limit leaves;
    None where the system tells neither.
    """
    return min(_free(), default=None)


def _free() -> Iterator[int]:
    with suppress(OSError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                # in kibibytes, proc(5)
                yield int(line.split()[1]) * 1024
    for limit, used in _GROUPS:
        # "max" is no limit
        with suppress(OSError, ValueError):
            yield max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
