"""What the first run makes of its recording: clip, contact sheet, figures."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from limner.installer import clip, figures, sheet


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip.write_clip(tmp_path_factory.mktemp("clip") / "street.mp4")


@pytest.mark.slow
def test_the_clip_moves_and_loops(street: Path) -> None:
    with av.open(str(street)) as container:
        assert container.streams.video[0].frames == clip.FPS * clip.SECONDS
    first = clip.frame(0).astype(int)
    second, last = clip.frame(1).astype(int), clip.frame(clip.FPS * clip.SECONDS - 1).astype(int)
    step = np.abs(second - first).mean()
    assert 2 < step < 30
    assert np.abs(last - first).mean() < 2 * step, "the seam of the loop is no jump"
    assert np.array_equal(clip.frame(7), clip.frame(7))


@pytest.mark.slow
def test_painted_frames_find_their_sources(street: Path) -> None:
    sources = sheet.all_frames(street)
    noise = np.random.default_rng(1)
    # A recording that began somewhere in the loop; what it shows is inverted and noisy.
    times = [0.25 * number for number in range(40)]
    origins = [(int(at_s * clip.FPS) + 100) % len(sources) for at_s in times]
    painted = [
        np.clip(255 - sources[i] // 2 + noise.normal(0, 20, sources[i].shape), 0, 255).astype(np.uint8)
        for i in origins
    ]
    found = sheet.sources_of(painted, times, sources, clip.FPS)
    numbers = [next(i for i, s in enumerate(sources) if s is one) for one in found]
    distances = [
        min((n - o) % len(sources), (o - n) % len(sources)) for n, o in zip(numbers, origins, strict=True)
    ]
    assert sorted(distances)[len(distances) // 2] <= 1
    assert max(distances) <= 10


@pytest.mark.slow
def test_frames_are_taken_at_their_times(street: Path) -> None:
    assert sheet.duration_s(street) == pytest.approx(clip.SECONDS, abs=0.1)
    first, later = sheet.frames_at(street, (0.0, 2.0))
    sources = sheet.all_frames(street)
    assert np.array_equal(first, sources[0])
    assert np.array_equal(later, sources[60])
    assert sheet.frames_at(street, (99.0,)) == []
    assert sheet.fps_of(street) == clip.FPS
    assert sheet.height_for(street, 320) == 180


def test_the_sheet_has_a_row_a_style(tmp_path: Path) -> None:
    red = np.full((180, sheet.CELL_WIDTH, 3), (200, 0, 0), np.uint8)
    rows = [sheet.Row(label=name, pairs=((red, red // 2),) * 2) for name in ("neon", "noir")]
    sheet.draw(rows, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as image:
        assert image.width > 4 * sheet.CELL_WIDTH
        assert image.height > 2 * 180
        assert image.getpixel((sheet.GAP + 5, sheet.GAP + sheet.LABEL_HEIGHT + 5)) == (200, 0, 0)


def test_figures_are_one_line() -> None:
    measured = figures.Figures(
        painted_fps=27.34, latency_ms_p50=312, latency_ms_p95=401, obs_frames=600, obs_lagged=3
    )
    assert measured.line() == (
        "27.3 painted frames a second, latency p50 312 ms, p95 401 ms, OBS lagged 3 of 600 frames (0.5 %)"
    )
    assert json.loads(measured.to_json())["lagged_percent"] == 0.5


def test_figures_come_from_the_filter_and_from_obs(tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    assert figures.read_filter_stats(path, 0.0) is None
    path.write_text('{"painted_shown": 12, "latency_ms_p50": 300.5, "latency_ms_p95": 420}')
    counts = figures.read_filter_stats(path, 2.5)
    assert counts == figures.FilterCounts(
        at_s=2.5, painted_shown=12, latency_ms_p50=300.5, latency_ms_p95=420
    )

    path = tmp_path / "counters.json"
    assert figures.read_obs_counts(path) is None
    path.write_text('{"frames": 473, "lagged": 2, "recording": true}')
    assert figures.read_obs_counts(path) == figures.ObsCounts(frames=473, lagged=2, recording=True)
