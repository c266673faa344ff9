"""What Limner must not leave behind: segments, sockets, processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from limner.daemon import paths


@dataclass(frozen=True)
class Leftovers:
    """What is there at this moment for one runtime folder."""

    segments: tuple[str, ...]
    sockets: tuple[str, ...]
    processes: tuple[str, ...]

    @classmethod
    def of(cls, runtime_dir: Path) -> Self:
        """Look at the machine."""
        prefix = paths.segment_prefix(runtime_dir)
        segments = tuple(sorted(path.name for path in Path("/dev/shm").glob(f"{prefix}*")))
        sockets = tuple(sorted(path.name for path in runtime_dir.glob("*") if path.is_socket()))
        return cls(segments=segments, sockets=sockets, processes=tuple(_processes(runtime_dir)))

    def __bool__(self) -> bool:
        return bool(self.segments or self.sockets or self.processes)


def _processes(runtime_dir: Path) -> list[str]:
    """Return the Limner processes (not OBS) whose environment names the runtime folder."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if "limner" in command and process.environ().get("LIMNER_RUNTIME_DIR") == str(runtime_dir):
                found.append(f"{process.pid} {command}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
