"""Pocket's streaming causal autoencoder: 4 frames × 8 × 8 pixels become one latent position.

Layouts: frames_TCHW uint8 RGB (4 frames a latent frame), latents_TCHW, and inside x_NCHW, where N runs over
time first and batch second (N = t·B + b), so that "one latent frame earlier" is one slice, B rows up.

A linear map of whole 4×8×8 blocks (set from principal components before training) carries most of the
picture; narrow residual networks around it add what a linear map cannot. All memory of the past sits in
`Memory` layers, each of which sees its input one step earlier; a stream keeps those inputs, so chunked
equals whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.engine.state import StreamState

FRAMES_PER_LATENT = 4
SPATIAL_FACTOR = 8
_FOLD = 4  # pixels a side that the stem folds into channels

State = list[Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeConfig:
    """Sizes of the autoencoder."""

    kind: Literal["pocket"] = "pocket"
    """Which autoencoder: this one."""
    latent_channels: int = 48
    """Channels of a latent position, ≥ 1."""
    fine_width: int = 96
    """Channels at 1/4 resolution, four frames at once."""
    coarse_width: int = 128
    """Channels at 1/8 resolution."""
    frame_width: int = 64
    """Channels of each frame by itself at 1/4 resolution, in the decoder."""

    def __post_init__(self) -> None:
        for name in ("latent_channels", "fine_width", "coarse_width", "frame_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"vae.{name} must be at least 1, not {getattr(self, name)}")

    @property
    def frames_behind(self) -> int:
        """What is painted is so many frames older than what it was made of."""
        return 0


class Residual(nn.Module):
    """Two 3×3 convolutions around the identity; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(cast(Tensor, self.conv2.bias))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Same shape out as in."""
        return x_NCHW + cast(Tensor, self.conv2(functional.silu(self.conv1(functional.silu(x_NCHW)))))


class Memory(nn.Module):
    """Mixes in the input of one step earlier (zeros before the first)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.now = nn.Conv2d(width, width, 1)
        self.before = nn.Conv2d(width, width, 1, bias=False)
        nn.init.zeros_(self.before.weight)

    def forward(self, x_NCHW: Tensor, past_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mixture and what to pass as `past_BCHW` at the next call."""
        batch = past_BCHW.shape[0]
        earlier = (
            torch.cat([past_BCHW.to(x_NCHW.dtype), x_NCHW[:-batch]]) if len(x_NCHW) > batch else past_BCHW
        )
        mixed = x_NCHW + functional.silu(self.now(x_NCHW) + self.before(earlier.to(x_NCHW.dtype)))
        return mixed, x_NCHW[-batch:]


class Encoder(nn.Module):
    """Folded frames [N, 192, H/4, W/4] → latents [N, C, H/8, W/8]."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        folded = FRAMES_PER_LATENT * 3 * _FOLD**2
        self.linear = nn.Conv2d(folded, config.latent_channels, 2, stride=2)
        self.stem = nn.Conv2d(folded, config.fine_width, 1)
        self.fine = Residual(config.fine_width)
        self.down = nn.Conv2d(config.fine_width, config.coarse_width, 2, stride=2)
        self.memory = Memory(config.coarse_width)
        self.coarse = Residual(config.coarse_width)
        self.out = nn.Conv2d(config.coarse_width, config.latent_channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast(Tensor, self.out.bias))

    def forward(self, x_NCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Latents, and the state for the next call."""
        hidden = self.down(functional.silu(self.fine(self.stem(x_NCHW))))
        hidden, past = self.memory(hidden, state[0])
        latents: Tensor = self.linear(x_NCHW) + self.out(functional.silu(self.coarse(hidden)))
        return latents, [past]


class Decoder(nn.Module):
    """Latents [N, C, H/8, W/8] → folded frames, one frame a row: [4N, 48, H/4, W/4].

    Before the linear map, `mend` corrects the latents by their neighbourhood: what a denoiser makes is
    sometimes of one tone per token, which shows as a grid.
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        folded = 3 * _FOLD**2
        self.frame_width = config.frame_width
        self.linear = nn.Conv2d(config.latent_channels, FRAMES_PER_LATENT * folded * 4, 1)
        self.stem = nn.Conv2d(config.latent_channels, config.coarse_width, 3, padding=1)
        self.memory = Memory(config.coarse_width)
        self.coarse = Residual(config.coarse_width)
        self.context = Residual(config.coarse_width)
        self.mend = nn.Conv2d(config.coarse_width, config.latent_channels, 1)
        self.up = nn.Conv2d(config.coarse_width, config.fine_width * 4, 1)
        self.fine = Residual(config.fine_width)
        self.split = nn.Conv2d(config.fine_width, FRAMES_PER_LATENT * config.frame_width, 1)
        self.frame_memory = Memory(config.frame_width)
        self.frame = Residual(config.frame_width)
        self.out = nn.Conv2d(config.frame_width, folded, 3, padding=1)
        for layer in (self.mend, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, z_NCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Frames, and the state for the next call."""
        batch = state[0].shape[0]
        hidden, past = self.memory(self.stem(z_NCHW), state[0])
        hidden = functional.silu(self.context(self.coarse(hidden)))
        mended = z_NCHW + self.mend(hidden)
        linear = _frames_to_rows(functional.pixel_shuffle(self.linear(mended), 2), batch)
        hidden = functional.pixel_shuffle(self.up(hidden), 2)
        frames = _frames_to_rows(self.split(functional.silu(self.fine(hidden))), batch)
        frames, frame_past = self.frame_memory(frames, state[1])
        return linear + self.out(functional.silu(self.frame(frames))), [past, frame_past]


def _frames_to_rows(x_NCHW: Tensor, batch: int) -> Tensor:
    """[T·B, 4·c, h, w] → [T·4·B, c, h, w], time still first."""
    rows, channels, height, width = x_NCHW.shape
    split = x_NCHW.reshape(
        rows // batch, batch, FRAMES_PER_LATENT, channels // FRAMES_PER_LATENT, height, width
    )
    out = split.transpose(1, 2).reshape(-1, channels // FRAMES_PER_LATENT, height, width)
    return out.contiguous(memory_format=torch.channels_last)


class PocketVae(nn.Module):
    """The autoencoder, and the normalisation of its latents.

    Normalised = (raw − `shift`) · `gain`. The gain only softens the channels' natural spread, it does not
    whiten it: channels that carry structure stay larger, so structure survives noise longest.
    """

    shift: Tensor
    gain: Tensor

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("shift", torch.zeros(config.latent_channels))
        self.register_buffer("gain", torch.ones(config.latent_channels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.shift.device

    def prepare(self) -> None:
        """Nothing to lay out: it is made so."""

    def encoder_state(self, batch: int, height: int, width: int) -> State:
        """Zeros for a clip or stream of `batch` pictures of height × width pixels."""
        like = self.encoder.out.weight
        shape = (batch, self.config.coarse_width, height // 8, width // 8)
        return [_zeros(like, shape)]

    def decoder_state(self, batch: int, height: int, width: int) -> State:
        """Zeros for a clip or stream of `batch` pictures of height × width pixels."""
        like = self.decoder.out.weight
        coarse = (batch, self.config.coarse_width, height // 8, width // 8)
        fine = (batch, self.config.frame_width, height // 4, width // 4)
        return [_zeros(like, coarse), _zeros(like, fine)]

    def encode(self, frames_BTCHW: Tensor) -> Tensor:
        """Whole clips in [−1, 1], [B, 4·t, 3, H, W] → normalised latents [B, t, C, H/8, W/8]."""
        batch, time, _, height, width = frames_BTCHW.shape
        rows = frames_BTCHW.reshape(batch, time // FRAMES_PER_LATENT, -1, height, width).transpose(0, 1)
        latents, _ = self.encode_rows(rows.flatten(0, 1), self.encoder_state(batch, height, width))
        return latents.view(-1, batch, *latents.shape[1:]).transpose(0, 1)

    def decode(self, latents_BTCHW: Tensor) -> Tensor:
        """Normalised latents [B, t, C, h, w] → whole clips [B, 4·t, 3, 8h, 8w], not clamped."""
        batch, _, _, height, width = latents_BTCHW.shape
        state = self.decoder_state(batch, height * SPATIAL_FACTOR, width * SPATIAL_FACTOR)
        frames, _ = self.decode_rows(latents_BTCHW.transpose(0, 1).flatten(0, 1), state)
        return frames.view(-1, batch, *frames.shape[1:]).transpose(0, 1)

    def encode_rows(self, x_NCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Four frames a row, [N, 12, H, W] in [−1, 1] → normalised latents [N, C, H/8, W/8]."""
        folded = functional.pixel_unshuffle(x_NCHW, _FOLD).contiguous(memory_format=torch.channels_last)
        raw, state = self.encoder(folded, state)
        return (raw - self.shift[:, None, None]) * self.gain[:, None, None], state

    def decode_rows(self, z_NCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Normalised latents [N, C, h, w] → frames [4N, 3, 8h, 8w]."""
        raw = z_NCHW / self.gain[:, None, None] + self.shift[:, None, None]
        folded, state = self.decoder(raw.contiguous(memory_format=torch.channels_last), state)
        return functional.pixel_shuffle(folded, _FOLD), state

    def encoder_stream(self, height: int, width: int) -> StreamingEncoder:
        """A new stream of pictures of height × width pixels."""
        return StreamingEncoder(self, height, width)

    def decoder_stream(self, height: int, width: int) -> StreamingDecoder:
        """A new stream of pictures of height × width pixels."""
        return StreamingDecoder(self, height, width)


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    empty = torch.zeros(shape, dtype=like.dtype, device=like.device)
    return empty.contiguous(memory_format=torch.channels_last)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height % SPATIAL_FACTOR or width % SPATIAL_FACTOR:
        raise ValueError(f"pictures must be multiples of {SPATIAL_FACTOR} pixels, not {width}×{height}")


class _Stream:
    """What both ways do with the past, which stays in the same buffers."""

    def __init__(self, past: State) -> None:
        self._past = past

    def state(self) -> StreamState:
        """What it remembers of the past."""
        return StreamState(tensors={str(i): buffer.clone() for i, buffer in enumerate(self._past)})

    def restore(self, state: StreamState) -> None:
        """Go on from a state of the same model and size; StateError when it is not."""
        for i, buffer in enumerate(self._past):
            state.fill(str(i), buffer)

    @torch.inference_mode()
    def reset(self) -> None:
        """Forget the past, exactly as if the stream were new."""
        for buffer in self._past:
            buffer.zero_()

    @torch.inference_mode()
    def _keep(self, past: State) -> None:
        for buffer, value in zip(self._past, past, strict=True):
            buffer.copy_(value)


class StreamingEncoder(_Stream):
    """push(frames_TCHW uint8 [4k, 3, H, W]) → normalised latents [k, C, H/8, W/8]."""

    def __init__(self, vae: PocketVae, height: int, width: int) -> None:
        _check_size(height, width)
        self._vae, self._size = vae, (height, width)
        super().__init__(vae.encoder_state(1, height, width))

    @torch.inference_mode()
    def push(self, frames_TCHW: Tensor) -> Tensor:
        """Encode the next frames; raises ValueError unless they are whole chunks of the stream's size."""
        time, channels, height, width = frames_TCHW.shape
        if (channels, (height, width)) != (3, self._size) or time % FRAMES_PER_LATENT or time == 0:
            raise ValueError(
                f"expected [4k, 3, {self._size[0]}, {self._size[1]}] frames, not {tuple(frames_TCHW.shape)}"
            )
        like = self._vae.encoder.out.weight
        rows = frames_TCHW.to(like.device).reshape(-1, 3 * FRAMES_PER_LATENT, height, width)
        latents, past = self._vae.encode_rows(rows.to(like.dtype).div_(127.5).sub_(1.0), self._past)
        self._keep(past)
        return latents


class StreamingDecoder(_Stream):
    """push(normalised latents [k, C, h, w]) → frames_TCHW uint8 [4k, 3, 8h, 8w]."""

    def __init__(self, vae: PocketVae, height: int, width: int) -> None:
        _check_size(height, width)
        self._vae = vae
        self._shape = (vae.config.latent_channels, height // SPATIAL_FACTOR, width // SPATIAL_FACTOR)
        super().__init__(vae.decoder_state(1, height, width))

    @torch.inference_mode()
    def push(self, latents_TCHW: Tensor) -> Tensor:
        """Decode the next latent frames; raises ValueError unless they have the stream's size."""
        if latents_TCHW.ndim != 4 or latents_TCHW.shape[1:] != self._shape or len(latents_TCHW) == 0:
            raise ValueError(f"expected latents [k, *{self._shape}], not {tuple(latents_TCHW.shape)}")
        like = self._vae.decoder.out.weight
        frames, past = self._vae.decode_rows(latents_TCHW.to(like.dtype), self._past)
        self._keep(past)
        return frames.mul_(127.5).add_(127.5).round_().clamp_(0, 255).to(torch.uint8)
