"""The last stage of a stream: clean chunks in, frames of the stream's own size out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from limner.engine.scaling import scaled
from limner.engine.state import StreamState
from limner.engine.types import CleanChunk
from limner.engine.vae import SPATIAL_FACTOR, PocketVae


class DecodeStage:
    """Decodes at the working size that the latents have; another size or scene begins a new context."""

    def __init__(self, vae: PocketVae, *, size: tuple[int, int], working_size: tuple[int, int]) -> None:
        self._vae, self._size = vae, size
        self._work_at(working_size)

    def push(self, chunks: Sequence[CleanChunk]) -> Tensor:
        """Chunks, oldest first → uint8 frames of the stream's size."""
        parts = [self._decoded(group) for group in _of_one_context(chunks)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        self._decoder.reset()

    def state(self) -> StreamState:
        """What it remembers."""
        return StreamState.joined({"decoder": self._decoder.state()}, {"size": list(self._working_size)})

    def restore(self, state: StreamState) -> None:
        """Go on from a state of the same model; StateError when it is of another."""
        height, width = state.fact("size", list)
        self._work_at((height, width))
        self._decoder.restore(state.part("decoder"))

    def _decoded(self, chunks: Sequence[CleanChunk]) -> Tensor:
        working_size = _working_size(chunks[0])
        if working_size != self._working_size:
            self._work_at(working_size)
        elif chunks[0].is_cut:
            self._decoder.reset()
        return scaled(self._decoder.push(torch.cat([chunk.latents_TCHW for chunk in chunks])), self._size)

    def _work_at(self, working_size: tuple[int, int]) -> None:
        self._working_size = working_size
        self._decoder = self._vae.decoder_stream(*working_size)


def _working_size(chunk: CleanChunk) -> tuple[int, int]:
    height, width = chunk.latents_TCHW.shape[-2:]
    return height * SPATIAL_FACTOR, width * SPATIAL_FACTOR


def _of_one_context(chunks: Sequence[CleanChunk]) -> list[list[CleanChunk]]:
    groups = [[chunks[0]]]
    for before, chunk in pairwise(chunks):
        if chunk.is_cut or _working_size(chunk) != _working_size(before):
            groups.append([])
        groups[-1].append(chunk)
    return groups
