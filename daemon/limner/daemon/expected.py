"""What a worker is expected to load, said before it does so."""

from __future__ import annotations

import os
from dataclasses import dataclass

from limner.daemon.config import DaemonConfig
from limner.daemon.style_file import loras_together
from limner.models import catalogue
from limner.models.plan_best import best_plan
from limner.models.plan_cards import cards
from limner.models.plan_choice import MemoryPlan, Refusal, Wishes, choose
from limner.models.plan_here import sizes_here
from limner.models.plan_seen import card_for
from limner.models.plan_torch import TorchBuild
from limner.models.plan_words import refusal, sentence
from limner.models.store import Store

POCKET = "pocket"


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is expected of a daemon's worker."""

    plan: MemoryPlan | Refusal | None = None
    """For the chosen model and card; None: nothing is planned there."""
    slow: str = ""
    """Why a model that wants a GPU will be painted on the processor; empty: it will not, or is to be."""


def outlook(config: DaemonConfig, build: TorchBuild | None) -> Outlook:
    """Return what the chosen model will find on the chosen card, as that is now.

    By nvidia-smi, asked once and without torch: the worker plans again, with what is free then. `build`: of
    torch, as it is installed.
    """
    known = catalogue.load().entries
    if config.engine not in known or config.device == "cpu":
        return Outlook()
    card = card_for(config.device, cards(), os.environ)
    if card is None:
        return Outlook(slow=_slow("there is no NVIDIA GPU that Limner can use", config))
    plan = choose(sizes_here(known[config.engine], Store(), loras_together()), card, config.wishes)
    unfit = build is not None and not build.cuda
    return Outlook(
        plan=plan, slow=_slow("the installed torch was built for processors alone", config) if unfit else ""
    )


def _slow(why: str, config: DaemonConfig) -> str:
    # A card that was asked for by its number and cannot be used ends the worker, with words of its own.
    if config.device != "auto":
        return ""
    return f"{why}: the processor paints, which is far from live (see: limner doctor)"


def best_engine(device: str, wishes: Wishes, build: TorchBuild | None = None) -> str:
    """Return what `auto` means now: the model here that suits the card best, else pocket.

    `build`: of torch, as it is installed.
    """
    card = card_for(device, cards(), os.environ)
    if card is None or (build is not None and not build.cuda):
        return POCKET
    store = Store()
    here = [entry for entry in catalogue.load() if store.state(entry).presence == "here"]
    together = loras_together()
    plan = best_plan([sizes_here(entry, store, together) for entry in here], card, wishes)
    return plan.model.name if plan else POCKET


def in_words(plan: MemoryPlan | Refusal) -> str:
    """Return it in one line."""
    return sentence(plan) if isinstance(plan, MemoryPlan) else refusal(plan)
