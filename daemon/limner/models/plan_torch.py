"""Which CUDA the installed torch is for, and which driver that needs. Read, not imported: that is slow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# By major version of CUDA: the oldest driver branch that runs all its minor versions.
_OLDEST_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    """The installed torch."""

    version: str
    cuda: str
    """Such as "13.0"; empty: it was built for the CPU alone."""

    @property
    def oldest_driver(self) -> str:
        """The oldest NVIDIA driver that runs it; empty: not known."""
        major = self.cuda.partition(".")[0]
        return _OLDEST_DRIVERS.get(int(major), "") if major.isdigit() else ""

    def runs_on(self, driver: str) -> bool:
        """Return whether a driver, such as "550.54.14", is new enough (or cannot be judged)."""
        needed, found = _numbers(self.oldest_driver), _numbers(driver)
        return not needed or not found or found >= needed


def torch_build(version_file: Path | None = None) -> TorchBuild | None:
    """Return what is installed; None: no torch, or one that does not tell."""
    try:
        text = (version_file or _version_file()).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    version = re.search(r"^__version__[^=]*= '([^']+)'", text, re.MULTILINE)
    cuda = re.search(r"^cuda[^=]*= '([^']+)'", text, re.MULTILINE)
    return TorchBuild(version=version[1], cuda=cuda[1] if cuda else "") if version else None


def _version_file() -> Path:
    spec = find_spec("torch")
    return Path(spec.origin).with_name("version.py") if spec and spec.origin else Path()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
