"""`limner demo` with clips of every shape, through a real daemon and a real worker that echoes."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from tests.cli.clips import grey_of, read_clip, write_clip
from tests.cli.runner import Result, run_limner, run_limner_in
from tests.support.daemon import RunningDaemon

# H.264 and the way through RGB move a grey by a level or two.
TOLERANCE = 5


def paint(daemon: RunningDaemon, clip: Path, out: Path, *options: str | Path) -> Result:
    result = run_limner(daemon.runtime_dir, "demo", clip, "-o", out, *options)
    assert result.code == 0, result.err
    return result


def assert_same_greys(greys: list[int], count: int) -> None:
    expected = [grey_of(index, count) for index in range(count)]
    assert len(greys) == count
    assert all(abs(a - b) <= TOLERANCE for a, b in zip(greys, expected, strict=True)), greys


@pytest.mark.parametrize(
    ("size", "rate"),
    [
        ((96, 64), 30),
        ((144, 256), 25),
        ((176, 144), 15),
        ((160, 90), Fraction(30000, 1001)),
        ((64, 64), Fraction(24000, 1001)),
        ((1280, 720), 10),
    ],
)
def test_every_frame_is_painted_at_its_time(
    daemon: RunningDaemon, tmp_path: Path, size: tuple[int, int], rate: Fraction
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=size, rate=rate, frames=10)
    paint(daemon, clip, tmp_path / "out.mp4", "--no-realtime")
    seen, source = read_clip(tmp_path / "out.mp4"), read_clip(clip)
    assert seen.size == size
    assert (seen.codec, seen.pixel_format, seen.rate) == ("h264", "yuv420p", source.rate)
    assert seen.times_s == pytest.approx(source.times_s, abs=1e-4)
    assert_same_greys(seen.greys, 10)


def test_live_rate_keeps_duration_even_when_frames_are_dropped(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", rate=60, frames=60)
    report = tmp_path / "report.json"
    paint(daemon, clip, tmp_path / "out.mp4", "--report", report)
    figures = json.loads(report.read_text())
    assert figures["frames_in"] == 60
    assert figures["frames_out"] + figures["dropped"] == 60
    assert figures["frames_written"] == 60
    seen = read_clip(tmp_path / "out.mp4")
    assert seen.times_s == pytest.approx([index / 60 for index in range(60)], abs=1e-4)
    # Where a frame was dropped, an earlier one is held: greys never go back.
    assert all(b >= a - 2 for a, b in zip(seen.greys, seen.greys[1:], strict=False))


def test_single_frame(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=1)
    for mode in ("--realtime", "--no-realtime"):
        paint(daemon, clip, tmp_path / "out.mp4", mode)
        assert_same_greys(read_clip(tmp_path / "out.mp4").greys, 1)


def test_odd_sides_lose_one_pixel(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", size=(97, 65), codec="ffv1", pixels="yuv444p", frames=5)
    paint(daemon, clip, tmp_path / "out.mp4", "--no-realtime")
    seen = read_clip(tmp_path / "out.mp4")
    assert seen.size == (96, 64)
    assert_same_greys(seen.greys, 5)


def test_varying_frame_rate_keeps_its_times(daemon: RunningDaemon, tmp_path: Path) -> None:
    times = [0, 40, 80, 200, 233, 266, 500, 1000]
    clip = write_clip(tmp_path / "clip.mkv", times=times, frames=len(times))
    paint(daemon, clip, tmp_path / "out.mp4", "--no-realtime")
    seen = read_clip(tmp_path / "out.mp4")
    assert seen.times_s == pytest.approx([time / 1000 for time in times], abs=2e-3)
    assert_same_greys(seen.greys, len(times))


def test_sideways_clip_comes_out_upright(daemon: RunningDaemon, tmp_path: Path) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed; it writes the rotated clip")
    clip = write_clip(tmp_path / "clip.mp4", size=(128, 64), frames=5)
    turned = tmp_path / "turned.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-metadata:s:v:0", "rotate=90"]
    subprocess.run([*command, str(turned)], check=True)
    paint(daemon, turned, tmp_path / "out.mp4", "--no-realtime")
    assert read_clip(tmp_path / "out.mp4").size == (64, 128)


@pytest.mark.parametrize(
    ("source_name", "codec", "out_name", "expected"),
    [
        ("clip.mp4", "aac", "out.mp4", "aac"),
        ("clip.mkv", "pcm_s16le", "out.mp4", "aac"),
        ("clip.mkv", "pcm_s16le", "out.mkv", "pcm_s16le"),
        ("clip.mkv", "pcm_s16le", "out.mov", "pcm_s16le"),
        ("clip.mkv", "mp2", "out.mp4", "aac"),
    ],
)
def test_sound_comes_along(
    daemon: RunningDaemon, tmp_path: Path, *, source_name: str, codec: str, out_name: str, expected: str
) -> None:
    clip = write_clip(tmp_path / source_name, frames=30, rate=30, sound=codec)
    paint(daemon, clip, tmp_path / out_name, "--no-realtime")
    seen, source = read_clip(tmp_path / out_name), read_clip(clip)
    assert seen.sound_codec == expected
    assert seen.sound_s == pytest.approx(source.sound_s, abs=0.06)
    assert_same_greys(seen.greys, 30)


def test_file_that_begins_late_on_its_own_clock(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", times=[50_000 + 40 * n for n in range(10)], frames=10)
    assert read_clip(clip).times_s[0] == pytest.approx(50, abs=0.1)
    paint(daemon, clip, tmp_path / "out.mp4", "--no-realtime")
    seen = read_clip(tmp_path / "out.mp4")
    assert seen.times_s == pytest.approx([0.04 * n for n in range(10)], abs=2e-3)
    assert_same_greys(seen.greys, 10)


def test_report_says_how_it_went(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=20)
    report = tmp_path / "report.json"
    result = paint(daemon, clip, tmp_path / "out.mp4", "--report", report, "--no-realtime", "--style", "neon")
    figures = json.loads(report.read_text())
    assert figures["frames_in"] == figures["frames_out"] == 20
    assert figures["dropped"] == 0
    assert figures["fps"] > 0
    assert figures["first_frame_ms"] > 0
    assert set(figures["latency_ms"]) == {"p50", "p95", "p99"}
    assert isinstance(figures["stages_ms"], dict)
    assert (figures["model"], figures["device"]) == ("echo", "CPU")
    assert figures["command"][:2] == ["limner", "demo"]
    assert "painted 20 of 20 frames" in result.err


def test_sessions_end_with_the_demo(daemon: RunningDaemon, tmp_path: Path) -> None:
    paint(daemon, write_clip(tmp_path / "clip.mp4", frames=3), tmp_path / "out.mp4", "--no-realtime")
    assert daemon.query().sessions == []
    assert daemon.segments == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


def test_without_a_daemon_it_brings_its_own(no_daemon: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=10)
    before = sorted(Path("/tmp").glob("limner-run-*"))
    # The folder in which the user is may hold anything: neither daemon nor worker takes modules from it.
    for name in ("zmq", "msgspec", "limner"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user')")
    result = run_limner_in(tmp_path, no_daemon, "demo", clip, "-o", tmp_path / "out.mp4", "--engine", "echo")
    assert result.code == 0, result.err
    assert len(read_clip(tmp_path / "out.mp4").greys) == 10
    assert sorted(Path("/tmp").glob("limner-run-*")) == before


def test_without_a_daemon_it_paints_with_the_model_that_was_chosen(no_daemon: Path, tmp_path: Path) -> None:
    """As `limner models use` writes it down; an option still counts more."""
    clip, config = write_clip(tmp_path / "clip.mp4", frames=10), tmp_path / "config"
    config.mkdir()
    (config / "config.toml").write_text('engine = "echo"\n')
    own = {"LIMNER_CONFIG_DIR": str(config)}
    report = tmp_path / "report.json"
    result = run_limner(
        no_daemon, "demo", clip, "-o", tmp_path / "out.mp4", "--report", report, "--no-realtime", **own
    )
    assert result.code == 0, result.err
    assert json.loads(report.read_text())["model"] == "echo"
    (config / "config.toml").write_text('engine = "no-such-model"\n')
    result = run_limner(no_daemon, "demo", clip, "-o", tmp_path / "out.mp4", **own)
    assert result.code == 1
    assert "config.toml: unknown engine 'no-such-model'" in result.sentence
    options = ("-o", tmp_path / "out.mp4", "--engine", "echo", "--no-realtime")
    assert run_limner(no_daemon, "demo", clip, *options, **own).code == 0
