"""The chunks on their way through the denoiser, and their texts, to and from a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.errors import StateError
from limner.engine.state import StreamState
from limner.engine.types import NoisedChunk, Trace

_TENSORS = ("x_TCHW", "sigmas_N", "told_N", "strength")
_FACTS = {
    "index": int,
    "revision": int,
    "seed": int,
    "stream_batch": bool,
    "is_clean": bool,
    "is_cut": bool,
    "recache": bool,
    "text_note": str,
}


class Texts:
    """The texts of a state, each once.

    What was one text is one again after restoring: rows that share a text share its attention, and only the
    same grouping gives the same bits.
    """

    def __init__(self, texts: Sequence[TextContext] = ()) -> None:
        self._texts = list(texts)

    def number(self, text: TextContext) -> int:
        """Keep a text; the number by which `get` gives it."""
        if not any(text is kept for kept in self._texts):
            self._texts.append(text)
        return next(number for number, kept in enumerate(self._texts) if kept is text)

    def get(self, number: int) -> TextContext:
        """The text of this number; StateError when there is none."""
        if not 0 <= number < len(self._texts):
            raise StateError(f"the state has {len(self._texts)} texts, not one of number {number}")
        return self._texts[number]

    def state(self) -> StreamState:
        """What the texts were made of, which is much less than what was made of it."""
        return StreamState.joined(
            {str(number): _text_state(text) for number, text in enumerate(self._texts)},
            {"texts": len(self._texts)},
        )

    @classmethod
    def restored(cls, dit: CausalDiT, state: StreamState) -> Texts:
        """The same texts again, on the model's device."""
        numbers = range(state.fact("texts", int))
        return cls([_restored_text(dit, state.part(str(number))) for number in numbers])


def flights_state(flights: Sequence[NoisedChunk], texts: Texts) -> StreamState:
    """Chunks on their way."""
    parts = {
        f"chunk{number}": StreamState(
            tensors={name: getattr(chunk, name) for name in _TENSORS} | _trace_tensors(chunk.trace),
            facts={
                **{name: getattr(chunk, name) for name in _FACTS},
                "text": texts.number(chunk.text),
                "unknown_words": list(chunk.unknown_words),
            },
        )
        for number, chunk in enumerate(flights)
    }
    return StreamState.joined(parts, {"chunks": len(flights)})


def restored_flights(device: torch.device, state: StreamState, texts: Texts) -> list[NoisedChunk]:
    """The same chunks, on a device."""
    parts = [state.part(f"chunk{number}") for number in range(state.fact("chunks", int))]
    return [_restored_chunk(device, part, texts) for part in parts]


def _restored_chunk(device: torch.device, state: StreamState, texts: Texts) -> NoisedChunk:
    fields: dict[str, Any] = {name: state.tensor(name).to(device) for name in _TENSORS}
    fields |= {name: state.fact(name, kind) for name, kind in _FACTS.items()}
    trace, unknown = _restored_trace(device, state), tuple(state.fact("unknown_words", list))
    return NoisedChunk(text=texts.get(state.fact("text", int)), trace=trace, unknown_words=unknown, **fields)


def _trace_tensors(trace: Trace | None) -> dict[str, Tensor]:
    return {} if trace is None else {"flow_T2hw": trace.flow_T2hw, "keep_T1hw": trace.keep_T1hw}


def _restored_trace(device: torch.device, state: StreamState) -> Trace | None:
    if "flow_T2hw" not in state.tensors:
        return None
    return Trace(
        flow_T2hw=state.tensor("flow_T2hw").to(device), keep_T1hw=state.tensor("keep_T1hw").to(device)
    )


def _text_state(text: TextContext) -> StreamState:
    embedding, mask = text.source
    return StreamState(tensors={"embedding": embedding} | ({} if mask is None else {"mask": mask}))


def _restored_text(dit: CausalDiT, state: StreamState) -> TextContext:
    device = dit.patch_embedding.weight.device
    mask = state.tensors.get("mask")
    embedding = state.tensor("embedding").to(device, dit.dtype)
    return dit.text_context(embedding, None if mask is None else mask.to(device))
