"""Where link and loop meet: the link puts messages down, the loop takes the next piece of work."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Close, Give, Open, Prepare, Reset, Return, Stop, Update
from limner.worker.intake import Intake


@dataclass(frozen=True)
class OpenJob:
    """Map a session's segments and make its stream."""

    opening: Open


@dataclass(frozen=True)
class CloseJob:
    """Let a session's stream and segments go."""

    session: str


@dataclass(frozen=True)
class ResetJob:
    """Let a session's stream forget its past."""

    session: str


@dataclass(frozen=True)
class PaintJob:
    """Paint a chunk. `dropped` frames were passed over for it."""

    session: str
    frames: list[Give]
    dropped: list[Give]
    update: Update | None


@dataclass(frozen=True)
class FlushJob:
    """No frame follows for now: bring out what the engine still holds."""

    session: str


@dataclass(frozen=True)
class CollectJob:
    """Take what a session's painter finished since."""

    session: str


@dataclass(frozen=True)
class LookJob:
    """Look whether a session that waits for its prompts may begin."""

    session: str


@dataclass(frozen=True)
class PrepareJob:
    """Be ready for prompts that are likely to be asked for."""

    prompts: list[str]


SessionJob = OpenJob | CloseJob | ResetJob | PaintJob | FlushJob | CollectJob | LookJob
Job = SessionJob | PrepareJob


class Desk:
    """Thread-safe. Sessions take turns: none blocks another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._intakes: dict[str, Intake] = {}
        self._turns: deque[str] = deque()
        self._commands: deque[Job] = deque()
        self._painted: dict[str, None] = {}
        """Sessions with something to collect, in the order in which they said so."""
        self._stopped = False
        self.frames_per_chunk = 1

    # ---- the link's side

    def put(self, message: Message) -> list[Give]:
        """Take a message of the daemon; return the frames that are surplus and go back at once."""
        with self._changed:
            surplus = self._put(message)
            self._changed.notify()
        return surplus

    def _put(self, message: Message) -> list[Give]:
        match message:
            case Give():
                intake = self._current(message)
                return [] if intake is None else intake.add(message, time.monotonic_ns())
            case Return():
                intake = self._current(message)
                if intake is not None:
                    intake.outputs.append(message.slot)
            case Update():
                if (intake := self._intakes.get(message.session)) is not None:
                    intake.update = message
                    if intake.waits:
                        self._commands.append(LookJob(message.session))
            case Open():
                self._intakes[message.session] = Intake(message, self.frames_per_chunk)
                self._turns.append(message.session)
                self._commands.append(OpenJob(message))
            case Close():
                self._drop(message.session)
                self._commands.append(CloseJob(message.session))
            case Reset():
                self._commands.append(ResetJob(message.session))
            case Prepare():
                self._commands.append(PrepareJob(message.prompts))
            case Stop():
                self._stopped = True
        return []

    def _current(self, message: Give | Return) -> Intake | None:
        """Return the intake that the message means, if it is there, well and of this generation.

        Otherwise the daemon takes, or has taken, the slot back itself.
        """
        intake = self._intakes.get(message.session)
        if intake is None or intake.failed or intake.opening.generation != message.generation:
            return None
        return intake

    def _drop(self, session: str) -> None:
        if self._intakes.pop(session, None):
            self._turns.remove(session)

    # ---- the loop's side

    def next_job(self) -> Job | None:
        """Wait for the next piece of work; None: stop."""
        with self._changed:
            while not self._stopped:
                if self._painted:
                    session = next(iter(self._painted))
                    del self._painted[session]
                    return CollectJob(session)
                if self._commands:
                    return self._commands.popleft()
                now_ns = time.monotonic_ns()
                job = self._next_chunk(now_ns)
                if job:
                    return job
                self._changed.wait(self._until_next_look_s(now_ns))
            return None

    def _until_next_look_s(self, now_ns: int) -> float | None:
        looks = [i.next_look_ns() for i in self._intakes.values() if not (i.failed or i.held)]
        due = [look for look in looks if look is not None]
        return max(0, min(due) - now_ns) / 1e9 if due else None

    def _next_chunk(self, now_ns: int) -> Job | None:
        for session in list(self._turns):
            intake = self._intakes[session]
            if intake.failed or intake.held:
                continue
            frames, dropped = intake.take(now_ns)
            if frames:
                self._turns.remove(session)
                self._turns.append(session)
                update, intake.update = intake.update, None
                return PaintJob(session, frames, dropped, update)
            if intake.flush_due(now_ns):
                return FlushJob(session)
        return None

    def take_outputs(self, session: str, generation: int, count: int) -> list[int]:
        """Return up to `count` output slots to paint into; the client has the others.

        None of them when another session has the name by now: what is painted is not for it.
        """
        with self._changed:
            intake = self._intakes.get(session)
            if intake is None or intake.opening.generation != generation:
                return []
            return [intake.outputs.popleft() for _ in range(min(count, len(intake.outputs)))]

    def pace(self, session: str, generation: int, *, frames: int, frame_step: int, slack: int) -> list[Give]:
        """Gather so many frames for a session's next chunk; the intake says what the figures are.

        Return the frames that are passed over by it and go back at once.
        """
        with self._changed:
            intake = self._intakes.get(session)
            if intake is None or intake.opening.generation != generation:
                return []
            return intake.pace(frames, frame_step, slack)

    def hold(self, session: str, generation: int, *, held: bool) -> None:
        """Gather on, but give the loop no chunk of a session whose painter is full."""
        with self._changed:
            intake = self._intakes.get(session)
            if intake is not None and intake.opening.generation == generation:
                intake.held = held

    def painted(self, session: str) -> None:
        """A painter has something to collect. For any thread."""
        with self._changed:
            self._painted[session] = None
            self._changed.notify()

    def wait(self, session: str, generation: int, *, waits: bool) -> Update | None:
        """Note whether a session waits for its prompts: then a change of them is a job of its own.

        Returns the change that its next chunk will begin with, if there is one.
        """
        with self._changed:
            intake = self._intakes.get(session)
            if intake is None or intake.opening.generation != generation:
                return None
            intake.waits = waits
            return intake.update

    def look(self, session: str) -> None:
        """What a session waits for may be there. For any thread."""
        with self._changed:
            self._commands.append(LookJob(session))
            self._changed.notify()

    def fail(self, session: str, generation: int) -> None:
        """Take no more frames for a session; another one that has the name by now goes on."""
        with self._changed:
            intake = self._intakes.get(session)
            if intake and intake.opening.generation == generation:
                intake.failed = True

    def stop(self) -> None:
        """End the loop after its present job."""
        self.put(Stop())
