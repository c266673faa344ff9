"""What a rank of several takes on its card, part by part: its blocks, and what it has beside them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from limner.models.plan_bytes import (
    CUDA_BYTES,
    GRAPH_BYTES,
    MIB,
    NUMBER_BYTES,
    PROMPTS,
    SLACK,
    Choice,
    Part,
    text_encoder_bytes,
    vae_cache_numbers,
    vae_weight_bytes,
    vae_work_bytes,
)
from limner.models.plan_dit import DitSizes, view_bytes, window_bytes
from limner.models.plan_model import ModelSizes
from limner.models.plan_stage import (
    blocks_cache_bytes,
    blocks_text_bytes,
    blocks_weight_bytes,
    embedded_text_bytes,
    ends_weight_bytes,
    packet_bytes,
)
from limner.models.plan_work import dit_work_bytes, frames_bytes

PACKETS = 20
"""Buffers of transfers that a rank keeps at the most (see engine/pipeline/link.py)."""
MOVING = 2
"""Blocks' pasts that are in buffers while blocks move: one is being sent, one is received."""
NETWORK_BYTES = 256 * MIB
"""An allowance: what NCCL takes for the lines to the neighbours."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Ranks that have more to do than blocks."""

    encodes: int = 0
    decodes: int = 0


def rank_parts(
    model: ModelSizes, choice: Choice, rank: int, blocks: int, places: Places | None = None
) -> tuple[Part, ...]:
    """Return what a rank with so many blocks takes, in bytes, what is zero left out."""
    parts = _blocks_parts(model, choice, blocks) | _fixed_parts(model, choice, rank, places or Places())
    lost = int(SLACK * sum(parts.values()))
    parts |= {"lost in the allocator": lost, "CUDA itself": CUDA_BYTES + GRAPH_BYTES + NETWORK_BYTES}
    return tuple(Part(name=name, size_bytes=size) for name, size in parts.items() if size)


@lru_cache(maxsize=4096)
def beside_bytes(model: ModelSizes, choice: Choice, rank: int, places: Places) -> int:
    """Return what a rank has to have beside its blocks."""
    return sum(part.size_bytes for part in rank_parts(model, choice, rank, 0, places))


@lru_cache(maxsize=4096)
def block_bytes(model: ModelSizes, choice: Choice) -> int:
    """Return what a block takes, with what streams and prompts have in it; rounded up."""
    return int((1 + SLACK) * sum(_blocks_parts(model, choice, 1).values())) + 1


def _blocks_parts(model: ModelSizes, choice: Choice, blocks: int) -> dict[str, int]:
    dit, (width, height) = _window_of(model, choice), choice.size
    past = blocks_cache_bytes(dit, blocks=blocks, rows=choice.steps, width=width, height=height)
    prompts = PROMPTS * blocks_text_bytes(dit, blocks=blocks, text_tokens=model.text_tokens)
    return {
        "blocks": blocks_weight_bytes(dit, choice.weights, blocks=blocks),
        "history": choice.streams * past,
        "prompts": choice.streams * prompts,
        "LoRAs": -(-model.lora_bytes * blocks // model.dit.layers),
    }


def _fixed_parts(model: ModelSizes, choice: Choice, rank: int, places: Places) -> dict[str, int]:
    """What a rank has beside its blocks."""
    dit, (width, height) = _window_of(model, choice), choice.size
    shown = {"rows": choice.steps, "width": width, "height": height}
    past = blocks_cache_bytes(dit, blocks=1, **shown)
    working = dit_work_bytes(
        dit, choice.weights, rows=1, latents=choice.chunk_latents, width=width, height=height
    )
    packet = choice.chunk_latents * packet_bytes(dit, width=width, height=height)
    coding = _coding_parts(model, choice, rank, places)
    at_work = {"denoiser at work": working, "autoencoder at work": coding.pop("at work")}
    parts = {
        "embeddings and head" if rank == 0 else "head": ends_weight_bytes(dit, is_first=rank == 0),
        "views": choice.streams * view_bytes(dit, **shown),
        "texts": choice.streams * PROMPTS * embedded_text_bytes(dit, text_tokens=model.text_tokens),
        "transfers": PACKETS * packet + MOVING * choice.streams * past,
        # What is recorded has memory of its own, which nothing else can have; see `plan_bytes`.
        "recorded work": sum(at_work.values()),
    }
    if rank == 0:
        read = PROMPTS * model.text_tokens * dit.text_dim * NUMBER_BYTES
        parts |= {
            "text encoder": text_encoder_bytes(model, choice),
            "frames": choice.streams * frames_bytes(width, height, choice.chunk_latents),
            "chunks of the window": choice.streams * window_bytes(dit, **shown),
            "prompts as read": choice.streams * read,
        }
    return parts | coding | at_work


def _coding_parts(model: ModelSizes, choice: Choice, rank: int, places: Places) -> dict[str, int]:
    encoding, decoding = vae_work_bytes(model, choice.vae, choice.size)
    work = encoding * (rank == places.encodes) + decoding * (rank == places.decodes)
    if not work:
        return {"at work": 0}
    # Whoever does one of the two holds all of it: the half that is not needed is small beside a block.
    kept = NUMBER_BYTES * vae_cache_numbers(model, choice.vae, choice.size)
    return {
        "autoencoder": vae_weight_bytes(model, choice.vae),
        "autoencoder's memory": choice.streams * kept,
        "at work": work,
    }


def _window_of(model: ModelSizes, choice: Choice) -> DitSizes:
    return replace(model.dit, window_frames=choice.window_frames, sink_frames=choice.sink_frames)
