"""The last stage of a stream: clean chunks in, frames of the stream's own size out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from limner.engine.parts import Vae
from limner.engine.replayed import RecorderOf, ReplayedVaeStream, no_recorder
from limner.engine.scaling import scaled
from limner.engine.state import StreamState
from limner.engine.steady import Steadier
from limner.engine.types import CleanChunk
from limner.engine.vae import FRAMES_PER_LATENT, SPATIAL_FACTOR


class DecodeStage:
    """Decodes at the working size that the latents have; another size or scene begins a new context."""

    def __init__(
        self,
        vae: Vae,
        *,
        size: tuple[int, int],
        working_size: tuple[int, int],
        recorder_of: RecorderOf = no_recorder,
        has_decoder: bool = True,
    ) -> None:
        """`has_decoder`: False where all chunks come decoded: it steadies and scales them."""
        self._vae, self._size, self._recorder_of = vae, size, recorder_of
        self._has_decoder = has_decoder
        self._work_at(working_size)

    def push(self, chunks: Sequence[CleanChunk]) -> Tensor:
        """Chunks, oldest first → uint8 frames of the stream's size."""
        parts = [self._decoded(group) for group in _of_one_context(chunks)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        if self._decoder is not None:
            self._decoder.reset()
        self._steadier.reset()

    def state(self, decoder: StreamState | None = None) -> StreamState:
        """What it remembers. `decoder`: of the decoder, where it has none."""
        parts = {"decoder": decoder or self._own_decoder.state(), "steadier": self._steadier.state()}
        return StreamState.joined(parts, {"size": list(self._working_size)})

    def restore(self, state: StreamState) -> None:
        """Go on from a state of the same model; StateError when it is of another.

        Where it has no decoder, whoever has one restores that.
        """
        height, width = state.fact("size", list)
        self._work_at((height, width))
        if self._decoder is not None:
            self._decoder.restore(state.part("decoder"))
        self._steadier.restore(state.part("steadier"), self._vae.device)

    def _decoded(self, chunks: Sequence[CleanChunk]) -> Tensor:
        working_size = _working_size(chunks[0])
        if working_size != self._working_size:
            self._work_at(working_size)
        elif chunks[0].is_cut:
            self.reset()
        return scaled(self._steadied(self._pictures(chunks), chunks), self._size)

    def _pictures(self, chunks: Sequence[CleanChunk]) -> Tensor:
        decoded = [chunk.decoded.frames_TCHW for chunk in chunks if chunk.decoded is not None]
        if decoded:
            assert len(decoded) == len(chunks), "a stream is decoded in one place"
            return torch.cat(decoded) if len(decoded) > 1 else decoded[0]
        return self._own_decoder.push(torch.cat([chunk.latents_TCHW for chunk in chunks]))

    @property
    def _own_decoder(self) -> ReplayedVaeStream:
        assert self._decoder is not None, "chunks of this stream come decoded"
        return self._decoder

    def _steadied(self, frames_TCHW: Tensor, chunks: Sequence[CleanChunk]) -> Tensor:
        lengths = [FRAMES_PER_LATENT * len(chunk.latents_TCHW) for chunk in chunks]
        parts = zip(torch.split(frames_TCHW, lengths), chunks, strict=True)
        return torch.cat([self._steadied_chunk(part_TCHW, chunk) for part_TCHW, chunk in parts])

    def _steadied_chunk(self, frames_TCHW: Tensor, chunk: CleanChunk) -> Tensor:
        if chunk.trace is None:
            self._steadier.reset()
            return frames_TCHW
        return self._steadier.push(frames_TCHW, chunk.trace)

    def _work_at(self, working_size: tuple[int, int]) -> None:
        self._working_size = working_size
        self._decoder: ReplayedVaeStream | None = None
        if self._has_decoder:
            decoder = self._vae.decoder_stream(*working_size)
            self._decoder = ReplayedVaeStream(decoder, self._recorder_of, "the decoder")
        self._steadier = Steadier()


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
