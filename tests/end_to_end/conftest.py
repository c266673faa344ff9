"""Builds the plugin and the camera once, and gives tests a way to run a real OBS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.builds import CACHE, Build, built


@pytest.fixture(scope="session")
def obs_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build everything that OBS loads."""
    if shutil.which("obs") is None:
        pytest.fail("these tests need OBS; run: bash installer/test.sh")
    return built(tmp_path_factory.mktemp("obs"))


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
