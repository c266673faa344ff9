"""A model from its files: one file for all parts, as pocket has it, or files for each, as Wan has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.engine.config import ModelConfig
from limner.engine.dit.finish import finish_all
from limner.engine.dit.model import CausalDiT
from limner.engine.files import ModelFiles
from limner.engine.model import Model
from limner.engine.wan.keys import dit_names
from limner.engine.wan.keys_vae import vae_names
from limner.engine.weights import Full, load_weights
from limner.engine.weights_names import Naming, as_they_are

Weights = Path | Mapping[str, Tensor] | ModelFiles | Model
"""Where the weights of a model are, or the weights themselves, or a model that has them already."""
PartProgress = Callable[[str, int, int], None]
"""Called with what is being loaded ("denoiser", "autoencoder"), its bytes that are there, and all it has."""

_VAE_NAMES: Mapping[str, Naming] = {"wan": vae_names}
"""By `vae.kind`; others' files have the names of our modules."""


def load_model(
    config: ModelConfig,
    weights: Weights,
    *,
    device: torch.device,
    dtype: torch.dtype,
    on_full: Full | None = None,
    on_progress: PartProgress | None = None,
    dit: CausalDiT | None = None,
) -> Model:
    """A model for inference on a device, in a type.

    `dit`: the denoiser, where it is loaded already; then only the other parts are.

    `on_full` is called with each part of the denoiser as soon as it is loaded, on its device and in its type,
    and may change it, such as quantise it. Text encoders that come and go are not loaded here. Raises
    WeightsError, naming file and key, when the weights are not this model's.
    """
    if isinstance(weights, Model):
        return weights  # As its owner made it: `to` would widen quantised weights again.
    if not isinstance(weights, ModelFiles):
        model = Model(config)
        load_weights(model, weights)
        if dit is not None:
            model.dit = nn.Identity()  # type: ignore[assignment]  # goes before the rest goes to the device
        model = model.to(device, dtype).eval().requires_grad_(False)
        set_vae_dtype(model, device, dtype)
        if dit is not None:
            model.dit = dit
        elif on_full is not None:
            finish_all(model.dit, on_full)
        return model
    with torch.device("meta"):
        model = Model(config).to(dtype)
        set_vae_dtype(model, device, dtype)
    told = on_progress or _nobody
    _fill(
        model.vae,
        weights.vae,
        part="vae",
        naming=vae_naming(config),
        device=device,
        on_progress=partial(told, "autoencoder"),
    )
    if isinstance(model.text, nn.Module):
        _fill(model.text, weights.text_encoder, part="text_encoder", device=device)
    if dit is not None:
        model.dit = dit
        return model.eval().requires_grad_(False)
    _fill(
        model.dit,
        weights.dit,
        part="transformer",
        top_key=weights.dit_key,
        naming=dit_names,
        device=device,
        on_full=on_full,
        on_progress=partial(told, "denoiser"),
    )
    return model.eval().requires_grad_(False)


def set_vae_dtype(model: Model, device: torch.device, dtype: torch.dtype) -> None:
    """Let the autoencoder of a model of type `dtype` compute in `vae_dtype`."""
    if (own := vae_dtype(model.config, device, dtype)) != dtype:
        model.get_submodule("vae").to(own)


def vae_dtype(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """What the autoencoder computes in, where all else is in bfloat16: Wan's and TAEHV in what rounds less.

    A GPU takes float16: as fast, in as much memory, and three bits more. What is decoded is 0.2 % from
    float32, not 1.5 %. Wan's can (see vae_blocks.py), and TAEHV is published so. A processor, which has no
    fast float16, takes float32. pocket's was made for bfloat16.
    """
    if dtype != torch.bfloat16 or config.vae.kind not in ("wan", "taehv"):
        return dtype
    return torch.float16 if device.type == "cuda" else torch.float32


def vae_naming(config: ModelConfig) -> Naming:
    """How the file of a model's autoencoder names its tensors."""
    return _VAE_NAMES.get(config.vae.kind, as_they_are)


def _fill(part_of_model: object, path: Path, **options: Any) -> None:
    assert isinstance(part_of_model, nn.Module), "what has weights is a module"
    load_weights(part_of_model, path, **options)
    left = [name for name, tensor in part_of_model.state_dict().items() if tensor.is_meta]
    assert not left, f"without memory: {left}"


def _nobody(_part: str, _done_bytes: int, _total_bytes: int) -> None:
    """Nobody wants to hear of progress."""
