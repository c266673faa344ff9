"""Runs the command line as its users do: a process without a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import limner

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The error, which must be one line and no traceback."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("limner: ")]
        assert len(lines) == 1, self.err
        return lines[0].removeprefix("limner: ")

    @property
    def said(self) -> str:
        """What was said on stderr, when it is no error."""
        assert "limner: " not in self.err, self.err
        return self.err.strip()


def environment(runtime_dir: Path, **more: str) -> dict[str, str]:
    """Variables for a `limner` that uses this runtime folder."""
    roots = os.pathsep.join(str(Path(part).parent) for part in limner.__path__)
    return os.environ | {"PYTHONPATH": roots, "LIMNER_RUNTIME_DIR": str(runtime_dir)} | more


def start_limner(runtime_dir: Path, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
    """Start a command."""
    return _start(environment(runtime_dir, **more), arguments, cwd=None)


def _start(
    variables: dict[str, str], arguments: tuple[str | Path, ...], cwd: Path | None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "limner.cli", *map(str, arguments)],
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait for a command."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"limner did not end within {TIMEOUT_S:g} s\n{out}\n{err}") from None
    return Result(process.returncode, out, err)


def run_limner(runtime_dir: Path, *arguments: str | Path, **more: str) -> Result:
    """Run a command to its end."""
    return finish(start_limner(runtime_dir, *arguments, **more))


def run_limner_in(cwd: Path, runtime_dir: Path, *arguments: str | Path) -> Result:
    """Run a command in a folder, to its end."""
    return finish(_start(environment(runtime_dir), arguments, cwd))
