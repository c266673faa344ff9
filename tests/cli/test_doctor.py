"""The doctor's checks, one by one, and as a command."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.cli.runner import run_limner
from tests.support.daemon import RunningDaemon

from limner.cli.doctor import daemon as daemon_checks
from limner.cli.doctor import machine, obs


def test_python_too_old() -> None:
    assert machine.check_python((3, 10, 2)).state == "blocked"
    assert machine.check_python((3, 11, 0)).state == "ok"


def test_missing_package_is_named() -> None:
    finding = machine.check_packages(["numpy", "no-such-package-here"])
    assert finding.state == "blocked" and "no-such-package-here" in finding.text
    assert machine.check_packages().state == "ok"


@pytest.mark.parametrize(
    ("available_kb", "state"), [(4 * 2**20, "ok"), (3 * 2**19, "warning"), (2**19, "blocked")]
)
def test_memory(tmp_path: Path, available_kb: int, state: str) -> None:
    info = tmp_path / "meminfo"
    info.write_text(f"MemTotal: 1 kB\nMemAvailable:   {available_kb} kB\n")
    assert machine.check_memory(info).state == state


def test_processor_without_fast_instructions(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("flags : fpu avx2\n")
    assert machine.check_cpu(info).state == "warning"
    info.write_text("flags : fpu avx2 amx_bf16\n")
    assert machine.check_cpu(info).state == "ok"


def test_no_shared_memory(tmp_path: Path) -> None:
    assert machine.check_shared_memory(tmp_path / "none").state == "blocked"


def test_runtime_folder_open_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    finding = daemon_checks.check_runtime_dir(folder)
    assert (finding.state, "chmod 700" in finding.advice) == ("blocked", True)
    folder.chmod(0o700)
    assert daemon_checks.check_runtime_dir(folder).state == "ok"
    assert daemon_checks.check_runtime_dir(tmp_path / ("x" * 120)).state == "blocked"


def test_plugin_and_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMNER_COMMAND", raising=False)
    assert obs.check_plugin(tmp_path).state == "warning"
    assert obs.check_command(tmp_path / "none").state == "warning"
    note = tmp_path / "data" / "limner-command"
    note.parent.mkdir()
    note.write_text(f"{tmp_path / 'gone'}\n")
    finding = obs.check_command(tmp_path)
    assert finding.state == "blocked" and "gone" in finding.text
    program = tmp_path / "limner"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    note.write_text(f"{program}\n")
    assert obs.check_command(tmp_path).state == "ok"
    monkeypatch.setenv("LIMNER_COMMAND", "limner")
    assert obs.check_command(tmp_path).state == "blocked"


def test_obs_that_runs_is_found(tmp_path: Path) -> None:
    assert "not running" in obs.check_obs_running(tmp_path).text
    (tmp_path / "812").mkdir()
    (tmp_path / "812" / "comm").write_text("obs\n")
    assert "812" in obs.check_obs_running(tmp_path).text


def test_command_with_and_without_a_daemon(no_daemon: Path, daemon: RunningDaemon, tmp_path: Path) -> None:
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    without = run_limner(no_daemon, "doctor", **config)
    assert without.code == 0, without.out
    assert "Nothing stands in the way." in without.out and "no daemon is running" in without.out
    found = json.loads(run_limner(daemon.runtime_dir, "doctor", "--json", **config).out)
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["ok"] is True
    assert states["Daemon"] == states["Worker"] == "ok"


def test_command_fails_when_something_is_in_the_way(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    result = run_limner(folder, "doctor")
    assert result.code == 1
    assert "✗ Runtime folder" in result.out and "Limner cannot work yet: Runtime folder" in result.out
    assert not os.listdir(folder)  # noqa: PTH208
