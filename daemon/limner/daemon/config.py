"""What a daemon is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from limner.daemon.paths import runtime_dir
from limner.daemon.rank_options import DEVICE, RankOptions, checked
from limner.daemon.sizes import traits_of
from limner.models.plan_choice import Wishes


def default_threads(cores: int | None = None) -> int:
    """Return how many threads the worker gets: all cores of a small machine, else one fewer, for OBS."""
    count = cores or len(os.sched_getaffinity(0))
    return count - 1 if count > 2 else max(1, count)


@dataclass(frozen=True, kw_only=True)
class DaemonConfig:
    """Settings of one daemon process; raises ValueError when one is out of range."""

    runtime_dir: Path = field(default_factory=runtime_dir)
    """Folder of sockets, lock and logs; private to the user."""
    engine: str = "pocket"
    """What paints: "pocket", a model of the catalogue, or "echo", which gives back what it gets."""
    device: str = "auto"
    """Where it paints: "cpu", "cuda", "cuda:N" (as nvidia-smi counts), or "auto": the GPU with the most free
    memory, else the CPU; pocket: the CPU."""
    threads: int = 0
    """CPU threads of the worker, 1..256; 0: chosen from the number of cores."""
    wishes: Wishes = field(default_factory=Wishes)
    """What of the plan for the GPU's memory is pinned."""
    ranks: RankOptions = field(default_factory=RankOptions)
    """What paints beside the worker: other devices, of this machine and of others."""
    detach: bool = False
    """Go to the background, with its output in daemon.log of the runtime folder."""

    parent_pid: int = 0
    """Process that started this daemon and that it ends with; 0: it goes on by itself."""

    def __post_init__(self) -> None:
        traits_of(self.engine)
        if not DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, not {self.device!r}")
        if not 0 <= self.threads <= 256:
            raise ValueError(f"threads must be 0 (automatic) to 256, not {self.threads}")
        checked(self.ranks)
        if self.ranks and self.engine == "echo":
            raise ValueError("echo paints nothing: it has one rank only")

    @property
    def worker_threads(self) -> int:
        """Threads that the worker is started with."""
        return self.threads or default_threads()
