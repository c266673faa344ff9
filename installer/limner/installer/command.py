"""Makes `limner` reachable from a shell, and runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class CommandError(Exception):
    """The `limner` command is missing, in the way, or failed; the message says which."""


def link_command(limner: Path, folder: Path | None = None) -> Path:
    """Link `limner` into ~/.local/bin; return the link, or `limner` when a stranger's file is there."""
    link = (folder or Path.home() / ".local" / "bin") / "limner"
    if link.is_symlink():
        if link.readlink() == limner:
            return link
        link.unlink()
    elif link.exists():
        return limner
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(limner)
    return link


def run_limner(
    limner: Path, *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> str:
    """Run a command of `limner` and return what it printed; raises CommandError with what it complained."""
    command = [str(limner), *arguments]
    try:
        done = subprocess.run(
            command,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{limner} is missing; run: bash installer/run.sh") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"limner {' '.join(arguments)}: no answer after {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(f"limner {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
