"""The filter's I/O thread without OBS, against a daemon that can be made to misbehave."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.obs_bridge.fake_daemon import FIRST, STYLES, FakeDaemon

from limner.daemon import protocol
from limner.daemon.segment import FIRST_SLOT_OFFSET
from limner.daemon.wire import Message, encode

WAIT_S = 60.0


class LinkTool:
    """The C program that plays a filter without OBS."""

    def __init__(self, path: Path, environment: dict[str, str], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [path, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self.closed = False
        self._new: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="link-tool")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._new.put(line.rstrip("\n"))

    def say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait_line(self, begin: str, named: str = "") -> str:
        """Return the next line that begins so and has `named` in it."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                line = self._new.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line {begin!r} with {named!r} in {self.lines[-20:]}") from None
            if line.startswith(begin) and named in line:
                return line

    def ask(self, command: str) -> str:
        self.say(command)
        return self.wait_line(command.split(" ", maxsplit=1)[0] + " ")

    def wait_answer(self, command: str, named: str) -> str:
        deadline = time.monotonic() + WAIT_S
        while named not in (answer := self.ask(command)):
            assert time.monotonic() < deadline, f"{answer!r} has no {named!r}; {self.lines[-20:]}"
            time.sleep(0.02)
        return answer

    def close(self) -> None:
        """End it, and let the sanitizers speak. Harmless when it was done before."""
        if self.closed:
            return
        self.closed = True
        if self._process.poll() is None:
            self.say("quit")
        assert self._process.stderr
        errors = self._process.stderr.read()
        self._reader.join(WAIT_S)
        assert self._process.wait(WAIT_S) == 0, errors
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            pipe.close()


class Heard:
    """What the daemon heard."""

    def __init__(self) -> None:
        self._messages: queue.Queue[Message] = queue.Queue()

    def __call__(self, message: Message) -> None:
        self._messages.put(message)

    def wait(self, *kinds: type[Message]) -> Message:
        deadline = time.monotonic() + WAIT_S
        while True:
            message = self._messages.get(timeout=max(0.01, deadline - time.monotonic()))
            if isinstance(message, kinds):
                return message

    def wait_hello(self) -> protocol.Hello:
        message = self.wait(protocol.Hello)
        assert isinstance(message, protocol.Hello)
        return message

    def wait_change(self) -> protocol.Change:
        message = self.wait(protocol.Hello, protocol.Set)
        return message.settings if isinstance(message, protocol.Hello) else message.change  # type: ignore[attr-defined]

    def wait_set(self) -> protocol.Set:
        message = self.wait(protocol.Set)
        assert isinstance(message, protocol.Set)
        return message


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="limner-") as made:
        yield Path(made)


@pytest.fixture
def start(tools: Path, tool_environment: dict[str, str], folder: Path) -> Iterator[Callable[..., LinkTool]]:
    running: list[LinkTool] = []

    def start_tool(*arguments: str, **environment: str) -> LinkTool:
        tool = LinkTool(
            tools / "link_tool",
            tool_environment | {"LIMNER_RUNTIME_DIR": str(folder)} | environment,
            *arguments,
        )
        running.append(tool)
        return tool

    yield start_tool
    for tool in running:
        tool.close()


def _open(tool: LinkTool, heard: Heard) -> protocol.Hello:
    tool.say("source Camera 640 360")
    hello = heard.wait_hello()
    tool.wait_answer("status", "status live 1 1")
    return hello


def test_hello_says_what_there_is_to_paint(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        hello = _open(tool, heard)
        assert (hello.name, hello.role, hello.source_width, hello.source_height) == (
            "Camera",
            "filter",
            640,
            360,
        )
        assert hello.settings == protocol.Change()
        assert tool.ask("status") == f"status live 1 1 {len(STYLES)} invert|Live: the fake daemon paints"


def test_frames_go_out_and_come_back(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        for value in range(40):  # more than there are slots: they come back
            assert tool.wait_answer(f"frame {value} {1000 + value}", "ok") == "frame ok"
            assert tool.wait_answer("painted", f" {255 - value} {1000 + value}")
        assert daemon.painted == 40


def test_no_free_slot_is_told_at_once(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        daemon.hang.set()
        answers = [tool.ask(f"frame 1 {pts}") for pts in range(1, 10)]
        assert answers == ["frame ok"] * 8 + ["frame full"]


def test_silence_and_hanging_up_lose_the_session_and_it_comes_back(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
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


def test_heartbeat_is_kept(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        heard.wait(protocol.Ping)
        before = time.monotonic()
        for _ in range(4):
            heard.wait(protocol.Ping)
        assert time.monotonic() - before < 4 * protocol.SILENCE_S
    tool.close()


def test_end_says_bye(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        tool.close()
        heard.wait(protocol.Bye)


def test_a_new_shape_asks_for_a_new_session(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        tool.say("source Camera 1280 720")  # the same shape: nothing to ask
        tool.say("source Camera 360 640")
        hello = heard.wait_hello()
        assert (hello.source_width, hello.source_height) == (360, 640)
        tool.wait_answer("status", "status live 1 1")


def test_a_new_name_asks_for_a_new_session(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        tool.say("source Desk 640 360")
        heard.wait(protocol.Bye)
        assert heard.wait_hello().name == "Desk"
        tool.wait_answer("status", "status live 1 1")


def test_a_fault_of_its_own_is_said_first(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        tool.say("fault FaultGraphics")
        tool.wait_line("log 3", "FaultGraphics")
        tool.wait_line("state")
        assert tool.ask("status").endswith("|FaultGraphics")
        assert tool.ask("status").startswith("status failed 1")
        tool.say("well")
        tool.wait_line("state")
        assert tool.ask("status").startswith("status live 1 1")


def test_states_that_flap_are_not_told_each_time(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
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


# ---- what is said


def test_the_daemons_words_are_said_in_the_users_language(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        known = protocol.Saying(code="live", values={"fps": "24"}, text="Live: 24 fps")
        newer = protocol.Saying(code="newer", text="said by a newer daemon")
        daemon.say(msgspec.structs.replace(daemon.status(), sayings=[known, newer], device="GPU"))
        tool.wait_answer("status", "|LIVE 24; said by a newer daemon")


def test_a_refusal_is_said_in_the_log_and_as_the_state(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        tool = start()
        tool.say("source Camera 640 360")
        heard.wait_hello()
        daemon.say(protocol.Error(code="no_memory", message="no room in /dev/shm", about="hello"))
        tool.wait_answer("status", "|no room in /dev/shm")


def test_other_styles_are_taken_over_while_the_page_is_open(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        told = tool.lines.count("state")
        daemon.say(protocol.Styles(styles=["one", "two", "three", "four", "five"]))
        tool.wait_answer("status", "status live 1 1 5 ")
        deadline = time.monotonic() + WAIT_S
        while tool.lines.count("state") == told:
            assert time.monotonic() < deadline, "the page is built anew"
            time.sleep(0.02)


def test_a_receipt_says_what_was_taken_and_since_when_it_shows(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
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


def test_the_page_stays_as_it_is_under_the_hands_of_who_writes(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        tool.say("prompt a house")
        rev = heard.wait_set().rev
        daemon.say(protocol.Applied(rev=rev, session="fake", chunk=1, pts_ns=time.monotonic_ns()))
        tool.wait_answer("receipt", f"receipt {rev} applied")
        told = tool.lines.count("state")
        time.sleep(4)
        assert tool.lines.count("state") == told


# ---- settings


def test_settings_are_debounced_and_only_differences_are_sent(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        for text in ("a", "a h", "a ho", "a house"):
            tool.say(f"prompt {text}")
        assert heard.wait_set() == protocol.Set(rev=1, change=protocol.Change(prompt="a house"))
        tool.wait_line("log", "settings 1 accepted")
        tool.say(f"style {STYLES[1]}")
        sent = heard.wait_set()
        assert sent.rev == 2
        assert sent.change.style == STYLES[1]


def test_what_others_set_is_mirrored(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        tool.wait_line("mirror", "oil painting|an oil painting|0.5|1")
        daemon.settings = msgspec.structs.replace(
            FIRST, style=STYLES[1], prompt="pencil", strength=0.75, steps=4
        )
        tool.wait_line("mirror", "pencil sketch|pencil|0.75|4")


def test_what_was_mirrored_late_is_not_said_back(start: Callable[..., LinkTool], folder: Path) -> None:
    """The page gets what others have set a moment later, when they may have set something newer."""
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        daemon.settings = msgspec.structs.replace(FIRST, style=STYLES[1], steps=4, seed=3)
        tool.wait_line("mirror", f"{STYLES[1]}|{FIRST.prompt}|0.5|4")
        tool.say("hold")
        daemon.settings = msgspec.structs.replace(FIRST, style=STYLES[0], steps=2, seed=5)
        tool.wait_line("mirror", f"{STYLES[0]}|{FIRST.prompt}|0.5|2")
        tool.say("adopt")
        tool.say("strength 0.9")
        assert heard.wait_change() == protocol.Change(strength=0.9)


def _open_as_the_page_is(tool: LinkTool, heard: Heard) -> None:
    for line in (f"style {FIRST.style}", f"prompt {FIRST.prompt}", f"strength {FIRST.strength}"):
        tool.say(line)
    _open(tool, heard)


def test_a_style_that_was_lost_with_a_session_brings_nothing_of_the_old_one(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open_as_the_page_is(tool, heard)
        daemon.answer_sets = False
        tool.say(f"style {STYLES[1]}")
        assert heard.wait_set().change == protocol.Change(style=STYLES[1])
        tool.say("source Desk 640 360")
        assert heard.wait_hello().settings == protocol.Change(style=STYLES[1])


def test_words_of_ones_own_come_back_with_all_that_was_set(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    """A look of one's own brings nothing: a daemon that is new knows no strength but a style's."""
    heard, later = Heard(), Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open_as_the_page_is(tool, heard)
    tool.wait_line("log", "it hung up")
    tool.say("style custom")
    tool.say("prompt my own words")
    # Nobody answers: it says hello again and again, the first time perhaps from between the two.
    with FakeDaemon(folder, heard=later, answer_hello=False):
        hello = later.wait_hello()
        while (hello.settings.style, hello.settings.prompt) != ("custom", "my own words"):
            hello = later.wait_hello()
        assert hello.settings.strength == FIRST.strength


def test_what_is_taken_back_before_it_is_answered_is_said(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open_as_the_page_is(tool, heard)
        daemon.answer_sets = False
        for strength in (0.9, FIRST.strength):
            tool.say(f"strength {strength}")
            assert heard.wait_set().change == protocol.Change(strength=strength)


def test_who_is_off_air_says_so_after_a_while_and_on_air_at_once(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        assert _open(tool, heard).settings.on_air is None, "it is, until it is said otherwise"
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


def test_bypass_asks_for_no_frames(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        daemon.settings = msgspec.structs.replace(FIRST, bypass=True)
        tool.wait_answer("status", "status live 1 0")


def test_bypass_outlives_the_connection(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        assert _open(tool, heard).settings.bypass is None
        daemon.settings = msgspec.structs.replace(FIRST, bypass=True)
        tool.wait_answer("status", "status live 1 0")
    tool.wait_answer("status", "StateWaiting")
    with FakeDaemon(folder, heard=heard) as daemon:
        while heard.wait_hello().settings.bypass is not True:
            pass
        tool.wait_answer("status", "status live 1")
        daemon.settings = msgspec.structs.replace(FIRST, bypass=False)
        tool.wait_answer("status", "status live 1 1")


def test_a_bypass_asked_for_here_is_not_undone_by_what_is_said_meanwhile(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    class Slow(FakeDaemon):
        """Does not answer changes."""

        def say(self, message: Message) -> None:
            if not isinstance(message, protocol.Accepted):
                super().say(message)

    heard = Heard()
    with Slow(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
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


def test_a_bypass_asked_for_while_the_daemon_is_away_is_in_every_hello(
    start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
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


def test_a_reset_is_said_once_a_session_is_open(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    tool = start()
    tool.say("reset")
    with FakeDaemon(folder, heard=heard):
        _open(tool, heard)
        assert heard.wait(protocol.Reset) == protocol.Reset()


def test_a_slider_works_while_it_is_dragged(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    stop = threading.Event()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)

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


def test_a_slider_that_was_put_back_is_sent_as_well(start: Callable[..., LinkTool], folder: Path) -> None:
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
        _open(tool, heard)
        tool.say("strength 0.9")
        assert heard.wait_set().change.strength == 0.9
        tool.say(f"strength {FIRST.strength}")
        tool.ask("status")
        assert daemon.held
        daemon.say_bytes(encode(daemon.held))
        assert heard.wait_set().change.strength == FIRST.strength


def test_a_style_chosen_without_a_daemon_brings_its_own_prompt(
    start: Callable[..., LinkTool], folder: Path
) -> None:
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
    start: Callable[..., LinkTool], styled: tuple[Styled, Heard]
) -> None:
    daemon, heard = styled
    tool = start()
    # As the page has it once the daemon's settings were taken over.
    for line in (f"style {FIRST.style}", f"prompt {FIRST.prompt}", f"strength {FIRST.strength}"):
        tool.say(line)
    _open(tool, heard)
    tool.say(f"style {STYLES[1]}")
    assert heard.wait_set().change == protocol.Change(style=STYLES[1])
    tool.say("style noir")
    tool.ask("status")
    daemon.answer(PENCIL)
    assert heard.wait_set().change == protocol.Change(style="noir")


def test_a_strength_that_comes_with_a_style_wins_over_the_styles_own(
    start: Callable[..., LinkTool], styled: tuple[Styled, Heard]
) -> None:
    daemon, heard = styled
    tool = start()
    for line in (f"style {FIRST.style}", f"prompt {FIRST.prompt}", f"strength {FIRST.strength}"):
        tool.say(line)
    _open(tool, heard)
    tool.say(f"steer {STYLES[1]}")
    tool.say(f"strength {FIRST.strength}")
    change = heard.wait_set().change
    assert change.style == STYLES[1]
    if change.strength is None:  # a slow machine sends them one after the other
        daemon.answer(PENCIL)
        change = heard.wait_set().change
    assert change.strength == FIRST.strength


# ---- a daemon that misbehaves


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
    data: bytes, named: str, start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        daemon.say_bytes(data)
        tool.wait_line("log 2", named)
        assert tool.wait_answer("frame 3 50", "ok")
        assert tool.wait_answer("painted", " 252 50")


def test_messages_of_an_older_generation_are_ignored(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        daemon.say(protocol.Frame(generation=99, slot=0, sequence=1, pts_ns=1))
        assert tool.wait_answer("frame 3 50", "ok")
        assert tool.wait_answer("painted", " 1 252 50")


def test_another_protocol_version_is_said(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard, answer_hello=False) as daemon:
        tool = start()
        tool.say("source Camera 640 360")
        heard.wait_hello()
        daemon.say_bytes(msgspec.msgpack.encode({"type": "welcome", "v": 2}))
        assert "failed" in tool.wait_answer("status", "update the older of filter and daemon")


def test_a_lying_segment_is_refused_by_name(start: Callable[..., LinkTool], folder: Path) -> None:
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


def test_only_a_refused_style_is_left_out_of_the_next_hello(
    start: Callable[..., LinkTool], folder: Path
) -> None:
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


def test_another_refusal_costs_no_settings_and_says_bye(start: Callable[..., LinkTool], folder: Path) -> None:
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
def test_a_session_that_the_daemon_closed_is_opened_again(
    code: str, start: Callable[..., LinkTool], folder: Path
) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        daemon.say(protocol.Error(code=code, message="the session is closed", about="ping"))
        tool.wait_line("log", "session closed: the session is closed")
        heard.wait_hello()
        tool.wait_answer("status", "status live 1 1")
        assert tool.wait_answer("frame 9 77", "ok")
        assert tool.wait_answer("painted", " 246 77")


def test_many_errors_do_not_flood_the_log(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard) as daemon:
        tool = start()
        _open(tool, heard)
        for _ in range(200):
            daemon.say(protocol.Error(code="invalid", message="no good", about="frame"))
        daemon.say(protocol.Error(code="silent", message="enough", about="ping"))
        tool.wait_line("log", "session closed: enough")
        assert 1 < sum("no good" in line for line in tool.lines) < 50


def test_an_open_folder_is_not_used(start: Callable[..., LinkTool], folder: Path) -> None:
    folder.chmod(0o755)
    tool = start()
    tool.say("source Camera 640 360")
    tool.wait_answer("status", f"run: chmod 700 {folder}")


# ---- starting the daemon, figures


def _script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_daemon_is_started_when_allowed(start: Callable[..., LinkTool], folder: Path, tmp_path: Path) -> None:
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


def test_what_started_the_daemon_leaves_no_zombie(
    start: Callable[..., LinkTool], folder: Path, tmp_path: Path
) -> None:
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


def test_command_comes_from_the_installers_file(start: Callable[..., LinkTool], tmp_path: Path) -> None:
    where = tmp_path / "limner-command"
    tool = start(str(where))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    tool.wait_answer("status", "It is not installed")
    command = _script(tmp_path / "limner", "exit 3")
    where.write_text(command + "\n", encoding="utf-8")
    tool.wait_answer("status", "ended with code 3")


def test_why_the_daemon_did_not_start_is_said(start: Callable[..., LinkTool], tmp_path: Path) -> None:
    words = (
        "for i in $(seq 300); do echo many words of no use; done; echo; echo 'styles.toml: no such röw'; echo"
    )
    tool = start(LIMNER_COMMAND=_script(tmp_path / "limner", f"({words}) >&2; exit 1"))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    answer = tool.wait_answer("status", "ended with code 1")
    assert answer.endswith("ended with code 1: styles.toml: no such röw")


def test_a_daemon_that_runs_already_is_no_failure(start: Callable[..., LinkTool], tmp_path: Path) -> None:
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


def test_a_command_that_is_not_there_is_named(start: Callable[..., LinkTool], tmp_path: Path) -> None:
    tool = start(LIMNER_COMMAND=str(tmp_path / "nothing"))
    tool.say("source Camera 640 360")
    tool.say("may-start")
    tool.wait_answer("status", f"NONE STARTED: {tmp_path}/nothing (No such file or directory)")
    assert any("It could not be started: " in line for line in tool.lines), "the log stays English"


def test_figures_are_written_whole(start: Callable[..., LinkTool], folder: Path, tmp_path: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start("", str(tmp_path))
        _open(tool, heard)
        file = tmp_path / "Camera.json"
        deadline = time.monotonic() + WAIT_S
        while not file.exists() or json.loads(file.read_text(encoding="utf-8"))["state"] != "live":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        tool.close()
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures["source"] == "Camera"
    assert figures["model"] == "invert"
    assert {"painted_shown", "work_us_p99", "latency_ms_p95", "delay_ms"} <= set(figures)
    assert [path.name for path in tmp_path.iterdir()] == ["Camera.json"]


def test_many_changes_are_one_refresh_of_the_page(start: Callable[..., LinkTool], folder: Path) -> None:
    heard = Heard()
    with FakeDaemon(folder, heard=heard):
        tool = start()
        _open(tool, heard)
        told = tool.lines.count("state")
        before = time.monotonic()
        for _ in range(200):
            tool.say("refresh")
            tool.ask("status")
        at_most = 2 + (time.monotonic() - before) / 0.3
        tool.wait_line("state")
        assert 1 <= tool.lines.count("state") - told <= at_most
