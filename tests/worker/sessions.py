"""A session as the daemon would open it, with real segments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from limner.daemon.protocol import Settings
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Close, Give, Open, Return, Stop
from limner.worker.desk import Desk
from limner.worker.engines import PaintEngine
from limner.worker.loop import Loop
from limner.worker.stats import Stats


def open_message(segments: SegmentPair, session: str = "camera", rev: int = 1, **settings: Any) -> Open:
    return Open(
        session=session,
        generation=segments.generation,
        width=segments.width,
        height=segments.height,
        fps=30.0,
        input=segments.input,
        output=segments.output,
        rev=rev,
        settings=Settings(**settings),
    )


def give(opening: Open, slot: int, number: int) -> Give:
    """Return the message for the `number`-th frame of a source of 25 fps."""
    return Give(
        session=opening.session,
        generation=opening.generation,
        slot=slot,
        sequence=number,
        pts_ns=(number + 1) * 40_000_000,
    )


def outputs(opening: Open, *slots: int) -> list[Message]:
    return [
        Return(session=opening.session, generation=opening.generation, slot=slot)
        for slot in slots or range(opening.output.slots)
    ]


def run_loop(
    engine: PaintEngine, messages: list[Message], until: Callable[[list[Message]], bool]
) -> list[Message]:
    """Put messages on a desk, run the loop over them until `until` what it sent, return that."""
    desk = Desk()
    desk.frames_per_chunk = engine.frames_per_chunk
    sent: list[Message] = []

    def send(message: Message) -> None:
        sent.append(message)
        if until(sent):
            desk.stop()

    for message in messages:
        sent += [
            Return(session=g.session, generation=g.generation, slot=g.slot, dropped=True)
            for g in desk.put(message)
        ]
    Loop(engine=engine, desk=desk, stats=Stats(), send=send).run()
    return sent


__all__ = ["Close", "Stop", "give", "open_message", "outputs", "run_loop"]
