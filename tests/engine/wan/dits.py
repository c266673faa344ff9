"""Small transformers of Wan's family in pairs: diffusers' and ours, with the same random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.wan.keys import from_diffusers

HEAD_DIM = 128
TEXT_DIM = 24


def config_of(
    *, heads: int = 2, layers: int = 2, window: int = 6, sinks: int = 3, wide: bool = True
) -> DiTConfig:
    return DiTConfig(
        latent_channels=16,
        dim=heads * HEAD_DIM,
        ffn_dim=heads * 200,
        heads=heads,
        layers=layers,
        text_dim=TEXT_DIM,
        window_frames=window,
        sink_frames=sinks,
        wide_residual=wide,
    )


def diffusers_of(config: DiTConfig) -> Any:
    from diffusers import WanTransformer3DModel

    make: Any = WanTransformer3DModel  # diffusers has no types here.
    return make(
        num_attention_heads=config.heads,
        attention_head_dim=config.head_dim,
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        text_dim=config.text_dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.layers,
    )


def pair_of(config: DiTConfig) -> tuple[Any, CausalDiT]:
    """diffusers' and ours; nothing is zero or one, and numbers neither die out nor explode."""
    torch.manual_seed(config.layers * 10 + config.heads)
    theirs = diffusers_of(config).eval().requires_grad_(False)
    _enliven(theirs)
    ours = CausalDiT(config).eval().requires_grad_(False)
    ours.load_state_dict({from_diffusers(name): tensor for name, tensor in theirs.state_dict().items()})
    return theirs, ours


def ours_of(config: DiTConfig) -> CausalDiT:
    """Ours alone, alike, for machines without diffusers."""
    torch.manual_seed(config.layers * 10 + config.heads)
    ours = CausalDiT(config).eval().requires_grad_(False)
    _enliven(ours)
    return ours


def _enliven(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            nn.init.normal_(parameter, 1.0, 0.2)
        elif parameter.ndim > 1 and not name.endswith(("table", "modulation")):
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            nn.init.normal_(parameter, std=0.2)


def prompts(clips: int, *, length: int, words: int) -> Tensor:
    """Embeddings [B, S, E] of random words; zeros after them, which Wan attends to as well."""
    text_BSE = torch.randn(clips, length, TEXT_DIM)
    text_BSE[:, words:] = 0
    return text_BSE


def theirs_velocity(theirs: Any, x_BTCHW: Tensor, sigma_BT: Tensor, text_BSE: Tensor) -> Tensor:
    """diffusers' velocity [B, T, C, H, W], each latent frame at its own noise level."""
    tokens = (x_BTCHW.shape[-2] // 2) * (x_BTCHW.shape[-1] // 2)
    timesteps = sigma_BT.repeat_interleave(tokens, dim=1) * 1000
    out: Tensor = theirs(x_BTCHW.transpose(1, 2), timesteps, text_BSE).sample
    return out.transpose(1, 2)


class BlockCausal:
    """An attention processor for diffusers' model: each chunk sees itself and what was before."""

    def __init__(self, inner: Any, tokens: int, frames: int, chunk_frames: int) -> None:
        chunks = torch.arange(frames).div(chunk_frames, rounding_mode="floor").repeat_interleave(tokens)
        self._inner, self._mask = inner, chunks[:, None] >= chunks[None]

    def __call__(self, attn: Any, x: Tensor, text: Tensor | None, mask: Tensor | None, turns: Any) -> Tensor:
        out: Tensor = self._inner(attn, x, text, self._mask if text is None else mask, turns)
        return out


def make_block_causal(theirs: Any, *, tokens: int, frames: int, chunk_frames: int) -> None:
    for block in theirs.blocks:
        block.attn1.set_processor(BlockCausal(block.attn1.processor, tokens, frames, chunk_frames))


def error(given: Tensor, expected: Tensor) -> float:
    return float((given.float() - expected.float()).norm() / expected.float().norm())
