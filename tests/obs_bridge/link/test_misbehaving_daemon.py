"""A daemon that lies, refuses or is of another version: the filter says so, and goes on where it can."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.obs_bridge.fake_daemon import FakeDaemon
from tests.obs_bridge.link.link_tool import Heard, Start, open_session

from limner.daemon import protocol
from limner.daemon.segment import FIRST_SLOT_OFFSET
from limner.daemon.wire import Message, encode


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"garbage", "(garbage)"),
        (b"", "(garbage)"),
        (encode(protocol.Free(generation=1, slot=200)), "input slot 200 is out of range"),
        (
            encode(protocol.Frame(generation=1, slot=16, sequence=1, pts_ns=1)),
            "output slot 16 is out of range",
        ),
        (encode(protocol.Free(generation=1, slot=0)), "input slot 0 is not the sender's to give"),
    ],
)
def test_a_bad_message_is_logged_and_the_session_goes_on(
    data: bytes, named: str, start: Start, folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.say_bytes(data)
        tool.wait_line("log 2", named)
        assert tool.wait_answer("frame 3 50", "ok")
        assert tool.wait_answer("painted", " 252 50")


def test_messages_of_an_older_generation_are_ignored(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.say(protocol.Frame(generation=99, slot=0, sequence=1, pts_ns=1))
        assert tool.wait_answer("frame 3 50", "ok")
        assert tool.wait_answer("painted", " 1 252 50")


def test_another_protocol_version_is_said(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        tool = start()
        tool.say("source Camera 640 360")
        heard.wait_hello()
        daemon.say_bytes(msgspec.msgpack.encode({"type": "welcome", "v": 2}))
        assert "failed" in tool.wait_answer("status", "update the older of filter and daemon")


def test_a_lying_segment_is_refused_by_name(start: Start, folder: Path) -> None:
    class Liar(FakeDaemon):
        def say(self, message: Message) -> None:
            if isinstance(message, protocol.Welcome):
                path = Path("/dev/shm") / message.output.name
                with path.open("r+b") as file:
                    file.truncate(FIRST_SLOT_OFFSET)
            super().say(message)

    heard = Heard()
    with Liar(folder, heard=heard) as daemon:
        tool = start()
        tool.say("source Camera 640 360")
        heard.wait_hello()
        answer = tool.wait_answer("status", "the segment has 4096 bytes")
        assert answer.startswith("status failed 0 0")
        assert "segment limner-" in answer
        assert daemon.painted == 0


def test_only_a_refused_style_is_left_out_of_the_next_hello(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        tool = start()
        tool.say("style long gone")
        tool.say("prompt my own")
        tool.say("source Camera 640 360")
        while heard.wait_hello().settings.style != "long gone":
            pass
        daemon.say(protocol.Error(code="unknown_style", message="unknown style 'long gone'", about="hello"))
        tool.wait_answer("status", "unknown style 'long gone'")
        daemon.answer_hello = True
        while heard.wait_hello().settings != protocol.Change(prompt="my own"):
            pass
        tool.wait_answer("status", "status live 1 1")


def test_another_refusal_costs_no_settings_and_says_bye(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        tool = start()
        tool.say("style noir")
        tool.say("source Camera 640 360")
        while heard.wait_hello().settings.style != "noir":
            pass
        daemon.say(protocol.Error(code="no_memory", message="/dev/shm is full", about="hello"))
        tool.wait_answer("status", "/dev/shm is full")
        heard.wait(protocol.Bye)
        daemon.answer_hello = True
        assert heard.wait_hello().settings == protocol.Change(style="noir")
        tool.wait_answer("status", "status live 1 1")


@pytest.mark.parametrize("code", ["no_session", "silent", "stopping"])
def test_a_session_that_the_daemon_closed_is_opened_again(code: str, start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.say(protocol.Error(code=code, message="the session is closed", about="ping"))
        tool.wait_line("log", "session closed: the session is closed")
        heard.wait_hello()
        tool.wait_answer("status", "status live 1 1")
        assert tool.wait_answer("frame 9 77", "ok")
        assert tool.wait_answer("painted", " 246 77")


def test_many_errors_do_not_flood_the_log(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        for _ in range(200):
            daemon.say(protocol.Error(code="invalid", message="no good", about="frame"))
        daemon.say(protocol.Error(code="silent", message="enough", about="ping"))
        tool.wait_line("log", "session closed: enough")
        assert 1 < sum("no good" in line for line in tool.lines) < 50


def test_an_open_folder_is_not_used(start: Start, folder: Path) -> None:
    folder.chmod(0o755)
    tool = start()
    tool.say("source Camera 640 360")
    tool.wait_answer("status", f"run: chmod 700 {folder}")
