"""Builds the OBS plugin and puts it where OBS looks for a user's plugins."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PLUGIN = "limner"
COMMAND_FILE = "limner-command"


class PluginError(Exception):
    """The plugin could not be built or installed; the message says which step failed and why."""


def user_obs_dir() -> Path:
    """Return where OBS keeps the user's settings and plugins."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "obs-studio"


def _run(step: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PluginError(f"{step}: {command[0]} is not installed; run: bash installer/run.sh") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise PluginError(f"{step} failed:\n{output}")


def build(source: Path, build_dir: Path, *options: str) -> None:
    """Build the CMake project in `source` (seconds; nothing to do when nothing changed)."""
    _run("cmake", ["cmake", "-S", str(source), "-B", str(build_dir), "-G", "Ninja", *options])
    _run("ninja", ["ninja", "-C", str(build_dir)])


def install(build_dir: Path, obs_dir: Path, limner_command: Path) -> Path:
    """Install the built plugin below `obs_dir` and tell it which program starts the daemon.

    Returns the plugin's folder. The library is replaced by renaming, so an OBS that runs keeps its own.
    """
    plugins = obs_dir / "plugins"
    staged = plugins / f".{PLUGIN}-new"
    shutil.rmtree(staged, ignore_errors=True)
    _run("cmake --install", ["cmake", "--install", str(build_dir), "--prefix", str(staged)])
    fresh = staged / PLUGIN
    library = fresh / "bin" / "64bit" / f"{PLUGIN}.so"
    if not library.is_file():
        raise PluginError(f"cmake --install left no {library.relative_to(staged)}")
    (fresh / "data" / COMMAND_FILE).write_text(f"{limner_command}\n", encoding="utf-8")
    target = plugins / PLUGIN
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    shutil.rmtree(staged, ignore_errors=True)
    return target
