"""Builds the plugin and the camera once, and gives tests a way to run a real OBS."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.obs import Build

from limner.installer import plugin

ROOT = Path(__file__).resolve().parents[2]
# One for each OBS that is tested against (other_obs.sh).
CACHE = Path(os.environ.get("LIMNER_TEST_BUILD", ROOT / "build" / "end_to_end"))


@pytest.fixture(scope="session")
def obs_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build everything that OBS loads."""
    if shutil.which("obs") is None:
        pytest.fail("these tests need OBS; run: bash installer/test.sh")
    native = CACHE / "native"
    plugin.build(Path(__file__).parent / "native", native)
    plugin.build(ROOT / "obs_bridge" / "plugin", CACHE / "plugin", "-DLIMNER_TESTS=OFF")
    installed = plugin.install(CACHE / "plugin", tmp_path_factory.mktemp("obs"), Path("/nonexistent/limner"))
    return Build(plugin=installed, camera=native / "test_camera.so", shim=native / "bind_loopback.so")


@pytest.fixture(scope="session")
def bikes() -> Path:
    """Raw frames of a real clip: street traffic, 10 s."""
    return clips.raw_frames(clips.clip("bikes"), CACHE / "clips" / "bikes.yuv")


@pytest.fixture(scope="session")
def street(bikes: Path) -> Path:
    """One shot of it without a cut: for telling styles apart by their colours."""
    return clips.one_shot(bikes, CACHE / "clips" / "street.yuv")


@pytest.fixture(scope="session")
def bunny() -> Path:
    """Raw frames of another real clip: an animation, 5 s."""
    return clips.raw_frames(clips.clip("bigbuckbunny"), CACHE / "clips" / "bigbuckbunny.yuv")
