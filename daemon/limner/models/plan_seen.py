"""Which card a device of the settings means: torch and nvidia-smi do not count alike by themselves."""

from __future__ import annotations

from collections.abc import Mapping

from limner.models.plan_cards import Card, Cards

VISIBLE = "CUDA_VISIBLE_DEVICES"


def card_for(device: str, found: Cards, environment: Mapping[str, str]) -> Card | None:
    """Return the card that a worker with this device paints on; None: none, or nobody can tell.

    `device`: "auto" (the best card), "cuda" (the first), "cuda:N" (by nvidia-smi's numbers), or "cpu". Where
    the user has set CUDA_VISIBLE_DEVICES, torch counts only what that names, and "auto" is the first of it.
    """
    if device == "cpu":
        return None
    if device == "auto" and VISIBLE not in environment:
        return found.best
    number = int(device.partition(":")[2] or 0)
    if VISIBLE in environment:
        names = environment[VISIBLE].split(",")
        if number >= len(names) or not names[number].strip().isdigit():
            return None
        number = int(names[number])
    return next((card for card in found.cards if card.index == number), None)
