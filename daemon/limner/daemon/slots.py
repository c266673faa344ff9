"""Who owns which slot of a segment. A slot changes hands only by message, and only its owner may give it."""

from __future__ import annotations

from enum import Enum


class Owner(Enum):
    """The two sides of a segment."""

    CLIENT = "the client"
    WORKER = "the worker"

    @property
    def other(self) -> Owner:
        """The other side."""
        return Owner.WORKER if self is Owner.CLIENT else Owner.CLIENT


class SlotError(Exception):
    """A slot that is not there, or that the giver does not own."""


class SlotTable:
    """The owners of the slots of one segment."""

    def __init__(self, count: int, owner: Owner) -> None:
        self._owners = [owner] * count

    def __len__(self) -> int:
        return len(self._owners)

    def hand_over(self, slot: int, *, giver: Owner) -> None:
        """Give `slot` to the other side; raises SlotError when it is not the giver's to give."""
        if not 0 <= slot < len(self._owners):
            raise SlotError(f"no slot {slot}, there are {len(self._owners)}")
        if self._owners[slot] is not giver:
            raise SlotError(f"slot {slot} belongs to {self._owners[slot].value}, not to {giver.value}")
        self._owners[slot] = giver.other

    def owned_by(self, owner: Owner) -> list[int]:
        """Return the slots that `owner` has."""
        return [slot for slot, has in enumerate(self._owners) if has is owner]

    def take_back(self, holder: Owner) -> list[int]:
        """Move all that `holder` has to the other side and return which those were."""
        slots = self.owned_by(holder)
        for slot in slots:
            self._owners[slot] = holder.other
        return slots
