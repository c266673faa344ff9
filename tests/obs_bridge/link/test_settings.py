"""Settings on their way: what the filter says to the daemon, when, and what it takes over from others."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
from tests.obs_bridge.fake_daemon import FIRST, STYLES, FakeDaemon
from tests.obs_bridge.link.link_tool import Heard, Start, open_as_the_page_is, open_session

from limner.daemon import protocol
from limner.daemon.wire import Message, encode


def test_settings_are_debounced_and_only_differences_are_sent(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)
        for text in ("a", "a h", "a ho", "a house"):
            tool.say(f"prompt {text}")
        assert heard.wait_set() == protocol.Set(rev=1, change=protocol.Change(prompt="a house"))
        tool.wait_line("log", "settings 1 accepted")
        tool.say(f"style {STYLES[1]}")
        sent = heard.wait_set()
        assert sent.rev == 2
        assert sent.change.style == STYLES[1]


def test_what_others_set_is_mirrored(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        tool.wait_line("mirror", "oil painting|an oil painting|0.5|1")
        daemon.settings = msgspec.structs.replace(
            FIRST, style=STYLES[1], prompt="pencil", strength=0.75, steps=4
        )
        tool.wait_line("mirror", "pencil sketch|pencil|0.75|4")


def test_what_was_mirrored_late_is_not_said_back(start: Start, folder: Path) -> None:
    """The page gets what others have set a moment later, when they may have set something newer."""
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        daemon.settings = msgspec.structs.replace(FIRST, style=STYLES[1], steps=4, seed=3)
        tool.wait_line("mirror", f"{STYLES[1]}|{FIRST.prompt}|0.5|4")
        tool.say("hold")
        daemon.settings = msgspec.structs.replace(FIRST, style=STYLES[0], steps=2, seed=5)
        tool.wait_line("mirror", f"{STYLES[0]}|{FIRST.prompt}|0.5|2")
        tool.say("adopt")
        tool.say("strength 0.9")
        assert heard.wait_change() == protocol.Change(strength=0.9)


def test_what_is_taken_back_before_it_is_answered_is_said(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_as_the_page_is(tool, heard)
        daemon.answer_sets = False
        for strength in (0.9, FIRST.strength):
            tool.say(f"strength {strength}")
            assert heard.wait_set().change == protocol.Change(strength=strength)


def test_who_is_off_air_says_so_after_a_while_and_on_air_at_once(start: Start, folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        assert open_session(tool, heard).settings.on_air is None, "it is, until it is said otherwise"
        tool.say("air 0")
        tool.say("air 1")
        tool.say("strength 0.75")
        assert heard.wait_change() == protocol.Change(strength=0.75), "a moment is not worth a word"
        tool.say("air 0")
        assert heard.wait_change() == protocol.Change(on_air=False)
        tool.say("air 1")
        assert heard.wait_change() == protocol.Change(on_air=True)
        tool.say("air 0")
        assert heard.wait_change() == protocol.Change(on_air=False)
    with FakeDaemon(folder, heard=heard):
        assert heard.wait_hello().settings.on_air is False


def test_a_slider_works_while_it_is_dragged(start: Start, folder: Path) -> None:
    heard = Heard()
    stop = threading.Event()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_session(tool, heard)

        def drag() -> None:
            value = 0
            while not stop.wait(0.02):
                value = value % 99 + 1
                tool.say(f"strength {value / 100}")

        hand = threading.Thread(target=drag)
        hand.start()
        try:
            revs = [heard.wait_set().rev for _ in range(4)]
        finally:
            stop.set()
            hand.join()
        assert revs == [1, 2, 3, 4]


def test_a_slider_that_was_put_back_is_sent_as_well(start: Start, folder: Path) -> None:
    class Slow(FakeDaemon):
        """Answers the first change only when the second wish is there."""

        held: protocol.Accepted | None = None

        def say(self, message: Message) -> None:
            if isinstance(message, protocol.Accepted) and message.rev == 1:
                settings = msgspec.structs.replace(FIRST, strength=0.9)
                self.settings, self.held = settings, msgspec.structs.replace(message, settings=settings)
            elif not (isinstance(message, protocol.Status) and self.held):
                super().say(message)

    heard = Heard()
    with Slow(folder, heard=heard) as daemon:
        tool = start()
        open_session(tool, heard)
        tool.say("strength 0.9")
        assert heard.wait_set().change.strength == 0.9
        tool.say(f"strength {FIRST.strength}")
        tool.ask("status")
        assert daemon.held
        daemon.say_bytes(encode(daemon.held))
        assert heard.wait_set().change.strength == FIRST.strength
