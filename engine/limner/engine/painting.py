"""A chunk that the device is painting. Whoever wants to see it waits; whoever handed it over need not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limner.engine.clock import Span
from limner.engine.types import Denoised, Painted, StageTimes


@dataclass(frozen=True, kw_only=True)
class Painting:
    """What the last stage handed to the device."""

    denoised: Denoised
    frames_TCHW: Tensor
    decoded: Span
    rgba_THW4: Tensor | None = None
    """The frames on their way to the host, if they are."""
    strength: Tensor
    """Of the last chunk; on the host, or on its way there."""
    done: torch.cuda.Event | None = None
    """When all is where it shall be; None: it is."""

    def painted(self) -> Painted:
        """Wait for the device, and the chunk as it is handed out."""
        if self.done is not None:
            self.done.synchronize()
        chunks, last = self.denoised.chunks, self.denoised.chunks[-1]
        return Painted(
            frames_TCHW=self.frames_TCHW,
            rgba_THW4=self.rgba_THW4,
            chunk=chunks[0].index,
            chunks=len(chunks),
            revision=last.revision,
            strength=float(self.strength),
            is_cut=any(chunk.is_cut for chunk in chunks),
            unknown_words=last.unknown_words,
            text_note=last.text_note,
            stage_ms=self._times(),
            together=self.denoised.together,
        )

    def _times(self) -> StageTimes:
        denoised = self.denoised
        apart_ms = [chunk.decoded.spent.ms() for chunk in denoised.chunks if chunk.decoded is not None]
        return StageTimes(
            encode=denoised.encoded.ms(),
            noise=denoised.noised.ms(),
            denoise=denoised.denoised.ms(),
            decode=self.decoded.ms() + sum(apart_ms),
        )
