"""Small autoencoders with lively random weights, for tests."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from limner.engine.wan.vae import WanVae, WanVaeConfig

M = TypeVar("M", bound=nn.Module)

SMALL = WanVaeConfig(
    latent_channels=4,
    base_dim=8,
    latents_mean=(0.1, -0.2, 0.3, 0.0),
    latents_std=(1.0, 2.0, 0.5, 1.5),
)


def wan_vae(config: WanVaeConfig = SMALL) -> WanVae:
    return enlivened(WanVae(config))


def enlivened(module: M) -> M:
    """Weights that keep the signal's size through all layers, so that every one of them counts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.7, 1.3, generator=generator)
            elif parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
            else:
                parameter.normal_(0, 0.05, generator=generator)
    return module.eval()


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """‖ours − theirs‖ / ‖theirs‖."""
    theirs = theirs.double()
    return float((ours.double() - theirs).norm() / theirs.norm())
