"""The first run without a display: OBS on a virtual one, a clip as the camera, several styles in turn."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from limner.daemon.client import Client, ClientError
from limner.daemon.protocol import Overview
from limner.installer import figures, obs_config, plugin, ready_scene, sheet
from limner.installer.command import run_limner
from limner.installer.obs_process import ObsError, ObsLaunch, start_obs, stop_obs, tail, virtual_display

WIDTH, HEIGHT, FPS = 640, 360, 30
SECONDS = 15.0
MAX_STYLES = 5
# A style needs a chunk or two and the way through the filter before the picture is all its own.
SETTLED_S = 1.2
READY_TIMEOUT_S = 120.0
LIVE_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One style's time on the air, on time.monotonic."""

    style: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a run happens. `home` is short: sockets lie below it."""

    limner: Path
    home: Path
    clip: Path

    @property
    def runtime(self) -> Path:
        """Folder of this run's own daemon."""
        return self.home / "limner"

    @property
    def stats(self) -> Path:
        """Where the filter writes its counters."""
        return self.home / "filter-stats.json"

    @property
    def recordings(self) -> Path:
        """Where OBS records."""
        return self.home / "recordings"

    @property
    def environment(self) -> dict[str, str]:
        """What leads OBS and the commands to this run's daemon."""
        return {
            "LIMNER_RUNTIME_DIR": str(self.runtime),
            "LIMNER_FILTER_STATS": str(self.stats),
            "LIMNER_COMMAND": str(self.limner),
        }

    def command(self, *arguments: str) -> str:
        """Run `limner` against this run's daemon."""
        return run_limner(self.limner, *arguments, environment=self.environment)


def run(root: Path, limner: Path) -> None:
    """Do the whole job and leave its results in out/; raises ObsError, CommandError or PluginError."""
    out = root / "out"
    out.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="limner-", dir="/tmp"))
    try:
        _say("Preparing the clip that plays the camera")
        stage = Stage(limner=limner, home=home, clip=ready_scene.stand_in_clip(root))
        turns, measured = _perform(stage)
        _deliver(stage, turns, measured, out)
    finally:
        log = home / "obs.log"
        if log.exists():
            shutil.copy2(log, root / "build" / "obs.log")
        shutil.rmtree(home, ignore_errors=True)


def _perform(stage: Stage) -> tuple[list[Turn], figures.Figures]:
    with _daemon(stage) as overview:
        styles = overview.styles[:MAX_STYLES]
        _configure(stage, styles[0])
        _say("Starting OBS on a virtual display")
        with virtual_display(stage.home / "xvfb.log") as display:
            launch = ObsLaunch(
                home=stage.home,
                display=display,
                arguments=("--startrecording",),
                environment=stage.environment,
            )
            process = start_obs(launch)
            try:
                before = _wait_for_paint(stage)
                turns = [_turn(stage, style, SECONDS / len(styles)) for style in styles]
                after = figures.read_filter_stats(stage.stats, time.monotonic()) or before
            finally:
                closed = stop_obs(process)
            if not closed:
                raise ObsError(f"OBS did not close; its last words:\n{tail(launch.log)}")
        drawn, lagged = figures.obs_frames_and_lagged(launch.log.read_text(errors="replace"))
    return turns, figures.Figures(
        painted_fps=(after.painted_shown - before.painted_shown) / (after.at_s - before.at_s),
        latency_ms_p50=after.latency_ms_p50,
        latency_ms_p95=after.latency_ms_p95,
        obs_frames=drawn,
        obs_lagged=lagged,
    )


def _configure(stage: Stage, style: str) -> None:
    obs_dir = stage.home / "obs-studio"
    profile = obs_config.Profile(
        name=ready_scene.NAME, width=WIDTH, height=HEIGHT, fps=FPS, recordings=stage.recordings
    )
    source = ready_scene.live_source(None, stage.clip, {"style": style})
    obs_config.write_private_config(obs_dir, profile, ready_scene.collection(source, WIDTH, HEIGHT))
    installed = plugin.user_obs_dir() / "plugins" / plugin.PLUGIN
    if not installed.is_dir():
        raise plugin.PluginError(f"the plugin is not in {installed}; run: bash installer/run.sh")
    shutil.copytree(installed, obs_dir / "plugins" / plugin.PLUGIN)


@contextmanager
def _daemon(stage: Stage) -> Iterator[Overview]:
    """Run a daemon of our own and yield what it says when its model is ready."""
    _say("Starting the daemon with the model in the box (pocket)")
    stage.command("daemon", "--detach")
    try:
        yield _wait_for_worker(stage)
    finally:
        stage.command("daemon", "--stop")


def _wait_for_worker(stage: Stage) -> Overview:
    deadline = time.monotonic() + READY_TIMEOUT_S
    sentence = "the daemon does not answer"
    while time.monotonic() < deadline:
        try:
            with Client(stage.runtime) as client:
                overview = client.query()
        except ClientError as error:
            sentence = str(error)
        else:
            if overview.worker.state == "ready":
                return overview
            sentence = overview.worker.sentence
        time.sleep(0.1)
    raise ObsError(f"The model was not ready after {READY_TIMEOUT_S:.0f} s: {sentence}")


def _wait_for_paint(stage: Stage) -> figures.FilterCounts:
    deadline = time.monotonic() + LIVE_TIMEOUT_S
    while time.monotonic() < deadline:
        counts = figures.read_filter_stats(stage.stats, time.monotonic())
        if counts is not None and counts.painted_shown > 0:
            return counts
        time.sleep(0.05)
    raise ObsError(
        f"No painted frame reached OBS in {LIVE_TIMEOUT_S:.0f} s; "
        f"the end of OBS's log:\n{tail(stage.home / 'obs.log')}"
    )


def _turn(stage: Stage, style: str, seconds: float) -> Turn:
    start_s = time.monotonic()
    stage.command("set", "--style", style)
    _say(f"Painting: {style}")
    time.sleep(max(0.0, start_s + seconds - time.monotonic()))
    return Turn(style=style, start_s=start_s, end_s=time.monotonic())


def _deliver(stage: Stage, turns: list[Turn], measured: figures.Figures, out: Path) -> None:
    """Move the recording to `out`, draw the sheet, print the figures."""
    recordings = sorted(stage.recordings.glob("*.mkv"))
    if not recordings:
        raise ObsError("OBS left no recording; see build/obs.log")
    recording = out / "painted.mkv"
    shutil.move(recordings[-1], recording)
    contact_sheet = out / "before-after.png"
    _say("Drawing the contact sheet")
    sheet.draw(_rows(stage.clip, recording, turns), contact_sheet)
    (out / "figures.json").write_text(measured.to_json() + "\n")
    print(f"  {measured.line()}")
    print(
        f"Limner works: a live source in OBS was painted in {len(turns)} styles. "
        f"Look at {contact_sheet} and {recording}."
    )


def _rows(clip: Path, recording: Path, turns: list[Turn]) -> list[sheet.Row]:
    """Pick two moments of each turn; the recording ends when the last turn does."""
    start_s = turns[-1].end_s - sheet.duration_s(recording)
    sources = sheet.all_frames(clip)
    rows = []
    for turn in turns:
        first, last = turn.start_s + SETTLED_S - start_s, turn.end_s - start_s - 0.3
        painted = sheet.frames_at(recording, (first, max(first, last)))
        pairs = tuple((sheet.source_of(picture, sources), picture) for picture in painted)
        rows.append(sheet.Row(label=turn.style, pairs=pairs))
    return rows


def _say(text: str) -> None:
    print(f"  {text}", flush=True)
