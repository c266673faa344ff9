"""What the daemon does with the worker's messages, and how it brings sessions to the worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.floor import Floor
from limner.daemon.metrics import NS_PER_S
from limner.daemon.session import Session
from limner.daemon.slots import Owner, SlotError
from limner.daemon.wire import MAX_MESSAGE_BYTES, WireError

log = logging.getLogger("limner.daemon")
# A session that failed is tried again after this long, the next time after twice as long, and so on.
RETRY_NS = 5 * NS_PER_S
MAX_RETRY_NS = 60 * NS_PER_S
# All likely prompts go in one message; those beyond are encoded when they are asked for.
MAX_LIKELY_BYTES = MAX_MESSAGE_BYTES - 1024


class Painting:
    """The worker's side of the daemon. `on_done` hears which change reached the picture."""

    def __init__(self, floor: Floor, on_done: Callable[[w.Done], None]) -> None:
        self._floor, self._on_done = floor, on_done
        self.last_words = ""
        """Why the worker said that it is about to end."""
        self._likely: list[str] = []

    # ---- the process

    def worker_started(self, pid: int) -> None:
        """Note a new worker process."""
        self._floor.worker.started(pid, self._floor.now_ns())
        self.last_words = ""

    def worker_ended(self, sentence: str, *, failed: bool) -> None:
        """Take back what the worker had; its sessions wait for the next one, on the same segments."""
        self._floor.worker.ended(sentence, failed=failed)
        for session in self._floor.sessions:
            self._take_back(session)
            self._floor.say_status(session)

    def _take_back(self, session: Session) -> None:
        slots = session.worker_gone()
        for _ in slots:
            session.frame_dropped(self._floor.now_ns())
        self._floor.free_inputs(session, slots)

    # ---- sessions

    def open(self, session: Session) -> None:
        """Tell the worker of a session, if it is ready; it hears of all when it becomes so."""
        if not self._floor.worker.ready:
            return
        session.asked = True
        self._floor.out.to_worker(session.open_message())
        # A worker begins with no output slot and gets each by a message: some may still be the client's.
        for slot in session.output.owned_by(Owner.WORKER):
            self.return_output(session, slot)

    def close(self, session: Session) -> None:
        """Tell the worker that a session ends."""
        if session.asked:
            self._floor.out.to_worker(w.Close(session=session.name))

    def update(self, session: Session) -> None:
        """Bring new settings to the worker; a session that failed gets another chance with them."""
        if session.failure:
            self._reopen(session)
        elif session.asked:
            update = w.Update(session=session.name, rev=session.rev, settings=session.settings)
            self._floor.out.to_worker(update)

    def reset(self, session: Session) -> None:
        """Let the worker forget what it painted of a session."""
        if session.asked:
            self._floor.out.to_worker(w.Reset(session=session.name))

    def prepare(self, prompts: Iterable[str]) -> None:
        """Let every worker, this one and the next, be ready for prompts that are likely to be asked for."""
        self._likely, left_bytes = [], MAX_LIKELY_BYTES
        for prompt in dict.fromkeys(prompts):
            left_bytes -= len(prompt.encode()) + 5
            if left_bytes >= 0:
                self._likely.append(prompt)
        if self._floor.worker.ready:
            self._say_likely()

    def _say_likely(self) -> None:
        self._floor.out.to_worker(w.Prepare(prompts=self._likely))

    def retry(self, session: Session) -> None:
        """Try a failed session again when it is time."""
        wait_ns = min(MAX_RETRY_NS, RETRY_NS * session.failures)
        if session.failure and self._floor.now_ns() - session.failed_ns > wait_ns:
            self._reopen(session)

    def _reopen(self, session: Session) -> None:
        self.close(session)
        self._take_back(session)
        self.open(session)

    def give(self, session: Session, frame: p.Frame) -> None:
        """Hand an input frame to the worker."""
        give = w.Give(
            session=session.name,
            generation=frame.generation,
            slot=frame.slot,
            sequence=frame.sequence,
            pts_ns=frame.pts_ns,
        )
        self._floor.out.to_worker(give)

    def return_output(self, session: Session, slot: int) -> None:
        """Hand an output slot to the worker."""
        generation = session.segments.generation
        self._floor.out.to_worker(w.Return(session=session.name, generation=generation, slot=slot))

    # ---- what the worker says

    def worker_said(self, data: bytes) -> None:
        """Take one message of the worker of now."""
        try:
            message = w.from_worker.decode(data)
        except WireError as error:
            log.error("the worker sent something wrong: %s", error)
            return
        now_ns = self._floor.now_ns()
        worker = self._floor.worker
        worker.heard(now_ns)
        match message:
            case w.Give():
                self._painted(message, now_ns)
            case w.Return():
                self._input_back(message, now_ns)
            case w.Report():
                worker.report(message, now_ns)
                self._note_figures(message)
            case w.Done():
                self._on_done(message)
            case w.Opened():
                self._opened(message.session)
            case w.Loading():
                worker.loading(message)
            case w.Ready():
                self._ready(message, now_ns)
            case w.Failed():
                self._failed(message, now_ns)

    def _ready(self, message: w.Ready, now_ns: int) -> None:
        self._floor.worker.became_ready(message, now_ns)
        log.info("the worker is ready: %s on %s", message.model, message.device)
        for session in self._floor.sessions:
            self.open(session)
        self._say_likely()

    def _opened(self, name: str) -> None:
        session = self._floor.sessions.named(name)
        if session is not None and session.asked:
            session.opened = True

    def _of_now(self, message: w.Give | w.Return) -> Session | None:
        session = self._floor.sessions.named(message.session)
        if session is None or session.segments.generation != message.generation:
            return None
        return session

    def _painted(self, give: w.Give, now_ns: int) -> None:
        session = self._of_now(give)
        if session is None:
            return
        try:
            session.output.hand_over(give.slot, giver=Owner.WORKER)
        except SlotError as error:
            log.error("the worker gave an output slot of %r: %s", session.name, error)
            return
        session.frame_painted(now_ns, give.pts_ns)
        frame = p.Frame(
            generation=give.generation, slot=give.slot, sequence=give.sequence, pts_ns=give.pts_ns
        )
        self._floor.out.to_client(session.client, frame)

    def _input_back(self, message: w.Return, now_ns: int) -> None:
        session = self._of_now(message)
        if session is None:
            return
        try:
            session.input.hand_over(message.slot, giver=Owner.WORKER)
        except SlotError as error:
            log.error("the worker returned an input slot of %r: %s", session.name, error)
            return
        if message.dropped:
            session.frame_dropped(now_ns)
        self._floor.free_inputs(session, [message.slot])

    def _note_figures(self, report: w.Report) -> None:
        for session in self._floor.sessions:
            session.stages_ms = report.stages_ms.get(session.name, {})
            session.note = report.notes.get(session.name, "")
            session.strength = report.strengths.get(session.name)
            session.plan = report.plans.get(session.name)

    def _failed(self, failed: w.Failed, now_ns: int) -> None:
        log.error("the worker failed (%s): %s", failed.session or "all", failed.message)
        if not failed.session:
            self.last_words = failed.message
            return
        session = self._floor.sessions.named(failed.session)
        if session is None or session.segments.generation != failed.generation:
            # The session that failed is closed; another one may have its name.
            return
        session.fail(failed.message, now_ns)
        self._floor.free_inputs(session, session.input.take_back(Owner.WORKER))
        self._floor.say_status(session)
