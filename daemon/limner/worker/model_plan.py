"""Plans the memory of a GPU before a model is loaded onto it, and makes the model's config as planned."""
# ruff: noqa: PLC0415  (torch loads under a progress report)

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from limner.daemon.style_file import loras_together
from limner.models import catalogue
from limner.models.errors import ModelsError
from limner.models.paths import loras_dir
from limner.models.plan_bytes import CUDA_BYTES, Choice
from limner.models.plan_cards import Card
from limner.models.plan_choice import MemoryPlan, Refusal, Wishes, choose, lower
from limner.models.plan_dit import Weights
from limner.models.plan_lora import lora_room_bytes
from limner.models.plan_model import ModelSizes, model_sizes
from limner.models.plan_processor import ProcessorPlan
from limner.models.plan_rank_bytes import Places
from limner.models.plan_rank_words import ranks_breakdown, ranks_sentence
from limner.models.plan_ranks import RankCard, RanksPlan, choose_over, lower_over
from limner.models.plan_words import breakdown, refusal, sentence
from limner.worker.memory import MemoryCaps
from limner.worker.model_source import POCKET, ModelSource

log = logging.getLogger("limner.worker")
MEMINFO = Path("/proc/meminfo")
AnyPlan = TypeVar("AnyPlan", MemoryPlan, RanksPlan)
CountsOf = Callable[[RanksPlan], Sequence[int]]


class NoRoomError(ModelsError):
    """A model does not fit as it is wished; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Planned:
    """A model as it is to be loaded."""

    source: ModelSource
    plan: MemoryPlan | RanksPlan | None
    """None: on the processor, where nothing is planned."""
    told: str = ""
    """The plan in one line; empty: there is none."""

    @property
    def choice(self) -> Choice | None:
        """The way to paint; None: the model's own."""
        return None if self.plan is None else self.plan.choice

    @property
    def weight_kind(self) -> Weights:
        """How the denoiser's large weights are kept."""
        return "bf16" if self.choice is None else self.choice.weights

    @property
    def caps(self) -> MemoryCaps:
        """The most that a stream may take."""
        if self.plan is None:
            return MemoryCaps()
        width, height = self.plan.choice.size
        choice = self.plan.choice
        return MemoryCaps(steps=choice.steps, area_px=width * height, chunk_latents=choice.chunk_latents)


def planned(
    source: ModelSource, device: str, wishes: Wishes, step_down: int = 0, *, is_alone: bool = True
) -> Planned:
    """Plan a model on a device, `step_down` plans below the best one; raises NoRoomError.

    Each of those was tried, and was too much for what the card really had. Not `is_alone`: other processors,
    maybe of other machines, hold a part of it, and nobody adds up their memory.
    """
    if not is_planned(source, device):
        if wishes != Wishes() and source.name != POCKET:
            raise NoRoomError(
                f"{source.name} is painted on the processor, where no memory is planned; leave out the"
                " options for the GPU's memory"
            )
        return Planned(source, None) if source.name == POCKET else _on_processor(source, is_alone=is_alone)
    plan = plan_on(card_of(device), source, wishes, step_down)
    return _told(source, plan, sentence(plan), breakdown(plan))


def planned_over(
    source: ModelSource,
    cards: Sequence[RankCard],
    wishes: Wishes,
    *,
    step_down: int,
    split: CountsOf,
    places: Places,
) -> Planned:
    """The same over the cards of several ranks. `split`: how many blocks each would hold, of a plan."""
    plan = plan_over(cards, source, wishes, step_down, places)
    counts = split(plan)
    return _told(source, plan, ranks_sentence(plan, counts), ranks_breakdown(plan, counts))


def is_planned(source: ModelSource, device: str) -> bool:
    """Whether a model's memory is planned there: not on a processor, and pocket is small everywhere."""
    return device.startswith("cuda") and source.name != POCKET


def _told(source: ModelSource, plan: MemoryPlan | RanksPlan, told: str, lines: Sequence[str]) -> Planned:
    log.info("%s: %s", source.name, told)
    for line in lines:
        log.info("  %s", line)
    table = table_for(source.table, plan.choice)
    return Planned(dataclasses.replace(source, table=table), plan, told)


def plan_on(card: Card, source: ModelSource, wishes: Wishes, step_down: int = 0) -> MemoryPlan:
    """Choose the way to paint with a model whose files are here; raises NoRoomError."""
    ran_out = (
        f"{card.name} ran out of memory with every way to paint with {source.name}; close what else uses"
        " it (a game, a browser), or use pocket"
    )
    return _stepped_down(choose(_sizes_of(source), card, wishes), lower, step_down, ran_out)


def plan_over(
    cards: Sequence[RankCard],
    source: ModelSource,
    wishes: Wishes,
    step_down: int = 0,
    places: Places | None = None,
) -> RanksPlan:
    """Choose the way to paint over the cards of several ranks; raises NoRoomError."""
    ran_out = (
        f"the {len(cards)} cards ran out of memory with every way to paint with {source.name}; close what"
        " else uses them (a game, a browser), or use pocket"
    )
    return _stepped_down(
        choose_over(_sizes_of(source), cards, wishes, places), lower_over, step_down, ran_out
    )


def _stepped_down(
    first: AnyPlan | Refusal, lower: Callable[[AnyPlan], AnyPlan | None], step_down: int, ran_out: str
) -> AnyPlan:
    """Return the plan so many steps below the first; raises NoRoomError: `ran_out` when none is left."""
    plan: AnyPlan | Refusal | None = first
    for _ in range(step_down):
        if isinstance(plan, MemoryPlan | RanksPlan):
            plan = lower(plan)
    if plan is None:
        raise NoRoomError(ran_out)
    if isinstance(plan, Refusal):
        raise NoRoomError(refusal(plan))
    return plan


def table_for(table: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    """Return the tables of the engine's config as chosen."""
    dit = table["dit"] | {"window_frames": choice.window_frames, "sink_frames": choice.sink_frames}
    area = choice.size[0] * choice.size[1]
    sizes = [size for size in table["sizes"] if size[0] * size[1] <= area]
    changed = {"dit": dit, "sizes": sizes or [choice.size], "default_size": choice.size}
    if choice.vae == "taehv" and table["vae"].get("kind") != "taehv":
        kept = ("latent_channels", "normalise_encoded")
        changed["vae"] = {"kind": "taehv"} | {key: table["vae"][key] for key in kept if key in table["vae"]}
    return {**table, **changed}


def card_of(device: str) -> Card:
    """Ask torch for a card. What this process took by asking is planned for, so it counts as free."""
    import torch

    properties = torch.cuda.get_device_properties(device)
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return Card(
        index=torch.device(device).index or 0,
        name=properties.name,
        total_bytes=total_bytes,
        free_bytes=min(total_bytes, free_bytes + CUDA_BYTES),
        capability=(properties.major, properties.minor),
    )


def _on_processor(source: ModelSource, *, is_alone: bool) -> Planned:
    import torch

    from limner.engine.engine import fast_dtype

    plan = ProcessorPlan(model=_sizes_of(source), number_bytes=fast_dtype(torch.device("cpu")).itemsize)
    if words := plan.refusal(free_memory_bytes() if is_alone else None):
        raise NoRoomError(words)
    log.info("%s: %s", source.name, plan.sentence)
    return Planned(source, None, plan.sentence)


def free_memory_bytes(meminfo: Path = MEMINFO) -> int | None:
    """Main memory that can be had without swapping; None: this system does not tell."""
    try:
        text = meminfo.read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _sizes_of(source: ModelSource) -> ModelSizes:
    sizes = model_sizes(catalogue.load().find(source.name))
    room = lora_room_bytes(loras_dir(), sizes.dit, loras_together())
    return dataclasses.replace(sizes, has_taehv="taehv" in source.paths, lora_bytes=room)
