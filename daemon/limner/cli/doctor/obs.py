"""Checks of OBS: is it there, is the filter where it looks, does the filter find the daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from limner.cli.doctor.findings import Finding, blocked, fine, warning

INSTALL = "run: bash installer/run.sh"
TIMEOUT_S = 10.0
OLDEST_MAJOR = 29
COMMAND_VARIABLE = "LIMNER_COMMAND"


def plugin_dir() -> Path:
    """Return where OBS looks for this user's plugin."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "obs-studio" / "plugins" / "limner"


def check_obs() -> Finding:
    """Is OBS installed, and new enough?"""
    tool = shutil.which("obs")
    if tool is None:
        return warning("OBS", "not found", f"{INSTALL}, or use `limner demo` without OBS")
    said = _output([tool, "--version"])
    version = next((word for word in said.split() if word[:1].isdigit()), "")
    if not version:
        return warning("OBS", f"{tool} does not tell its version", "start OBS once and look at Help > About")
    if int(version.split(".")[0]) < OLDEST_MAJOR:
        return warning("OBS", version, f"the filter is made for OBS {OLDEST_MAJOR} and newer; update OBS")
    return fine("OBS", version)


def check_plugin(folder: Path | None = None) -> Finding:
    """Is the filter where OBS looks, and can it be loaded?"""
    library = (folder or plugin_dir()) / "bin" / "64bit" / "limner.so"
    if not library.is_file():
        return warning("OBS filter", f"not installed in {library.parent}", INSTALL)
    missing = [line.split()[0] for line in _output(["ldd", str(library)]).splitlines() if "not found" in line]
    if missing:
        return blocked("OBS filter", f"{library} needs {', '.join(missing)}", INSTALL)
    return fine("OBS filter", str(library))


def check_command(folder: Path | None = None) -> Finding:
    """Can the filter start the daemon by itself?"""
    name = "Filter starts daemon"
    folder = folder or plugin_dir()
    chosen = os.environ.get(COMMAND_VARIABLE)
    note = folder / "data" / "limner-command"
    if chosen is None:
        if not folder.is_dir():
            return warning(name, "the filter is not installed", INSTALL)
        try:
            chosen = note.read_text().strip()
        except OSError as error:
            return warning(name, f"{note}: {error.strerror}", f"{INSTALL}, or start the daemon yourself")
    if not Path(chosen).is_absolute() or not os.access(chosen, os.X_OK) or Path(chosen).is_dir():
        return blocked(name, f"{chosen!r} is no program", f"{INSTALL}; it writes {note}")
    return fine(name, chosen)


def check_obs_running(proc: Path = Path("/proc")) -> Finding:
    """Is OBS running?"""
    running = [path.parent.name for path in proc.glob("[0-9]*/comm") if _name_of(path) == "obs"]
    if not running:
        return fine("OBS in use", "not running")
    return fine("OBS in use", f"running, process {', '.join(running)}")


def _name_of(comm: Path) -> str:
    try:
        return comm.read_text().strip()
    except OSError:
        return ""


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
