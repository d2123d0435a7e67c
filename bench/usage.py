"""What a process and its children have used: seconds of CPU, and memory."""

from dataclasses import dataclass

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


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
