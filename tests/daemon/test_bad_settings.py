"""Over the real socket: what is refused is named and changes nothing, and the stream goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.daemon.echo import echo_session, paint
from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client import ClientError, RefusedError
from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Change, Hello, Settings

LONG = "x" * 10_000
FIVE = [{"prompt": "neon"}] * 5


@pytest.fixture(scope="module")
def daemon() -> Iterator[RunningDaemon]:
    with running_daemon() as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def session(daemon: RunningDaemon) -> Iterator[ClientSession]:
    """One session for all: each refusal must leave it as it was."""
    with echo_session(daemon, change=Change(style="noir", steps=2)) as opened:
        yield opened


def in_force(session: ClientSession) -> Settings:
    (one,) = session.query().sessions
    return one.status.settings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "change.steps is 0; it must be a whole number from 1 to 4"),
        ({"steps": 9}, "change.steps is 9; it must be a whole number from 1 to 4"),
        ({"strength": float("nan")}, "change.strength is nan; it must be a number from 0 to 1"),
        ({"strength": float("inf")}, "change.strength is inf; it must be a number from 0 to 1"),
        ({"strength": -0.1}, "change.strength is -0.1; it must be a number from 0 to 1"),
        ({"prompt": LONG}, "change.prompt has 10000 characters; it must be text of at most 1000 characters"),
        ({"prompt": "🎨" * 1001}, "change.prompt has 1001 characters"),
        ({"prompt": "oil\0painting"}, r"change.prompt is 'oil\x00painting'; it must be text of at most"),
        ({"prompt": 7}, "change.prompt is 7; it must be text of at most 1000 characters without NUL"),
        ({"mix": FIVE}, "change.mix has 5 entries; it must be a list of at most 4"),
        ({"mix": [{"prompt": "a", "weight": 0}]}, "change.mix[0].weight is 0; it must be a number above 0"),
        ({"mix": [{"prompt": "a"}, {"prompt": LONG}]}, "change.mix[1].prompt has 10000 characters"),
        ({"motion_smoothing": 1.0}, "change.motion_smoothing is 1.0; it must be a number from 0 to 0.99"),
        ({"latency_ms": 1}, "change.latency_ms is 1; it must be a whole number from 100 to 10000"),
        ({"mode": "fast"}, "change.mode is 'fast'; it must be one of auto, throughput, latency"),
        ({"seed": -1}, "change.seed is -1; it must be a whole number from 0 to 4294967295"),
        ({"stepz": 2}, "unknown key 'stepz' in change; did you mean 'steps'?"),
        ({"steps": 3, "cuts": "yes"}, "change.cuts is 'yes'; it must be true or false"),
        ({"steps": 3, "style": "noire"}, "did you mean 'noir'?"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_named_and_changes_nothing(
    change: dict[str, Any], words: str, session: ClientSession
) -> None:
    before = in_force(session)
    with pytest.raises(RefusedError) as caught:
        session.set(cast("Change", change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert in_force(session) == before
    assert (before.style, before.steps) == ("noir", 2)
    assert paint(session, 40 + len(words) % 100) == 40 + len(words) % 100


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (Change(prompt="🎨🌊 sea 👩‍👩‍👧‍👦"), []),
        (Change(prompt=""), ["the prompt is empty: the model paints without words"]),
        (Change(prompt="\n\t"), ["the prompt is empty: the model paints without words"]),
        (Change(prompt="x" * 1000), []),
        (Change(prompt="red sea", strength=0.0), ["strength 0 shows the source"]),
        (Change(prompt="red sea", steps=1, least_steps=4), ["least steps 4 is more than 1 step: 1 it is"]),
    ],
    ids=["emoji", "empty", "blank", "long", "zero", "least"],
)
def test_what_is_odd_is_taken_and_painted(change: Change, notes: list[str], daemon: RunningDaemon) -> None:
    with echo_session(daemon, name="odd") as session:
        accepted = session.set(change, "")
        assert accepted.notes == notes
        assert accepted.settings.prompt == change.prompt
        assert paint(session, 77) == 77


@pytest.mark.parametrize("size", [(7, 5), (1, 1), (8192, 1)])
def test_a_source_of_any_size_is_painted_at_a_working_size(
    size: tuple[int, int], daemon: RunningDaemon
) -> None:
    hello = hello_for("tiny", "demo", size, 30.0, Change())
    with ClientSession(hello, daemon.runtime_dir) as session:
        width, height = session.welcome.width, session.welcome.height
        assert min(width, height) >= 96
        assert width % 16 == height % 16 == 0

        def painted() -> bool:
            session.send_frame(bytes([9]) * (width * height * 4))
            event = session.receive(0.05)
            if isinstance(event, PaintedFrame):
                with event:
                    return event.pixels[0] == 9
            return False

        assert wait_for(painted, "a painted frame", log=daemon.log)
        with pytest.raises(
            ValueError, match=f"{width}×{height} RGBA has {width * height * 4} bytes, not 140"
        ):
            session.send_frame(bytes(7 * 5 * 4))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("source_width", 0, "source_width is 0; it must be a whole number from 1 to 8192"),
        ("source_height", 9000, "source_height is 9000; it must be a whole number from 1 to 8192"),
        ("fps", float("nan"), "fps is nan; it must be a number above 0, at most 1000"),
    ],
)
def test_a_source_that_cannot_be_is_refused(
    field: str, value: float, words: str, daemon: RunningDaemon
) -> None:
    good: dict[str, Any] = {"source_width": 7, "source_height": 5, "fps": 30.0} | {field: value}
    hello = Hello(client="test", name="bad", role="demo", pid=1, **good)
    with pytest.raises(ClientError, match=words):
        ClientSession(hello, daemon.runtime_dir)
    assert "bad" not in [one.name for one in daemon.query().sessions]
