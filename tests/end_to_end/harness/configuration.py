"""What an OBS under test finds when it starts: its profile, scenes, language and plugins."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.end_to_end.harness.builds import Build
from tests.end_to_end.harness.cameras import FPS, Camera
from tests.end_to_end.harness.clips import HEIGHT, WIDTH

from limner.installer import obs_config


def configure(
    home: Path,
    build: Build,
    cameras: tuple[Camera, ...],
    *,
    websocket: obs_config.WebSocket,
    preview: bool,
    language: str,
) -> None:
    """Write all of it below `home`: the cameras side by side in the scene Main, and the scene Empty."""
    obs_dir = home / "obs-studio"
    profile = obs_config.Profile(
        name="Test", width=WIDTH, height=HEIGHT, fps=FPS, recordings=home / "recordings"
    )
    split = WIDTH / len(cameras)
    items = tuple(
        obs_config.Item(source=camera.name, x=number * split, y=0, width=split, height=HEIGHT)
        for number, camera in enumerate(cameras)
    )
    scenes = (obs_config.Scene(name="Main", items=items), obs_config.Scene(name="Empty", items=()))
    sources = tuple(camera.source() for camera in cameras)
    collection = obs_config.scene_collection("Test", sources, scenes)
    obs_config.write_private_config(obs_dir, profile, collection, websocket=websocket, preview=preview)
    _speak(obs_dir / "global.ini", language)
    _install_plugins(obs_dir / "plugins", build)


def _speak(global_ini: Path, language: str) -> None:
    text = global_ini.read_text(encoding="utf-8")
    assert "[General]\n" in text
    global_ini.write_text(
        text.replace("[General]\n", f"[General]\nLanguage={language}\n", 1), encoding="utf-8"
    )


def _install_plugins(plugins: Path, build: Build) -> None:
    shutil.copytree(build.plugin, plugins / "limner")
    camera = plugins / "test_camera" / "bin" / "64bit"
    camera.mkdir(parents=True)
    (plugins / "test_camera" / "data").mkdir()
    shutil.copy2(build.camera, camera)
