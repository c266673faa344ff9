"""What a real OBS loads for a test, built from the sources as they are now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from limner.installer import plugin

ROOT = Path(__file__).resolve().parents[3]
# One for each OBS that is tested against (other_obs.sh).
CACHE = Path(os.environ.get("LIMNER_TEST_BUILD", ROOT / "build" / "end_to_end"))


@dataclass(frozen=True)
class Build:
    """What was built for the session: the installed plugin's folder, the camera, the shim."""

    plugin: Path
    camera: Path
    shim: Path


def built(folder: Path, limner_command: Path = Path("/nonexistent/limner")) -> Build:
    """Build filter, camera and shim, and install the filter below `folder`; raises PluginError."""
    native = CACHE / "native"
    plugin.build(ROOT / "tests" / "end_to_end" / "native", native)
    plugin.build(ROOT / "obs_bridge" / "plugin", CACHE / "plugin", "-DLIMNER_TESTS=OFF")
    installed = plugin.install(CACHE / "plugin", folder, limner_command)
    return Build(plugin=installed, camera=native / "test_camera.so", shim=native / "bind_loopback.so")
