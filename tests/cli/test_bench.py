"""The benches, short, and what they count."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.runner import run_limner

from limner.cli.bench.pattern import Pattern
from limner.cli.bench.sizes import parse_size
from limner.cli.figures import Figures, percentiles


def test_bridge_brings_every_frame_back(no_daemon: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--size", "320x180", "--fps", "50", "--seconds", "2", "--report", str(report)]
    result = run_limner(no_daemon, "bench", "bridge", *options)
    assert result.code == 0, result.err
    figures = json.loads(report.read_text())
    assert figures["frames_in"] == 100
    by_design = sum(figures["lost_by_design"].values())
    assert figures["frames_out"] + by_design == 100
    assert figures["lost_otherwise"] == figures["damaged"] == figures["disordered"] == 0
    assert figures["latency_with_write_ms"]["p50"] >= figures["latency_ms"]["p50"]
    assert figures["size"] == [320, 180]


def test_engine_paints_flat_out(no_daemon: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--engine", "echo", "--seconds", "1", "--steps", "2", "--report", str(report)]
    result = run_limner(no_daemon, "bench", "engine", *options)
    assert result.code == 0, result.err
    figures = json.loads(report.read_text())
    assert figures["frames_in"] == figures["frames_out"] > 0
    assert (figures["dropped"], figures["model"], figures["steps"]) == (0, "echo", 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bridge", "--size", "big"], "--size must be like 1920x1080"),
        (["bridge", "--size", "0x5"], "--size must be 1x1 to 8192x8192"),
        (["bridge", "--fps", "0"], "--fps must be above 0"),
        (["engine", "--steps", "9"], "--steps is 9; it must be a whole number from 1 to 4"),
        (["engine", "--mode", "fast"], "--mode is 'fast'; it must be one of auto, throughput, latency"),
        (["engine", "--engine", "wam"], "unknown engine"),
        (["engine", "--seconds", "0"], "--seconds must be above 0"),
    ],
)
def test_bad_options(no_daemon: Path, arguments: list[str], words: str) -> None:
    result = run_limner(no_daemon, "bench", *arguments)
    assert result.code == 2
    assert words in result.err and "Traceback" not in result.err


def test_pattern_notices_damage() -> None:
    pattern = Pattern(64, 48)
    frame_HWC = np.empty((48, 64, 4), np.uint8)
    for sequence in (0, 1, 29, 30, 812):
        pattern.write(sequence, frame_HWC)
        assert pattern.intact(sequence, frame_HWC)
        assert not pattern.intact(sequence + 1, frame_HWC)
    pattern.write(30, frame_HWC)
    torn_HWC = frame_HWC.copy()
    pattern.write(31, frame_HWC)
    torn_HWC[24:] = frame_HWC[24:]
    assert not pattern.intact(30, torn_HWC)
    pattern.write(30, frame_HWC)
    frame_HWC[7, 40, 1] ^= 1
    assert not pattern.intact(30, frame_HWC)


def test_sizes() -> None:
    assert parse_size("1920x1080") == parse_size("1920×1080") == (1920, 1080)


def test_percentiles() -> None:
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}
    assert percentiles([5.0]) == {"p50": 5.0, "p95": 5.0, "p99": 5.0}
    assert percentiles([float(n) for n in range(100)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_figures_of_a_run_without_a_painted_frame() -> None:
    figures = Figures(frames_in=3)
    report = figures.report(model="echo", device="CPU")
    assert (report["fps"], report["first_frame_ms"], report["dropped"]) == (0.0, None, 3)
    json.dumps(report)
