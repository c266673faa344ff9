"""Checks of the machine and of Python: what is there, is it enough."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

from limner.cli.doctor.findings import Finding, blocked, fine, warning
from limner.cli.figures import cpu_name

MIN_PYTHON = (3, 11)
GIB = 2**30
# The worker with pocket takes up to 1 GiB, OBS about as much again.
MEMORY_ENOUGH_BYTES, MEMORY_LEAST_BYTES = 2 * GIB, GIB
# A session at 1080p has 24 slots of 8 MB; one at the working size of pocket 6 MB in all.
SHM_ENOUGH_BYTES, SHM_LEAST_BYTES = GIB // 4, GIB // 32


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Is this Python new enough?"""
    text = ".".join(map(str, version))
    if version < MIN_PYTHON:
        return blocked("Python", text, "Limner needs Python 3.11 or newer; run: bash installer/run.sh")
    return fine("Python", text)


def check_packages(names: list[str] | None = None) -> Finding:
    """Is everything installed that Limner imports?"""
    missing, found = [], []
    for name in _requirements() if names is None else names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return blocked("Packages", f"missing: {', '.join(missing)}", "run: bash installer/run.sh")
    return fine("Packages", ", ".join(found))


def _requirements() -> list[str]:
    """Return the names of the packages that the installed Limner asks for."""
    lines = [line for line in metadata.requires("limner") or [] if "extra ==" not in line]
    return [found[0] for line in lines if (found := re.match(r"[A-Za-z0-9_.-]+", line))]


def check_cpu(info: Path = Path("/proc/cpuinfo")) -> Finding:
    """Can the processor paint fast?"""
    try:
        flags = set(re.findall(r"\w+", info.read_text()))
    except OSError:
        flags = set()
    cores = len(os.sched_getaffinity(0))
    text = f"{cpu_name()}, {cores} core{'s' * (cores > 1)}"
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX-512 bf16")):
        if flag in flags:
            return fine("Processor", f"{text}, {name}")
    if cores < 2:
        return warning("Processor", text, "one core is little for OBS and the painter; expect few frames")
    name = "AVX2" if "avx2" in flags else "no AVX2"
    return warning(
        "Processor",
        f"{text}, {name}",
        "without AMX or AVX-512 bf16 pocket paints slowly; use 1 step and a low frame rate",
    )


def check_memory(info: Path = Path("/proc/meminfo")) -> Finding:
    """Is there memory for the worker?"""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", info.read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is None:
        return warning("Memory", "unknown", "/proc/meminfo cannot be read; 2 GiB should be free")
    available_bytes = int(found[1]) * 1024
    text = f"{available_bytes / GIB:.1f} GiB available"
    if available_bytes < MEMORY_LEAST_BYTES:
        return blocked("Memory", text, "the painter needs 1 GiB; close other programs")
    if available_bytes < MEMORY_ENOUGH_BYTES:
        return warning("Memory", text, "OBS and the painter together want 2 GiB; close other programs")
    return fine("Memory", text)


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Is there room for the segments?"""
    name = "Shared memory"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return blocked(name, f"{folder} cannot be written", f"mount a tmpfs at {folder}")
    free_bytes = shutil.disk_usage(folder).free
    text = f"{free_bytes / 2**20:.0f} MiB free in {folder}"
    advice = f"enlarge it (in a container: --shm-size=1g) or remove what fills {folder}"
    if free_bytes < SHM_LEAST_BYTES:
        return blocked(name, text, advice)
    return warning(name, text, advice) if free_bytes < SHM_ENOUGH_BYTES else fine(name, text)
