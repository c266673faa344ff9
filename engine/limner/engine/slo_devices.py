"""Which device a stream goes to, of several that each hold the whole model. Pure, no torch."""

from __future__ import annotations

from collections.abc import Sequence

from limner.engine.slo_admit import Asking, Refused, admit, least_plan
from limner.engine.slo_plan import Size, ladder


def place(
    running: Sequence[Sequence[Asking]], newcomer: Sequence[Asking], *, sizes: Sequence[Size] = ()
) -> int | Refused:
    """Return the device that a newcomer goes to, or why none has a place for it.

    `running`: each device's streams. `newcomer`: the same stream as each device would paint it, for cards
    differ. Of the devices where it fits, the one that is the least asked for then: the picture is best there.
    Refused with the offer of the device that is nearest to having a place.
    """
    if len(running) != len(newcomer) or not running:
        raise ValueError(f"{len(running)} devices and {len(newcomer)} costs; there must be one a device")
    refusals = [admit(there, one, sizes=sizes) for there, one in zip(running, newcomer, strict=True)]
    free = [device for device, refused in enumerate(refusals) if refused is None]
    if free:
        return min(free, key=lambda device: sum(_wish(one) for one in (*running[device], newcomer[device])))
    return min((refused for refused in refusals if refused is not None), key=_nearness)


def _wish(asking: Asking) -> float:
    """What a stream would take of a device if it had all that it wants."""
    return max(asking.use(ladder(asking.limits)[0][0]), asking.use(least_plan(asking)))


def _nearness(refused: Refused) -> tuple[bool, float]:
    return not refused.offer, refused.need
