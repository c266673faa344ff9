"""The plugin's test programs, built once with AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "obs_bridge" / "plugin"
BUILD = ROOT / "build" / "plugin-sanitized"
# A leak or an overrun ends the program with a code of its own, so no test can miss it.
SANITIZERS = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@pytest.fixture(scope="session")
def tools() -> Path:
    """Folder of the test programs."""
    configure: list[str | Path] = [
        "cmake",
        "-S",
        PLUGIN,
        "-B",
        BUILD,
        "-G",
        "Ninja",
        "-DLIMNER_SANITIZE=ON",
        "-DLIMNER_TESTS=ON",
    ]
    build: list[str | Path] = ["cmake", "--build", BUILD]
    for command in (configure, build):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return BUILD / "tests"


@pytest.fixture(scope="session")
def tool_environment() -> dict[str, str]:
    """Environment of a test program: sanitizers strict, no daemon of this machine in reach."""
    hidden = ("LIMNER_", "XDG_RUNTIME_DIR")
    return {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | SANITIZERS
