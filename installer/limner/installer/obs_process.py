"""An X display without a screen, and OBS on it: started, watched and ended by process id."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FIRST_DISPLAY = 130
LAST_DISPLAY = 998
XVFB_OPTIONS = ("-nolisten", "tcp", "+extension", "GLX", "-noreset")
OBS_READY_LINE = "Loaded scenes:"


class ObsError(Exception):
    """OBS or its display did not come up; the message says what it left as a reason."""


def _try_display(number: int, log: Path, geometry: str) -> subprocess.Popen[bytes] | None:
    """Start Xvfb as display `number`; None when the number is taken."""
    reader, writer = os.pipe()
    with log.open("ab") as sink:
        process = subprocess.Popen(
            ["Xvfb", f":{number}", "-displayfd", str(writer), "-screen", "0", geometry, *XVFB_OPTIONS],
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    try:
        if _read_line(reader, 30):
            return process
    finally:
        os.close(reader)
    end_process(process)
    return None


def _read_line(reader: int, timeout_s: float) -> bytes:
    """Return a whole line, or what came of it: Xvfb writes its number when it accepts clients.

    Number and line end are two writes, and Xvfb dies when the second finds the pipe closed.
    """
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], timeout_s)
        part = os.read(reader, 16) if ready else b""
        if not part:
            return b""
        line += part
    return line


@contextmanager
def virtual_display(log: Path, geometry: str = "1280x800x24") -> Iterator[str]:
    """Run Xvfb on a free display number and yield DISPLAY; raises ObsError when none comes up."""
    for _ in range(20):
        number = random.randint(FIRST_DISPLAY, LAST_DISPLAY)
        if Path(f"/tmp/.X11-unix/X{number}").exists() or Path(f"/tmp/.X{number}-lock").exists():
            continue
        try:
            process = _try_display(number, log, geometry)
        except FileNotFoundError as error:
            raise ObsError("Xvfb is not installed; run: bash installer/run.sh") from error
        if process is None:
            continue
        try:
            yield f":{number}"
        finally:
            end_process(process)
        return
    raise ObsError(f"no virtual display could be started; see {log}")


def end_process(process: subprocess.Popen[bytes], patience_s: float = 10.0) -> None:
    """Ask the process to end, then make it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@dataclass(frozen=True, kw_only=True)
class ObsLaunch:
    """How to start OBS with a configuration of its own.

    home: becomes HOME; config is home/obs-studio (XDG_CONFIG_HOME is `home`).
    preload: a library for LD_PRELOAD, or None.
    """

    home: Path
    display: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    preload: Path | None = None

    @property
    def log(self) -> Path:
        """Where OBS's output goes."""
        return self.home / "obs.log"


def _environment(launch: ObsLaunch) -> dict[str, str]:
    runtime = launch.home / "run"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in ("WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
    env |= {
        "DISPLAY": launch.display,
        "HOME": str(launch.home),
        "XDG_CONFIG_HOME": str(launch.home),
        "XDG_CACHE_HOME": str(launch.home / "cache"),
        "XDG_RUNTIME_DIR": str(runtime),
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "GALLIUM_DRIVER": "llvmpipe",
        "QT_QPA_PLATFORM": "xcb",
        "NO_AT_BRIDGE": "1",
        "LANG": "C.UTF-8",
    }
    if launch.preload is not None:
        env["LD_PRELOAD"] = str(launch.preload)
    return env | dict(launch.environment or {})


def start_obs(launch: ObsLaunch, timeout_s: float = 90.0) -> subprocess.Popen[bytes]:
    """Start OBS and return when its scenes are loaded; raises ObsError with the end of its log."""
    command = ["obs", "--multi", "--disable-updater", "--disable-missing-files-check", *launch.arguments]
    with launch.log.open("wb") as sink:
        try:
            process = subprocess.Popen(
                command,
                env=_environment(launch),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ObsError("OBS is not installed; run: bash installer/run.sh") from error
    try:
        _wait_for_scenes(process, launch.log, timeout_s)
    except ObsError:
        end_process(process)
        raise
    return process


def _wait_for_scenes(process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while OBS_READY_LINE not in log.read_text(errors="replace"):
        if process.poll() is not None:
            raise ObsError(f"OBS ended with code {process.returncode}; its last words:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ObsError(f"OBS was not ready after {timeout_s:.0f} s; its last words:\n{tail(log)}")
        time.sleep(0.05)


def stop_obs(process: subprocess.Popen[bytes], patience_s: float = 20.0) -> bool:
    """Ask OBS to close (SIGINT is a clean exit on Linux); False when it crashed or had to be killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return process.returncode == 0


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
