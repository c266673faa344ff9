"""daemon, status, set and styles, as processes."""

from __future__ import annotations

import json
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.live import SIZE, live_session
from tests.cli.runner import finish, run_limner, start_limner
from tests.support.daemon import RunningDaemon, wait_for

from limner.cli.status_cmd import render
from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.lock import running_pid
from limner.daemon.protocol import Change, Overview, Plan, SessionInfo, Status, WorkerInfo


def test_status_without_a_daemon(no_daemon: Path) -> None:
    result = run_limner(no_daemon, "status")
    assert (result.code, result.out) == (3, "")
    assert result.sentence == "no daemon is running; start one with: limner daemon --detach"
    assert run_limner(no_daemon, "set", "--style", "neon").code == 3
    assert "no daemon was running" in run_limner(no_daemon, "daemon", "--stop").err


def test_status_shows_the_sessions(daemon: RunningDaemon) -> None:
    with live_session(daemon, "Webcam"):
        result = run_limner(daemon.runtime_dir, "status")
        assert result.code == 0
        assert "Webcam" in result.out and "echo on CPU" in result.out
        overview = json.loads(run_limner(daemon.runtime_dir, "status", "--json").out)
        assert overview["worker"]["state"] == "ready"
        assert [one["name"] for one in overview["sessions"]] == ["Webcam"]
    wait_for(lambda: not daemon.query().sessions, "the end of the session")
    assert "No session" in run_limner(daemon.runtime_dir, "status").out


def test_status_watch_goes_on_until_the_daemon_ends(no_daemon: Path) -> None:
    assert run_limner(no_daemon, "daemon", "--engine", "echo", "--detach").code == 0
    process = start_limner(no_daemon, "status", "--watch", "--json", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "overview"
    assert json.loads(process.stdout.readline())["type"] == "overview"
    assert run_limner(no_daemon, "daemon", "--stop").code == 0
    result = finish(process)
    assert result.code == 1
    assert "the daemon" in result.sentence


def test_set_says_when_it_is_in_the_picture(daemon: RunningDaemon) -> None:
    with live_session(daemon, "A"), live_session(daemon, "B"):
        result = run_limner(daemon.runtime_dir, "set", "--style", "noir", "--strength", "0.4")
        assert result.code == 0, result.err
        assert "accepted: noir, strength 0.4, 1 step" in result.out
        assert "in the picture of A after" in result.out and "in the picture of B after" in result.out
        one = run_limner(daemon.runtime_dir, "set", "--prompt", "red sea", "--session", "B")
        assert "accepted: custom ('red sea')" in one.out
        assert "picture of B" in one.out and "picture of A" not in one.out
        settings = {one.name: one.status.settings for one in daemon.query().sessions}
        assert (settings["A"].style, settings["B"].prompt) == ("noir", "red sea")


def test_receipts_say_what_was_taken_and_from_which_chunk_on(daemon: RunningDaemon) -> None:
    with live_session(daemon, "A"):
        options = ["--style", "noir", "--steps", "2", "--least-steps", "4", "--session", "A"]
        result = run_limner(daemon.runtime_dir, "set", *options, "--json")
        assert result.code == 0, result.err
        accepted, applied = (json.loads(line) for line in result.out.splitlines())
        assert (accepted["type"], applied["type"]) == ("accepted", "applied")
        assert accepted["settings"]["style"] == "noir"
        assert accepted["settings"]["least_steps"] == 2, "within the steps"
        assert "least steps 4 is more than 2 steps: 2 it is" in accepted["notes"]
        assert (applied["rev"], applied["session"]) == (accepted["rev"], "A")
        assert applied["chunk"] > 0 and applied["pts_ns"] > 0
        plain = run_limner(daemon.runtime_dir, "set", "--style", "neon").out
        assert "in the picture of A after" in plain and "from chunk" in plain


def test_set_takes_all_that_a_stream_can_be_told(daemon: RunningDaemon) -> None:
    with live_session(daemon, "A"):
        options = ["--mix", "oil painting=3", "--mix", "neon", "--transition-ms", "800", "--steps", "3"]
        more = [
            "--least-steps",
            "2",
            "--mode",
            "latency",
            "--latency-ms",
            "300",
            "--chunk",
            "2",
            "--no-recache",
        ]
        motion = ["--motion-window", "16", "--motion-low", "0.5", "--no-cuts", "--no-adapt"]
        result = run_limner(daemon.runtime_dir, "set", "--session", "A", *options, *more, *motion)
        assert result.code == 0, result.err
        assert "accepted: mix of 'oil painting' 75 %, 'neon' 25 %" in result.out
        assert "in the picture of A after" in result.out
        overview = json.loads(run_limner(daemon.runtime_dir, "status", "--json").out)
        settings = overview["sessions"][0]["status"]["settings"]
        assert settings["mix"][0] == {"prompt": "oil painting", "weight": 3.0}
        assert (settings["style"], settings["prompt"]) == ("custom", "oil painting, neon")
        assert (settings["transition_ms"], settings["steps"], settings["least_steps"]) == (800, 3, 2)
        assert (settings["mode"], settings["latency_ms"], settings["chunk"]) == ("latency", 300, 2)
        assert (settings["recache"], settings["adapt"], settings["cuts"]) == (False, False, False)
        assert (settings["motion_window"], settings["motion_low"]) == (16, 0.5)
        one = run_limner(daemon.runtime_dir, "set", "--session", "A", "--steps", "1")
        assert "note: least steps 2 is more than 1 step: 1 it is" in one.out
        assert "mix of" in run_limner(daemon.runtime_dir, "status").out
        two = run_limner(daemon.runtime_dir, "set", "--session", "A", "--prompt", "red sea 🌊")
        assert "accepted: custom ('red sea 🌊')" in two.out


def test_status_fits_in_80_columns() -> None:
    plan = Plan(steps=2, mode="latency", chunk=1, width=256, height=144, frame_step=1, reduced=True)
    status = Status(
        session="Webcam",
        state="live",
        sentence="Live: 30 fps, 320 ms delay, pocket on CPU; 2 of 4 steps, 256×144 to keep up",
        received=10,
        painted=9,
        strength=0.4375,
        plan=plan,
        stages_ms={"encode": 8.8, "noise": 1.5, "denoise": 29.2, "decode": 16.0},
    )
    session = SessionInfo(
        name="[red]Webcam",
        role="filter",
        width=256,
        height=144,
        source_width=1920,
        source_height=1080,
        status=status,
    )
    worker = WorkerInfo(state="ready", model="pocket", device="CPU", sentence="Ready")
    overview = Overview(version="1", pid=4, uptime_s=60, worker=worker, sessions=[session], styles=[])
    Console(width=80, file=(page := StringIO())).print(render(overview))
    lines = page.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "[red]Webcam (filter, 1920×1080)" in lines
    assert any("2 steps, 256×144, mode latency, strength 0.44" in line for line in lines)
    assert len(lines) < 14


def test_set_does_not_wait_for_a_source_that_is_hidden(daemon: RunningDaemon) -> None:
    hello = hello_for("hidden", "filter", SIZE, 30.0, Change(), exact_size=True)
    with ClientSession(hello, daemon.runtime_dir) as session:
        # Opened, alive, and no frame comes.
        wait_for(lambda: session.query().sessions[0].status.state == "live", "the session", log=daemon.log)
        process = start_limner(daemon.runtime_dir, "set", "--seed", "3", "--session", "hidden")
        while process.poll() is None:
            session.receive(0.05)
        result = finish(process)
    assert result.code == 0, result.err
    assert "nothing is live" in result.out and "not in the picture yet" not in result.out


def test_set_without_a_session_is_for_those_to_come(daemon: RunningDaemon) -> None:
    result = run_limner(daemon.runtime_dir, "set", "--style", "NEON", "--steps", "2")
    assert result.code == 0
    assert "accepted: neon, strength 0.5, 2 steps" in result.out and "nothing is live" in result.out
    with live_session(daemon, "late"):
        (session,) = daemon.query().sessions
        assert (session.status.settings.style, session.status.settings.steps) == ("neon", 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--style", "neom"], "did you mean 'neon'"),
        (["--style", "neon", "--session", "nobody"], "no session 'nobody'"),
    ],
)
def test_set_that_is_refused(daemon: RunningDaemon, arguments: list[str], words: str) -> None:
    result = run_limner(daemon.runtime_dir, "set", *arguments)
    assert result.code == 1
    assert words in result.sentence


@pytest.mark.parametrize("arguments", [[], ["--strength", "2"], ["--steps", "x"], ["--prompt", "x" * 1001]])
def test_set_that_makes_no_sense(daemon: RunningDaemon, arguments: list[str]) -> None:
    result = run_limner(daemon.runtime_dir, "set", *arguments)
    assert result.code == 2
    assert "Traceback" not in result.err and "Error" in result.err


def test_styles(no_daemon: Path) -> None:
    assert "oil painting" in run_limner(no_daemon, "styles").out
    styles = json.loads(run_limner(no_daemon, "styles", "--json").out)
    assert len(styles) >= 4
    assert set(styles[0]) >= {"name", "prompt", "strength", "steps"}


def test_daemon_detaches_runs_once_and_stops(no_daemon: Path) -> None:
    begun = time.monotonic()
    started = run_limner(no_daemon, "daemon", "--engine", "echo", "--detach")
    assert time.monotonic() - begun < 20
    pid = running_pid(no_daemon)
    assert pid is not None
    assert (started.code, started.said) == (0, f"the daemon runs in the background, process {pid}")
    second = run_limner(no_daemon, "daemon", "--engine", "echo")
    assert second.code == 4
    assert f"process {pid}" in second.err and "Traceback" not in second.err
    stopped = run_limner(no_daemon, "daemon", "--stop")
    assert (stopped.code, running_pid(no_daemon)) == (0, None)
    assert f"the daemon (process {pid}) has ended" in stopped.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--engine", "wam"], "unknown engine 'wam'"), (["--threads", "999"], "threads must be")],
)
def test_daemon_with_bad_settings(no_daemon: Path, arguments: list[str], words: str) -> None:
    result = run_limner(no_daemon, "daemon", *arguments)
    assert result.code == 2
    assert words in result.sentence


def test_help_and_version(no_daemon: Path) -> None:
    commands = run_limner(no_daemon, "--help").out
    for name in ("daemon", "status", "set", "styles", "demo", "bench", "doctor"):
        assert f"  {name} " in commands
        assert "Usage: limner " + name in run_limner(no_daemon, name, "--help").out
    assert run_limner(no_daemon, "--version").out.startswith("limner ")
    assert run_limner(no_daemon, "paint").code == 2
