"""The one card that a worker sees."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from limner.models.plan_cards import Cards, cards
from limner.models.plan_seen import VISIBLE, card_for


def see_only(
    device: str, found: Cards | None = None, environment: MutableMapping[str, str] = os.environ
) -> str:
    """Let torch see only the card that paints, and return the device as torch calls it then.

    Before torch is loaded. Left to itself torch counts the fastest card as the first, nvidia-smi that in the
    first slot: the plan would be for another one. And nothing is taken of a card that a game has for itself.
    Whoever has set CUDA_VISIBLE_DEVICES has chosen already.
    """
    if device == "cpu" or VISIBLE in environment:
        return device
    card = card_for(device, cards() if found is None else found, environment)
    if card is None:
        # Torch will say what is wrong with it.
        return device
    environment["CUDA_DEVICE_ORDER"], environment[VISIBLE] = "PCI_BUS_ID", str(card.index)
    return "auto" if device == "auto" else "cuda"
