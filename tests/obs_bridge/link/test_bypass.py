"""Bypass: whoever asks for it, it holds until someone takes it back."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.obs_bridge.fake_daemon import FIRST, FakeDaemon
from tests.obs_bridge.link.link_tool import Heard, Start, open_session

from limner.daemon import protocol
from limner.daemon.wire import Message


def test_bypass_asks_for_no_frames(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.settings = msgspec.structs.replace(FIRST, bypass=True)
        tool.wait_answer("status", "status live 1 0")


def test_bypass_outlives_the_connection(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        assert open_session(tool, heard).settings.bypass is None
        daemon.settings = msgspec.structs.replace(FIRST, bypass=True)
        tool.wait_answer("status", "status live 1 0")
    tool.wait_answer("status", "StateWaiting")
    with FakeDaemon(folder, heard=heard) as daemon:
        while heard.wait_hello().settings.bypass is not True:
            pass
        tool.wait_answer("status", "status live 1")
        daemon.settings = msgspec.structs.replace(FIRST, bypass=False)
        tool.wait_answer("status", "status live 1 1")


def test_a_bypass_asked_for_here_is_not_undone_by_what_is_said_meanwhile(start: Start, folder: Path) -> None:
    class Slow(FakeDaemon):
        """Does not answer changes."""

        def say(self, message: Message) -> None:
            if not isinstance(message, protocol.Accepted):
                super().say(message)

    heard = Heard()
    with Slow(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        tool.say("bypass 1")
        assert tool.ask("status").startswith("status live 1 0")
        assert heard.wait_set() == protocol.Set(rev=1, change=protocol.Change(bypass=True))
        daemon.say(daemon.status())
        daemon.say(protocol.Error(code="slot", message="about something else", about="frame"))
        daemon.say(daemon.status())
        tool.wait_line("log 2", "about something else")
        heard.wait(protocol.Ping)
        heard.wait(protocol.Ping)
        assert tool.ask("status").startswith("status live 1 0")
        daemon.settings = msgspec.structs.replace(FIRST, bypass=True)
        FakeDaemon.say(daemon, protocol.Accepted(rev=1, session="fake", settings=daemon.settings))
        tool.wait_line("log", "settings 1 accepted")
        daemon.settings = FIRST
        tool.wait_answer("status", "status live 1 1")


def test_a_bypass_asked_for_while_the_daemon_is_away_is_in_every_hello(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.settings = msgspec.structs.replace(FIRST, bypass=True)
        tool.wait_answer("status", "status live 1 0")
    tool.wait_answer("status", "StateWaiting")
    tool.say("bypass 0")
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        while heard.wait_hello().settings.bypass is not False:
            pass
        assert heard.wait_hello().settings.bypass is False  # nobody answered the first
        daemon.answer_hello = True
        tool.wait_answer("status", "status live 1 1")
