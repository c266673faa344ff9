"""Checks of the GPUs: what there is, whether torch can use it, and which models it can paint with."""

from __future__ import annotations

import os

from limner.cli.doctor.findings import Finding, fine, warning
from limner.daemon.protocol import WorkerInfo
from limner.daemon.style_file import loras_together
from limner.models import catalogue
from limner.models.entry import Entry
from limner.models.plan_best import best_plan
from limner.models.plan_bytes import GIB
from limner.models.plan_cards import Card, Cards
from limner.models.plan_choice import MemoryPlan, Refusal, Wishes, choose
from limner.models.plan_here import sizes_here
from limner.models.plan_seen import VISIBLE
from limner.models.plan_torch import TorchBuild
from limner.models.plan_words import refusal, sentence
from limner.models.store import Store

GPU = "GPU"


def check_cards(found: Cards) -> list[Finding]:
    """Which GPUs are there, and what is wrong with the others?"""
    if not found.cards and not found.faults:
        return [fine(GPU, "no NVIDIA GPU; pocket paints on the processor")]
    good = [fine(GPU, _card(card)) for card in found.cards]
    bad = [warning(GPU, fault.text, f"{fault.advice}; until then pocket paints") for fault in found.faults]
    return [*good, *bad]


def check_torch(found: Cards, build: TorchBuild | None) -> list[Finding]:
    """Can the installed torch use them?"""
    name, card = "Torch for the GPU", found.best
    if card is None or build is None:
        return []
    if not build.cuda:
        text = f"torch {build.version} was built for processors alone"
        return [warning(name, text, "run: bash installer/run.sh, which installs the one for NVIDIA GPUs")]
    text = f"torch {build.version} for CUDA {build.cuda}, driver {card.driver}"
    if not build.runs_on(card.driver):
        return [warning(name, text, f"update the NVIDIA driver to {build.oldest_driver} or newer")]
    return [fine(name, text)]


def check_device(found: Cards, card: Card | None, device: str) -> list[Finding]:
    """Is there the card that paints?"""
    name = "GPU that paints"
    if card is not None:
        # Of one card there is nothing to tell.
        return [fine(name, f"{card.index}, {card.name} ({device})")] if len(found.cards) > 1 else []
    if device == "cpu":
        return [fine(name, "none: the processor is chosen")] if found.cards else []
    if device == "auto" and not found.cards:
        return []
    text = f"Limner cannot tell which GPU {device} is (CUDA_VISIBLE_DEVICES is {os.environ.get(VISIBLE)!r})"
    if VISIBLE not in os.environ:
        text = f"{device} is chosen, and there is no such GPU"
    return [warning(name, text, "choose one: limner daemon --device, or device in config.toml")]


def painting_now(painter: WorkerInfo | None) -> list[Finding]:
    """Does the running painter hold memory of a GPU? Then nobody can say what would fit without it."""
    if painter is None or painter.state not in ("loading", "ready") or painter.device in ("", "CPU"):
        return []
    text = f"{painter.model} paints on {painter.device}, and what it holds there is not free"
    return [fine("Models", f"{text}; to see what fits: limner daemon --stop, then limner doctor")]


def check_models(
    card: Card | None, chosen: str = "", wishes: Wishes | None = None, store: Store | None = None
) -> list[Finding]:
    """Which models fit on the card as it is now, how, and are they on this machine?"""
    if card is None:
        return []
    known, store, together = catalogue.load(), store or Store(), loras_together()
    sizes = {entry.name: sizes_here(entry, store, together) for entry in known}
    best = best_plan(list(sizes.values()), card, wishes)
    name = best.model.name if best else "pocket"
    plans = {name: choose(one, card, wishes) for name, one in sizes.items()}
    return [
        *(_model(entry, plans[entry.name], store, is_chosen=entry.name == chosen) for entry in known),
        fine("Best model", f"{name}, of those that fit on {card.name}"),
    ]


def _model(entry: Entry, plan: MemoryPlan | Refusal, store: Store, *, is_chosen: bool) -> Finding:
    name = f"Model {entry.name}"
    state = store.state(entry)
    if not isinstance(plan, MemoryPlan):
        # Of a model that nobody chose, that is a fact and not a fault.
        return warning(name, plan.text, plan.advice) if is_chosen else fine(name, refusal(plan))
    text = sentence(plan)
    if state.presence == "here":
        return fine(name, text)
    if is_chosen:
        return warning(
            name, f"{text}; {state.sentence.partition(';')[0]}", f"limner models pull {entry.name}"
        )
    return fine(name, f"{text}; not here yet: limner models pull {entry.name}")


def _card(card: Card) -> str:
    major, minor = card.capability
    return (
        f"{card.name}, {card.free_bytes / GIB:.1f} of {card.total_bytes / GIB:.1f} GiB free,"
        f" driver {card.driver}, compute capability {major}.{minor}"
    )
