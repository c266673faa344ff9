"""The C program that plays a filter without OBS, and what a daemon hears of it."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.obs_bridge.fake_daemon import FIRST

from limner.daemon import protocol
from limner.daemon.wire import Message

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


def open_session(tool: LinkTool, heard: Heard) -> protocol.Hello:
    """Give it a source, wait until its session is live, and return the hello that it said."""
    tool.say("source Camera 640 360")
    hello = heard.wait_hello()
    tool.wait_answer("status", "status live 1 1")
    return hello


def open_as_the_page_is(tool: LinkTool, heard: Heard) -> None:
    """As `open_session`, with the page as it is once the daemon's settings were taken over."""
    for line in (f"style {FIRST.style}", f"prompt {FIRST.prompt}", f"strength {FIRST.strength}"):
        tool.say(line)
    open_session(tool, heard)


Start = Callable[..., LinkTool]
"""Starts it: its arguments, and by keyword what its environment has besides."""
