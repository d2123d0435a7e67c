"""Checks of the device itself: Python, packages, processor, memory, disk; nothing here asks anybody else."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from edge.errors import ConfigurationError
from edge.preflight import Finding, Preflight, failure, ok, warning
from edge.pubsub import CONFLUENT

MEMORY_MB = 192
"""What a classifier of a small model takes at most, and some room."""

MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
REQUIRED = {"numpy": "numpy", "onnxruntime": "onnxruntime", "kafka-python": "kafka", "click": "click"}
"""Distribution → what is imported of it."""
OPTIONAL = ("crc32c", "confluent-kafka")
_IMPORT_TIMEOUT_S = 60

_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_CGROUP_LIMIT, _CGROUP_USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")

# What /proc/cpuinfo calls it → what people do, of what onnxruntime's kernels make use of.
_X86 = {"avx2": "AVX2", "fma": "FMA", "avx512f": "AVX-512", "avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI"}
_ARM = {"asimd": "NEON", "asimddp": "dot product", "asimdhp": "half precision", "i8mm": "int8 matrices", "sve": "SVE"}


def python(_: Preflight) -> Iterator[Finding]:
    """The interpreter: its version, and whether there are wheels of onnxruntime for it."""
    version, machine = platform.python_version(), platform.machine()
    bits = 64 if sys.maxsize > 2**32 else 32
    found = f"Python {version}, {bits} bit, on {machine}, {platform.system()}"
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        yield failure("Python", ConfigurationError(f"{found}: install a Python from 3.11 to 3.13"))
    elif bits != 64:
        yield failure("Python", ConfigurationError(f"{found}: onnxruntime has no wheels for it, take a 64 bit system"))
    elif machine.lower() not in MACHINES:
        yield warning("Python", f"{found}: onnxruntime has wheels for {', '.join(MACHINES[::2])} only")
    else:
        yield ok("Python", found)


def packages(preflight: Preflight) -> Iterator[Finding]:
    """Those that the apps need, imported in a process of its own, which a wrong build may kill."""
    needed = {**REQUIRED, **({"confluent-kafka": "confluent_kafka"} if preflight.cluster.client == CONFLUENT else {})}
    if _import_error(*needed.values()) is None:
        there = [f"{name} {version}" for name in (*REQUIRED, *OPTIONAL) if (version := _version(name)) is not None]
        absent = [name for name in OPTIONAL if _version(name) is None]
        yield ok("packages", ", ".join(there) + (f"; optional, and not there: {', '.join(absent)}" if absent else ""))
        return
    for name, module in needed.items():
        if (reason := _import_error(module)) is not None:
            advice = f"{name} cannot be imported ({reason}): pip install --force-reinstall {name}"
            yield failure("packages", ConfigurationError(advice))


def processor(_: Preflight) -> Iterator[Finding]:
    """Cores, and the instructions that onnxruntime profits from."""
    cores = f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
    flags = _cpu_flags()
    known = _ARM if platform.machine().lower() in ("aarch64", "arm64") else _X86
    there = ", ".join(name for flag, name in known.items() if flag in flags)
    if not flags:
        yield warning("processor", f"{cores}; what it can do is not to be seen here (no {_CPUINFO}): nothing to do")
    elif known is _X86 and "avx2" not in flags:
        yield warning("processor", f"{cores} without AVX2: models work, several times slower than with it")
    elif known is _ARM and "asimddp" not in flags:
        yield warning("processor", f"{cores} with {there}, without dot product: an int8 model may be no faster here")
    else:
        yield ok("processor", f"{cores} with {there}")


def memory(_: Preflight) -> Iterator[Finding]:
    """What this process could still get, by the system and by its control group."""
    free_mb = _free_memory_mb()
    if free_mb is None:
        yield warning("memory", f"not to be seen here (no {_MEMINFO}): a classifier takes up to {MEMORY_MB} MB")
    elif free_mb < MEMORY_MB:
        yield warning("memory", f"{free_mb} MB available, of {MEMORY_MB} MB that a classifier may take: stop something")
    else:
        yield ok("memory", f"{free_mb} MB available")


def disk(preflight: Preflight) -> Iterator[Finding]:
    """Room where the spool is, which must be written to, and where the model is."""
    if preflight.spool is not None:
        yield _room(preflight, preflight.spool, "the spool", is_written=True)
    if preflight.model_path is not None:
        yield _room(preflight, preflight.model_path.parent, "the model", is_written=False)
    if preflight.spool is None and preflight.model_path is None:
        yield _room(preflight, Path(), "this folder", is_written=False)


def _room(preflight: Preflight, folder: Path, what: str, *, is_written: bool) -> Finding:
    # What is not there yet is made below what is.
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    if is_written and not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return failure("disk", ConfigurationError(f"{what} cannot be written to {folder}: name a folder that can be"))
    free_mb = shutil.disk_usage(there).free // 1024**2
    if free_mb >= preflight.min_free_mb:
        return ok("disk", f"{free_mb} MB free for {what}, at {there.absolute()}")
    full = (
        f"the disk is full: {free_mb} MB free for {what}, at {there.absolute()}, of {preflight.min_free_mb} MB wanted"
    )
    advice = f"{full}; delete something there, or take another disk"
    return failure("disk", ConfigurationError(advice)) if is_written else warning("disk", advice)


def _import_error(*modules: str) -> str | None:
    """Why these cannot be imported, in a few words; None when they can."""
    command = [sys.executable, "-W", "ignore", "-c", f"import {', '.join(modules)}"]
    try:
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_IMPORT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if run.returncode < 0:
        return f"signal {-run.returncode} ends it: it was built for another processor"
    return None if run.returncode == 0 else (run.stderr.strip().splitlines() or ["it fails"])[-1][:200]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_flags() -> set[str]:
    lines = _CPUINFO.read_text("utf-8", "replace").splitlines() if _CPUINFO.exists() else []
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":")[1].split()}


def _free_memory_mb() -> int | None:
    lines = _MEMINFO.read_text("utf-8").splitlines() if _MEMINFO.exists() else []
    free = [int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")]
    if _CGROUP_LIMIT.exists() and _CGROUP_USED.exists() and (limit := _CGROUP_LIMIT.read_text().strip()) != "max":
        free.append((int(limit) - int(_CGROUP_USED.read_text())) // 1024**2)
    return min(free, default=None)
