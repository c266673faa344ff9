"""What Limner must not leave behind: segments, sockets, processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from tests.support.daemon import segments_of


@dataclass(frozen=True)
class Leftovers:
    """What is there at this moment for one runtime folder; false when there is nothing."""

    segments: tuple[str, ...]
    sockets: tuple[str, ...]
    processes: tuple[str, ...]

    @classmethod
    def of(cls, runtime_dir: Path) -> Self:
        sockets = tuple(sorted(path.name for path in runtime_dir.glob("*") if path.is_socket()))
        return cls(
            segments=tuple(segments_of(runtime_dir)),
            sockets=sockets,
            processes=tuple(_processes(runtime_dir)),
        )

    def __bool__(self) -> bool:
        return bool(self.segments or self.sockets or self.processes)


def _processes(runtime_dir: Path) -> list[str]:
    """Return daemons and workers of the folder: they name it, or were started by a filter that does."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            ours = process.environ().get("LIMNER_RUNTIME_DIR") == str(runtime_dir)
            if "limner" in command and (ours or str(runtime_dir) in command) and process.name() != "obs":
                found.append(f"{process.pid} {command}")
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
