"""Whatever happens in whatever order, no slot is lost and none has two owners, in anybody's books."""

from __future__ import annotations

import secrets

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.daemon.room import Room, frame

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.sizes import POCKET
from limner.daemon.slots import Owner

INPUTS = st.integers(0, POCKET.input_slots - 1)
OUTPUTS = st.integers(0, POCKET.output_slots - 1)


class Conservation(RuleBasedStateMachine):
    """A client and a worker that keep books of their own from the messages alone."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(f"limner-test-{secrets.token_hex(4)}-")

    @initialize()
    def begin(self) -> None:
        self.welcome = self.room.open()
        self.client_inputs = set(range(POCKET.input_slots))
        self.client_outputs: set[int] = set()
        self.worker_gone()

    def worker_gone(self) -> None:
        self.worker_inputs: set[int] = set()
        self.worker_outputs: set[int] = set()
        self.mapped = False

    def read_mail(self) -> None:
        for free in self.room.heard(p.Free):
            assert free.slot not in self.client_inputs, "given back twice"
            self.client_inputs.add(free.slot)
        for shown in self.room.heard(p.Frame):
            assert shown.slot not in self.client_outputs
            self.client_outputs.add(shown.slot)
        for message in list(self.room.worker):
            match message:
                case w.Open():
                    self.worker_gone()
                case w.Give():
                    assert message.slot not in self.worker_inputs
                    self.worker_inputs.add(message.slot)
                case w.Return():
                    assert message.slot not in self.worker_outputs
                    self.worker_outputs.add(message.slot)
        self.room.worker.clear()

    @property
    def ready(self) -> bool:
        return self.room.hub.floor.worker.ready

    @rule(slot=INPUTS)
    def client_gives(self, slot: int) -> None:
        mine = slot in self.client_inputs
        self.client_inputs.discard(slot)
        self.room.say(frame(self.welcome, slot))
        assert bool(self.room.heard(p.Error)) is not mine
        self.read_mail()

    @rule(slot=OUTPUTS)
    def client_frees(self, slot: int) -> None:
        mine = slot in self.client_outputs
        self.client_outputs.discard(slot)
        self.room.say(p.Free(generation=self.welcome.generation, slot=slot))
        assert bool(self.room.heard(p.Error)) is not mine
        self.read_mail()

    @rule(bypass=st.booleans(), seed=st.integers(0, 3))
    def client_sets(self, bypass: bool, seed: int) -> None:
        self.room.say(p.Set(rev=1, change=p.Change(bypass=bypass, seed=seed)))
        self.read_mail()

    @precondition(lambda self: not self.ready)
    @rule()
    def worker_comes(self) -> None:
        self.room.ready_worker()
        self.read_mail()

    @precondition(lambda self: self.ready)
    @rule()
    def worker_maps(self) -> None:
        self.room.worker_says(w.Opened(session="camera"))
        self.read_mail()

    @precondition(lambda self: self.ready and self.worker_inputs)
    @rule(dropped=st.booleans())
    def worker_returns(self, dropped: bool) -> None:
        slot = self.worker_inputs.pop()
        generation = self.welcome.generation
        self.room.worker_says(w.Return(session="camera", generation=generation, slot=slot, dropped=dropped))
        self.read_mail()

    @precondition(lambda self: self.ready and self.worker_outputs)
    @rule()
    def worker_paints(self) -> None:
        slot = self.worker_outputs.pop()
        generation = self.welcome.generation
        self.room.worker_says(
            w.Give(session="camera", generation=generation, slot=slot, sequence=0, pts_ns=0)
        )
        self.read_mail()

    @precondition(lambda self: self.ready)
    @rule()
    def worker_fails_the_session(self) -> None:
        generation = self.welcome.generation
        self.room.worker_says(w.Failed(session="camera", generation=generation, message="No."))
        self.worker_gone()
        self.read_mail()

    @precondition(lambda self: self.ready)
    @rule()
    def worker_dies(self) -> None:
        self.room.hub.painting.worker_ended("killed", failed=False)
        self.worker_gone()
        self.read_mail()

    @rule(seconds=st.sampled_from([0.5, 6.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.room.now_ns += int(seconds * 1e9)
        self.room.say(p.Ping())
        self.room.hub.tick()
        self.read_mail()

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "welcome"):
            return
        (session,) = self.room.hub.floor.sessions
        assert set(session.input.owned_by(Owner.CLIENT)) == self.client_inputs
        assert set(session.output.owned_by(Owner.CLIENT)) == self.client_outputs
        assert set(session.input.owned_by(Owner.WORKER)) == self.worker_inputs
        if session.asked and not session.failure:
            assert set(session.output.owned_by(Owner.WORKER)) == self.worker_outputs

    def teardown(self) -> None:
        self.room.hub.close_all("the test ends")
        assert self.room.segments == []


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
