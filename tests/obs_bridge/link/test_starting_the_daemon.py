"""The filter starts the daemon when it may, and says why when there is none."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
from tests.obs_bridge.fake_daemon import FakeDaemon
from tests.obs_bridge.link.link_tool import WAIT_S, Start


def _script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_daemon_is_started_when_allowed(start: Start, folder: Path, tmp_path: Path) -> None:
    called = tmp_path / "called with"
    command = _script(tmp_path / "li mner", f'echo "$@" > "{called}"')
    tool = start(LIMNER_COMMAND=command)
    tool.say("source Camera 640 360")
    tool.wait_answer("status", "StateWaiting")
    assert not called.exists()
    tool.say("may-start")
    tool.wait_line("log 1", f"starting the daemon: {command} daemon --detach")
    deadline = time.monotonic() + WAIT_S
    while not (called.exists() and called.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert called.read_text(encoding="utf-8") == "daemon --detach\n"


def test_what_started_the_daemon_leaves_no_zombie(start: Start, folder: Path, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    command = _script(tmp_path / "limner", f'while [ ! -e "{go_on}" ]; do sleep 0.05; done')
    tool = start(LIMNER_COMMAND=command)
    tool.say("source Camera 640 360")
    tool.say("may-start")
    tool.wait_line("log 1", "starting the daemon")
    with FakeDaemon(folder):
        tool.wait_answer("status", "status live 1 1")
        assert psutil.Process(tool.pid).children()
        go_on.touch()
        deadline = time.monotonic() + WAIT_S
        while psutil.Process(tool.pid).children():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_command_comes_from_the_installers_file(start: Start, tmp_path: Path) -> None:
    where = tmp_path / "limner-command"
    tool = start(str(where))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    tool.wait_answer("status", "It is not installed")
    command = _script(tmp_path / "limner", "exit 3")
    where.write_text(command + "\n", encoding="utf-8")
    tool.wait_answer("status", "ended with code 3")


def test_why_the_daemon_did_not_start_is_said(start: Start, tmp_path: Path) -> None:
    words = (
        "for i in $(seq 300); do echo many words of no use; done; echo; echo 'styles.toml: no such röw'; echo"
    )
    tool = start(LIMNER_COMMAND=_script(tmp_path / "limner", f"({words}) >&2; exit 1"))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    answer = tool.wait_answer("status", "ended with code 1")
    assert answer.endswith("ended with code 1: styles.toml: no such röw")


def test_a_daemon_that_runs_already_is_no_failure(start: Start, tmp_path: Path) -> None:
    called = tmp_path / "called"
    tool = start(LIMNER_COMMAND=_script(tmp_path / "limner", f'echo >> "{called}"; exit 4'))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    deadline = time.monotonic() + WAIT_S
    while (
        not called.exists() or len(called.read_text(encoding="utf-8")) < 2
    ):  # tried again: the first is done
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tool.ask("status").endswith("|StateWaiting")
    assert not any("could not be started" in line for line in tool.lines)


def test_a_command_that_is_not_there_is_named(start: Start, tmp_path: Path) -> None:
    tool = start(LIMNER_COMMAND=str(tmp_path / "nothing"))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    tool.wait_answer("status", f"NONE STARTED: {tmp_path}/nothing (No such file or directory)")
    assert any("It could not be started: " in line for line in tool.lines), "the log stays English"
