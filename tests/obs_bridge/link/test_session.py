"""The filter's I/O thread without OBS: how a session opens, carries frames, is lost and comes back."""

from __future__ import annotations

import time
from pathlib import Path

from tests.obs_bridge.fake_daemon import STYLES, FakeDaemon
from tests.obs_bridge.link.link_tool import Heard, Start, open_session

from limner.daemon import protocol


def test_hello_says_what_there_is_to_paint(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        hello = open_session(tool, heard)
        assert (hello.name, hello.role, hello.source_width, hello.source_height) == (
            "Camera",
            "filter",
            640,
            360,
        )
        assert hello.settings == protocol.Change()
        assert tool.ask("status") == f"status live 1 1 {len(STYLES)} invert|Live: the fake daemon paints"


def test_frames_go_out_and_come_back(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        for value in range(40):  # more than there are slots: they come back
            assert tool.wait_answer(f"frame {value} {1000 + value}", "ok") == "frame ok"
            assert tool.wait_answer("painted", f" {255 - value} {1000 + value}")
        assert daemon.painted == 40


def test_no_free_slot_is_told_at_once(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.hang.set()
        answers = [tool.ask(f"frame 1 {pts}") for pts in range(1, 10)]
        assert answers == ["frame ok"] * 8 + ["frame full"]


def test_silence_and_hanging_up_lose_the_session_and_it_comes_back(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        names = daemon.segment_names
        daemon.hang.set()
        tool.wait_line("log", "silent for 2 s")
        # The names of a dead daemon's segments are removed; its own cleaning finds nothing.
        for name in names:
            assert not (Path("/dev/shm") / name).exists()
        tool.wait_answer("status", "waiting 0 0")
        daemon.hang.clear()
        tool.wait_answer("status", "status live 1 1")
    tool.wait_line("log", "it hung up")
    tool.wait_answer("status", "StateWaiting")
    with FakeDaemon(folder, heard=heard):
        tool.wait_answer("status", "status live 1 1")
        assert tool.wait_answer("frame 9 77", "ok")
        assert tool.wait_answer("painted", " 246 77")


def test_heartbeat_is_kept(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        heard.wait(protocol.Ping)
        before = time.monotonic()
        for _ in range(4):
            heard.wait(protocol.Ping)
        assert time.monotonic() - before < 4 * protocol.SILENCE_S
    tool.close()


def test_end_says_bye(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        tool.close()
        heard.wait(protocol.Bye)


def test_a_new_shape_asks_for_a_new_session(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        tool.say("source Camera 1280 720")  # the same shape: nothing to ask
        tool.say("source Camera 360 640")
        hello = heard.wait_hello()
        assert (hello.source_width, hello.source_height) == (360, 640)
        tool.wait_answer("status", "status live 1 1")


def test_a_new_name_asks_for_a_new_session(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        tool.say("source Desk 640 360")
        heard.wait(protocol.Bye)
        assert heard.wait_hello().name == "Desk"
        tool.wait_answer("status", "status live 1 1")


def test_a_reset_is_said_once_a_session_is_open(start: Start, folder: Path) -> None:
    heard = Heard()
    tool = start()
    tool.say("reset")
    with FakeDaemon(folder, heard=heard):
        open_session(tool, heard)
        assert heard.wait(protocol.Reset) == protocol.Reset()
