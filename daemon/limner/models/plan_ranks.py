"""Which way to paint fits over several cards, and how many of the denoiser's blocks each of them holds. Pure.

A rank holds its blocks with all that streams remember in them, and what every rank has: CUDA itself, the
head, buffers. One of them encodes and one decodes, and the first has the text encoder and the frames. What
is given up where not all fits, and in which order, is as for one card: `plan_choice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.models.plan_bytes import GIB, Choice, total_bytes
from limner.models.plan_cards import Card
from limner.models.plan_choice import RESERVE_BYTES, Refusal, Wishes, choices, impossible, spare_bytes
from limner.models.plan_model import ModelSizes
from limner.models.plan_rank_bytes import Places, beside_bytes, block_bytes


@dataclass(frozen=True, kw_only=True)
class RankCard:
    """The card of a rank, and what is known of it beside its memory. Its name is for people."""

    card: Card
    most_blocks: int | None = None
    """More than that it could not hold when it was tried; None: nothing was learned."""


@dataclass(frozen=True, kw_only=True)
class RanksPlan:
    """How a model is painted with over several cards."""

    model: ModelSizes
    cards: tuple[RankCard, ...]
    """From rank 0 on."""
    wishes: Wishes
    choice: Choice
    places: Places
    rooms: tuple[int, ...]
    """Blocks that each rank has memory for; all of them together have it for the model."""


def choose_over(
    model: ModelSizes, cards: Sequence[RankCard], wishes: Wishes | None = None, places: Places | None = None
) -> RanksPlan | Refusal:
    """Return the best way to paint with a model whose blocks can be spread over these cards."""
    wishes, places = wishes or Wishes(), places or Places()
    for one in cards:
        if refused := impossible(model, one.card, wishes):
            return refused
    least: tuple[int, Choice] | None = None
    for choice in choices(model, _weakest(cards), wishes):
        missing = missing_bytes(model, choice, cards, places)
        if missing == 0:
            return _plan(model, cards, wishes, choice, places)
        least = (missing, choice) if least is None or missing < least[0] else least
    assert least is not None, "every wish leaves a choice"
    return no_room(model, least[1], cards, places, is_pinned=wishes != Wishes(streams=wishes.streams))


def lower_over(plan: RanksPlan) -> RanksPlan | None:
    """Return the next plan that takes less in all; None: there is none."""
    walk = choices(plan.model, _weakest(plan.cards), plan.wishes)
    for choice in walk:
        if choice == plan.choice:
            break
    needed = total_bytes(plan.model, plan.choice)
    for choice in walk:
        fits = missing_bytes(plan.model, choice, plan.cards, plan.places) == 0
        if fits and total_bytes(plan.model, choice) < needed:
            return _plan(plan.model, plan.cards, plan.wishes, choice, plan.places)
    return None


def rooms_over(
    model: ModelSizes, choice: Choice, cards: Sequence[RankCard], places: Places | None = None
) -> tuple[int, ...]:
    """Return how many blocks each card has memory for; 0 where not even the rest of a rank's part fits."""
    places = places or Places()
    return tuple(_room(model, choice, rank, one, places) for rank, one in enumerate(cards))


def missing_bytes(
    model: ModelSizes, choice: Choice, cards: Sequence[RankCard], places: Places | None = None
) -> int:
    """Return how much memory the cards lack for a choice, all together; 0: it fits."""
    places = places or Places()
    rooms, block = rooms_over(model, choice, cards, places), block_bytes(model, choice)
    lacks = max(0, model.dit.layers - sum(rooms)) * block
    # Who encodes, decodes or begins cannot be left out, blocks or none.
    for rank in {0, places.encodes, places.decodes}:
        lacks += max(0, -_left_bytes(model, choice, rank, cards[rank].card, places))
    return lacks


def no_room(
    model: ModelSizes,
    choice: Choice,
    cards: Sequence[RankCard],
    places: Places | None = None,
    *,
    is_pinned: bool = False,
) -> Refusal:
    """Say what is missing where a choice does not fit: which card has room for what, and what to do."""
    places = places or Places()
    missing = missing_bytes(model, choice, cards, places)
    rooms = rooms_over(model, choice, cards, places)
    each = [
        _card_words(one.card, room, _left_bytes(model, choice, rank, one.card, places), _duties(rank, places))
        for rank, (one, room) in enumerate(zip(cards, rooms, strict=True))
    ]
    wanted = "let Limner choose, " if is_pinned else ""
    return Refusal(
        text=f"{model.name}{' as you want it' if is_pinned else ''} lacks {missing / GIB:.1f} GiB on"
        f" {_count(len(cards))}: of its {model.dit.layers} blocks, {'; '.join(each)}",
        advice=f"{wanted}close what else uses the GPU (a game, a browser), add a card, or use pocket",
        needed_bytes=missing,
    )


def _card_words(card: Card, room: int, left: int, duties: str) -> str:
    has = f"{card.name} ({card.free_bytes / GIB:.1f} of {card.total_bytes / GIB:.1f} GiB free)"
    if left < 0 and duties:
        return f"{has} lacks {-left / GIB:.1f} GiB for {duties} alone"
    return f"{has} has room for {room}"


def _duties(rank: int, places: Places) -> str:
    """What a rank has to do in any case, in words; empty: nothing but blocks."""
    coding = rank in (places.encodes, places.decodes)
    parts = ("the embeddings" if rank == 0 else "", "the autoencoder" if coding else "")
    return " and ".join(part for part in parts if part)


def _count(cards: int) -> str:
    return "the card that is there" if cards == 1 else f"{cards} cards"


def _plan(
    model: ModelSizes, cards: Sequence[RankCard], wishes: Wishes, choice: Choice, places: Places
) -> RanksPlan:
    rooms = rooms_over(model, choice, cards, places)
    return RanksPlan(
        model=model, cards=tuple(cards), wishes=wishes, choice=choice, places=places, rooms=rooms
    )


def _weakest(cards: Sequence[RankCard]) -> Card:
    """All ranks compute alike, so in what the oldest of the cards can."""
    return min((one.card for one in cards), key=lambda card: card.capability)


def _room(model: ModelSizes, choice: Choice, rank: int, one: RankCard, places: Places) -> int:
    left = max(0, _left_bytes(model, choice, rank, one.card, places))
    known = model.dit.layers if one.most_blocks is None else one.most_blocks
    return min(left // block_bytes(model, choice), known, model.dit.layers)


def _left_bytes(model: ModelSizes, choice: Choice, rank: int, card: Card, places: Places) -> int:
    """What a rank's card has left for blocks; below 0: what it lacks for what it has to have beside them."""
    spare = spare_bytes(choice) if rank == 0 else 0
    return card.free_bytes - RESERVE_BYTES - spare - beside_bytes(model, choice, rank, places)
