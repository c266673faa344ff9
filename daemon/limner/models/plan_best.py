"""Which of several models suits a card. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from limner.models.plan_cards import Card
from limner.models.plan_choice import GOOD_STEPS, MemoryPlan, Wishes, choose
from limner.models.plan_dit import dit_parameters
from limner.models.plan_model import ModelSizes

LARGE_PARAMETERS = 5_000_000_000
LARGE_CAPABILITY = (9, 0)
"""A model of that many parameters is too slow to be live on older cards, whatever their memory."""


def best_plan(models: Iterable[ModelSizes], card: Card, wishes: Wishes | None = None) -> MemoryPlan | None:
    """Return the plan of the model that suits the card best; None: none of them fits.

    The largest that can be live there without giving up its size, its autoencoder or its second step; where
    none can, the smallest: it gives up the least. Of equals, the first.
    """
    found = [choose(model, card, wishes) for model in models]
    plans = sorted((plan for plan in found if isinstance(plan, MemoryPlan)), key=_parameters, reverse=True)
    whole = [plan for plan in plans if _gives_up_little(plan) and _is_fast_enough(plan)]
    if whole:
        return whole[0]
    return min(plans, key=_parameters, default=None)


def _parameters(plan: MemoryPlan) -> int:
    return dit_parameters(plan.model.dit).total


def _gives_up_little(plan: MemoryPlan) -> bool:
    choice, model = plan.choice, plan.model
    kept = choice.size == model.sizes[0] and choice.vae == model.vaes[0]
    return kept and choice.steps >= GOOD_STEPS


def _is_fast_enough(plan: MemoryPlan) -> bool:
    return _parameters(plan) < LARGE_PARAMETERS or plan.card.capability >= LARGE_CAPABILITY
