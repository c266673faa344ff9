"""The plugin's pure parts: every C test by its name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "obs_bridge" / "plugin" / "tests" / "units"
# Read from the sources, so that collecting needs no compiler. In the order in which main.c lists the modules.
NAMES = [
    name
    for source in sorted(SOURCES.glob("test_*.c"))
    for name in re.findall(r"^\tTEST\((\w+)\),$", source.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("name", NAMES)
def test_unit(name: str, tools: Path, tool_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [tools / "units", name],
        env=tool_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_units_are_listed(tools: Path, tool_environment: dict[str, str]) -> None:
    done = subprocess.run([tools / "units"], env=tool_environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == NAMES
    assert len(NAMES) > 10
