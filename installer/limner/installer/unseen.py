"""The first run without a display: OBS on a virtual one, a clip as the camera, several styles in turn."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from limner.daemon.protocol import Overview
from limner.installer import figures, obs_config, plugin, ready_scene, sheet
from limner.installer.obs_process import ObsError, ObsLaunch, start_obs, stop_obs, tail, virtual_display
from limner.installer.stage import Stage

CANVAS_WIDTH, FPS = 640, 30
SECONDS = 15.0
MAX_STYLES = 5
# From when the engine painted in a style until the picture is all its own, beside the measured latency.
SETTLED_S = 0.8
# Pictures of the recording are compared with the clip in such steps.
SAMPLE_S = 0.25
MOMENTS = 2
BUSY_LAGGED_PERCENT = 5.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One style's time on the air, on time.monotonic, from when the engine painted in it."""

    style: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What was on the air, until when it was recorded (time.monotonic), and the figures."""

    turns: tuple[Turn, ...]
    recorded_until_s: float
    figures: figures.Figures


def run(root: Path, limner: Path) -> None:
    """Do the whole job and leave its results in out/; raises ObsError, CommandError or PluginError."""
    out = root / "out"
    out.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="limner-", dir="/tmp"))
    try:
        _say("Preparing the clip that plays the camera")
        stage = Stage(limner=limner, home=home, clip=ready_scene.stand_in_clip(root))
        _deliver(stage, _perform(stage), out)
    finally:
        if (home / "obs.log").exists():
            shutil.copy2(home / "obs.log", root / "build" / "obs.log")
        shutil.rmtree(home, ignore_errors=True)


def _perform(stage: Stage) -> Performance:
    with _daemon(stage) as overview:
        styles = overview.styles[:MAX_STYLES]
        _configure(stage, styles[0])
        _say("Starting OBS on a virtual display")
        with virtual_display(stage.home / "xvfb.log") as display:
            process = start_obs(
                ObsLaunch(
                    home=stage.home,
                    display=display,
                    arguments=("--startrecording",),
                    environment=stage.environment,
                )
            )
            try:
                performance = _paint(stage, styles)
            finally:
                closed = stop_obs(process)
            if not closed:
                raise ObsError(f"OBS did not close well; its last words:\n{tail(stage.obs_log)}")
    return performance


def _paint(stage: Stage, styles: list[str]) -> Performance:
    """Show one style after the other, and measure."""
    stage.wait_painted()
    before, obs_before = stage.filter_counts(), stage.obs_counts()
    turns = tuple(_turn(stage, style, SECONDS / len(styles)) for style in styles)
    after, obs_after = stage.filter_counts(), stage.obs_counts()
    return Performance(
        turns=turns,
        recorded_until_s=stage.end_recording(),
        figures=figures.Figures(
            painted_fps=(after.painted_shown - before.painted_shown) / (after.at_s - before.at_s),
            latency_ms_p50=after.latency_ms_p50,
            latency_ms_p95=after.latency_ms_p95,
            obs_frames=obs_after.frames - obs_before.frames,
            obs_lagged=obs_after.lagged - obs_before.lagged,
        ),
    )


def _configure(stage: Stage, style: str) -> None:
    obs_dir = stage.home / "obs-studio"
    width, height = CANVAS_WIDTH, sheet.height_for(stage.clip, CANVAS_WIDTH)
    profile = obs_config.Profile(
        name=ready_scene.NAME, width=width, height=height, fps=FPS, recordings=stage.recordings
    )
    source = ready_scene.live_source(None, stage.clip, {"style": style})
    shutil.copy2(Path(__file__).with_name(stage.script.name), stage.script)
    collection = ready_scene.collection(source, width, height, (stage.script,))
    obs_config.write_private_config(obs_dir, profile, collection)
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
        yield stage.wait_ready()
    finally:
        stage.command("daemon", "--stop")


def _turn(stage: Stage, style: str, seconds: float) -> Turn:
    end_s = time.monotonic() + seconds
    # Comes back when the style is applied.
    stage.command("set", "--style", style)
    start_s = time.monotonic()
    _say(f"Painting: {style}")
    time.sleep(max(0.0, end_s - start_s))
    return Turn(style=style, start_s=start_s, end_s=time.monotonic())


def _deliver(stage: Stage, performance: Performance, out: Path) -> None:
    """Move the recording to `out`, draw the sheet, print the figures."""
    recordings = sorted(stage.recordings.glob("*.mkv"))
    if not recordings:
        raise ObsError("OBS left no recording; see build/obs.log")
    recording = out / "painted.mkv"
    shutil.move(recordings[-1], recording)
    contact_sheet = out / "before-after.png"
    _say("Drawing the contact sheet")
    sheet.draw(_rows(stage.clip, recording, performance), contact_sheet)
    (out / "figures.json").write_text(performance.figures.to_json() + "\n")
    print(f"  {performance.figures.line()}")
    if performance.figures.lagged_percent > BUSY_LAGGED_PERCENT:
        print("  OBS itself was late: this machine is slow, or was busy with something else.")
    print(
        f"Limner works: a live source in OBS was painted in {len(performance.turns)} styles. "
        f"Look at {contact_sheet} and {recording}."
    )


def _rows(clip: Path, recording: Path, performance: Performance) -> list[sheet.Row]:
    """Pick a few moments of each turn, each with the source frame that it was painted from."""
    began_s = performance.recorded_until_s - sheet.duration_s(recording)
    settled_s = SETTLED_S + performance.figures.latency_ms_p95 / 1000
    times = [
        turn.start_s - began_s + settled_s + step * SAMPLE_S
        for turn in performance.turns
        for step in range(max(1, int((turn.end_s - turn.start_s - settled_s) / SAMPLE_S)))
    ]
    painted = sheet.frames_at(recording, times)
    times = times[: len(painted)]
    sources = sheet.sources_of(painted, times, sheet.all_frames(clip), sheet.fps_of(clip))
    rows = []
    for turn in performance.turns:
        during = [i for i, at_s in enumerate(times) if turn.start_s <= at_s + began_s < turn.end_s]
        moments = [during[number * (len(during) - 1) // (MOMENTS - 1)] for number in range(MOMENTS) if during]
        pairs = tuple((sources[i], painted[i]) for i in moments)
        if pairs:
            rows.append(sheet.Row(label=turn.style, pairs=pairs))
    return rows


def _say(text: str) -> None:
    print(f"  {text}", flush=True)
