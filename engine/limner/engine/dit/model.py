"""The causal DiT, with Wan 2.1's architecture and parameter names.

Legend: B clips or R rows, T latent frames, C latent channels, H×W latent pixels, L tokens of a latent frame,
D width, S text tokens, E width of a text token. Sigma is the noise level in 0..1; the model predicts the
velocity v of flow matching: x0 = x - sigma * v.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.engine.dit.attention import CrossAttention, History, SelfAttention, Text
from limner.engine.dit.backends import AttentionKernel, attention_first_by
from limner.engine.dit.clip import ClipHistory
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.context import TextContext
from limner.engine.dit.finish import finish_all, finisher
from limner.engine.dit.linear import Linear, Mlp
from limner.engine.dit.modulation import gated, modulated, normed, time_frequencies
from limner.engine.dit.quantised import WeightKind


@dataclass(frozen=True)
class Flow:
    """A forward on its way through the blocks. Whoever has this needs no more of it to go on."""

    x_RND: Tensor
    """Tokens; each block takes them further. All three are in the `flow_dtype` of the transformer."""
    time_RT6D: Tensor
    """The noise level, as the blocks take it."""
    time_RTD: Tensor
    """The noise level, as the head takes it."""


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward; the first and last are modulated by the noise level."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.dim, self.eps = dim, config.eps
        self.self_attn = SelfAttention(dim, config.heads, config.eps)
        self.norm3 = nn.LayerNorm(dim, config.eps)
        self.cross_attn = CrossAttention(dim, config.heads, config.eps)
        self.ffn = Mlp(dim, config.ffn_dim, dim)
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x_RND: Tensor, time_RT6D: Tensor, layer: int, history: History, text: Text) -> Tensor:
        """[R, T*L, D] → the same."""
        frames = time_RT6D.shape[1]
        shift1, scale1, gate1, shift2, scale2, gate2 = (time_RT6D + self.modulation).unsqueeze(2).unbind(3)
        dtype = self.modulation.dtype  # Of products; sums and norms are in that of the tokens.
        y = self.self_attn(modulated(x_RND, frames, shift1, scale1, self.eps, dtype=dtype), layer, history)
        x_RND = gated(x_RND, y, frames, gate1)
        x_RND = x_RND + self.cross_attn(
            normed(x_RND, self.norm3.weight, self.norm3.bias, self.eps), layer, text
        )
        y = self.ffn(modulated(x_RND, frames, shift2, scale2, self.eps, dtype=dtype))
        return gated(x_RND, y, frames, gate2)

    def pack(self) -> None:
        """Make products faster where the device has a way to; for inference with final weights."""
        self.self_attn.pack()
        self.cross_attn.pack()
        for layer in self.ffn:
            if isinstance(layer, Linear):
                layer.pack()


class Head(nn.Module):
    """From tokens to velocity, modulated by the noise level. Starts at zero."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.head = Linear(config.dim, config.patch**2 * config.latent_channels)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)

    def forward(self, x_RND: Tensor, time_RTD: Tensor) -> Tensor:
        """[R, T*L, D] → [R, T*L, patch*patch*C]."""
        shift, scale = (time_RTD.unsqueeze(2) + self.modulation).unsqueeze(2).unbind(3)
        out: Tensor = self.head(
            modulated(x_RND, time_RTD.shape[1], shift, scale, self.eps, dtype=self.modulation.dtype)
        )
        return out


class CausalDiT(nn.Module):
    """Predicts the velocity of noised latent frames, from their past, a prompt and the noise level."""

    attention: AttentionKernel = "auto"
    """What its attention runs by; where a graph was made, it is a part of that."""
    revision: int = 0
    """Another when LoRAs change what it computes: who keeps what it made, as a text's keys, makes it anew."""
    launches: int = 0
    """Another when LoRAs change which products a forward is made of, or where: a graph is of one number."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        dim, patch = config.dim, (1, config.patch, config.patch)
        self.patch_embedding = nn.Conv3d(config.latent_channels, dim, patch, patch)
        self.text_embedding = Mlp(config.text_dim, dim, dim)
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = Head(config)
        self._initialise()

    def forward_clip(
        self,
        x_BTCHW: Tensor,
        sigma_BT: Tensor,
        text_BSE: Tensor,
        text_mask_BS: Tensor | None = None,
        *,
        chunk_frames: int = 1,
    ) -> Tensor:
        """Velocity [B, T, C, H, W] of whole clips, each chunk seeing what the rolling cache would show it.

        Frames of one chunk see one another. A clip may be longer than the window.
        """
        grid = self.grid(x_BTCHW.shape[-2], x_BTCHW.shape[-1])
        history = ClipHistory(
            self.config, frames=x_BTCHW.shape[1], grid=grid, chunk_frames=chunk_frames, device=x_BTCHW.device
        )
        return self.denoise(x_BTCHW, sigma_BT, self.text_context(text_BSE, text_mask_BS), history)

    def denoise(self, x_RTCHW: Tensor, sigma_RT: Tensor, text: Text, history: History) -> Tensor:
        """Velocity [R, T, C, H, W] of one chunk a row; `history` knows the past, and takes the chunk in."""
        grid = self.grid(x_RTCHW.shape[-2], x_RTCHW.shape[-1])
        flow = self.entered(x_RTCHW, sigma_RT)
        x_RND = self.through(range(self.config.layers), flow, text, history)
        return self.left(x_RND, flow.time_RTD, grid)

    def entered(self, x_RTCHW: Tensor, sigma_RT: Tensor) -> Flow:
        """What the first block takes."""
        rows, frames = x_RTCHW.shape[:2]
        time_RTD = self.time_embedding(time_frequencies(sigma_RT, self.config.freq_dim, x_RTCHW.dtype))
        time_RT6D = self.time_projection(time_RTD).view(rows, frames, 6, self.config.dim)
        flow = (self.embed_patches(x_RTCHW), time_RT6D, time_RTD)
        return Flow(*(tensor.to(self.flow_dtype) for tensor in flow))

    def through(self, layers: Iterable[int], flow: Flow, text: Text, history: History) -> Tensor:
        """Tokens [R, T*L, D] after these blocks, one after the other."""
        x_RND = flow.x_RND
        with attention_first_by(self.attention):
            for layer in layers:
                x_RND = self.blocks[layer](x_RND, flow.time_RT6D, layer, history, text)
        return x_RND

    def left(self, x_RND: Tensor, time_RTD: Tensor, grid: tuple[int, int]) -> Tensor:
        """Velocity [R, T, C, H, W] from what the last block gives."""
        rows, frames = time_RTD.shape[:2]
        return self.unpatch(self.head(x_RND, time_RTD), rows, frames, grid)

    def text_context(self, text_RSE: Tensor, mask_RS: Tensor | None = None) -> TextContext:
        """Embed the text and make each layer's keys and values of it.

        Mask: true where a token counts; or float, to add to its scores, such as the logarithm of its weight.
        """
        text_RSD = self.text_embedding(text_RSE)
        pairs = [block.cross_attn.keys_values(text_RSD) for block in self._blocks()]
        mask = None if mask_RS is None else mask_RS[:, None, None, :]
        if mask is not None and mask.is_floating_point():
            mask = mask.to(text_RSD.dtype)  # Attention takes no other.
        return TextContext(
            keys=tuple(k for k, _ in pairs),
            values=tuple(v for _, v in pairs),
            mask=mask,
            source=(text_RSE, mask_RS),
        )

    def embed_patches(self, x_RTCHW: Tensor) -> Tensor:
        """[R, T, C, H, W] → [R, T*L, D]: the patch convolution, as one matrix product."""
        patches_RTPHW = functional.pixel_unshuffle(x_RTCHW, self.config.patch)
        patches = patches_RTPHW.flatten(3).transpose(2, 3).flatten(1, 2)
        return functional.linear(patches, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def unpatch(self, y_RNP: Tensor, rows: int, frames: int, grid: tuple[int, int]) -> Tensor:
        """[R, T*L, patch*patch*C] → [R, T, C, H, W]; within a patch Wan has the channel last."""
        patch = self.config.patch
        y = y_RNP.reshape(rows, frames, *grid, patch, patch, self.config.latent_channels)
        y = y.permute(0, 1, 6, 2, 4, 3, 5)
        return y.reshape(rows, frames, self.config.latent_channels, grid[0] * patch, grid[1] * patch)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.patch_embedding.weight.dtype

    @property
    def flow_dtype(self) -> torch.dtype:
        """Type of what goes from block to block. Products take it in their own."""
        return torch.float32 if self.config.wide_residual else self.dtype

    def quantise(self, kind: WeightKind) -> None:
        """Keep the blocks' weights in another type: on their final device, before `pack`. See `finisher`."""
        finish_all(self, finisher(kind))

    def pack(self) -> None:
        """Make products faster where the device has a way to; for inference with final weights."""
        self.head.head.pack()
        for block in self._blocks():
            block.pack()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Tokens down and across for a latent frame of height×width."""
        patch = self.config.patch
        if height % patch or width % patch:
            raise ValueError(f"latent frames of {height}x{width} do not divide into {patch}x{patch} patches")
        return height // patch, width // patch

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embedding.weight.flatten(1))
        for sequence in (self.text_embedding, self.time_embedding):
            for layer in (sequence[0], sequence[2]):
                assert isinstance(layer, nn.Linear)
                nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(self.head.head.weight)
