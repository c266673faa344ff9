"""The demo with the real model: chunks of four frames, several steps, clips that do not fill a chunk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.clips import grey_of, read_clip, write_clip
from tests.cli.runner import run_limner
from tests.support.daemon import RunningDaemon, running_daemon

from limner import pocket

WEIGHTS = Path(pocket.__path__[0]) / "weights.safetensors"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there yet"),
]


@pytest.fixture(scope="module")
def painter() -> Iterator[RunningDaemon]:
    """A daemon whose worker has pocket loaded."""
    with running_daemon("pocket", threads=2) as running:
        running.wait_ready()
        yield running


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (4, 2), (13, 1), (13, 4)])
def test_every_frame_is_painted(painter: RunningDaemon, tmp_path: Path, frames: int, steps: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(160, 96), frames=frames)
    report = tmp_path / "report.json"
    options = ["--no-realtime", "--steps", str(steps), "--report", str(report)]
    result = run_limner(painter.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4", *options)
    assert result.code == 0, result.err
    figures = json.loads(report.read_text())
    assert (figures["frames_in"], figures["frames_out"], figures["dropped"]) == (frames, frames, 0)
    assert figures["model"] == "pocket"
    assert len(read_clip(tmp_path / "out.mp4").greys) == frames


def test_strength_zero_keeps_the_source_and_a_style_does_not(painter: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(160, 96), frames=32)
    greys = {}
    for name, options in (("kept", ["--strength", "0"]), ("noir", ["--style", "noir"])):
        out = tmp_path / f"{name}.mp4"
        result = run_limner(painter.runtime_dir, "demo", clip, "-o", out, "--no-realtime", *options)
        assert result.code == 0, result.err
        greys[name] = read_clip(out).greys
    source = [grey_of(index, 32) for index in range(32)]
    kept = float(np.abs(np.subtract(greys["kept"], source)).mean())
    styled = float(np.abs(np.subtract(greys["noir"], source)).mean())
    assert kept < 12
    assert styled > 2 * kept


def test_live_report_has_the_stages(painter: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(160, 96), frames=60, sound="aac")
    report = tmp_path / "report.json"
    result = run_limner(
        painter.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4", "--style", "neon", "--report", report
    )
    assert result.code == 0, result.err
    figures = json.loads(report.read_text())
    assert figures["frames_written"] == 60
    assert figures["frames_out"] > 0
    assert {"encode", "denoise", "decode"} <= set(figures["stages_ms"])
