"""What goes wrong with a demo: one sentence that names the thing, and nothing half-written."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.clips import read_clip, write_clip, write_sound_only
from tests.cli.runner import TIMEOUT_S, Result, environment, finish, run_limner, start_limner
from tests.support.daemon import RunningDaemon, running_daemon, wait_for


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


def refused(daemon: RunningDaemon, *arguments: str | Path) -> str:
    result = run_limner(daemon.runtime_dir, "demo", *arguments)
    assert result.code == 1, result.err
    return result.sentence


def test_clips_that_are_none(daemon: RunningDaemon, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert refused(daemon, tmp_path / "no.mp4", "-o", out) == f"there is no file {tmp_path / 'no.mp4'}"
    garbage = tmp_path / "garbage.mp4"
    # Not by chance: some bytes look like sound.
    garbage.write_bytes(b"not a video, " * 400)
    assert "garbage.mp4 is not a video file" in refused(daemon, garbage, "-o", out)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "empty.mp4 is not a video file" in refused(daemon, empty, "-o", out)
    sound = write_sound_only(tmp_path / "sound.mp4")
    assert refused(daemon, sound, "-o", out) == f"{sound} has no picture, only sound"
    assert refused(daemon, tmp_path, "-o", out) == f"{tmp_path} is a folder, not a video file"
    assert not out.exists()


def test_clip_that_is_too_large(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", size=(8208, 16), codec="ffv1", frames=1)
    sentence = refused(daemon, clip, "-o", tmp_path / "out.mp4")
    assert f"{clip} is 8208×16, Limner takes up to 8192 pixels a side" in sentence


def test_outputs_that_cannot_be(daemon: RunningDaemon, tmp_path: Path, clip: Path) -> None:
    missing = tmp_path / "missing" / "out.mp4"
    assert refused(daemon, clip, "-o", missing) == (
        f"cannot write {missing}: there is no folder {missing.parent}"
    )
    before = clip.read_bytes()
    assert "is the clip itself" in refused(daemon, clip, "-o", clip)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    assert "is the clip itself" in refused(daemon, clip, "-o", link)
    assert clip.read_bytes() == before
    assert "must end in .mp4" in refused(daemon, clip, "-o", tmp_path / "out.gif")
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    assert "it is a folder" in refused(daemon, clip, "-o", folder)
    report = tmp_path / "missing" / "report.json"
    assert "cannot write the report" in refused(daemon, clip, "-o", tmp_path / "o.mp4", "--report", report)


def test_full_disk(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", size=(640, 360), frames=60, sound="aac")
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "from limner.cli.main import main; sys.argv[0] = 'limner'; main()"
    )
    arguments = ["demo", str(clip), "-o", str(tmp_path / "out.mp4"), "--no-realtime"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment(daemon.runtime_dir),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert result.code == 1
    assert f"cannot write {tmp_path / 'out.mp4'}: File too large" in result.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_permission(daemon: RunningDaemon, tmp_path: Path, clip: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "no permission to write" in refused(daemon, clip, "-o", locked / "out.mp4")


def test_unknown_style_is_answered_with_a_suggestion(
    daemon: RunningDaemon, tmp_path: Path, clip: Path
) -> None:
    sentence = refused(daemon, clip, "-o", tmp_path / "out.mp4", "--style", "noen")
    assert "unknown style 'noen'; did you mean 'neon'?" in sentence
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--strength", "1.5"), ("--strength", "nan"), ("--steps", "5"), ("--steps", "0"), ("--seed", "-1")],
)
def test_settings_out_of_range(
    daemon: RunningDaemon, tmp_path: Path, clip: Path, option: str, value: str
) -> None:
    result = run_limner(daemon.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4", option, value)
    assert result.code == 2
    assert option in result.err and "Traceback" not in result.err


def test_unknown_engine(daemon: RunningDaemon, tmp_path: Path, clip: Path) -> None:
    result = run_limner(daemon.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4", "--engine", "wam")
    assert result.code == 2
    assert "unknown engine 'wam'" in result.sentence


def wait_until_painting(daemon: RunningDaemon) -> None:
    def painting() -> bool:
        sessions = daemon.query().sessions
        return bool(sessions) and sessions[0].status.painted >= 10

    wait_for(painting, "a demo that paints", log=daemon.log)


def test_what_was_painted_survives_the_daemon(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=900, rate=30, sound="aac")
    out = tmp_path / "out.mp4"
    with running_daemon() as daemon:
        daemon.wait_ready()
        process = start_limner(daemon.runtime_dir, "demo", clip, "-o", out)
        wait_until_painting(daemon)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.process.wait()
        result = finish(process)
        assert result.code == 1
        assert "painted until then are in" in result.sentence
        seen = read_clip(out)
        assert 10 <= len(seen.greys) < 900
        assert seen.sound_s < 30
        assert daemon.segments == []
        # The daemon could not remove its socket.
        for socket in daemon.runtime_dir.glob("*.sock"):
            socket.unlink()


def test_daemon_that_is_stopped(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=900, rate=30)
    with running_daemon() as daemon:
        daemon.wait_ready()
        process = start_limner(daemon.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4")
        wait_until_painting(daemon)
        assert daemon.stop() == 0
        result = finish(process)
        assert result.code == 1
        assert "painted until then are in" in result.sentence
        assert len(read_clip(tmp_path / "out.mp4").greys) >= 10


def test_interrupt_keeps_what_was_painted(daemon: RunningDaemon, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=900, rate=30)
    process = start_limner(daemon.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4")
    wait_until_painting(daemon)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    assert "stopped; the" in result.sentence
    assert len(read_clip(tmp_path / "out.mp4").greys) >= 10
    wait_for(lambda: not daemon.query().sessions, "the end of the session")


def test_without_realtime_a_dead_worker_costs_no_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3000, rate=30)
    report = tmp_path / "report.json"
    with running_daemon() as daemon:
        worker = daemon.wait_ready().worker.pid
        process = start_limner(
            daemon.runtime_dir, "demo", clip, "-o", tmp_path / "out.mp4", "--no-realtime", "--report", report
        )
        wait_until_painting(daemon)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        result = finish(process)
        assert result.code == 0, result.err
        assert daemon.query().worker.restarts == 1
    assert "painted 3000 of 3000 frames" in result.err
