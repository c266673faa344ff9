"""What the filter's page says: states, sentences, styles, receipts; and how often it is built anew."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from tests.obs_bridge.fake_daemon import FIRST, FakeDaemon
from tests.obs_bridge.link.link_tool import WAIT_S, Heard, Start, open_session

from limner.daemon import protocol


def test_a_fault_of_its_own_is_said_first(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        tool.say("fault FaultGraphics")
        tool.wait_line("log 3", "FaultGraphics")
        tool.wait_line("state")
        assert tool.ask("status").endswith("|FaultGraphics")
        assert tool.ask("status").startswith("status failed 1")
        tool.say("well")
        tool.wait_line("state")
        assert tool.ask("status").startswith("status live 1 1")


def test_states_that_flap_are_not_told_each_time(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        told = tool.lines.count("state")
        before = time.monotonic()
        for state in ["overloaded", "live"] * 10:
            daemon.state = state
            daemon.say(daemon.status())
            tool.wait_answer("status", f"status {state} ")
        at_most = 1 + (time.monotonic() - before) / 3
        assert tool.lines.count("state") - told <= at_most
        deadline = time.monotonic() + WAIT_S
        while tool.lines.count("state") == told:  # a little later, but it is told
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_daemons_words_are_said_in_the_users_language(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        known = protocol.Saying(code="live", values={"fps": "24"}, text="Live: 24 fps")
        newer = protocol.Saying(code="newer", text="said by a newer daemon")
        daemon.say(msgspec.structs.replace(daemon.status(), sayings=[known, newer], device="GPU"))
        tool.wait_answer("status", "|LIVE 24; said by a newer daemon")


def test_a_refusal_is_said_in_the_log_and_as_the_state(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        tool = start()
        tool.say("source Camera 640 360")
        heard.wait_hello()
        daemon.say(protocol.Error(code="no_memory", message="no room in /dev/shm", about="hello"))
        tool.wait_answer("status", "|no room in /dev/shm")


def test_other_styles_are_taken_over_while_the_page_is_open(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        told = tool.lines.count("state")
        daemon.say(protocol.Styles(styles=["one", "two", "three", "four", "five"]))
        tool.wait_answer("status", "status live 1 1 5 ")
        deadline = time.monotonic() + WAIT_S
        while tool.lines.count("state") == told:
            assert time.monotonic() < deadline, "the page is built anew"
            time.sleep(0.02)


def test_a_receipt_says_what_was_taken_and_since_when_it_shows(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        assert tool.ask("receipt").startswith("receipt 0 "), "a hello is no change"
        daemon.settings = msgspec.structs.replace(FIRST, strength=0.75)
        tool.say("strength 0.9")
        assert heard.wait_set().change.strength == 0.9
        assert tool.wait_answer("receipt", "receipt 1") == "receipt 1 accepted 0 Strength: 0.75|"
        told = tool.lines.count("state")
        daemon.say(protocol.Applied(rev=1, session="fake", chunk=12, pts_ns=time.monotonic_ns()))
        assert tool.wait_answer("receipt", "applied") == "receipt 1 applied 12 Strength: 0.75|"
        deadline = time.monotonic() + WAIT_S
        while tool.lines.count("state") == told:
            assert time.monotonic() < deadline, "the page shows it, once the hands rest"
            time.sleep(0.05)


def test_the_page_stays_as_it_is_under_the_hands_of_who_writes(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        tool.say("prompt a house")
        rev = heard.wait_set().rev
        daemon.say(protocol.Applied(rev=rev, session="fake", chunk=1, pts_ns=time.monotonic_ns()))
        tool.wait_answer("receipt", f"receipt {rev} applied")
        told = tool.lines.count("state")
        time.sleep(4)
        assert tool.lines.count("state") == told


def test_many_changes_are_one_refresh_of_the_page(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        told = tool.lines.count("state")
        before = time.monotonic()
        for _ in range(200):
            tool.say("refresh")
            tool.ask("status")
        at_most = 2 + (time.monotonic() - before) / 0.3
        tool.wait_line("state")
        assert 1 <= tool.lines.count("state") - told <= at_most
