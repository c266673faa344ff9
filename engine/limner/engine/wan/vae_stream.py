"""Streams of an autoencoder that works one latent frame at a time: bytes in, latents out, and back.

Layouts: frames_TCHW uint8 RGB, latents_TCHW normalised, x_BCTHW as the autoencoders take them, B = 1.

Wan's first latent frame is a single video frame. A stream does not begin so, or its first chunk would have
other shapes than all others: it *primes* itself with that frame alone, throws the result away, and goes on
with the whole chunk. So a stream gives what the clip gives whose first frame (or latent) stands there twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from limner.engine.errors import ConfigError, FrameError
from limner.engine.state import StreamState
from limner.engine.wan.vae_plan import FRAMES_PER_LATENT, SPATIAL_FACTOR

Past = list[Tensor]


class UnitVae(Protocol):
    """An autoencoder that works one latent frame at a time, and remembers in buffers that it is given."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights and latents."""

    @property
    def latent_channels(self) -> int:
        """C."""

    def encoder_past(self, height: int, width: int) -> Past:
        """What the encoder remembers before the first frame: zeros."""

    def decoder_past(self, height: int, width: int) -> Past:
        """What the decoder remembers before the first latent frame: zeros."""

    def encode_unit(self, frames_BCTHW: Tensor, past: Past, *, first: bool = False) -> Tensor:
        """Four frames (the first: one) in [−1, 1] → one latent frame [B, C, 1, h, w]."""

    def decode_unit(self, latents_BCTHW: Tensor, past: Past, *, first: bool = False) -> Tensor:
        """One latent frame → four frames (the first: one) in about [−1, 1]."""


@dataclass(frozen=True, slots=True)
class LatentScale:
    """Between raw and normalised latents: normalised = (raw − mean) / std, a channel; [C, 1, 1, 1] each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> LatentScale:
        """From a config's numbers."""
        mean_C, std_C = torch.tensor([mean, std], dtype=torch.float32, device=device)
        return cls(mean=mean_C.view(-1, 1, 1, 1), std=std_C.view(-1, 1, 1, 1))

    def normalised(self, raw_BCTHW: Tensor) -> Tensor:
        """Of raw latents; in float32, rounded once."""
        return ((raw_BCTHW - self.mean) / self.std).to(raw_BCTHW.dtype)

    def raw(self, normalised_BCTHW: Tensor) -> Tensor:
        """Of normalised latents; in float32, rounded once."""
        return (normalised_BCTHW * self.std + self.mean).to(normalised_BCTHW.dtype)


class _Memory:
    """The buffers of a stream, and whether it has begun."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._primed = False

    def state(self) -> StreamState:
        """What it remembers of the past."""
        tensors = {str(i): buffer.clone() for i, buffer in enumerate(self._past)}
        return StreamState(tensors=tensors, facts={"primed": self._primed})

    @torch.inference_mode()
    def restore(self, state: StreamState) -> None:
        """Go on from a state of the same model and size; StateError when it is not."""
        primed = state.fact("primed", bool)
        for i, buffer in enumerate(self._past):
            state.fill(str(i), buffer)
        self._primed = primed

    @torch.inference_mode()
    def reset(self) -> None:
        """Forget the past, exactly as if the stream were new."""
        self._primed = False
        for buffer in self._past:
            buffer.zero_()


class EncoderStream(_Memory):
    """push(frames_TCHW uint8 [4k, 3, H, W]) → latents [k, C, H/8, W/8] in the model's dtype."""

    def __init__(self, vae: UnitVae, height: int, width: int) -> None:
        check_size(height, width)
        super().__init__(vae.encoder_past(height, width))
        self._vae, self._size = vae, (height, width)

    @torch.inference_mode()
    def push(self, frames_TCHW: Tensor, /) -> Tensor:
        """Encode the next frames; FrameError unless they are whole chunks of bytes of the stream's size."""
        self._check(frames_TCHW)
        bytes_BCTHW = frames_TCHW.to(self._vae.device, non_blocking=True).transpose(0, 1)[None]
        x_BCTHW = (bytes_BCTHW.float() / 127.5 - 1).to(self._vae.dtype)
        if not self._primed:
            self._vae.encode_unit(x_BCTHW[:, :, :1], self._past, first=True)
            self._primed = True
        units = torch.split(x_BCTHW, FRAMES_PER_LATENT, 2)
        return _rows([self._vae.encode_unit(unit, self._past) for unit in units])

    def _check(self, frames_TCHW: Tensor) -> None:
        if frames_TCHW.dtype != torch.uint8:
            raise FrameError(f"frames are {frames_TCHW.dtype}; they must be torch.uint8")
        shape, wanted = tuple(frames_TCHW.shape), (3, *self._size)
        if len(shape) != 4 or shape[1:] != wanted or shape[0] == 0 or shape[0] % FRAMES_PER_LATENT:
            raise FrameError(f"expected [4k, {', '.join(map(str, wanted))}] frames, not {list(shape)}")


class DecoderStream(_Memory):
    """push(latents [k, C, h, w]) → frames_TCHW uint8 [4k, 3, 8h, 8w]."""

    def __init__(self, vae: UnitVae, height: int, width: int) -> None:
        check_size(height, width)
        super().__init__(vae.decoder_past(height, width))
        self._vae = vae
        self._shape = (vae.latent_channels, height // SPATIAL_FACTOR, width // SPATIAL_FACTOR)

    @torch.inference_mode()
    def push(self, latents_TCHW: Tensor, /) -> Tensor:
        """Decode the next latent frames; FrameError unless they are numbers of the stream's size."""
        self._check(latents_TCHW)
        z_BCTHW = latents_TCHW.to(self._vae.dtype).transpose(0, 1)[None]
        if not self._primed:
            self._vae.decode_unit(z_BCTHW[:, :, :1], self._past, first=True)
            self._primed = True
        frames_TCHW = _rows([self._vae.decode_unit(unit, self._past) for unit in torch.split(z_BCTHW, 1, 2)])
        return frames_TCHW.float().mul_(127.5).add_(127.5).round_().clamp_(0, 255).to(torch.uint8)

    def _check(self, latents_TCHW: Tensor) -> None:
        if not latents_TCHW.is_floating_point():
            raise FrameError(f"latents are {latents_TCHW.dtype}; they must be of a floating-point type")
        if latents_TCHW.ndim != 4 or latents_TCHW.shape[1:] != self._shape or len(latents_TCHW) == 0:
            wanted = ", ".join(map(str, self._shape))
            raise FrameError(f"expected latents [k, {wanted}], not {list(latents_TCHW.shape)}")


def check_size(height: int, width: int) -> None:
    """ConfigError unless whole latent positions cover a picture of this size, pixels."""
    if height < 1 or width < 1 or height % SPATIAL_FACTOR or width % SPATIAL_FACTOR:
        raise ConfigError(
            f"pictures are {width}x{height}; both sides must be multiples of {SPATIAL_FACTOR} pixels"
        )


def _rows(units_BCTHW: list[Tensor]) -> Tensor:
    """Units [1, C, t, H, W] → contiguous rows [T, C, H, W]."""
    joined = torch.cat(units_BCTHW, 2) if len(units_BCTHW) > 1 else units_BCTHW[0]
    return joined[0].transpose(0, 1).contiguous()
