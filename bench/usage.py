"""What a process and its children have used: seconds of CPU, and memory."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Usage:
    """Seconds of CPU since its start, and resident memory in bytes."""

    cpu_s: float
    rss_bytes: int


def usage(pid: int) -> Usage:
    """The usage of a process together with its children; of one that has ended, nothing."""
    cpu_s, rss_bytes = 0.0, 0
    for process in _family(pid):
        try:
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.NoSuchProcess:
            continue
        cpu_s += times.user + times.system
        rss_bytes += memory.rss
    return Usage(cpu_s, rss_bytes)


def peak_rss_bytes(pid: int) -> int | None:
    """The most memory that a process had resident at once, as Linux keeps it; None elsewhere."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return found[0] if found else None


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
