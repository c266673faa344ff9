"""TAEHV: the small autoencoder for Wan's latents, many times cheaper than Wan's own and a little less sharp.

Layouts: x_TCHW, T single frames of one clip. All convolutions are of single frames; what passes from frame to
frame goes through `MemBlock`s, each of which sees its input one step earlier, and a stream keeps those
inputs. Parameter names are those of the published `taew2_1.pth` (github.com/madebyollin/taehv), which counts
every block of a chain, those without parameters too.

Two properties of the published weights to know of. A latent frame is made of the four frames given with it,
but speaks, as Wan's does, of the four that end with the first of them: what is painted lags three frames
behind what is seen (`frames_behind`), and the worker gives it the times of what it shows. And without a past
the decoder's first three frames are not meant to be shown; a stream primes itself, so it shows none of those.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.engine.errors import FrameError
from limner.engine.wan.taehv_config import TaehvConfig
from limner.engine.wan.vae_layout import frames_of_channels, lay_out
from limner.engine.wan.vae_plan import FRAMES_PER_LATENT, SPATIAL_FACTOR
from limner.engine.wan.vae_stream import DecoderStream, EncoderStream, LatentScale, check_size

__all__ = ["Taehv", "TaehvConfig"]

Past = list[Tensor]

_POOLED = (2, 2, 1)
"""Frames that become one at each level of the encoder, finest first."""
_GROWN = (1, 2, 2)
"""Frames that one becomes at each level of the decoder, coarsest first."""
_MEMORIES = 3  # blocks with a memory at each level


class SoftClamp(nn.Module):
    """Keeps latents within ±3, smoothly."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return torch.tanh(x / 3) * 3


class MemBlock(nn.Module):
    """Three convolutions around the identity; they see the frame and the one before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(2 * channels, channels),
            nn.ReLU(inplace=True),
            _conv(channels, channels),
            nn.ReLU(inplace=True),
            _conv(channels, channels),
        )

    def forward(self, x_TCHW: Tensor, past_1CHW: Tensor) -> Tensor:
        """`past` is the last input before x (zeros at first); it then holds the last of x."""
        before_TCHW = torch.cat([past_1CHW, x_TCHW])[:-1]
        out: Tensor = self.conv(torch.cat([x_TCHW, before_TCHW], 1))
        past_1CHW.copy_(x_TCHW[-1:])
        return functional.relu_(out + x_TCHW)


class TimePool(nn.Module):
    """`stride` frames become one."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels * stride, channels, 1, bias=False)

    def forward(self, x_TCHW: Tensor) -> Tensor:
        """[T, C, H, W] → [T/stride, C, H, W]."""
        if self.stride > 1:
            frames = x_TCHW.view(-1, self.stride, *x_TCHW.shape[1:]).unbind(1)
            x_TCHW = torch.cat(frames, 1)
        out: Tensor = self.conv(x_TCHW)
        return out


class TimeGrow(nn.Module):
    """One frame becomes `stride`, of twice the side.

    As published, the side is doubled first. A 1×1 convolution gives the same before it, for a quarter.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels * stride, 1, bias=False)

    def forward(self, x_TCHW: Tensor) -> Tensor:
        """[T, C, H, W] → [T·stride, C, 2H, 2W]."""
        x_TCHW = self.conv(x_TCHW)
        if self.stride > 1:
            x_TCHW = frames_of_channels(x_TCHW, self.stride)
        return functional.interpolate(x_TCHW, scale_factor=2.0, mode="nearest")


class Chain(nn.Sequential):
    """Blocks one after another; those with a memory take theirs in turn."""

    def forward(self, x_TCHW: Tensor, past: Past) -> Tensor:  # type: ignore[override]
        """`past` is read and written."""
        each = iter(past)
        for block in self:
            x_TCHW = block(x_TCHW, next(each)) if isinstance(block, MemBlock) else block(x_TCHW)
        return x_TCHW


class Taehv(nn.Module):
    """TAEHV for Wan 2.1, with random weights until some are loaded. One clip at a time: B is 1."""

    def __init__(self, config: TaehvConfig, *, channels_last: bool = True) -> None:
        """`channels_last`: how activations and weights lie in memory; faster so, on CUDA and on the CPU."""
        super().__init__()
        self.config = config
        self.encoder = Chain(*_encoder_blocks(config))
        self.decoder = Chain(*_decoder_blocks(config))
        self._channels_last = channels_last
        self._scale = _scale(config, torch.device("cpu"))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights, and of the latents that it gives."""
        return self._weight.dtype

    @property
    def latent_channels(self) -> int:
        """Of a latent position."""
        return self.config.latent_channels

    def encoder_past(self, height: int, width: int) -> Past:
        """What the encoder remembers before the first frame: zeros."""
        width_C = self.config.encoder_width
        return [
            self._zeros((1, width_C, height // divisor, width // divisor))
            for divisor in (2, 4, 8)
            for _ in range(_MEMORIES)
        ]

    def decoder_past(self, height: int, width: int) -> Past:
        """What the decoder remembers before the first latent frame: zeros."""
        return [
            self._zeros((1, width_C, height // divisor, width // divisor))
            for width_C, divisor in zip(self.config.decoder_widths, (8, 4, 2), strict=False)
            for _ in range(_MEMORIES)
        ]

    def encode_unit(self, frames_BCTHW: Tensor, past: Past, *, first: bool = False) -> Tensor:
        """Four frames [1, 3, 4, H, W] in [−1, 1] (the first: one, seen four times) → [1, C, 1, h, w]."""
        x_TCHW = frames_BCTHW[0].transpose(0, 1)
        if first:
            x_TCHW = x_TCHW.expand(FRAMES_PER_LATENT, -1, -1, -1)
        z_TCHW: Tensor = self.encoder(self._laid_out(x_TCHW / 2 + 0.5), past)
        z_BCTHW = z_TCHW.transpose(0, 1)[None]
        return z_BCTHW if self.config.normalise_encoded else self._scale.raw(z_BCTHW)

    def decode_unit(self, latents_BCTHW: Tensor, past: Past, *, first: bool = False) -> Tensor:
        """One latent frame [1, C, 1, h, w] → four frames (the first: one) [1, 3, T, 8h, 8w] in [−1, 1]."""
        z_TCHW = self._laid_out(latents_BCTHW[0].transpose(0, 1))
        frames_TCHW = self.decoder(z_TCHW, past).clamp(0, 1) * 2 - 1
        shown_TCHW: Tensor = frames_TCHW[-1:] if first else frames_TCHW
        return shown_TCHW.transpose(0, 1)[None]

    @torch.inference_mode()
    def encode(self, frames_BCTHW: Tensor) -> Tensor:
        """A whole clip in [−1, 1], [1, 3, 4k, H, W] → latents [1, C, k, H/8, W/8]; no frame is special."""
        _, _, time, height, width = frames_BCTHW.shape
        check_size(height, width)
        if time % FRAMES_PER_LATENT or not time:
            raise FrameError(f"the clip has {time} frames; a whole one has 4k")
        self.prepare()
        past = self.encoder_past(height, width)
        units = torch.split(frames_BCTHW, FRAMES_PER_LATENT, 2)
        return torch.cat([self.encode_unit(unit, past) for unit in units], 2)

    @torch.inference_mode()
    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """Latents [1, C, 1+k, h, w] → a whole clip [1, 3, 1+4k, 8h, 8w]: as many frames as Wan's gives."""
        height, width = (SPATIAL_FACTOR * side for side in latents_BCTHW.shape[3:])
        self.prepare()
        past = self.decoder_past(height, width)
        units = enumerate(torch.split(latents_BCTHW, 1, 2))
        return torch.cat([self.decode_unit(unit, past, first=i == 0) for i, unit in units], 2)

    def encoder_stream(self, height: int, width: int) -> EncoderStream:
        """A new stream of pictures of height × width pixels."""
        self.prepare()
        return EncoderStream(self, height, width)

    def decoder_stream(self, height: int, width: int) -> DecoderStream:
        """A new stream of pictures of height × width pixels."""
        self.prepare()
        return DecoderStream(self, height, width)

    @torch.no_grad()
    def prepare(self) -> None:
        """Let the weights lie as the activations do, and the scale be with them. Cheap when done already."""
        lay_out(self, channels_last=self._channels_last)
        if self._scale.mean.device != self.device:
            self._scale = _scale(self.config, self.device)

    @property
    def _weight(self) -> Tensor:
        # Where only one half is in memory, of that.
        for parameter in self.parameters():
            if not parameter.is_meta:
                return parameter
        return next(self.parameters())

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return self._laid_out(torch.zeros(shape, dtype=self.dtype, device=self.device))

    def _laid_out(self, x_TCHW: Tensor) -> Tensor:
        layout = torch.channels_last if self._channels_last else torch.contiguous_format
        return x_TCHW.contiguous(memory_format=layout)


def _encoder_blocks(config: TaehvConfig) -> Iterator[nn.Module]:
    width = config.encoder_width
    yield from (_conv(3, width), nn.ReLU(inplace=True))
    for stride in _POOLED:
        yield TimePool(width, stride)
        yield _conv(width, width, stride=2, bias=False)
        yield from (MemBlock(width) for _ in range(_MEMORIES))
    yield _conv(width, config.latent_channels)


def _decoder_blocks(config: TaehvConfig) -> Iterator[nn.Module]:
    widths = config.decoder_widths
    yield from (SoftClamp(), _conv(config.latent_channels, widths[0]), nn.ReLU(inplace=True))
    for wide_in, wide, stride in zip(widths, widths[1:], _GROWN, strict=False):
        yield from (MemBlock(wide_in) for _ in range(_MEMORIES))
        yield nn.Identity()  # The doubling of the side, which `TimeGrow` does.
        yield TimeGrow(wide_in, stride)
        yield _conv(wide_in, wide, bias=False)
    yield from (nn.ReLU(inplace=True), _conv(widths[-1], 3))


def _conv(channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=bias)


def _scale(config: TaehvConfig, device: torch.device) -> LatentScale:
    return LatentScale.of(config.latents_mean, config.latents_std, device)
