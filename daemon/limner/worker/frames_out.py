"""Where the loop's frames go: painted ones into slots and to the daemon, a source's back to who gave them."""

from __future__ import annotations

from collections.abc import Callable

from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done, Give, Return
from limner.worker.blank import NOTE as BLANK_NOTE
from limner.worker.desk import Desk
from limner.worker.engines import Painted
from limner.worker.stats import Stats
from limner.worker.streams import SessionStream

NO_ROOM = "painted frames are lost: nobody gives their slots back"


class FramesOut:
    """Hands frames over, for the loop's thread, and says which revision of the settings they show."""

    def __init__(self, desk: Desk, stats: Stats, send: Callable[[Message], None]) -> None:
        self._desk, self._stats, self._send = desk, stats, send

    def give_back(self, frames: list[Give], *, dropped: bool) -> None:
        """Return a source's frames to who gave them; `dropped`: they were not painted."""
        for give in frames:
            self._send(
                Return(session=give.session, generation=give.generation, slot=give.slot, dropped=dropped)
            )

    def hand_over(self, stream: SessionStream, painted: Painted) -> None:
        """Write what was painted into slots and give them. After a blank picture its stream begins anew."""
        # A chunk that was short has fewer real frames than painted ones: the rest is not shown.
        chunks = stream.come_out(painted)
        real = [frame for chunk in chunks for frame in chunk]
        opening = stream.opening
        if painted.is_blank:
            # What a stream remembers of it would make every later picture blank.
            self._stats.painted(opening.session, painted.stages_ms, BLANK_NOTE, painted.strength)
            stream.begin_anew()
            return
        slots = self._desk.take_outputs(opening.session, opening.generation, len(real))
        # Where there is no room for all, the newest count.
        newest = real[len(real) - len(slots) :]
        for slot, (number, give) in zip(slots, newest, strict=True):
            self._show(stream, painted, number, give, slot)
        # Several chunks at once (fewer steps than before) may be more than there are slots: nobody's fault.
        lost = len(slots) < len(real) and painted.chunks == 1
        note = NO_ROOM if lost else painted.note
        self._stats.painted(opening.session, painted.stages_ms, note, painted.strength)
        if real and painted.rev != stream.done_rev and not painted.waits:
            stream.done_rev = painted.rev
            self._say_done(stream, painted, (chunks[-1] or chunks[0])[0][1])

    def _show(self, stream: SessionStream, painted: Painted, number: int, give: Give, slot: int) -> None:
        """Write a painted frame into a slot and hand it over."""
        painted.write(number, stream.pixels(stream.output, slot))
        stream.output.write_slot_header(slot, sequence=give.sequence, pts_ns=give.pts_ns)
        self._send(
            Give(
                session=give.session,
                generation=give.generation,
                slot=slot,
                sequence=give.sequence,
                pts_ns=give.pts_ns,
            )
        )

    def _say_done(self, stream: SessionStream, painted: Painted, first: Give) -> None:
        """The revision is in the last of the chunks: those before it were begun under an older one."""
        self._send(
            Done(
                session=stream.opening.session,
                rev=painted.rev,
                chunk=stream.first_chunk + painted.chunk + painted.chunks - 1,
                pts_ns=first.pts_ns,
                note=painted.note,
            )
        )
