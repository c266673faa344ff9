"""The building blocks of Wan's autoencoder, under the names that they have in Wan's weights files.

Layouts: x_BCTHW, T frames; x_NCHW, N single frames. A stream's memory is a list of buffers, the last input
frames of each convolution over time, in the order in which the convolutions run; a forward pass walks
through it by an iterator, reads each buffer and leaves in it what the next pass needs. Buffers are written in
place and never replaced, and all but the first pass of a stream run the same operations on the same shapes.

The *trunk* is what residual blocks add to, from the first convolution to the last norm. It has no bound, and
whatever reads it norms it first, so its scale is free: here it is 64 times smaller than the weights would
have it, which is exact in any type and lets float16 hold what would be 4 million. All else is bounded by the
norm that stands before it. (Other autoencoders cannot do without bfloat16's range; this one can do with
float16's three bits more.)
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.engine.fusing import fusable
from limner.engine.wan.vae_layout import by_frame, frames_of_channels
from limner.engine.wan.vae_time import TimeKernels

_LEAST_NORM = 1e-12
HEADROOM = 2.0**-6
"""The trunk's scale."""


class CausalConv3d(nn.Conv3d):
    """Sees no later frame than the one that it gives: two earlier ones, and a stride over time."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int, int],
        *,
        time_stride: int = 1,
        of_trunk: bool = False,
    ) -> None:
        """`of_trunk`: what goes in and what comes out is the trunk."""
        _, rows, columns = kernel
        padding = (0, rows // 2, columns // 2)
        super().__init__(channels_in, channels_out, kernel, (time_stride, 1, 1), padding)
        self._fast: TimeKernels | None = None
        self._of_trunk = of_trunk

    def forward(self, x_BCTHW: Tensor, past_BCTHW: Tensor) -> Tensor:  # type: ignore[override]
        """`past` (zeros before the first) goes before x; it then holds the last frames of both."""
        window = torch.cat([past_BCTHW, x_BCTHW], 2)
        past_BCTHW.copy_(window[:, :, -past_BCTHW.shape[2] :])
        return self.over(window)

    def over(self, window_BCTHW: Tensor, *, biased: bool = True) -> Tensor:
        """Of frames with those before them already at their head.

        Not `biased` where the bias can be added in a pass that there is anyway: on CUDA it is one of its own.
        """
        bias = self.bias if biased else None
        if bias is not None and self._of_trunk:
            bias = bias * HEADROOM
        if self._fast is not None and window_BCTHW.shape[2] == self._fast.frames_of_window:
            return self._fast.over(window_BCTHW, bias)
        return functional.conv3d(window_BCTHW, self.weight, bias, self.stride, self.padding)

    def hasten(self, frames: int) -> None:
        """From now on with fewer products for so many frames at once. Cheap when done already."""
        if self._fast is None or not self._fast.is_of(self.weight):
            self._fast = TimeKernels(self.weight, frames)


class PointConv3d(nn.Conv3d):
    """A 1×1×1 convolution. Runs frame by frame in two dimensions, for which the kernels are better."""

    def __init__(self, channels_in: int, channels_out: int, *, of_trunk: bool = False) -> None:
        super().__init__(channels_in, channels_out, 1)
        self._of_trunk = of_trunk

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Mixes channels alone."""
        assert self.bias is not None
        weight, bias = self.weight.squeeze(2), self.bias * HEADROOM if self._of_trunk else self.bias
        return by_frame(lambda x_NCHW: functional.conv2d(x_NCHW, weight, bias), x_BCTHW)


class TrunkConv2d(nn.Conv2d):
    """A convolution of single frames from the trunk to the trunk."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """As that of torch."""
        assert self.bias is not None
        return functional.conv2d(x_NCHW, self.weight, self.bias * HEADROOM, self.stride, self.padding)


class RmsNorm(nn.Module):
    """Each position by the root of its channels' mean square, in float32; then a gain a channel."""

    def __init__(self, channels: int, *, frames: bool = True) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1, 1, 1)[not frames :]))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] → the same shape and dtype."""
        out: Tensor = x * _gain(x) * self.gamma
        return out

    def activated(self, x_BCTHW: Tensor, past_BCTHW: Tensor, bias: Tensor | None = None) -> Tensor:
        """SiLU of the normalised x behind `past`: what a causal convolution goes over. `past` moves on.

        `bias`, of the convolution that gave x, if it was not added there.
        Written into one window from the start, as these tensors are the largest that there are.
        """
        known = past_BCTHW.shape[2]
        layout = torch.channels_last_3d if _is_channels_last(x_BCTHW) else torch.contiguous_format
        batch, channels, frames, height, width = x_BCTHW.shape
        window = torch.empty(
            (batch, channels, known + frames, height, width),
            dtype=x_BCTHW.dtype,
            device=x_BCTHW.device,
            memory_format=layout,
        )
        window[:, :, :known] = past_BCTHW
        body = window[:, :, known:]
        _activate(body, x_BCTHW, self.gamma, bias)
        past_BCTHW.copy_(window[:, :, -known:])
        return window


@fusable
def _activate(body_BCTHW: Tensor, x_BCTHW: Tensor, gamma: Tensor, bias: Tensor | None = None) -> None:
    """Write SiLU of the normalised x. In place: these tensors are the largest that there are."""
    body_BCTHW.copy_(x_BCTHW)
    if bias is not None:
        body_BCTHW.add_(bias[:, None, None, None])
    functional.silu(body_BCTHW.mul_(_gain(body_BCTHW)).mul_(gamma), inplace=True)


@fusable
def _add_to_trunk(trunk_BCTHW: Tensor, x_BCTHW: Tensor, bias: Tensor) -> None:
    """x and its bias, in place; x is used up."""
    x_BCTHW.add_(bias[:, None, None, None])
    trunk_BCTHW.add_(x_BCTHW, alpha=HEADROOM)


def _gain(x: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=dtype)
    root = x.shape[1] ** 0.5
    # A gain that the type cannot hold would be infinite, and infinite times nothing is no number.
    least = max(_LEAST_NORM, root / torch.finfo(x.dtype).max)
    gain: Tensor = norm.clamp_min_(least).reciprocal_().mul_(root)
    return gain.to(x.dtype)


class ResidualBlock(nn.Module):
    """Two convolutions around the identity, or around a 1×1×1 convolution where the width changes."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            RmsNorm(channels_in),
            nn.SiLU(),
            CausalConv3d(channels_in, channels_out, (3, 3, 3)),
            RmsNorm(channels_out),
            nn.SiLU(),
            nn.Dropout(0.0),  # Nothing to do here, but the next one is number 6 in the weights file.
            CausalConv3d(channels_out, channels_out, (3, 3, 3)),
        )
        widens = channels_in != channels_out
        self.shortcut = PointConv3d(channels_in, channels_out, of_trunk=True) if widens else nn.Identity()

    def forward(self, x_BCTHW: Tensor, past: Iterator[Tensor], first: bool) -> Tensor:
        """[B, C_in, T, H, W] → [B, C_out, T, H, W]; may write over x."""
        norm1, conv1 = norm_and_conv(self.residual[0], self.residual[2])
        norm2, conv2 = norm_and_conv(self.residual[3], self.residual[6])
        window = norm1.activated(x_BCTHW, next(past))
        hidden = conv1.over(window, biased=False)
        del window  # Each is freed as soon as it can be: this is where the peak of memory is.
        window = norm2.activated(hidden, next(past), conv1.bias)
        del hidden
        hidden = conv2.over(window, biased=False)
        del window
        assert conv2.bias is not None
        trunk: Tensor = self.shortcut(x_BCTHW)
        _add_to_trunk(trunk, hidden, conv2.bias)
        return trunk


class AttentionBlock(nn.Module):
    """Every position of a frame attends to all others of the same frame, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RmsNorm(channels, frames=False)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCTHW: Tensor, past: Iterator[Tensor], first: bool) -> Tensor:
        """Same shape out as in."""
        return torch.add(x_BCTHW, by_frame(self._attended, x_BCTHW), alpha=HEADROOM)

    def _attended(self, x_NCHW: Tensor) -> Tensor:
        qkv_NPC = self.to_qkv(self.norm(x_NCHW)).flatten(2).transpose(1, 2)
        q, k, v = qkv_NPC.unsqueeze(1).chunk(3, dim=-1)
        mixed_NPC = functional.scaled_dot_product_attention(q, k, v).squeeze(1)
        out: Tensor = self.proj(mixed_NPC.transpose(1, 2).view_as(x_NCHW))
        return out


class Downsample(nn.Module):
    """Halves the side, and then time where `in_time`."""

    def __init__(self, channels: int, *, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)), TrunkConv2d(channels, channels, 3, stride=2)
        )
        self.time_conv = (
            CausalConv3d(channels, channels, (3, 1, 1), time_stride=2, of_trunk=True) if in_time else None
        )

    def forward(self, x_BCTHW: Tensor, past: Iterator[Tensor], first: bool) -> Tensor:
        """[B, C, T, H, W] → [B, C, T/2 or T, H/2, W/2]; the first frame of a clip stays one frame."""
        x_BCTHW = by_frame(self.resample, x_BCTHW)
        if self.time_conv is None:
            return x_BCTHW
        before_BCTHW = next(past)
        if first:
            before_BCTHW.copy_(x_BCTHW)
            return x_BCTHW
        out: Tensor = self.time_conv(x_BCTHW, before_BCTHW)
        return out


class Upsample(nn.Module):
    """Doubles time where `in_time`, then the side, and halves the channels."""

    def __init__(self, channels: int, *, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact"),
            TrunkConv2d(channels, channels // 2, 3, padding=1),
        )
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1), of_trunk=True) if in_time else None

    def forward(self, x_BCTHW: Tensor, past: Iterator[Tensor], first: bool) -> Tensor:
        """[B, C, T, H, W] → [B, C/2, 2T or T, 2H, 2W]; the first frame of a clip stays one frame.

        That frame leaves no trace in the memory: to Wan, time begins with the second latent frame here.
        """
        if self.time_conv is not None:
            before_BCTHW = next(past)
            if not first:
                x_BCTHW = by_frame(_two_frames_each, self.time_conv(x_BCTHW, before_BCTHW))
        return by_frame(self.resample, x_BCTHW)


def norm_and_conv(norm: nn.Module, conv: nn.Module) -> tuple[RmsNorm, CausalConv3d]:
    """The two, by their types: a `Sequential` has forgotten them."""
    assert isinstance(norm, RmsNorm) and isinstance(conv, CausalConv3d)
    return norm, conv


def _two_frames_each(x_NCHW: Tensor) -> Tensor:
    return frames_of_channels(x_NCHW, 2)


def _is_channels_last(x_BCTHW: Tensor) -> bool:
    return x_BCTHW.is_contiguous(memory_format=torch.channels_last_3d)
