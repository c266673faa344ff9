"""Who owns a slot: an owner at a time, whatever anybody says."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from limner.daemon.slots import Owner, SlotError, SlotTable

COUNT = 5
ANY_SLOT = st.integers(min_value=-3, max_value=COUNT + 3)
SIDES = st.sampled_from(Owner)


class Slots(RuleBasedStateMachine):
    """Any order of messages, right and wrong ones, against a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.table = SlotTable(COUNT, Owner.CLIENT)
        self.model = dict.fromkeys(range(COUNT), Owner.CLIENT)

    @rule(slot=ANY_SLOT, giver=SIDES)
    def hand_over(self, slot: int, giver: Owner) -> None:
        if self.model.get(slot) is giver:
            self.table.hand_over(slot, giver=giver)
            self.model[slot] = giver.other
        else:
            with pytest.raises(SlotError, match=str(slot)):
                self.table.hand_over(slot, giver=giver)

    @rule(holder=SIDES)
    def take_back(self, holder: Owner) -> None:
        had = [slot for slot, owner in self.model.items() if owner is holder]
        assert self.table.take_back(holder) == had
        self.model |= dict.fromkeys(had, holder.other)

    @invariant()
    def each_slot_has_one_owner(self) -> None:
        client, worker = self.table.owned_by(Owner.CLIENT), self.table.owned_by(Owner.WORKER)
        assert sorted(client + worker) == list(range(COUNT)) == list(range(len(self.table)))
        assert all(self.model[slot] is Owner.CLIENT for slot in client)


TestSlots = Slots.TestCase


def test_the_error_says_whose_it_is() -> None:
    table = SlotTable(2, Owner.CLIENT)
    with pytest.raises(SlotError, match="slot 1 belongs to the client, not to the worker"):
        table.hand_over(1, giver=Owner.WORKER)
    with pytest.raises(SlotError, match="no slot 2, there are 2"):
        table.hand_over(2, giver=Owner.CLIENT)
