"""What is measured on a running OBS with a running daemon; see obs_live.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.cameras import CAMERA
from tests.end_to_end.harness.looks import Eye, Look, Sight, steady_look
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, start_daemon

LIMNER = Path(sys.executable).parent / "limner"
HOLD_MS = 1000
SOURCE = "source"
SETTLE_S = 2.5
IMAGE_WIDTH = 480
IN_FLIGHT_FRAMES = 20


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The main figures over a stretch of time."""

    seconds: float
    painted_fps: float
    obs_fps: float
    obs_lagged_percent: float
    obs_cpu_percent: float
    latency_ms_p50: float
    latency_ms_p95: float
    playout_delay_ms: float
    own_work_us_p99: float
    daemon_fps: float
    stages_ms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A style set from a terminal: seconds from starting the command until the picture showed it."""

    style: str
    visible_s: float
    cuts: int


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A kill -9: what the picture did. Seconds since the kill, or since the new process was started."""

    what: str
    source_after_s: float | None
    painted_again_after_s: float
    obs_fps: float
    obs_lagged_percent: float


class Bench:
    """One OBS, one daemon, and what is measured on them."""

    def __init__(self, obs: Obs, daemon: RunningDaemon, images: Path | None) -> None:
        self.obs, self.daemon, self.images = obs, daemon, images
        self.shots: dict[str, Image.Image] = {}

    def limner(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(LIMNER), *arguments]
        return subprocess.Popen(command, env=self.daemon.environment, stdout=subprocess.DEVNULL)

    def set_style(self, style: str) -> None:
        assert self.limner("set", "--style", style).wait(30) == 0

    # ---- rate

    def rate(self, seconds: float) -> Rate:
        before, before_obs, start_s = self.obs.filter_stats(), self.obs.stats(), time.monotonic()
        wait_for("time to pass", lambda: time.monotonic() >= start_s + seconds, seconds + 5, poll_s=0.5)
        after, after_obs, took_s = self.obs.filter_stats(), self.obs.stats(), time.monotonic() - start_s
        rendered = after_obs.rendered - before_obs.rendered
        status = self.daemon.query().sessions[0].status
        return Rate(
            seconds=round(took_s, 2),
            painted_fps=round((after["painted_shown"] - before["painted_shown"]) / took_s, 2),
            obs_fps=round(rendered / took_s, 2),
            obs_lagged_percent=_percent(after_obs.lagged - before_obs.lagged, rendered),
            obs_cpu_percent=round(after_obs.cpu_percent, 1),
            latency_ms_p50=after["latency_ms_p50"],
            latency_ms_p95=after["latency_ms_p95"],
            playout_delay_ms=after["delay_ms"],
            own_work_us_p99=after["work_us_p99"],
            daemon_fps=round(status.fps_out, 2),
            stages_ms=dict(status.stages_ms),
        )

    def recorded_new_fps(self, seconds: float) -> float:
        """Count the new pictures in a recording of the programme: independent of what the filter says."""
        self.obs.request("StartRecord")
        wait_for("a recording", lambda: bool(self.obs.request("GetRecordStatus")["outputActive"]), 10)
        time.sleep(seconds)
        path = Path(self.obs.request("StopRecord")["outputPath"])
        wait_for("its end", lambda: not self.obs.request("GetRecordStatus")["outputActive"], 20)
        return distinct_fps(path)

    # ---- styles

    def references(self, styles: list[str]) -> dict[str, Look]:
        looks = {}
        self.obs.enable_filter(CAMERA, False)
        time.sleep(0.5)
        self._picture(SOURCE)
        looks[SOURCE] = steady_look(self.obs, CAMERA)
        self.obs.enable_filter(CAMERA, True)
        self.obs.wait_painted()
        for style in styles:
            self.set_style(style)
            time.sleep(SETTLE_S)
            self._picture(style)
            looks[style] = steady_look(self.obs, CAMERA)
        return looks

    def _picture(self, name: str) -> None:
        if self.images is not None:
            self.shots[name] = Image.fromarray(self.obs.screenshot(CAMERA))

    def save_images(self) -> None:
        """Write each screenshot, small, and one sheet of them all."""
        if self.images is None:
            return
        self.images.mkdir(parents=True, exist_ok=True)
        small = (IMAGE_WIDTH, IMAGE_WIDTH * clips.HEIGHT // clips.WIDTH)
        for name, shot in self.shots.items():
            picture = shot.resize(small, Image.Resampling.LANCZOS)
            picture.save(self.images / f"obs-{name.replace(' ', '-')}.jpg", quality=82)
        sheet(self.shots).save(self.images / "obs-styles.jpg", quality=85)

    def changes(self, styles: list[str], looks: dict[str, Look]) -> list[Change]:
        measured = []
        for previous, style in zip([styles[-1], *styles[:-1]], styles, strict=True):
            known = {name: looks[name] for name in (previous, style, SOURCE)}
            eye = Eye(self.obs, CAMERA, known)
            self.set_style(previous)
            eye.watch_until(previous)
            start_s = time.monotonic()
            process = self.limner("set", "--style", style)
            sights = eye.watch_until(style)
            assert process.wait(30) == 0
            cuts = sum(sight.name not in (previous, style) for sight in sights)
            measured.append(Change(style=style, visible_s=round(_since(sights, start_s), 2), cuts=cuts))
        return measured

    # ---- kills

    def kills(self, style: str, looks: dict[str, Look]) -> list[Kill]:
        self.set_style(style)
        eye = Eye(self.obs, CAMERA, {name: looks[name] for name in (style, SOURCE)})
        eye.watch_until(style)
        measured = []
        for what in ("worker", "daemon", "both"):
            measured.append(self._kill(what, eye))
            self.set_style(style)
            eye.watch_until(style)
        return measured

    def _kill(self, what: str, eye: Eye) -> Kill:
        before, worker = self.obs.stats(), self.daemon.query().worker.pid
        killed_ns, start_s = time.time_ns(), time.monotonic()
        source_s, reborn_s = None, start_s
        if what != "daemon":
            os.kill(worker, signal.SIGKILL)
        if what != "worker":
            self.daemon.process.kill()
            self.daemon.process.wait()
            source_s = _since(eye.watch_until(SOURCE), start_s)
            reborn_s, killed_ns = time.monotonic(), time.time_ns()
            self.daemon = start_daemon(self.daemon.runtime_dir, engine="pocket", threads=0)
        sights: list[Sight] = []
        shown = None
        while True:
            assert time.monotonic() < reborn_s + 60, f"nothing is painted after the {what} was killed"
            sights.append(eye.see())
            if source_s is None and sights[-1].name == SOURCE:
                source_s = sights[-1].at_s - start_s
            if source_s is not None and SOURCE not in [sight.name for sight in sights[-3:]]:
                painted_s = sights[-3:][0].at_s
                break
            # Back before the picture had faded to the source: only the filter's own count tells.
            written_ns, count = self._painted_shown()
            if shown is None and written_ns > killed_ns:
                shown = count
            if shown is not None and count > shown + IN_FLIGHT_FRAMES:
                painted_s = time.monotonic()
                break
        again_s = painted_s - reborn_s
        after, took_s = self.obs.stats(), time.monotonic() - start_s
        rendered = after.rendered - before.rendered
        return Kill(
            what=what,
            source_after_s=None if source_s is None else round(source_s, 2),
            painted_again_after_s=round(again_s, 2),
            obs_fps=round(rendered / took_s, 2),
            obs_lagged_percent=_percent(after.lagged - before.lagged, rendered),
        )

    def _painted_shown(self) -> tuple[int, int]:
        """Return when the filter last wrote its figures (once a second; ns), and its count in them."""
        path = self.obs.stats_dir / f"{CAMERA}.json"
        return path.stat().st_mtime_ns, int(json.loads(path.read_text())["painted_shown"])


def _since(sights: list[Sight], start_s: float) -> float:
    """Return when the first of the three final sights was seen."""
    return sights[-3].at_s - start_s


def _percent(part: int, whole: int) -> float:
    return round(100 * part / max(1, whole), 2)


def sheet(shots: dict[str, Image.Image], columns: int = 3) -> Image.Image:
    """Return the screenshots in a grid, each with its name."""
    width, height, label = 320, 180, 20
    rows = -(-len(shots) // columns)
    page = Image.new("RGB", (columns * width, rows * (height + label)), (24, 24, 28))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for number, (name, shot) in enumerate(shots.items()):
        left, top = number % columns * width, number // columns * (height + label)
        pen.text((left + 4, top + 2), name, fill=(235, 235, 235), font=font)
        page.paste(shot.resize((width, height), Image.Resampling.LANCZOS), (left, top + label))
    return page


def distinct_fps(video: Path) -> float:
    """Return how many pictures a second differ from the one before."""
    before, new, first_s, last_s = None, 0, 0.0, 0.0
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            grey = frame.reformat(160, 90, "gray").to_ndarray().astype(np.int16)
            last_s = float(frame.time or 0)
            if before is None:
                first_s = last_s
            elif np.abs(grey - before).mean() > 0.25:
                new += 1
            before = grey
    return round(new / max(0.1, last_s - first_s), 2)
