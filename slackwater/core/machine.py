"""What this machine has, or the container that the process is in."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Of a container: its limit in bytes, or `max`."""


def machine_memory(cgroup: Path = CGROUP) -> int:
    """Bytes of memory: those of the machine, or the container's limit where that is less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        text = cgroup.read_text().strip()
    except OSError:  # no container, or another kernel
        return whole
    return min(whole, int(text)) if text.isdigit() else whole
