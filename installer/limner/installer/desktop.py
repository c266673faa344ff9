"""The first run with a display: opens the user's OBS with the ready scene, and changes nothing of theirs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from limner.daemon.client import Client, ClientError
from limner.installer import obs_config, plugin, ready_scene
from limner.installer.command import run_limner
from limner.installer.obs_process import ObsError

WIDTH, HEIGHT, FPS = 1280, 720, 30
LIVE_TIMEOUT_S = 60.0
RESTART_OBS = (
    "OBS is running and may not know the filter yet. Close it, start it again, and choose "
    f"Scene Collection → {ready_scene.NAME}; or add the filter Limner to a source of yours."
)


def obs_is_running(obs_dir: Path, proc: Path = Path("/proc")) -> bool:
    """Tell whether an OBS runs with the settings in `obs_dir`."""
    for name in proc.glob("[0-9]*/comm"):
        try:
            if name.read_text().strip() == "obs" and _settings_of(name.parent) == obs_dir:
                return True
        except OSError:
            # It ended meanwhile, or is another user's.
            continue
    return False


def _settings_of(process: Path) -> Path:
    """Return the folder of OBS's settings for a running process (a folder of /proc)."""
    pairs = (entry.partition("=") for entry in os.fsdecode((process / "environ").read_bytes()).split("\0"))
    environment = {key: value for key, _, value in pairs}
    config = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    return Path(config) / "obs-studio"


def write_ready_scene(root: Path, obs_dir: Path) -> list[Path]:
    """Add profile and scene collection "Limner" where missing; return what was written.

    Whatever is there already stays: the user may have changed it.
    """
    written = []
    profile = obs_config.Profile(
        name=ready_scene.NAME,
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        recordings=Path.home(),
        encoder_preset="veryfast",
    )
    if not (obs_dir / "basic" / "profiles" / profile.name).exists():
        written.append(obs_config.write_profile(obs_dir, profile))
    if not (obs_dir / "basic" / "scenes" / f"{ready_scene.NAME}.json").exists():
        camera = ready_scene.find_camera()
        clip = camera or ready_scene.stand_in_clip(root)
        source = ready_scene.live_source(camera, clip, {"style": "oil painting"})
        written.append(obs_config.write_collection(obs_dir, ready_scene.collection(source, WIDTH, HEIGHT)))
    settings = obs_dir / "global.ini"
    if not settings.exists() and not (obs_dir / "user.ini").exists():
        # A first OBS ever: without this its wizard would stand in front of the picture.
        settings.write_text(
            obs_config.global_ini(ready_scene.NAME, ready_scene.NAME, websocket=None, preview=True),
            encoding="utf-8",
        )
        written.append(settings)
    return written


def run(root: Path, limner: Path) -> None:
    """Open OBS with the painted source; raises ObsError when it does not start."""
    obs_dir = plugin.user_obs_dir()
    for path in write_ready_scene(root, obs_dir):
        print(f"  Added to your OBS: {path}")
    if obs_is_running(obs_dir):
        painted = _painted_source()
        print(f"OBS is running already. {painted}" if painted else RESTART_OBS)
        return
    # The filter would start the daemon by itself; started now, its model loads while OBS comes up.
    _start_daemon(limner)
    _open_obs(root / "build" / "obs.log")
    print(f"OBS is open. {_how_it_goes()}")
    print("Change the look with: limner set --style neon (all styles: limner styles)")


def _painted_source() -> str:
    """Return a sentence about the first source that is painted now, or "" when none is."""
    try:
        with Client() as client:
            sessions = client.query().sessions
    except ClientError:
        return ""
    live = [session for session in sessions if session.status.state in ("live", "overloaded")]
    return f"{live[0].name} is painted. {live[0].status.sentence}" if live else ""


def _how_it_goes() -> str:
    """Return a sentence about the painted source, as soon as there is one or the time is over."""
    deadline = time.monotonic() + LIVE_TIMEOUT_S
    while time.monotonic() < deadline:
        if sentence := _painted_source():
            return sentence
        time.sleep(0.2)
    return "Its source is not painted yet; to see why: limner status"


def _start_daemon(limner: Path) -> None:
    try:
        with Client() as client:
            client.query()
    except ClientError:
        run_limner(limner, "daemon", "--detach")


def _open_obs(log: Path) -> None:
    # Whether another OBS is in the way was looked at before; without --multi OBS asks about any of them.
    command = ["obs", "--multi", "--collection", ready_scene.NAME, "--profile", ready_scene.NAME]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        code = process.wait(4)
    except subprocess.TimeoutExpired:
        return
    if code != 0:
        raise ObsError(f"OBS ended at once with code {code}; see {log}")
