"""A memory plan over several cards in words, rank by rank."""

from __future__ import annotations

from collections.abc import Sequence

from limner.models.plan_bytes import GIB
from limner.models.plan_rank_bytes import rank_parts
from limner.models.plan_ranks import RanksPlan
from limner.models.plan_words import way

LEAST_GIB = 0.05
"""Parts that are smaller are told together."""


def ranks_sentence(plan: RanksPlan, counts: Sequence[int]) -> str:
    """Return the plan in one line: what is painted how, and the bytes of each card. `counts`: blocks each."""
    each = ", ".join(_need(plan, rank, count) for rank, count in enumerate(counts))
    return f"{way(plan.choice, has_umt5=plan.model.has_umt5)}: {each}"


def ranks_breakdown(plan: RanksPlan, counts: Sequence[int]) -> list[str]:
    """Return a line a rank: its card, its bytes, its blocks, and what takes them, the largest first."""
    lines, first = [], 0
    for rank, count in enumerate(counts):
        parts = rank_parts(plan.model, plan.choice, rank, count, plan.places)
        sizes = sorted(((part.size_bytes / GIB, part.name) for part in parts), reverse=True)
        told = [f"{name} {size:.1f}" for size, name in sizes if size >= LEAST_GIB]
        held = _blocks(first, count)
        lines.append(
            f"Rank {rank}, {plan.cards[rank].card.name}: {_need(plan, rank, count)}: {held};"
            f" {', '.join(told)}"
        )
        first += count
    return lines


def _need(plan: RanksPlan, rank: int, count: int) -> str:
    needed = sum(part.size_bytes for part in rank_parts(plan.model, plan.choice, rank, count, plan.places))
    return f"{needed / GIB:.1f} of {plan.cards[rank].card.free_bytes / GIB:.1f} GiB free"


def _blocks(first: int, count: int) -> str:
    if count == 0:
        return "no blocks"
    return f"block {first}" if count == 1 else f"blocks {first} to {first + count - 1}"
