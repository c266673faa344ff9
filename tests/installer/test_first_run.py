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
def test_a_painted_frame_finds_its_source(street: Path) -> None:
    sources = sheet.all_frames(street)
    for number in (3, 100, 200):
        painted = (255 - sources[number] // 2).astype(np.uint8)
        found = next(i for i, s in enumerate(sources) if s is sheet.source_of(painted, sources))
        assert abs(found - number) <= 2


@pytest.mark.slow
def test_frames_are_taken_at_their_times(street: Path) -> None:
    assert sheet.duration_s(street) == pytest.approx(clip.SECONDS, abs=0.1)
    first, later = sheet.frames_at(street, (0.0, 2.0))
    sources = sheet.all_frames(street)
    assert np.array_equal(first, sources[0])
    assert np.array_equal(later, sources[60])
    assert sheet.frames_at(street, (99.0,)) == []


def test_the_sheet_has_a_row_a_style(tmp_path: Path) -> None:
    red = np.full((sheet.CELL_HEIGHT, sheet.CELL_WIDTH, 3), (200, 0, 0), np.uint8)
    rows = [sheet.Row(label=name, pairs=((red, red // 2),) * 2) for name in ("neon", "noir")]
    sheet.draw(rows, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as image:
        assert image.width > 4 * sheet.CELL_WIDTH
        assert image.height > 2 * sheet.CELL_HEIGHT
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
    log = (
        "info: Output 'simple_file_output': Total drawn frames: 473\n"
        "info: Output 'simple_file_output': Number of lagged frames due to rendering lag/stalls: 2 (0.4%)\n"
    )
    assert figures.obs_frames_and_lagged(log) == (473, 2)
    assert figures.obs_frames_and_lagged("") == (0, 0)
