"""The live sources of an OBS under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.end_to_end.harness.clips import HEIGHT, WIDTH

from limner.installer import obs_config

FPS = 30
FILTER_NAME = "Limner"
CAMERA = "Cam"


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A live source; `limner` are the settings of its Limner filter, None for no filter."""

    name: str
    raw_file: Path
    limner: dict[str, Any] | None = field(default_factory=dict)
    hotkeys: dict[str, str] = field(default_factory=dict)
    """OBS's name of a key by the hotkey's name."""
    tone: bool = False
    """Has a microphone that hears a tone while the picture is bright."""

    def source(self) -> obs_config.Source:
        settings = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "raw_file": str(self.raw_file)}
        filters = []
        if self.limner is not None:
            filters.append(obs_config.Filter(id="limner_filter", name=FILTER_NAME, settings=self.limner))
        return obs_config.Source(
            id="test_camera_with_sound" if self.tone else "test_camera",
            name=self.name,
            settings=settings,
            filters=tuple(filters),
            hotkeys=self.hotkeys,
        )
