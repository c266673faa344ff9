"""Which way to paint fits on a card, and what is given up first. Pure.

A model can be painted with in many ways. They are in one order, by a table of preferences, and the first one
that fits is chosen, so that more memory never gives a worse way. What is given up, the first first:

1. the text encoder's place: on the GPU for good; there only while it encodes a new prompt; in main memory;
2. denoising steps beyond two, each of which has a history of its own;
3. a latent frame of the window: 5 with 2 sinks (the reference's fast setting) instead of 6 with 3;
4. the weights' type: 8 bits a number instead of 16;
5. the autoencoder: the small one (TAEHV) instead of Wan's;
6. the second step;
7. the window down to 4 latent frames, of which 1 is a sink;
8. the size of the working picture, down the model's list.

What comes later on this list is kept as long as anything before it can be given up instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from limner.models.plan_bytes import GIB, MIB, Choice, Part, TextPlace, parts_of, total_bytes
from limner.models.plan_cards import LEAST_CAPABILITY, Card
from limner.models.plan_dit import Weights
from limner.models.plan_model import ModelSizes, Size, VaeKind

MOST_STEPS, GOOD_STEPS = 4, 2
FAST_WINDOW, SHORT_WINDOW = (5, 2), (4, 1)
RESERVE_BYTES = 512 * MIB
"""Left to OBS and its video encoder, which may want more than they have now."""
SPARE_BYTES = 6 * GIB
"""So much must stay free beside a text encoder that never leaves."""
TEXT_PLACES: tuple[TextPlace, ...] = ("gpu", "gpu while encoding", "cpu")


Side = Annotated[int, Meta(ge=16, le=4096, multiple_of=16)]


class Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user insists on; None: whatever fits."""

    size: tuple[Side, Side] | None = None
    weights: Weights | None = None
    vae: Literal["wan", "taehv"] | None = None
    window_frames: Annotated[int, Meta(ge=2, le=24)] | None = None
    """Latent frames of the window; sinks are half of them, as the reference has it."""
    steps: Annotated[int, Meta(ge=1, le=4)] | None = None
    text: TextPlace | None = None
    chunk: Annotated[int, Meta(ge=1, le=4)] | None = None
    """Latent frames of the longest chunk that there is room for; None: as the model has them."""
    streams: Annotated[int, Meta(ge=1, le=8)] = 1
    """Sessions at a time."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a model is painted with on a card."""

    model: ModelSizes
    card: Card
    wishes: Wishes
    choice: Choice
    parts: tuple[Part, ...]
    free_bytes: int
    """That may be used: what is free on the card, less the reserve."""

    @property
    def needed_bytes(self) -> int:
        """Its peak."""
        return sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why no way fits, in one sentence, and what to do."""

    text: str
    advice: str
    needed_bytes: int = 0
    """Of the smallest way; 0: memory is not the reason."""


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The values of each preference, the best first."""

    sizes: tuple[Size, ...]
    short: tuple[bool, ...]
    more_than_one_step: tuple[bool, ...]
    vaes: tuple[VaeKind, ...]
    weights: tuple[Weights, ...]
    windows: tuple[tuple[int, int], ...]
    steps: tuple[int, ...]
    texts: tuple[TextPlace, ...] = field(default=TEXT_PLACES)


def choose(model: ModelSizes, card: Card, wishes: Wishes | None = None) -> MemoryPlan | Refusal:
    """Return the best way to paint with a model that fits into the card's free memory, within the wishes."""
    wishes = wishes or Wishes()
    refusal = impossible(model, card, wishes)
    if refusal:
        return refusal
    free = card.free_bytes - RESERVE_BYTES
    least = None
    for choice in choices(model, card, wishes):
        needed = total_bytes(model, choice)
        if needed + spare_bytes(choice) <= free:
            return _plan(model, card, wishes, choice)
        least = needed if least is None else min(least, needed)
    assert least is not None, "every wish leaves a choice"
    return _too_small(model, card, wishes, least)


def choices(model: ModelSizes, card: Card, wishes: Wishes) -> Iterator[Choice]:
    """Walk all ways to paint, the best first: what is given up first varies fastest."""
    table = _table(model, card, wishes)
    for size, short, several, vae, weights in product(
        table.sizes, table.short, table.more_than_one_step, table.vaes, table.weights
    ):
        windows = (SHORT_WINDOW,) if short else table.windows
        steps = [count for count in table.steps if (count > 1) == several]
        for (frames, sinks), count, text in product(windows, steps, table.texts):
            yield Choice(
                size=size,
                weights=weights,
                vae=vae,
                window_frames=frames,
                sink_frames=sinks,
                steps=count,
                text=text,
                chunk_latents=max(model.chunk_latents, wishes.chunk or 1),
                streams=wishes.streams,
            )


def lower(plan: MemoryPlan, *, live: bool = False) -> MemoryPlan | None:
    """Return the next plan that takes less; None: there is none.

    `live`: only what a running engine can change, which is all but its weights, autoencoder and window.
    """
    walk = choices(plan.model, plan.card, plan.wishes)
    for choice in walk:
        if choice == plan.choice:
            break
    for choice in walk:
        if live and _loaded(choice) != _loaded(plan.choice):
            continue
        if total_bytes(plan.model, choice) < plan.needed_bytes:
            return _plan(plan.model, plan.card, plan.wishes, choice)
    return None


def _loaded(choice: Choice) -> tuple[object, ...]:
    return choice.weights, choice.vae, choice.window_frames, choice.sink_frames


def _plan(model: ModelSizes, card: Card, wishes: Wishes, choice: Choice) -> MemoryPlan:
    return MemoryPlan(
        model=model,
        card=card,
        wishes=wishes,
        choice=choice,
        parts=parts_of(model, choice),
        free_bytes=card.free_bytes - RESERVE_BYTES,
    )


def spare_bytes(choice: Choice) -> int:
    """What must stay free beside a choice: a text encoder for good is for who has room in plenty."""
    return SPARE_BYTES if choice.text == "gpu" else 0


def _table(model: ModelSizes, card: Card, wishes: Wishes) -> _Table:
    small: Weights = "fp8" if card.has_fp8 else "int8"
    own = (model.dit.window_frames, model.dit.sink_frames)
    windows = tuple(dict.fromkeys((own, *(w for w in (FAST_WINDOW,) if w[0] < own[0]))))
    short: tuple[bool, ...] = (False, True) if SHORT_WINDOW[0] < windows[-1][0] else (False,)
    if wishes.window_frames is not None:
        windows, short = ((wishes.window_frames, wishes.window_frames // 2),), (False,)
    steps = tuple(range(MOST_STEPS, 0, -1)) if wishes.steps is None else (wishes.steps,)
    return _Table(
        sizes=model.sizes if wishes.size is None else (wishes.size,),
        short=short,
        more_than_one_step=tuple(dict.fromkeys(count > 1 for count in steps)),
        vaes=model.vaes if wishes.vae is None else (wishes.vae,),
        weights=("bf16", small) if wishes.weights is None else (wishes.weights,),
        windows=windows,
        steps=steps,
        texts=_texts(model, wishes),
    )


def _texts(model: ModelSizes, wishes: Wishes) -> tuple[TextPlace, ...]:
    if not model.has_umt5:
        return ("cpu",)
    return TEXT_PLACES if wishes.text is None else (wishes.text,)


def impossible(model: ModelSizes, card: Card, wishes: Wishes) -> Refusal | None:
    """Return what no memory would help against."""
    if card.capability < LEAST_CAPABILITY:
        return Refusal(
            text=f"{card.name} is too old: {model.name} needs an RTX 20 or newer",
            advice="use another GPU, or pocket",
        )
    if wishes.weights == "fp8" and not card.has_fp8:
        return Refusal(
            text=f"{card.name} cannot multiply fp8 (that needs an RTX 40, an H100 or newer)",
            advice="choose int8 or bf16 weights",
        )
    if wishes.vae is not None and wishes.vae not in model.vaes:
        return Refusal(
            text=f"{model.name} has no autoencoder {wishes.vae!r}",
            advice=f"choose {' or '.join(model.vaes)}",
        )
    return None


def _too_small(model: ModelSizes, card: Card, wishes: Wishes, least: int) -> Refusal:
    needed = least + RESERVE_BYTES
    pinned = wishes != Wishes(streams=wishes.streams)
    others = "let Limner choose, " if pinned else ""
    if card.total_bytes >= needed:
        others += "close what else uses the GPU (a game, a browser), "
    return Refusal(
        text=f"{model.name}{' as you want it' if pinned else ''} needs {needed / GIB:.1f} GiB free,"
        f" {card.name} has {card.free_bytes / GIB:.1f} of {card.total_bytes / GIB:.1f}",
        advice=f"{others}{'use' if not others else 'or use'} pocket",
        needed_bytes=needed,
    )
