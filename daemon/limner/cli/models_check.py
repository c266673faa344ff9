"""The engine's own look at a model's tables, in a process of its own: commands do not load torch."""

from __future__ import annotations

import subprocess
import sys

from limner.cli.errors import CliError


def check_tables(name: str) -> None:
    """Raise CliError when the engine would not take this model: before gigabytes are fetched for it."""
    command = [sys.executable, "-P", "-m", "limner.worker.check_model", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (
            done.stdout.strip() or (done.stderr.strip().splitlines() or ["the check ended unexpectedly"])[-1]
        )
        raise CliError(said)
