"""The shell scripts: their words, and what they do without rights or packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTALLER = ROOT / "installer"


def bash(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def library(body: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run `body` with the installer's functions loaded, in an empty root."""
    sources = "".join(f'. "{INSTALLER / "lib" / name}.sh"\n' for name in ("say", "system", "python"))
    script = f'set -euo pipefail\nroot="{tmp_path}"\nassume_yes=0\n{sources}cd "$root"\n{body}\n'
    return bash("-c", script)


def test_help_from_anywhere(tmp_path: Path) -> None:
    done = bash(str(INSTALLER / "run.sh"), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--yes" in done.stdout


def test_an_unknown_option_is_named() -> None:
    done = bash("installer/run.sh", "--frobnicate")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("Unknown option --frobnicate")


def test_missing_packages_without_consent_end_in_one_sentence(tmp_path: Path) -> None:
    done = library("missing_packages() { echo obs-studio; }\nsystem_packages run", tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "These system packages are missing: obs-studio. "
        "Run again with --yes to install them, or install them yourself."
    )


def test_a_system_without_apt_is_told_what_is_needed(tmp_path: Path) -> None:
    body = (
        "missing_packages() { echo cmake; }\n"
        "have() { [ $1 != apt-get ] && command -v $1 >/dev/null; }\nsystem_packages run"
    )
    done = library(body, tmp_path)
    assert done.returncode == 1
    assert "knows Debian and Ubuntu" in done.stderr
    assert done.stderr.strip().endswith("cmake")


def test_a_failing_step_shows_its_end_and_the_advice(tmp_path: Path) -> None:
    body = (
        "start_log t\nstep_advice='Do this.'\n"
        "bad() { echo something broke; false; echo not reached; }\nstep 'A step' bad\necho not reached"
    )
    done = library(body, tmp_path)
    assert done.returncode == 1
    assert "something broke" in done.stderr
    assert "not reached" not in done.stdout + done.stderr
    assert done.stderr.strip().endswith("A step: failed (code 1). Do this.")


def test_steps_log_their_output(tmp_path: Path) -> None:
    done = library("start_log t\nstep 'A step' echo details", tmp_path)
    assert done.returncode == 0
    assert "✓ A step" in done.stdout
    assert "details" not in done.stdout
    assert (tmp_path / "build" / "t.log").read_text() == "details\n"


def test_the_stamp_follows_the_lock_and_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        lock = tmp_path / name / "installer" / "lock"
        lock.mkdir(parents=True)
        for lock_file in ("requirements.lock", "requirements-dev.lock", "torch.lock", "torch-cpu.lock"):
            (lock / lock_file).write_text("same")
        (tmp_path / name / "pyproject.toml").write_text("same")

    def stamp(name: str, flavour: str) -> str:
        return library(f"environment_stamp {flavour}", tmp_path / name).stdout

    first = stamp("one", "run")
    assert first == stamp("one", "run")
    assert len({first, stamp("two", "run"), stamp("one", "test")}) == 3
    (tmp_path / "one" / "installer" / "lock" / "torch.lock").write_text("other")
    assert stamp("one", "run") != first


def test_this_machine_lacks_nothing_for_the_tests(tmp_path: Path) -> None:
    assert library("missing_packages test", tmp_path).stdout == ""
