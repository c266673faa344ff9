"""The chunks on their way through the denoiser, to and from a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.state import StreamState
from limner.engine.types import NoisedChunk

_TENSORS = ("x_TCHW", "sigmas_N", "told_N", "strength")
_FACTS = {"index": int, "revision": int, "seed": int, "stream_batch": bool, "is_clean": bool, "is_cut": bool}


def text_state(text: TextContext) -> StreamState:
    """What the text was made of, which is much less than the text."""
    embedding, mask = text.source
    return StreamState(tensors={"embedding": embedding} | ({} if mask is None else {"mask": mask}))


def restored_text(dit: CausalDiT, state: StreamState) -> TextContext:
    """The same text again, on the model's device."""
    device = dit.patch_embedding.weight.device
    mask = state.tensors.get("mask")
    return dit.text_context(
        state.tensor("embedding").to(device, dit.dtype), None if mask is None else mask.to(device)
    )


def flights_state(flights: Sequence[NoisedChunk]) -> StreamState:
    """Chunks, each text once."""
    texts = list({id(chunk.text): chunk.text for chunk in flights}.values())
    numbers = {id(text): number for number, text in enumerate(texts)}
    parts = {f"text{number}": text_state(text) for number, text in enumerate(texts)}
    for number, chunk in enumerate(flights):
        parts[f"chunk{number}"] = StreamState(
            tensors={name: getattr(chunk, name) for name in _TENSORS},
            facts={**{name: getattr(chunk, name) for name in _FACTS}, "text": numbers[id(chunk.text)]},
        )
    return StreamState.joined(parts, {"chunks": len(flights), "texts": len(texts)})


def restored_flights(dit: CausalDiT, state: StreamState) -> list[NoisedChunk]:
    """The same chunks, on the model's device."""
    texts = [restored_text(dit, state.part(f"text{i}")) for i in range(state.fact("texts", int))]
    return [_chunk(dit, state.part(f"chunk{i}"), texts) for i in range(state.fact("chunks", int))]


def _chunk(dit: CausalDiT, state: StreamState, texts: Sequence[TextContext]) -> NoisedChunk:
    device = dit.patch_embedding.weight.device
    fields: dict[str, Any] = {name: state.tensor(name).to(device) for name in _TENSORS}
    fields |= {name: state.fact(name, kind) for name, kind in _FACTS.items()}
    return NoisedChunk(text=texts[state.fact("text", int)], **fields)
