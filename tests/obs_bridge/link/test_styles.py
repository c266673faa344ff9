"""A style brings a prompt and a strength of its own: which of them count, whatever comes in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.obs_bridge.fake_daemon import FIRST, STYLES, FakeDaemon
from tests.obs_bridge.link.link_tool import Heard, Start, open_as_the_page_is

from limner.daemon import protocol
from limner.daemon.wire import Message, encode


def test_a_style_that_was_lost_with_a_session_brings_nothing_of_the_old_one(
    start: Start, folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        open_as_the_page_is(tool, heard)
        daemon.answer_sets = False
        tool.say(f"style {STYLES[1]}")
        assert heard.wait_set().change == protocol.Change(style=STYLES[1])
        tool.say("source Desk 640 360")
        assert heard.wait_hello().settings == protocol.Change(style=STYLES[1])


def test_words_of_ones_own_come_back_with_all_that_was_set(start: Start, folder: Path) -> None:
    """A look of one's own brings nothing: a daemon that is new knows no strength but a style's."""
    heard, later = Heard(), Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        open_as_the_page_is(tool, heard)
    tool.wait_line("log", "it hung up")
    tool.say("style custom")
    tool.say("prompt my own words")
    # Nobody answers: it says hello again and again, the first time perhaps from between the two.
    with FakeDaemon(folder, heard=later, answer_hello=False):
        hello = later.wait_hello()
        while (hello.settings.style, hello.settings.prompt) != ("custom", "my own words"):
            hello = later.wait_hello()
        assert hello.settings.strength == FIRST.strength


def test_a_style_chosen_without_a_daemon_brings_its_own_prompt(start: Start, folder: Path) -> None:
    heard = Heard()
    tool = start()
    tool.say("prompt an oil painting")
    tool.say("style oil painting")
    tool.say("source Camera 640 360")
    with FakeDaemon(folder, heard=heard):
        tool.wait_answer("status", "status live")
        heard.wait_hello()
    tool.wait_answer("status", "StateWaiting")
    tool.say(f"style {STYLES[1]}")
    tool.ask("status")
    with FakeDaemon(folder, heard=heard):
        # In the hello, or right after it where that was under way already.
        while (change := heard.wait_change()).style != STYLES[1]:
            pass
        assert change.prompt is None


class Styled(FakeDaemon):
    """The first change is answered when `answer` is called."""

    first: protocol.Accepted | None = None

    def say(self, message: Message) -> None:
        if isinstance(message, protocol.Accepted) and message.rev == 1:
            self.first = message
        else:
            super().say(message)

    def answer(self, settings: protocol.Settings) -> None:
        assert self.first
        self.settings = settings
        self.say_bytes(encode(msgspec.structs.replace(self.first, settings=settings)))


@pytest.fixture
def styled(folder: Path) -> Iterator[tuple[Styled, Heard]]:
    heard = Heard()
    with Styled(folder, heard=heard) as daemon:
        yield daemon, heard


PENCIL = msgspec.structs.replace(FIRST, style=STYLES[1], prompt="pencil", strength=0.9)


def test_styles_in_quick_succession_do_not_take_over_prompts(
    start: Start, styled: tuple[Styled, Heard]
) -> None:
    daemon, heard = styled
    tool = start()
    open_as_the_page_is(tool, heard)
    tool.say(f"style {STYLES[1]}")
    assert heard.wait_set().change == protocol.Change(style=STYLES[1])
    tool.say("style noir")
    tool.ask("status")
    daemon.answer(PENCIL)
    assert heard.wait_set().change == protocol.Change(style="noir")


def test_a_strength_that_comes_with_a_style_wins_over_the_styles_own(
    start: Start, styled: tuple[Styled, Heard]
) -> None:
    daemon, heard = styled
    tool = start()
    open_as_the_page_is(tool, heard)
    tool.say(f"steer {STYLES[1]}")
    tool.say(f"strength {FIRST.strength}")
    change = heard.wait_set().change
    assert change.style == STYLES[1]
    if change.strength is None:  # a slow machine sends them one after the other
        daemon.answer(PENCIL)
        change = heard.wait_set().change
    assert change.strength == FIRST.strength
